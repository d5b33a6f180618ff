"""2017, the transformer: a GPT that completes Python, character by character, learned from Python's own source.

    python milestones/05_2017_transformer/copilot.py [--size base] [--seed 0] [--quick] [--resume runs/copilot-001]

The text is the standard library that comes with every Python, about 4 MB, so no network is needed; whole files of it
are held out and never trained on. What a run has to show, and its exit status is 0 only if all of it holds:

  - held-out loss, in nats a character, below that of n-grams that have counted the same text (ngrams.py): the small
    model below the 3-gram, --size base below the best n-gram, --quick below the 3-gram plus a margin;
  - that same loss, measured while characters come one by one: it shows that the model does not look ahead;
  - all five demo completions: the likeliest character, one after the other, must begin with what a reader of Python
    expects there (DEMOS; one of them is about a name that only the line before tells).

It also says how many lines of freely written text `ast.parse` accepts, beside the same share for the best n-gram and
for real held-out code. Everything is in the run folder, and on one page in its report.html. Afterwards, or while it
still learns:

    python milestones/05_2017_transformer/copilot.py --sample "def f(" [--resume runs/copilot-001] [--temperature 0.5]

On several processes: --ranks 4, or `mpiexec -n 4 python -m mpi4py` in front; --elastic goes on when one is killed.

--broken uniform_attention, no_positions, frozen (its blocks get no step) or peek (it sees what is to come)
trains a model that cannot work: see what the same check says.
"""
import argparse
import ast
import os
import re
import string
import sys
import warnings
from typing import NamedTuple

# Before NumPy is imported: on a machine of your own, OPENBLAS_NUM_THREADS=2 makes --size base faster.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from language import (
    ADVICE,
    Texts,
    add_rank_arguments,
    add_run_arguments,
    add_text_arguments,
    at_least,
    at_most,
    attention_maps,
    below,
    build_model,
    corpus_of,
    count_parameters,
    evaluation,
    finish,
    fit,
    let_rank_0_speak,
    looks_ahead,
    loss_of,
    measure,
    ranked,
    refusing_input,
    sample,
    settings_of,
    start_ranks,
    start_run,
    stoppable,
    verdict_on,
    written,
)
from ngrams import NGrams, largest_order

import tinytorch
import tinytorch.nn as nn
from tinytorch.checkpoint import write_whole
from tinytorch.datasets import RandomBatches
from tinytorch.generation import generate
from tinytorch.optim import AdamW, LambdaLR, warmup_cosine
from tinytorch.tokenizers import CharTokenizer
from tinytorch.training import Trainer
from tito.report import plot_attention

# ---- knobs

NEEDS = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14")  # the chapters at work
RANKS = True  # also on several processes


class Size(NamedTuple):
    "A model, how it learns, and the n-gram that it has to beat."
    model: dict  # options of nn.GPTConfig
    batch: int
    steps: int
    learning_rate: float
    beats: int  # order of the n-gram; 0: the best one
    margin: float = 0.0  # nats above its loss that are allowed

    def config(self, vocab_size):
        return nn.GPTConfig(vocab_size=vocab_size, positions="rotary", tied_head=False, **self.model)


SMALL = Size(dict(context=64, d_model=32, num_layers=2, num_heads=2), 16, 5000, 1e-2, beats=3)
SIZES = {
    "small": SMALL,
    "base": Size(dict(context=64, d_model=128, num_layers=4, num_heads=4), 16, 3000, 2e-3, beats=0),
    "quick": SMALL._replace(steps=600, margin=0.2),
}
ORDERS = 6  # n-grams of 1 to 6 characters
WARMUP_STEPS, MAX_NORM, WEIGHT_DECAY = 100, 1.0, 0.01
SAVE_EVERY, EVALUATIONS, EVALUATED_WINDOWS = 100, 10, 400
DEMOS = [  # (what stands there, how it must go on)
    ("def subtract(a, b):\n    ret", "urn "),
    ("    if isinst", "ance("),
    ("        raise ValueErr", "or("),
    ("    size = le", "n("),
    ("    def __init__(self, name):\n        self.na", "me = "),
]
DEMO_LENGTH = 24  # characters that are shown
WRITTEN_TEXTS, WRITTEN_LENGTH = 24, 400  # for the share of lines that are Python
LOOKED_AT = "    def __init__(self, name):\n"  # for the picture of attention
ALPHABET = "\n" + string.printable[:95]
AGREEMENT = 0.01  # between the losses of whole windows and of characters one by one
BROKEN = ("uniform_attention", "no_positions", "frozen", "peek")

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--size", choices=["small", "base"],
                    help="32 thousand parameters (small, the default) or 0.8 million (base)")
