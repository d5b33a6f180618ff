"""2017, the transformer: learn to tell a story, word by word, in two ways that are compared fairly.

    python milestones/05_2017_transformer/tinystories.py [--size large] [--seed 0] [--quick] [--resume RUN]
    python milestones/05_2017_transformer/tinystories.py --sweep-lr 1e-5,3e-4,1e-3,3e-3
    python milestones/05_2017_transformer/tinystories.py --twin

    phase 1   AdamW at 1e-3 behind a linear warm-up
    phase 2   and label smoothing 0.1, two batches a step, a cosine, betas 0.9 and 0.98, weight decay 0.01

Tokenizer, stories, model, first weights and number of steps are the same for both. What counts are stories that were
never trained on: the loss (nats a word, without label smoothing), perplexity and accuracy after the last step. No
step is chosen by them; what stopping at the best one would have given is said beside. The exit status is 0 only if
the loss is below that of the best counted n-gram of words (--quick: of pairs), at most 5 % of the runs of four words
in told stories have stood there before ("time time time time" is a number), and nobody looks ahead. <unk>, which
stands for all rare words, is learned like a word but never told. --sweep-lr trains phase 1 at several learning rates
instead; --twin trains the same model in PyTorch on the same batches as well, and its loss must be within 0.02.
Everything is in the run folder, and on one page in its report.html. Afterwards:

    python milestones/05_2017_transformer/tinystories.py --sample "Once upon a time" [--temperature 0.8] [--phase 1]

--broken blind (attention sees the last word alone), peek (it sees those to come) or slow (a thousandth of the
learning rate) trains a model that cannot work: see what the same check says.
"""
import argparse
import hashlib
import json
import math
import sys
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
    measure,
    save_curves,
    stoppable,
)
from ngrams import NGrams

import tinytorch
import tinytorch.nn as nn
import tinytorch.nn.functional as F
from tinytorch.checkpoint import load_weights, save_weights, write_whole
from tinytorch.data import DataLoader
from tinytorch.datasets import Corpus, RandomBatches, TokenDataset, load, split_text
from tinytorch.generation import check_options, distinct_n, generate, repeated_ngram_rate
from tinytorch.optim import AdamW, LambdaLR, linear_warmup, warmup_cosine
from tinytorch.runs import new_run, read_config
from tinytorch.tokenizers import Tokenizer, WordTokenizer
from tinytorch.training import Trainer
from tito.report import plot_attention, pyplot

# ---- knobs

# The chapters whose code runs here.
NEEDS = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14")

class Size(NamedTuple):
    "A vocabulary, a model, and how long it learns."
    vocabulary: int  # at most
    layers: int
    heads: int
    width: int
    context: int
    tied_head: bool
    batch: int
    learning_rate: float
    steps: int
    sweep_steps: int
    order: int  # of the n-grams to beat: the best of 1 to this


class Phase(NamedTuple):
    "A way to learn. learning_rate None: that of the size."
    learning_rate: float | None = None
    cosine: bool = False
    smoothing: float = 0.0
    accumulate: int = 1
    betas: tuple = (0.9, 0.999)
    weight_decay: float = 0.01


SIZES = {
    "small": Size(2048, 3, 4, 128, 64, True, 16, 1e-3, 1000, 400, 4),
    "large": Size(8192, 5, 8, 160, 64, False, 16, 1e-3, 600, 200, 4),  # 4.18 million parameters
    "quick": Size(1024, 1, 4, 128, 64, True, 16, 4e-3, 280, 280, 2),
}
PHASES = {"phase 1": Phase(),
          "phase 2": Phase(cosine=True, smoothing=0.1, accumulate=2, betas=(0.9, 0.98), weight_decay=0.01)}
