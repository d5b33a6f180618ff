"""What runs in a process of its own: it trains a recipe, or measures a model. `python -I -m tito.capstone.worker JOB`.

JOB is a file of JSON: {"task": one of TASKS, "recipe": ..., "text": ..., "held_out": ..., "model": ...,
"seconds": ...}, with paths. The last line that it prints is its answer, in JSON. Texts are bytes: the vocabulary is
256, whatever the language, and losses of all models are comparable.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

import tinytorch
import tinytorch.nn as nn
import tinytorch.nn.functional as F
from tinytorch.capstone import nats_per_byte, overlap
from tinytorch.checkpoint import load_weights, save_weights
from tinytorch.datasets import RandomBatches, TokenDataset
from tinytorch.generation import generate
from tinytorch.optim import AdamW, LambdaLR, decay_groups, warmup_cosine
from tinytorch.quantization import quantize
from tinytorch.training import train_step
from tito.capstone.recipe import MODEL, WORDS

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None

BYTES, GROUP, MAX_NORM, LAST_RATE = 256, 32, 1.0, 0.1
WRITTEN, PROMPT, ROUNDS = 64, 16, 3  # bytes that are written, behind how many, how often: the fastest counts


def tokens_of(path):
    return np.frombuffer(Path(path).read_bytes(), np.uint8)


def new_model(recipe):
    options = {name: recipe[name] for name in MODEL}
    return nn.GPT(nn.GPTConfig(vocab_size=BYTES, **options, tied_head=False))


def compressed(model, recipe):
    if recipe["bits"] == 32:
        return model
    return quantize(model, recipe["bits"], GROUP if recipe["bits"] == 4 else None)


def loss_of(model, ids, targets):
    return F.cross_entropy(model(ids).flatten(0, 1), targets.flatten())


def make(job):
    """Train the recipe on the text and save what is left after compression; return the CPU seconds that it took."""
    recipe = job["recipe"]
    tinytorch.manual_seed(recipe["seed"])
    model, windows = new_model(recipe), TokenDataset(tokens_of(job["text"]), recipe["context"])
    optimizer = AdamW(decay_groups(model, recipe["weight_decay"]), lr=recipe["learning_rate"], betas=(0.9, 0.99))
    warmup = min(recipe["warmup"], recipe["steps"] - 1)
    schedule = LambdaLR(optimizer, warmup_cosine(warmup, recipe["steps"], LAST_RATE))
    for batch in RandomBatches(windows, recipe["batch"], recipe["steps"], generator=recipe["seed"]):
        train_step(model, [batch], loss_of, optimizer, MAX_NORM)
        schedule.step()
    save_weights(job["model"], compressed(model.eval(), recipe))
    return {"cpu_seconds": time.process_time()}


def measure(job):
    """Measure a model on the held-out text: nats for each byte, bytes written a CPU second, the peak of memory."""
    recipe = job["recipe"]
    model = compressed(new_model(recipe), recipe)
    load_weights(job["model"], model)
    tokens = tokens_of(job["held_out"])
    loss = nats_per_byte(model, tokens, recipe["context"], len(tokens) - 1)
    return {"loss": loss, "tokens_per_second": written_a_second(model, tokens, recipe["context"]),
            "memory_mb": peak_megabytes()}  # fmt: skip


def written_a_second(model, tokens, context):
    """How many bytes the model writes in a second of the processor, behind the beginning of the held-out text.

    Through its cache, in one thread; the clock on the wall would say what else the machine does.
    """
    count, prompt = min(WRITTEN, context // 2), tokens[: min(PROMPT, context // 2)].astype(np.int64)
    seconds = []
    for seed in range(ROUNDS):
        started = time.process_time()
        generate(model, prompt, count, generator=np.random.default_rng(seed))
        seconds.append(time.process_time() - started)
    return count / min(seconds)


def peak_megabytes():
    """Resident memory of this process at its highest."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1000
    if resource is None:
        raise OSError("this system does not tell how much memory a process has used")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def distance(job):
    """How far the weights of `model` are from those of `other`: the largest of all tensors' relative distances."""
    recipe = job["recipe"]
    models = [compressed(new_model(recipe), recipe) for _ in range(2)]
    for path, model in zip((job["model"], job["other"]), models):
        load_weights(path, model)
    ours, theirs = (model.state_dict() for model in models)
    far = 0.0
    for name, array in theirs.items():
        x, y = np.asarray(ours[name], np.float64), np.asarray(array, np.float64)
        far = max(far, float(np.linalg.norm(x - y) / max(np.linalg.norm(y), 1e-12)))
    return {"distance": far}


def known(job):
    """How much of the held-out text stands in the text."""
    text, held_out = (Path(job[name]).read_bytes().decode("utf-8", "replace") for name in ("text", "held_out"))
    return {"overlap": overlap(text, held_out, WORDS)}


def hold(seconds, memory):
    """End this process after so many CPU seconds, and refuse it more memory, where the system can."""
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds + 1, seconds + 2))
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


TASKS = {"make": make, "measure": measure, "distance": distance, "overlap": known}


def main():
    job = json.loads(Path(sys.argv[1]).read_text())
    hold(int(job["seconds"]), job["memory"])
    print(json.dumps(TASKS[job["task"]](job)))


if __name__ == "__main__":
    main()
