"""2017, the transformer: learn to write like Shakespeare, one character after the other.

    python milestones/05_2017_transformer/shakespeare.py [--size nanogpt] [--seed 0] [--quick] [--resume RUN]

    base     4 layers, 8 heads, width 128, context 64, RMSNorm, squared ReLU; 5,000 steps of 32 windows; it ends at
             about 1.52, and 55 % of the characters are the one that it finds likeliest (not 70 %)
    nanogpt  nanoGPT's model for a CPU: 4 heads, LayerNorm, GELU; 2,000 steps of 12 windows, at twice its learning rate

The last tenth of the text is never trained on. What counts is the loss there, the mean of -log p of each character
behind the 1 to 64 before it in its window: at most 1.55 for base, 1.90 for nanogpt; with --quick (a smaller model)
or another text (--text FILE) it is 0.1 below that of pairs of characters, counted (ngrams.py). And the same loss,
measured while characters come one by one, must agree: it shows that nobody looks ahead. The exit status is 0 only if
both hold. Everything is in the run folder, and on one page in its report.html. Afterwards, or while it still learns:

    python milestones/05_2017_transformer/shakespeare.py --sample "ROMEO:" [--temperature 0.8] [--top-p 0.95]

--broken blind (attention sees the last character alone), peek (it sees those to come) or slow (a thousandth of the
learning rate) trains a model that cannot work: see what the same check says.
"""
import argparse
import hashlib
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from language import (
    Blind,
    Criterion,
    Peek,
    attention_maps,
    exit_2,
    finish,
    looks_ahead,
    loss_of,
    measure,
    stoppable,
)
from ngrams import NGrams

import tinytorch
import tinytorch.nn as nn
from tinytorch.checkpoint import load_weights, save_weights, write_whole
from tinytorch.datasets import Corpus, RandomBatches, TokenDataset, load, split_text
from tinytorch.generation import check_options, generate
from tinytorch.optim import AdamW, LambdaLR, decay_groups, warmup_cosine
from tinytorch.runs import new_run, read_config
from tinytorch.tokenizers import CharTokenizer, Tokenizer
from tinytorch.training import Trainer
from tito.report import plot_attention

# ---- knobs

# The chapters whose code runs here.
NEEDS = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14")

class Size(NamedTuple):
    "A model, how it learns, and the held-out loss that it must reach."
    layers: int
    heads: int
    width: int
    context: int
    norm: str
    activation: str
    batch: int
    steps: int
    learning_rate: float
    last_rate: float  # where the cosine ends
    bar: float | None  # None: MARGIN below the pairs of characters


SIZES = {
    "base": Size(4, 8, 128, 64, "rms_norm", "relu_squared", 32, 5000, 1e-3, 0.0, 1.55),
    "nanogpt": Size(4, 4, 128, 64, "layer_norm", "gelu", 12, 2000, 2e-3, 1e-4, 1.90),  # at its own 1e-3: 1.91
    "quick": Size(2, 4, 64, 32, "rms_norm", "relu_squared", 32, 400, 3e-3, 0.0, None),
}
HELD_OUT, MARGIN = 0.1, 0.1
WARMUP_STEPS, MAX_NORM, BETAS, WEIGHT_DECAY = 100, 1.0, (0.9, 0.99), 0.1  # as nanoGPT
SAVE_EVERY, EVALUATE_EVERY, EVALUATED_WINDOWS = 100, 250, 128
ORDERS = 5  # n-grams of 1 to 5 characters, to compare with
AGREEMENT = 1e-3  # between the loss of whole windows, and of characters one by one
PROMPTS, SAMPLE_LENGTH = ("\n", "ROMEO:", "Once upon a time", "To be, or not to be"), 300
SAMPLING = {"temperature": 0.8, "top_p": 0.95}

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--size", choices=["base", "nanogpt"], help="which settings (default base)")
parser.add_argument("--seed", type=int, help="of weights, batches and samples (default 0)")
parser.add_argument("--quick", action="store_true", help="a smaller model and a lower bar: under a minute")
parser.add_argument("--text", type=Path, metavar="FILE", help="learn from this text, the end held out")
parser.add_argument("--broken", choices=["blind", "peek", "slow"], help="a model that must fail")
parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for the run folder (default runs/)")
parser.add_argument("--resume", type=Path, metavar="RUN", help="go on in this run folder, with its settings")
parser.add_argument("--sample", metavar="PROMPT", help="only continue this, with --resume RUN or the newest run")
parser.add_argument("--length", type=int, default=SAMPLE_LENGTH, help="characters of the sample (default 300)")
parser.add_argument("--temperature", type=float, default=0.8, help="of the sample; 0: the likeliest (default 0.8)")
parser.add_argument("--top-k", type=int, help="draw among the k likeliest characters")
parser.add_argument("--top-p", type=float, default=0.95, help="draw among the fewest that reach this share (0.95)")
parser.add_argument("--repetition-penalty", type=float, default=1.0, help="above 1: less of what was there (default 1)")


