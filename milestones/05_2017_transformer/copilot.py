"""2017, the transformer: a GPT that completes Python, character by character, learned from Python's own source.

    python milestones/05_2017_transformer/copilot.py [--size base] [--seed 0] [--quick] [--resume runs/copilot-001]

The text is the standard library that comes with every Python, about 4 MB, so no network is needed; whole files of it
are held out and never trained on. What a run has to show, and its exit status is 0 only if all of it holds:

  - held-out loss, in nats a character, below that of n-grams that have counted the same text (ngrams.py): the small
    model below the 3-gram, --size base below the best n-gram, --quick below the 3-gram plus a margin;
  - that same loss, measured while characters come one by one: it shows that nobody looks ahead;
  - all five demo completions: the likeliest character, one after the other, must begin with what a reader of Python
    expects there (DEMOS; one of them is about a name that only the line before tells).

It also says how many lines of freely written text `ast.parse` accepts, beside the same share for the best n-gram and
for real held-out code. Everything is in the run folder, and on one page in its report.html. Afterwards, or while it
still learns:

    python milestones/05_2017_transformer/copilot.py --sample "def f(" [--resume runs/copilot-001] [--temperature 0.5]

--broken uniform_attention, no_positions, frozen (its blocks get no step) or peek (it sees what is to come)
trains a model that cannot work: see what the same check says.
"""
import argparse
import ast
import hashlib
import os
import re
import string
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

# Before NumPy is imported: on a machine of your own, OPENBLAS_NUM_THREADS=2 makes --size base faster.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402
from language import (  # noqa: E402
    Criterion,
    Peek,
    WithoutPositions,
    WithUniformAttention,
    attention_maps,
    exit_2,
    finish,
    looks_ahead,
    loss_of,
    measure,
    stoppable,
)
from ngrams import NGrams  # noqa: E402

import tinytorch  # noqa: E402
import tinytorch.nn as nn  # noqa: E402
from tinytorch.checkpoint import load_weights, save_weights, write_whole  # noqa: E402
from tinytorch.datasets import Corpus, RandomBatches, TokenDataset, load, split_text  # noqa: E402
from tinytorch.generation import check_options, generate  # noqa: E402
from tinytorch.optim import AdamW, LambdaLR, warmup_cosine  # noqa: E402
from tinytorch.runs import new_run, read_config  # noqa: E402
from tinytorch.tokenizers import CharTokenizer, Tokenizer  # noqa: E402
from tinytorch.training import Trainer  # noqa: E402
from tito.report import plot_attention  # noqa: E402

# ---- knobs

# The chapters whose code runs here.
NEEDS = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14")

class Size(NamedTuple):
    "A model, how it learns, and the order of the n-gram that it has to beat (0: the best one)."
    layers: int
    heads: int
    width: int
    context: int
    batch: int
    learning_rate: float
    steps: int
    beats: int


SIZES = {
    "small": Size(2, 2, 32, 64, 16, 1e-2, 5000, 3),
    "base": Size(4, 4, 128, 64, 16, 2e-3, 3000, 0),
}
QUICK_STEPS, QUICK_MARGIN = 600, 0.2  # --quick: nats above the 3-gram that are allowed
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
parser.add_argument("--size", choices=SIZES, help="32 thousand parameters (small, the default) or 0.8 million (base)")
parser.add_argument("--seed", type=int, help="of weights and batches, or of a sample (default 0)")
parser.add_argument("--quick", action="store_true", help="fewer steps and a lower bar: under a minute")
parser.add_argument("--text", type=Path, metavar="FILE", help="learn from this text, the end held out")
parser.add_argument("--broken", choices=BROKEN, help="a model that must fail")
parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for the run folder (default runs/)")
parser.add_argument("--resume", type=Path, metavar="RUN", help="go on in this run folder, with its settings")
parser.add_argument("--sample", metavar="PROMPT", help="only continue this, with --resume RUN or the newest run")
parser.add_argument("--length", type=int, default=300, help="characters of the sample (default 300)")
parser.add_argument("--temperature", type=float, default=0.7, help="of the sample; 0: the likeliest (default 0.7)")
parser.add_argument("--top-p", type=float, help="draw among the fewest characters that reach this probability")