HELD_OUT, END = 0.1, "<|endoftext|>"
WARMUP_STEPS, MAX_NORM, SAVE_EVERY, EVALUATIONS = 50, 1.0, 50, 8
MOST_REPEATED, AGREEMENT, TWIN_AGREEMENT = 0.05, 1e-3, 0.02
PROMPT, TOLD_STORIES, TOLD_WORDS, TEMPERATURE = "Once upon a time", 32, 120, 0.8
LOOKED_AT = "Once upon a time, there was a little girl named Lily. She loved to play with her"

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--size", choices=["small", "large"], help="0.9 or 4.18 million parameters (default small)")
parser.add_argument("--seed", type=int, help="of weights, batches and stories (default 0)")
parser.add_argument("--quick", action="store_true", help="a smaller model and a lower bar: under a minute")
parser.add_argument("--sweep-lr", metavar="LR,LR,...", help="phase 1 at these learning rates, in a table and a picture")
parser.add_argument("--twin", action="store_true", help="train the same in PyTorch too, and compare")
parser.add_argument("--text", type=Path, metavar="FILE", help=f"learn from these stories, each followed by {END}")
parser.add_argument("--broken", choices=["blind", "peek", "slow"], help="a model that must fail")
parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for the run folder (default runs/)")
parser.add_argument("--resume", type=Path, metavar="RUN", help="go on in this run folder, with its settings")
parser.add_argument("--sample", metavar="PROMPT", help="only continue this, with --resume RUN or the newest run")
parser.add_argument("--phase", choices="12", default="2", help="whose model continues --sample (default 2)")
parser.add_argument("--length", type=int, default=TOLD_WORDS, help="most words of the sample (default 120)")
parser.add_argument("--temperature", type=float, default=0.8, help="of the sample; 0: the likeliest (default 0.8)")
parser.add_argument("--top-k", type=int, help="draw among the k likeliest words")
parser.add_argument("--top-p", type=float, help="draw among the fewest that reach this share")
parser.add_argument("--repetition-penalty", type=float, default=1.0, help="above 1: less of what was there (default 1)")


# ---- the stories

def corpus_of(settings):
    "The texts of a run. ValueError where they are not those that the run began with."
    if settings["text"] is None:
        corpus = load("tinystories", HELD_OUT)
    else:
        path = Path(settings["text"])
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"--text {path}: expected a file of UTF-8 text ({error})") from None
        corpus = Corpus(*split_text(text, HELD_OUT, END if END in text else "", name=path), str(path))
    digest = hashlib.sha256((corpus.train + corpus.held_out).encode()).hexdigest()[:16]
    if settings.setdefault("text_sha256", digest) != digest:
        raise ValueError(f"{corpus.source}: the text has changed since this run began; put the old one back, or start "
                         "a new run")
    return corpus


class Texts:
    "A corpus as ids: `train` and `held_out`, arrays, their windows, and the tokenizer, which knows `train` alone."
    def __init__(self, corpus, size):
        self.tokenizer = WordTokenizer.train(corpus.train, size.vocabulary, special_tokens=[END])
        self.train, self.held_out = (np.array(self.tokenizer.encode(text), np.uint16)
                                     for text in (corpus.train, corpus.held_out))
        if len(self.held_out) <= size.context or len(self.train) <= size.context:
            raise ValueError(f"{corpus.source}: {len(self.train)} words and {len(self.held_out)} held out, expected "
                             f"more than the {size.context} of a window; take more stories")
        self.windows = TokenDataset(self.train, size.context)
        self.held_out_windows = TokenDataset(self.held_out, size.context, stride=size.context)
        self.stories, self.held_out_stories = (text.count(END) for text in (corpus.train, corpus.held_out))


# ---- the model, and how it learns

def build_model(size, broken=None):
    kind = {"blind": Blind, "peek": Peek}.get(broken, nn.GPT)
    return kind(nn.GPTConfig(vocab_size=size.vocabulary, context=size.context, d_model=size.width,
                             num_layers=size.layers, num_heads=size.heads, tied_head=size.tied_head))


def smoothed_loss(smoothing):
    "Cross entropy as a function of (model, ids, targets), the mean over all words."
    def loss_of(model, ids, targets):
        logits = model(ids)
        return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), label_smoothing=smoothing)
    return loss_of


def phases_of(settings):
    "{name: Phase}, which a run trains one after the other."
    if settings["rates"]:
        return {f"lr {rate:g}": PHASES["phase 1"]._replace(learning_rate=rate) for rate in settings["rates"]}
    return PHASES