# ---- the text

def corpus_of(settings):
    "The texts of a run. ValueError where they are not those that the run began with."
    if settings["text"] is None:
        corpus = load("tinyshakespeare", HELD_OUT)
    else:
        path = Path(settings["text"])
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"--text {path}: expected a file of UTF-8 text ({error})") from None
        corpus = Corpus(*split_text(text, HELD_OUT, name=path), str(path))
    digest = hashlib.sha256((corpus.train + corpus.held_out).encode()).hexdigest()[:16]
    if settings.setdefault("text_sha256", digest) != digest:
        raise ValueError(f"{corpus.source}: the text has changed since this run began; put the old one back, or start "
                         "a new run")
    return corpus


class Texts:
    "A corpus as ids: `train` and `held_out`, arrays, their windows, and the tokenizer."
    def __init__(self, corpus, context):
        self.tokenizer = CharTokenizer.train(corpus.train + corpus.held_out)  # also characters of the end alone
        self.train, self.held_out = (np.array(self.tokenizer.encode(text), np.uint16)
                                     for text in (corpus.train, corpus.held_out))
        if len(self.held_out) <= context:
            raise ValueError(f"{corpus.source}: the end held out has {len(self.held_out)} characters, expected more "
                             f"than the {context} of a window; take a longer text")
        self.windows = TokenDataset(self.train, context)
        self.held_out_windows = TokenDataset(self.held_out, context, stride=context)  # each character counts once


# ---- the model, and how it learns

def build_model(vocab_size, size, broken=None):
    kind = {"blind": Blind, "peek": Peek}.get(broken, nn.GPT)
    return kind(nn.GPTConfig(vocab_size=vocab_size, context=size.context, d_model=size.width, num_layers=size.layers,
                             num_heads=size.heads, norm=size.norm, activation=size.activation, bias=False))


def make_trainer(settings, texts, folder=None, show=False):
    "A Trainer with model, batches and optimizer, all from the seed."
    size = SIZES[settings["size"]]
    tinytorch.manual_seed(settings["seed"])
    model = build_model(texts.tokenizer.vocab_size, size, settings["broken"])
    batches = RandomBatches(texts.windows, size.batch, size.steps)
    rate = size.learning_rate * (1e-3 if settings["broken"] == "slow" else 1)
    optimizer = AdamW(decay_groups(model, WEIGHT_DECAY), lr=rate, betas=BETAS)
    schedule = LambdaLR(optimizer, warmup_cosine(WARMUP_STEPS, size.steps, size.last_rate / size.learning_rate))

    def look():
        if folder:
            save_weights(folder / "model.safetensors", model)
        found = measure(model, texts.held_out_windows, EVALUATED_WINDOWS)
        return dict(zip(("held-out loss", "held-out accuracy"), found))

    return Trainer(model, batches, loss_of, optimizer, steps=size.steps, schedule=schedule, max_norm=MAX_NORM,
                   evaluate=look, evaluate_every=EVALUATE_EVERY, folder=folder, save_every=SAVE_EVERY, show=show)


# ---- a run

def write_samples(model, tokenizer, generator):
    "What the model writes behind each of PROMPTS, as far as the text has their characters; (text, characters/s)."
    how, texts, start = ", ".join(f"{name} {value}" for name, value in SAMPLING.items()), [], time.perf_counter()
    for prompt in PROMPTS:
        ids = tokenizer.encode("".join(c for c in prompt if c in tokenizer.ids) or tokenizer.tokens[0])
        ids = generate(model, ids, SAMPLE_LENGTH, generator=generator, **SAMPLING)
        texts.append(f"---- behind {prompt!r}, {how}\n{tokenizer.decode(ids)}\n")
    return "\n".join(texts), len(PROMPTS) * SAMPLE_LENGTH / (time.perf_counter() - start)