# ---- the text

def corpus_of(settings):
    "The texts of a run. ValueError where they are not those that the run began with."
    if settings["text"] is None:
        corpus = load("python")
    else:
        path = Path(settings["text"])
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"--text {path}: expected a file of UTF-8 text ({error})") from None
        corpus = Corpus(*split_text(text, 0.1, name=path), str(path))
    digest = hashlib.sha256(corpus.train.encode() + corpus.held_out.encode()).hexdigest()[:16]
    if settings.setdefault("text_sha256", digest) != digest:
        raise ValueError(f"{corpus.source}: the text has changed since this run began (another Python?); start a new "
                         "run, or go on with the Python that began it")
    return corpus


class Texts:
    "A corpus as ids: `train` and `held_out`, arrays, and the tokenizer."
    def __init__(self, corpus, context):
        characters = sorted(set(ALPHABET).union(corpus.train, corpus.held_out))
        self.tokenizer, self.source, self.real = CharTokenizer(characters), corpus.source, corpus.held_out
        self.train, self.held_out = (np.array(self.tokenizer.encode(text), np.uint16)
                                     for text in (corpus.train, corpus.held_out))
        if len(self.held_out) <= context:
            raise ValueError(f"{corpus.source}: {len(self.held_out)} characters are held out, expected more than the "
                             f"{context} of a window; take a longer text")
        self.windows = TokenDataset(self.train, context)
        self.held_out_windows = TokenDataset(self.held_out, context, stride=context)  # each character counts once


# ---- the model, and how it learns

def build_model(vocab_size, size, broken=None):
    kinds = {"no_positions": WithoutPositions, "uniform_attention": WithUniformAttention, "peek": Peek}
    kind = kinds.get(broken, nn.GPT)
    return kind(nn.GPTConfig(vocab_size=vocab_size, context=size.context, d_model=size.width, num_layers=size.layers,
                             num_heads=size.heads, positions="rotary", tied_head=False))


def trained_parameters(model, broken=None):
    "All; for `frozen` all but those of the blocks."
    frozen = "transformer.blocks" if broken == "frozen" else "none"
    return [p for name, p in model.named_parameters() if not name.startswith(frozen)]