def make_trainer(phase, settings, texts, folder=None, show=False):
    "A Trainer with model, batches and optimizer, all from the seed."
    size = SIZES[settings["size"]]
    steps = size.sweep_steps if settings["rates"] else size.steps
    tinytorch.manual_seed(settings["seed"])
    model = build_model(size, settings["broken"])
    batches = RandomBatches(texts.windows, size.batch, phase.accumulate * steps)
    rate = (phase.learning_rate or size.learning_rate) * (1e-3 if settings["broken"] == "slow" else 1)
    optimizer = AdamW(model.parameters(), lr=rate, betas=phase.betas, weight_decay=phase.weight_decay)
    multiplier = warmup_cosine(WARMUP_STEPS, steps) if phase.cosine else linear_warmup(WARMUP_STEPS)

    def look():
        if folder:
            save_weights(folder / "model.safetensors", model)
        return dict(zip(("held-out loss", "held-out accuracy"), measure(model, texts.held_out_windows)))

    return Trainer(model, batches, smoothed_loss(phase.smoothing), optimizer, steps=steps, max_norm=MAX_NORM,
                   schedule=LambdaLR(optimizer, multiplier), accumulate=phase.accumulate, evaluate=look,
                   evaluate_every=max(1, steps // EVALUATIONS), folder=folder, save_every=SAVE_EVERY, show=show)


# ---- telling stories

def never_written(model, tokenizer):
    "Ids that are no words: that of <unk>, and where the text has fewer words than the model, those of none."
    return [tokenizer.ids["<unk>"], *range(tokenizer.vocab_size, model.vocab_size)]


def told(model, tokenizer, seed, temperature):
    "TOLD_STORIES continuations of PROMPT, as lists of ids; each ends before END, or after TOLD_WORDS."
    prompt, end = tokenizer.encode(PROMPT), tokenizer.special_ids[END]
    rows = generate(model, np.tile(prompt, (TOLD_STORIES, 1)), TOLD_WORDS, temperature=temperature,
                    stop_tokens=end, suppress_tokens=never_written(model, tokenizer), generator=seed)
    return [row[:row.index(end)] if end in row else row for row in rows.tolist()]


def repetition(stories):
    "(distinct-2, share of repeated 4-grams), each the mean over stories, lists of ids."
    return float(np.mean([distinct_n(story, 2) for story in stories])), \
        float(np.mean([repeated_ngram_rate(story, 4) for story in stories]))


def real_stories(texts):
    "The beginnings of the held-out stories, as long as the told ones."
    ids, end = texts.held_out.tolist(), texts.tokenizer.special_ids[END]
    starts = [0] + [i + 1 for i, token in enumerate(ids) if token == end]
    stories = [ids[start:stop - 1] for start, stop in zip(starts, starts[1:] + [len(ids) + 1])]
    return [story[:TOLD_WORDS] for story in stories if story]


# ---- a run

def learn(name, phase, settings, folder, texts):
    "Train a phase, from its checkpoint where there is one; returns (trainer, what was measured by name, its stories)."
    folder = folder / name.replace(" ", "-")
    trainer = make_trainer(phase, settings, texts, folder, show=True)
    used = phase._replace(learning_rate=trainer.optimizer.param_groups[0]["initial_lr"])
    print(f"\n{name}: {', '.join(f'{key} {value}' for key, value in used._asdict().items())}", flush=True)
    if (folder / "last.safetensors").exists():
        trainer.resume()
        print(f"goes on after step {trainer.step}")
    trainer.fit()
    loss, accuracy = measure(trainer.model, texts.held_out_windows)
    stories = told(trainer.model, texts.tokenizer, settings["seed"], TEMPERATURE)
    distinct, repeated = repetition(stories)
    greedy = told(trainer.model, texts.tokenizer, 0, temperature=0)[:1]
    last = [record["loss"] for record in trainer.history[-20:]]
    return trainer, {
        "training loss": float(np.mean(last)), "held-out loss": loss,
        "perplexity": math.exp(loss) if loss < 700 else math.inf,
        "accuracy": accuracy, "lowest held-out": trainer.best["value"], "at step": trainer.best["step"],
        "distinct-2": distinct, "repeated 4-grams": repeated,
        "repeated 4-grams at temperature 0": repetition(greedy)[1],
        "words read": trainer.step * phase.accumulate * SIZES[settings["size"]].batch * trainer.model.context,
        "ms a step": 1000 * trainer.seconds / trainer.step,
    }, stories


def twin_of(name, phase, settings, folder, texts):
    "What PyTorch reaches with the same first weights and batches: {held-out loss, ms a step}, kept in twin.json."
    from torch_twin import held_out_loss, trained_twin

    path = folder / name.replace(" ", "-") / "twin.json"
    if not path.exists():
        print(f"{name}: PyTorch trains its twin ...", flush=True)
        size, trainer = SIZES[settings["size"]], make_trainer(phase, settings, texts)
        shape = {"vocab_size": size.vocabulary, "context": size.context, "width": size.width, "layers": size.layers,
                 "heads": size.heads, "tied_head": size.tied_head}
        twin, milliseconds = trained_twin(trainer, phase.smoothing, shape)
        loss = held_out_loss(twin, DataLoader(texts.held_out_windows, size.batch))
        write_whole(path, json.dumps({"held-out loss": loss, "ms a step": milliseconds}).encode())
    return json.loads(path.read_text())


def samples_text(stories, tokenizer, count=3):
    parts = []
    for name, rows in stories.items():
        parts.append(f"==== {name}, temperature {TEMPERATURE}")
        parts += [f"{tokenizer.decode(row).strip()}\n----" for row in rows[:count]]
    return "\n".join(parts) + "\n"


def plot_sweep(measured, rates, path):
    "Held-out loss and accuracy against the learning rate."
    plt = pyplot()
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    for axis, name in zip(axes, ("held-out loss", "accuracy")):
        axis.plot(rates, [numbers[name] for numbers in measured.values()], marker="o")
        axis.set(xscale="log", xlabel="learning rate", ylabel=name)
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def run(settings, folder, texts):
    "Train all phases, measure, look; returns the exit status."
    size, vocab_size = SIZES[settings["size"]], texts.tokenizer.vocab_size
    parameters = sum(p.numel() for p in build_model(size).parameters())
    unknown = float(np.mean(texts.held_out == texts.tokenizer.ids["<unk>"]))
    print(f"{settings['size']}: {parameters:,} parameters, seed {settings['seed']}; {texts.stories} stories of "
          f"{len(texts.train):,} words to learn from, {texts.held_out_stories} of {len(texts.held_out):,} held out; "
          f"{vocab_size:,} words are known, {unknown:.1%} of the held-out ones are not\n"
          f"to go on after an interruption: --resume {folder}", flush=True)
    counted = NGrams(texts.train, size.order, vocab_size)
    counts = [counted.loss(texts.held_out, order) for order in range(1, size.order + 1)]
    print("n-grams of words, held out: " + "  ".join(f"{n}: {loss:.3f}" for n, loss in enumerate(counts, 1)))

    trainers, measured, stories, criteria = {}, {}, {}, []
    for name, phase in phases_of(settings).items():
        trainers[name], measured[name], stories[name] = learn(name, phase, settings, folder, texts)
        print(f"{name}, at temperature {TEMPERATURE}: {texts.tokenizer.decode(stories[name][0])}", flush=True)
    judged = list(trainers)
    if settings["rates"]:  # the best rate has to learn; that others do not is what the table is for
        judged = [min(measured, key=lambda name: measured[name]["held-out loss"])]
    for name in judged:
        numbers, model = measured[name], trainers[name].model
        ahead = looks_ahead(model, texts.held_out_windows)
        criteria += [
            Criterion(f"{name}: held-out loss", numbers["held-out loss"],
                      f"below {min(counts):.3f}, the {int(np.argmin(counts)) + 1}-gram's",
                      numbers["held-out loss"] < min(counts)),
            Criterion(f"{name}: repeated 4-grams", numbers["repeated 4-grams"], f"at most {MOST_REPEATED}",
                      numbers["repeated 4-grams"] <= MOST_REPEATED),
            Criterion(f"{name}: held-out loss, words one by one: difference", ahead, f"at most {AGREEMENT}",
                      ahead <= AGREEMENT)]
    numbers = {"parameters": parameters, "unknown words, held out": f"{unknown:.1%}",
               f"best n-gram of words, held out ({int(np.argmin(counts)) + 1}-gram)": min(counts),
               "repeated 4-grams in real stories": repetition(real_stories(texts))[1]}
    if settings["twin"]:
        for name in trainers:
            theirs = twin_of(name, phases_of(settings)[name], settings, folder, texts)
            difference = abs(theirs["held-out loss"] - measured[name]["held-out loss"])
            measured[name] |= {f"PyTorch's {key}": value for key, value in theirs.items()}
            criteria.append(Criterion(f"{name}: difference to PyTorch's held-out loss", difference,
                                      f"at most {TWIN_AGREEMENT}", difference <= TWIN_AGREEMENT))

    write_whole(folder / "samples.txt", samples_text(stories, texts.tokenizer).encode())
    curves = ["held-out loss", "held-out accuracy"] + (["loss"] if not settings["rates"] else [])  # else too many
    save_curves(folder, {name: trainer.history for name, trainer in trainers.items()}, curves)
    if settings["rates"]:
        plot_sweep(measured, settings["rates"], folder / "learning rates.png")
    shown = texts.tokenizer.encode(LOOKED_AT)[:size.context]
    plot_attention(attention_maps(trainers[judged[-1]].model, shown), texts.tokenizer.tokens_of(shown),
                   folder / "attention.png")
    print()
    for name in trainers:
        best, at, loss = (measured[name][key] for key in ("lowest held-out", "at step", "held-out loss"))
        early = f"at step {at}, would have given {best:.3f} instead of {loss:.3f}"
        print(f"{name}: stopping early{f', {early}' if at < trainers[name].step else ' would have gained nothing'}")
    best = min(numbers["held-out loss"] for numbers in measured.values())
    seconds = sum(trainer.seconds for trainer in trainers.values())
    return finish(folder, criteria, numbers, seconds, ("held-out loss", best), measured)


# ---- what it is told

def rates_of(text):
    "The learning rates in '1e-3,3e-3'. SystemExit for anything else."
    try:
        rates = [float(part) for part in text.split(",")]
    except ValueError:
        rates = []
    if not rates or not all(0 < rate < math.inf for rate in rates) or len(set(rates)) < len(rates):
        parser.error(f"--sweep-lr: expected different learning rates above 0, such as 3e-4,1e-3, got {text!r}")
    return rates


def settings_of(args):
    "(settings, run folder or None for a new run). SystemExit for arguments that do not fit."
    if args.seed is not None and args.seed < 0:
        parser.error(f"expected --seed of at least 0, got {args.seed}")
    if args.size and args.quick:
        parser.error("--quick has a size of its own; expected either --size or --quick")
    if args.resume is None and args.sample is None:
        return {"size": "quick" if args.quick else args.size or "small", "seed": args.seed or 0, "broken": args.broken,
                "text": args.text and str(args.text.resolve()), "twin": args.twin,
                "rates": args.sweep_lr and rates_of(args.sweep_lr)}, None
    others = (args.size, args.quick, args.broken, args.text, args.twin, args.sweep_lr)
    if any(others) or args.seed is not None and args.sample is None:
        parser.error("--resume and --sample: expected no other settings beside them; those of the run are used")
    folder = args.resume or newest(args.runs)
    try:
        config = read_config(folder)
        settings = {name: config[name] for name in ("size", "seed", "broken", "text", "twin", "rates", "text_sha256")}
        SIZES[settings["size"]]
    except (TypeError, KeyError, ValueError, OSError):
        parser.error(f"--resume: expected a run folder of this script, got {folder} (no config.json of it there)")
    return settings, folder


def newest(runs):
    saved = sorted(path.parent.parent for path in runs.glob("tinystories-*/phase-*/model.safetensors"))
    if not saved:
        parser.error(f"--sample: no run in {runs} has a model yet; train one first, or name it with --resume RUN")
    return saved[-1]


def sample(args, settings, folder):
    "Print what the model of the run writes behind args.sample; the stories that it learned from are not needed."
    options = {name: getattr(args, name) for name in ("temperature", "top_k", "top_p", "repetition_penalty")}
    check_options(args.length, **options)
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    ids = tokenizer.encode(args.sample)
    if tokenizer.ids["<unk>"] in ids:
        words = [word for word in tokenizer.pattern.findall(args.sample) if word not in tokenizer.ids]
        raise ValueError(f"--sample: {', '.join(map(repr, words))}: not among the {tokenizer.vocab_size:,} words that "
                         "the model knows; use others")
    model = build_model(SIZES[settings["size"]], settings["broken"])
    load_weights(folder / f"phase-{args.phase}" / "model.safetensors", model)
    end = tokenizer.special_ids[END]
    written = generate(model, ids, args.length, generator=args.seed or 0, stop_tokens=end,
                       suppress_tokens=never_written(model, tokenizer), **options)
    print(tokenizer.decode(written).replace(END, "").strip())
    return 0


def check_twin():
    "ValueError where PyTorch is not installed."
    try:
        import torch  # noqa: F401
    except ImportError:
        raise ValueError("--twin needs PyTorch: pip install torch") from None


def main():
    args = parser.parse_args()
    settings, folder = settings_of(args)
    with exit_2(parser):
        if args.sample is not None:
            return sample(args, settings, folder)
        if settings["twin"]:
            check_twin()
        texts = Texts(corpus_of(settings), SIZES[settings["size"]])
        if folder is None:
            folder = new_run(args.runs, "tinystories", settings | {"model": SIZES[settings["size"]]._asdict()})
        texts.tokenizer.save(folder / "tokenizer.json")
        with stoppable(folder):
            return run(settings, folder, texts)


if __name__ == "__main__":
    sys.exit(main())