def run(settings, folder, texts):
    "Train, measure, look; returns the exit status."
    trainer = make_trainer(settings, texts, folder, show=True)
    model, size, vocab_size = trainer.model, SIZES[settings["size"]], texts.tokenizer.vocab_size
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{settings['size']}: {parameters:,} parameters, seed {settings['seed']}; {len(texts.train):,} characters to "
          f"learn from and {len(texts.held_out):,} held out, {vocab_size} different\n"
          f"to go on after an interruption: --resume {folder}", flush=True)
    counted = NGrams(texts.train, ORDERS, vocab_size)
    counts = [counted.loss(texts.held_out, order) for order in range(1, ORDERS + 1)]
    print("n-grams, held out: " + "  ".join(f"{n}: {loss:.3f}" for n, loss in enumerate(counts, 1)), flush=True)
    if (folder / "last.safetensors").exists():
        trainer.resume()
        print(f"goes on after step {trainer.step}")
    trainer.fit()

    loss, accuracy = measure(model, texts.held_out_windows)
    difference = looks_ahead(model, texts.held_out_windows)
    samples, speed = write_samples(model, texts.tokenizer, np.random.default_rng(settings["seed"]))
    print(f"\n{samples}")
    write_whole(folder / "samples.txt", samples.encode())
    shown = texts.held_out[:min(size.context, 40)]
    plot_attention(attention_maps(model, shown), list(texts.tokenizer.decode(shown)), folder / "attention.png")
    bar = counts[1] - MARGIN if size.bar is None or settings["text"] else size.bar
    criteria = [Criterion("held-out loss", loss, f"at most {bar:.3f}", loss <= bar),
                Criterion("held-out loss, characters one by one: difference", difference, f"at most {AGREEMENT}",
                          difference <= AGREEMENT)]
    numbers = {
        "parameters": parameters,
        "held-out loss, nats a character": loss,
        "held-out next-character accuracy": f"{accuracy:.1%}",
        "pairs of characters, counted, held out": counts[1],
        f"best n-gram, held out ({int(np.argmin(counts)) + 1}-gram)": min(counts),
        "best held-out loss while it learned (128 windows)": trainer.best["value"],
        "at step": trainer.best["step"],
        "steps": trainer.step,
        "minutes of training": trainer.seconds / 60,
        "milliseconds a step, with evaluating and saving": 1000 * trainer.seconds / trainer.step,
        "characters written a second (KV cache)": round(speed),
    }
    return finish(folder, criteria, numbers, trainer.seconds, ("held-out loss", loss))


# ---- what it is told

def settings_of(args):
    "(settings, run folder or None for a new run). SystemExit for arguments that do not fit."
    if args.seed is not None and args.seed < 0:
        parser.error(f"expected --seed of at least 0, got {args.seed}")
    if args.size and args.quick:
        parser.error("--quick has a size of its own; expected either --size or --quick")
    if args.resume is None and args.sample is None:
        return {"size": "quick" if args.quick else args.size or "base", "seed": args.seed or 0, "broken": args.broken,
                "text": args.text and str(args.text.resolve())}, None
    if args.size or args.quick or args.broken or args.text or args.seed is not None and args.sample is None:
        parser.error("--resume and --sample: expected no other settings beside them; those of the run are used")
    folder = args.resume or newest(args.runs)
    try:
        config = read_config(folder)
        settings = {name: config[name] for name in ("size", "seed", "broken", "text", "text_sha256")}
        SIZES[settings["size"]]
    except (TypeError, KeyError, ValueError, OSError):
        parser.error(f"--resume: expected a run folder of this script, got {folder} (no config.json of it there)")
    return settings, folder


def newest(runs):
    saved = sorted(path.parent for path in runs.glob("shakespeare-*/model.safetensors"))
    if not saved:
        parser.error(f"--sample: no run in {runs} has a model yet; train one first, or name it with --resume RUN")
    return saved[-1]


def sample(args, settings, folder):
    "Print what the model of the run writes behind args.sample; the text that it learned from is not needed."
    options = {name: getattr(args, name) for name in ("temperature", "top_k", "top_p", "repetition_penalty")}
    check_options(args.length, **options)
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    ids = tokenizer.encode(args.sample)
    model = build_model(tokenizer.vocab_size, SIZES[settings["size"]], settings["broken"])
    load_weights(folder / "model.safetensors", model)
    print(tokenizer.decode(generate(model, ids, args.length, generator=args.seed or 0, **options)))
    return 0


def main():
    args = parser.parse_args()
    settings, folder = settings_of(args)
    with exit_2(parser):
        if args.sample is not None:
            return sample(args, settings, folder)
        texts = Texts(corpus_of(settings), SIZES[settings["size"]].context)
        if folder is None:
            folder = new_run(args.runs, "shakespeare", settings | {"model": SIZES[settings["size"]]._asdict()})
        texts.tokenizer.save(folder / "tokenizer.json")
        with stoppable(folder):
            return run(settings, folder, texts)


if __name__ == "__main__":
    sys.exit(main())