def make_trainer(settings, texts, folder=None, show=False):
    "A Trainer with model, batches and optimizer, all from the seed."
    size = SIZES[settings["size"]]
    steps = QUICK_STEPS if settings["quick"] else size.steps
    tinytorch.manual_seed(settings["seed"])
    model = build_model(texts.tokenizer.vocab_size, size, settings["broken"])
    loader = RandomBatches(texts.windows, size.batch, steps)
    optimizer = AdamW(trained_parameters(model, settings["broken"]), lr=size.learning_rate, weight_decay=WEIGHT_DECAY)
    schedule = LambdaLR(optimizer, warmup_cosine(min(WARMUP_STEPS, steps // 5), steps))
    every = max(1, steps // EVALUATIONS)

    def evaluate():
        if folder:
            save_weights(folder / "model.safetensors", model)  # for --sample
        loss, accuracy = measure(model, texts.held_out_windows, EVALUATED_WINDOWS)
        return {"held-out loss": loss, "held-out accuracy": accuracy}

    def write(record):  # metrics.jsonl keeps it, so that a run that goes on still has what was written before
        if record["step"] % every == 0:
            record["sample"] = written(model, texts.tokenizer, "def ", 70, seed=0, temperature=0.7)
            print(f"  {record['sample']!r}", flush=True)

    return Trainer(model, loader, loss_of, optimizer, steps=steps, schedule=schedule, max_norm=MAX_NORM,
                   evaluate=evaluate, evaluate_every=every, callbacks=[write], folder=folder, save_every=SAVE_EVERY,
                   show=show)


# ---- writing Python

def written(model, tokenizer, prompt, length, seed=None, **options):
    "`prompt` continued by `length` characters."
    return tokenizer.decode(generate(model, tokenizer.encode(prompt), length, generator=seed, **options))


def is_python(code):
    try:
        with warnings.catch_warnings(action="ignore"):  # "5()" is Python, though Python wonders about it
            ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def with_body(code):
    'Code whose last line ends in ":" gets "pass" behind it, so that it can be parsed before its body is there.'
    return f"{code} pass" if code.rstrip().endswith(":") else code


def make_demos(model, tokenizer):
    "A list of (prompt, how the model goes on, how it must, does it?)."
    rows = []
    for prompt, expected in DEMOS:
        text = written(model, tokenizer, prompt, DEMO_LENGTH, temperature=0)[len(prompt):]
        rows.append((prompt, text, expected, text.startswith(expected)))
    return rows


def demo_text(prompt, text, expected, good):
    return f"{prompt}|{text.splitlines()[0] if text.strip() else ''}   <- {'yes' if good else f'NO, {expected!r}'}"


BEFORE = {"else": "if x: pass\n", "elif": "if x: pass\n", "except": "try: pass\n", "finally": "try: pass\n"}


def python_lines(texts):
    "(how many lines of code are Python, how many there are): whole lines one by one, without blanks and comments."
    good = count = 0
    for text in texts:
        for line in map(str.strip, text.split("\n")[1:-1]):
            if line and not line.startswith("#"):
                word = re.match(r"\w*", line).group()
                good += is_python(BEFORE.get(word, "") + with_body(line))
                count += 1
    return good, count


def share(counts):
    good, count = counts
    return f"{good / max(count, 1):.1%} of {count}"


# ---- a run

def samples_text(trainer, demos, texts):
    "samples.txt: demos, how the writing changed, and what it writes now."
    parts = ["Five demos, completed behind the | with the likeliest characters:\n"]
    parts += [demo_text(*demo) for demo in demos]
    parts.append("\nWhat follows 'def ', at temperature 0.7, while it learned:\n")
    parts += [f"step {record['step']:5}  {record['sample']!r}" for record in trainer.history if "sample" in record]
    parts.append("\n\nFreely written, at temperature 0.7:")
    parts += [f"\n{'-' * 40}\n{written(trainer.model, texts.tokenizer, '    def ', 500, seed, temperature=0.7)}"
              for seed in range(2)]
    return "\n".join(parts) + "\n"


def look(trainer, demos, texts, folder):
    ids = texts.tokenizer.encode(LOOKED_AT)
    plot_attention(attention_maps(trainer.model, ids), list(LOOKED_AT), folder / "attention.png")
    write_whole(folder / "samples.txt", samples_text(trainer, demos, texts).encode())


def n_gram_bar(settings, losses):
    "(what the n-gram is called, its loss, what is allowed) for the losses of orders 1 to ORDERS."
    order = SIZES[settings["size"]].beats or int(np.argmin(losses)) + 1
    margin = QUICK_MARGIN if settings["quick"] else 0.0
    return f"{order}-gram" + (f" + {margin}" if margin else ""), losses[order - 1] + margin


def run(settings, folder, texts):
    "Train, measure, look; returns the exit status."
    trainer = make_trainer(settings, texts, folder, show=True)
    parameters = sum(p.numel() for p in trainer.model.parameters())
    print(f"{settings['size']}: {parameters:,} parameters, seed {settings['seed']}; text: {texts.source}, "
          f"{len(texts.train):,} characters and {len(texts.held_out):,} held out\n"
          f"to go on after an interruption: --resume {folder}", flush=True)
    if (folder / "last.safetensors").exists():
        trainer.resume()
        print(f"goes on after step {trainer.step}")
    counted = NGrams(texts.train, ORDERS, texts.tokenizer.vocab_size)
    losses = [counted.loss(texts.held_out, order) for order in range(1, ORDERS + 1)]
    print("n-grams, held out: " + "  ".join(f"{n}: {loss:.3f}" for n, loss in enumerate(losses, 1)), flush=True)
    trainer.fit()

    model, decode = trainer.model, texts.tokenizer.decode
    loss, accuracy = measure(model, texts.held_out_windows)
    demos = make_demos(model, texts.tokenizer)
    look(trainer, demos, texts, folder)
    print("\n" + "\n".join(demo_text(*demo) for demo in demos))

    starts = np.full((WRITTEN_TEXTS, 1), texts.tokenizer.encode("\n"))
    model_texts = map(decode, generate(model, starts, WRITTEN_LENGTH, generator=settings["seed"]))
    generator = np.random.default_rng(settings["seed"])
    counted_texts = [decode(counted.write(start, WRITTEN_LENGTH, generator)) for start in starts]
    size, right = SIZES[settings["size"]], sum(good for *_, good in demos)
    name, bar = n_gram_bar(settings, losses)
    difference = looks_ahead(model, texts.held_out_windows)
    criteria = [Criterion(f"held-out loss below the {name}", loss, bar, loss < bar),
                Criterion("the same, characters one by one: difference", difference, f"at most {AGREEMENT}",
                          difference <= AGREEMENT)]
    if not settings["quick"]:
        criteria.append(Criterion("demo completions", f"{right}/{len(demos)}", f"{len(demos)}/{len(demos)}",
                                  right == len(demos)))
    numbers = {
        "parameters": parameters,
        "held-out loss, nats a character": loss,
        "held-out next-character accuracy": f"{accuracy:.1%}",
        "3-gram, held out": losses[2],
        f"best n-gram, held out ({int(np.argmin(losses)) + 1}-gram)": min(losses),
        "demo completions": f"{right}/{len(demos)}",
        "lines it writes that are Python": share(python_lines(model_texts)),
        f"lines of the {ORDERS}-gram that are Python": share(python_lines(counted_texts)),
        "real held-out lines that are Python": share(python_lines([texts.real])),
        "characters learned from a second": round(trainer.step * size.batch * size.context / trainer.seconds),
        "minutes of training": trainer.seconds / 60,
    }
    return finish(folder, criteria, numbers, trainer.seconds, ("held-out loss", loss))


# ---- what it is told

def settings_of(args):
    "(settings, run folder or None for a new run). SystemExit for arguments that do not fit."
    if args.seed is not None and args.seed < 0:
        parser.error(f"expected --seed of at least 0, got {args.seed}")
    if args.size == "base" and args.quick:
        parser.error("--quick is for --size small, whose training it cuts short; expected one of both")
    if args.resume is None and args.sample is None:
        return {"size": args.size or "small", "seed": args.seed or 0, "quick": args.quick, "broken": args.broken,
                "text": args.text and str(args.text.resolve())}, None
    if args.size or args.quick or args.broken or args.text or args.seed is not None and args.sample is None:
        parser.error("--resume and --sample: expected no other settings beside them; those of the run are used")
    folder = args.resume or newest(args.runs)
    try:
        config = read_config(folder)
        settings = {name: config[name] for name in ("size", "seed", "quick", "broken", "text", "text_sha256")}
        SIZES[settings["size"]]
    except (TypeError, KeyError, ValueError, OSError):
        parser.error(f"--resume: expected a run folder of this script, got {folder} (no config.json of it there)")
    return settings, folder


def newest(runs):
    saved = sorted(path.parent for path in runs.glob("copilot-*/model.safetensors"))
    if not saved:
        parser.error(f"--sample: no run in {runs} has a model yet; train one first, or name it with --resume RUN")
    return saved[-1]


def sample(args, settings, folder):
    "Print what the model of the run writes behind args.sample; the text that it learned from is not needed."
    check_options(args.length, args.temperature, None, args.top_p, 1.0)
    if not args.sample:
        raise ValueError("--sample: the prompt is empty, expected something to go on from, such as 'def f('")
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    tokenizer.encode(args.sample)
    model = build_model(tokenizer.vocab_size, SIZES[settings["size"]], settings["broken"])
    load_weights(folder / "model.safetensors", model)
    print(written(model, tokenizer, args.sample, args.length, args.seed or 0, temperature=args.temperature,
                  top_p=args.top_p))
    return 0


def main(args=None):
    args = args or parser.parse_args()
    settings, folder = settings_of(args)
    with exit_2(parser):
        if args.sample is not None:
            return sample(args, settings, folder)
        texts = Texts(corpus_of(settings), SIZES[settings["size"]].context)
        if folder is None:
            folder = new_run(args.runs, "copilot", settings | {"model": SIZES[settings["size"]]._asdict()})
        texts.tokenizer.save(folder / "tokenizer.json")
        with stoppable(folder):
            return run(settings, folder, texts)


if __name__ == "__main__":
    sys.exit(main())