add_run_arguments(parser, BROKEN, "fewer steps and a lower bar")
add_rank_arguments(parser)
add_text_arguments(parser, temperature=0.7)


# ---- learning

def read_texts(settings):
    corpus = corpus_of(settings, "python")
    characters = sorted(set(ALPHABET).union(corpus.train, corpus.held_out))
    return Texts(corpus, CharTokenizer(characters), SIZES[settings["size"]].model["context"])


def make_trainer(settings, texts, folder=None, show=False):
    "Return a Trainer with model, batches and optimizer, all from the seed."
    size, broken = SIZES[settings["size"]], settings["broken"]
    tinytorch.manual_seed(settings["seed"])
    model = build_model(size.config(texts.tokenizer.vocab_size), broken)
    trained = [p for name, p in model.named_parameters() if not (broken == "frozen" and ".blocks." in name)]
    optimizer = AdamW(trained, lr=size.learning_rate, weight_decay=WEIGHT_DECAY)
    schedule = LambdaLR(optimizer, warmup_cosine(min(WARMUP_STEPS, size.steps // 5), size.steps))
    every = max(1, size.steps // EVALUATIONS)

    def write(record):  # metrics.jsonl keeps it, so that a run that goes on still has what was written before
        if record["step"] % every == 0:
            record["sample"] = written(model, texts.tokenizer, "def ", 70, generator=0, temperature=0.7)
            print(f"  {record['sample']!r}", flush=True)

    return ranked(Trainer)(
        model, RandomBatches(texts.windows, size.batch, size.steps), loss_of, optimizer, steps=size.steps,
        schedule=schedule, max_norm=MAX_NORM, callbacks=[write], folder=folder, save_every=SAVE_EVERY,
        evaluate=evaluation(model, texts.held_out_windows, folder, EVALUATED_WINDOWS), evaluate_every=every, show=show)


# ---- judging what it writes

def make_demos(model, tokenizer):
    "Return a list of (prompt, how the model goes on, how it must, does it?)."
    rows = []
    for prompt, expected in DEMOS:
        text = written(model, tokenizer, prompt, DEMO_LENGTH, temperature=0)[len(prompt):]
        rows.append((prompt, text, expected, text.startswith(expected)))
    return rows


def demo_text(prompt, text, expected, good):
    return f"{prompt}|{text.splitlines()[0] if text.strip() else ''}   <- {'yes' if good else f'NO, {expected!r}'}"


def is_python(code):
    try:
        with warnings.catch_warnings(action="ignore"):  # "5()" is Python, though Python wonders about it
            ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


BEFORE = {"else": "if x: pass\n", "elif": "if x: pass\n", "except": "try: pass\n", "finally": "try: pass\n"}


def python_lines(texts):
    "Return (how many lines of code are Python, how many there are), whole lines one by one, no blanks or comments."
    good = count = 0
    for text in texts:
        for line in map(str.strip, text.split("\n")[1:-1]):
            if line and not line.startswith("#"):
                before = BEFORE.get(re.match(r"\w*", line).group(), "")
                good += is_python(f"{before}{line} pass" if line.endswith(":") else before + line)
                count += 1
    return good, count


def share(counts):
    good, count = counts
    return f"{good / max(count, 1):.1%} of {count}"


def samples_text(trainer, demos, tokenizer):
    "Return the text of samples.txt: demos, how the writing changed, and what the model writes now."
    parts = ["Five demos, completed behind the | with the likeliest characters:\n"]
    parts += [demo_text(*demo) for demo in demos]
    parts.append("\nWhat follows 'def ', at temperature 0.7, while it learned:\n")
    parts += [f"step {record['step']:5}  {record['sample']!r}" for record in trainer.history if "sample" in record]
    parts.append("\n\nFreely written, at temperature 0.7:")
    parts += [f"\n{'-' * 40}\n{written(trainer.model, tokenizer, '    def ', 500, generator=seed, temperature=0.7)}"
              for seed in range(2)]
    return "\n".join(parts) + "\n"


# ---- a run

def run(settings, folder, texts):
    "Train, measure, look; return the exit status."
    size, tokenizer, seed = SIZES[settings["size"]], texts.tokenizer, settings["seed"]
    trainer = make_trainer(settings, texts, folder, show=True)
    model = trainer.model
    print(f"{settings['size']}: {count_parameters(model):,} parameters, seed {seed}; text: {texts.corpus.source}, "
          f"{len(texts.train):,} characters and {len(texts.held_out):,} held out\n"
          f"to go on after an interruption: --resume {folder}", flush=True)
    counted = NGrams(texts.train, min(ORDERS, largest_order(tokenizer.vocab_size)), tokenizer.vocab_size)
    counts = counted.report_losses(texts.held_out)
    fit(trainer)

    loss, accuracy = measure(model, texts.held_out_windows)
    demos = make_demos(model, tokenizer)
    print("\n" + "\n".join(demo_text(*demo) for demo in demos))
    write_whole(folder / "samples.txt", samples_text(trainer, demos, tokenizer).encode())
    maps = attention_maps(model, tokenizer.encode(LOOKED_AT))
    plot_attention(maps, list(LOOKED_AT), folder / "attention.png")
    starts, generator = np.full((WRITTEN_TEXTS, 1), tokenizer.encode("\n")), np.random.default_rng(seed)
    model_texts = map(tokenizer.decode, generate(model, starts, WRITTEN_LENGTH, generator=seed))
    counted_texts = [tokenizer.decode(counted.write(start, WRITTEN_LENGTH, generator)) for start in starts]

    best, right = int(np.argmin(counts)) + 1, sum(good for *_, good in demos)
    order = size.beats or best
    bar = f"{order}-gram + {size.margin}" if size.margin else f"{order}-gram"
    criteria = [below(f"held-out loss below the {bar}", loss, counts[order - 1] + size.margin),
                at_most("the same, characters one by one: difference", looks_ahead(model, texts.held_out_windows),
                        AGREEMENT)]
    if settings["size"] != "quick":
        criteria.append(at_least("demo completions", right, len(demos)))
    numbers = {
        "parameters": count_parameters(model),
        "held-out loss, nats a character": loss,
        "held-out next-character accuracy": f"{accuracy:.1%}",
        "3-gram, held out": counts[2],
        f"best n-gram, held out ({best}-gram)": min(counts),
        "demo completions": f"{right}/{len(demos)}",
        "lines it writes that are Python": share(python_lines(model_texts)),
        f"lines of the {counted.order}-gram that are Python": share(python_lines(counted_texts)),
        "real held-out lines that are Python": share(python_lines([texts.corpus.held_out])),
        "characters learned from a second": round(trainer.step * size.batch * model.context / trainer.seconds),
        "minutes of training": trainer.seconds / 60,
    }
    best = {"metric": "held-out loss", "value": loss}
    return finish(folder, criteria, numbers, trainer.seconds, ADVICE, best, **verdict_on(settings))


def main(args=None):
    args = args or parser.parse_args()
    if args.ranks != 1 or args.elastic:
        return start_ranks(args, parser)
    let_rank_0_speak()
    settings, folder = settings_of(args, parser, "copilot", SIZES)
    with refusing_input(parser):
        if args.sample is not None:
            return sample(args, settings, folder)
        texts = read_texts(settings)
        if folder is None:
            config = SIZES[settings["size"]].config(texts.tokenizer.vocab_size)
            folder = start_run(args, "copilot", settings, texts.tokenizer, config)
    with stoppable(parser, folder):
        return run(settings, folder, texts)


if __name__ == "__main__":
    sys.exit(main())
