"""2017, the transformer: learn to tell a story, word by word, in two ways that are compared fairly.

    python milestones/05_2017_transformer/tinystories.py [--size large] [--seed 0] [--quick] [--resume RUN]
    python milestones/05_2017_transformer/tinystories.py --sweep-lr 1e-5,3e-4,1e-3,3e-3
    python milestones/05_2017_transformer/tinystories.py --twin

    phase 1   AdamW at 1e-3 behind a linear warm-up
    phase 2   and label smoothing 0.1, two batches a step, a cosine, betas 0.9 and 0.98, weight decay 0.01

Tokenizer, stories, model, first weights and number of steps are the same for both. What counts is measured on
held-out stories: the loss (nats a word, without label smoothing), perplexity and accuracy after the last step. No
step is chosen by them; the run also says what early stopping would have given. The exit status is 0 only if the loss
is below that of the best n-gram of words (--quick: of pairs), if at most 5 % of the 4-grams in the stories that it
writes have occurred there before (so "time time time time" is found out), and if the model does not look ahead.
<unk>, which stands for all rare words, is learned like a word but never written. --sweep-lr trains phase 1 at several
learning rates instead; --twin also trains the same model in PyTorch on the same batches, and its loss must be within
0.02. Everything is in the run folder, and on one page in its report.html. Afterwards:

    python milestones/05_2017_transformer/tinystories.py --sample "Once upon a time" [--temperature 0.8] [--phase 1]

On several processes: --ranks 4, or `mpiexec -n 4 python -m mpi4py` in front; --elastic goes on when one is killed.

--broken blind (attention sees the last word alone), peek (it sees those to come) or slow (a thousandth of the
learning rate) trains a model that cannot work: see what the same check says.
"""
import argparse
import json
import math
import sys
from functools import partial
from typing import NamedTuple

import numpy as np
from language import (
    ADVICE,
    Texts,
    add_rank_arguments,
    add_run_arguments,
    add_text_arguments,
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
    load_model,
    looks_ahead,
    loss_of,
    measure,
    ranked,
    refusing_input,
    sampling,
    save_curves,
    settings_of,
    start_part,
    start_ranks,
    start_run,
    stoppable,
    verdict_on,
    written,
)
from ngrams import NGrams

import tinytorch
import tinytorch.nn as nn
from tinytorch.checkpoint import write_whole
from tinytorch.data import DataLoader
from tinytorch.datasets import RandomBatches
from tinytorch.generation import distinct_n, generate, repeated_ngram_rate
from tinytorch.optim import AdamW, LambdaLR, linear_warmup, warmup_cosine
from tinytorch.ranks import world
from tinytorch.tokenizers import WordTokenizer
from tinytorch.training import Trainer
from tito.curves import draw_curves
from tito.report import plot_attention

# ---- knobs

NEEDS = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14")  # the chapters at work
RANKS = True  # also on several processes


class Size(NamedTuple):
    "A model, and how long it learns."
    model: dict  # options of nn.GPTConfig; vocab_size: words at most
    batch: int
    learning_rate: float
    steps: int
    sweep_steps: int
    order: int  # of the n-grams to beat: the best of 1 to this

    @property
    def config(self):
        return nn.GPTConfig(**self.model)


class Phase(NamedTuple):
    "A way to learn. learning_rate None: that of the size."
    learning_rate: float | None = None
    cosine: bool = False
    smoothing: float = 0.0
    accumulate: int = 1
    betas: tuple = (0.9, 0.999)
    weight_decay: float = 0.01


SMALL = dict(vocab_size=2048, context=64, d_model=128, num_layers=3, num_heads=4)
LARGE = dict(vocab_size=8192, context=64, d_model=160, num_layers=5, num_heads=8, tied_head=False)
SIZES = {
    "small": Size(SMALL, 16, 1e-3, 1000, 400, 4),
    "large": Size(LARGE, 16, 1e-3, 600, 200, 4),  # 4.18 million parameters
    "quick": Size(SMALL | dict(vocab_size=1024, num_layers=1), 16, 4e-3, 280, 280, 2),
}
PHASES = {"phase 1": Phase(),
          "phase 2": Phase(cosine=True, smoothing=0.1, accumulate=2, betas=(0.9, 0.98), weight_decay=0.01)}
END = "<|endoftext|>"
WARMUP_STEPS, MAX_NORM, SAVE_EVERY, EVALUATIONS = 50, 1.0, 50, 8
MOST_REPEATED, AGREEMENT, TWIN_AGREEMENT = 0.05, 1e-3, 0.02
PROMPT, TOLD_STORIES, TOLD_WORDS, TEMPERATURE = "Once upon a time", 32, 120, 0.8
LOOKED_AT = "Once upon a time, there was a little girl named Lily. She loved to play with her"


def learning_rates(text):
    "Return the learning rates in '1e-3,3e-3'. Raises: argparse.ArgumentTypeError for anything else."
    try:
        rates = [float(part) for part in text.split(",")]
    except ValueError:
        rates = []
    if not rates or not all(0 < rate < math.inf for rate in rates) or len(set(rates)) < len(rates):
        raise argparse.ArgumentTypeError(f"expected different learning rates above 0, such as 3e-4,1e-3, got {text!r}")
    return rates


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--size", choices=["small", "large"], help="0.9 or 4.18 million parameters (default small)")
parser.add_argument("--sweep-lr", type=learning_rates, metavar="LR,LR,...",
                    help="phase 1 at these learning rates, in a table and a picture")
parser.add_argument("--twin", action="store_true", help="train the same in PyTorch too, and compare")
parser.add_argument("--phase", choices="12", default="2", help="whose model continues --sample (default 2)")
add_run_arguments(parser, ["blind", "peek", "slow"], "a smaller model and a lower bar")
add_rank_arguments(parser)
add_text_arguments(parser, "words", TOLD_WORDS, TEMPERATURE)


# ---- learning

def read_texts(settings):
    "Return the stories of a run as Texts; the tokenizer knows those to train on alone."
    corpus, config = corpus_of(settings, "tinystories", END), SIZES[settings["size"]].config
    tokenizer = WordTokenizer.train(corpus.train, config.vocab_size, special_tokens=[END])
    return Texts(corpus, tokenizer, config.context)


def phases_of(settings):
    "Return {name: Phase}, which a run trains one after the other."
    if settings["rates"]:
        return {f"lr {rate:g}": PHASES["phase 1"]._replace(learning_rate=rate) for rate in settings["rates"]}
    return PHASES


def make_trainer(phase, settings, texts, folder=None, show=False):
    "Return a Trainer with model, batches and optimizer, all from the seed."
    size = SIZES[settings["size"]]
    steps = size.sweep_steps if settings["rates"] else size.steps
    tinytorch.manual_seed(settings["seed"])
    model = build_model(size.config, settings["broken"])
    batches = RandomBatches(texts.windows, size.batch, phase.accumulate * steps)
    rate = (phase.learning_rate or size.learning_rate) * (1e-3 if settings["broken"] == "slow" else 1)
    optimizer = AdamW(model.parameters(), lr=rate, betas=phase.betas, weight_decay=phase.weight_decay)
    multiplier = warmup_cosine(WARMUP_STEPS, steps) if phase.cosine else linear_warmup(WARMUP_STEPS)
    return ranked(Trainer)(
        model, batches, partial(loss_of, label_smoothing=phase.smoothing), optimizer, steps=steps,
        schedule=LambdaLR(optimizer, multiplier), accumulate=phase.accumulate, max_norm=MAX_NORM,
        evaluate=evaluation(model, texts.held_out_windows, folder), evaluate_every=max(1, steps // EVALUATIONS),
        folder=folder, save_every=SAVE_EVERY, show=show)


# ---- telling stories

def never_written(model, tokenizer):
    "Return ids that are no words: that of <unk>, and where the text has fewer words than the model, those of none."
    return [tokenizer.ids["<unk>"], *range(tokenizer.vocab_size, model.vocab_size)]


def told(model, tokenizer, seed, temperature):
    "Return TOLD_STORIES continuations of PROMPT, as lists of ids; each ends before END, or after TOLD_WORDS."
    prompt, end = tokenizer.encode(PROMPT), tokenizer.special_ids[END]
    rows = generate(model, np.tile(prompt, (TOLD_STORIES, 1)), TOLD_WORDS, temperature=temperature,
                    stop_tokens=end, suppress_tokens=never_written(model, tokenizer), generator=seed)
    return [row[:row.index(end)] if end in row else row for row in rows.tolist()]


def repetition(stories):
    "Return (distinct-2, share of repeated 4-grams), each the mean over stories, lists of ids."
    return (float(np.mean([distinct_n(story, 2) for story in stories])),
            float(np.mean([repeated_ngram_rate(story, 4) for story in stories])))


def real_stories(texts):
    "Return the beginnings of the held-out stories, as long as the told ones."
    ids, end = texts.held_out.tolist(), texts.tokenizer.special_ids[END]
    starts = [0] + [i + 1 for i, token in enumerate(ids) if token == end]
    stories = [ids[start:stop - 1] for start, stop in zip(starts, starts[1:] + [len(ids) + 1])]
    return [story[:TOLD_WORDS] for story in stories if story]


def samples_text(stories, tokenizer, count=3):
    parts = []
    for name, rows in stories.items():
        parts.append(f"==== {name}, temperature {TEMPERATURE}")
        parts += [f"{tokenizer.decode(row).strip()}\n----" for row in rows[:count]]
    return "\n".join(parts) + "\n"


# ---- a run

def learn(name, phase, settings, folder, texts):
    "Train a phase, from its checkpoint where there is one; return (trainer, {name: what was measured}, its stories)."
    size = SIZES[settings["size"]]
    part = start_part(folder, name.replace(" ", "-"), settings, size.config)
    trainer = make_trainer(phase, settings, texts, part, show=True)
    used = phase._replace(learning_rate=trainer.optimizer.param_groups[0]["initial_lr"])
    print(f"\n{name}: {', '.join(f'{key} {value}' for key, value in used._asdict().items())}", flush=True)
    fit(trainer, last=False)
    if world.group.rank:
        return trainer, {}, []
    loss, accuracy = measure(trainer.model, texts.held_out_windows)
    stories = told(trainer.model, texts.tokenizer, settings["seed"], TEMPERATURE)
    print(f"{name}, at temperature {TEMPERATURE}: {texts.tokenizer.decode(stories[0])}", flush=True)
    distinct, repeated = repetition(stories)
    greedy = told(trainer.model, texts.tokenizer, 0, temperature=0)[:1]
    return trainer, {
        "training loss": float(np.mean([record["loss"] for record in trainer.history[-20:]])), "held-out loss": loss,
        "perplexity": math.exp(loss) if loss < 700 else math.inf,
        "accuracy": accuracy, "lowest held-out": trainer.best["value"], "at step": trainer.best["step"],
        "distinct-2": distinct, "repeated 4-grams": repeated,
        "repeated 4-grams at temperature 0": repetition(greedy)[1],
        "words read": trainer.step * phase.accumulate * size.batch * trainer.model.context,
        "ms a step": 1000 * trainer.seconds / trainer.step,
    }, stories


def train_twin(name, phase, settings, folder, texts):
    "Return what PyTorch reaches with the same first weights and batches: {held-out loss, ms a step}, in twin.json."
    from torch_twin import held_out_loss, trained_twin

    path = folder / name.replace(" ", "-") / "twin.json"
    if not path.exists():
        print(f"{name}: PyTorch trains its twin ...", flush=True)
        twin, milliseconds = trained_twin(make_trainer(phase, settings, texts), phase.smoothing)
        loss = held_out_loss(twin, DataLoader(texts.held_out_windows, SIZES[settings["size"]].batch))
        write_whole(path, json.dumps({"held-out loss": loss, "ms a step": milliseconds}).encode())
    return json.loads(path.read_text())


def judge(name, measured, model, texts, counts):
    "Return the criteria of a phase."
    return [below(f"{name}: held-out loss", measured["held-out loss"], min(counts)),
            at_most(f"{name}: repeated 4-grams", measured["repeated 4-grams"], MOST_REPEATED),
            at_most(f"{name}: held-out loss, words one by one: difference",
                    looks_ahead(model, texts.held_out_windows), AGREEMENT)]


def run(settings, folder, texts):
    "Train all phases, measure, look; return the exit status."
    size, tokenizer, phases = SIZES[settings["size"]], texts.tokenizer, phases_of(settings)
    parameters = count_parameters(build_model(size.config))
    unknown = float(np.mean(texts.held_out == tokenizer.ids["<unk>"]))
    print(f"{settings['size']}: {parameters:,} parameters, seed {settings['seed']}; {texts.corpus.train.count(END)} "
          f"stories of {len(texts.train):,} words to learn from, {texts.corpus.held_out.count(END)} of "
          f"{len(texts.held_out):,} held out; {tokenizer.vocab_size:,} words are known, {unknown:.1%} of the held-out "
          f"ones are not\nto go on after an interruption: --resume {folder}", flush=True)
    counts = NGrams(texts.train, size.order, tokenizer.vocab_size).report_losses(texts.held_out)

    trainers, measured, stories = {}, {}, {}
    for name, phase in phases.items():
        trainers[name], measured[name], stories[name] = learn(name, phase, settings, folder, texts)

    if world.group.rank:
        raise SystemExit(0)
    judged = list(trainers)
    if settings["rates"]:  # the best rate has to learn; that others do not is what the table is for
        judged = [min(measured, key=lambda name: measured[name]["held-out loss"])]
    criteria = [criterion for name in judged
                for criterion in judge(name, measured[name], trainers[name].model, texts, counts)]
    for name, phase in phases.items() if settings["twin"] else ():
        theirs = train_twin(name, phase, settings, folder, texts)
        difference = abs(theirs["held-out loss"] - measured[name]["held-out loss"])
        measured[name] |= {f"PyTorch's {key}": value for key, value in theirs.items()}
        criteria.append(at_most(f"{name}: difference to PyTorch's held-out loss", difference, TWIN_AGREEMENT))
    numbers = {"parameters": parameters, "unknown words, held out": f"{unknown:.1%}",
               f"best n-gram of words, held out ({int(np.argmin(counts)) + 1}-gram)": min(counts),
               "repeated 4-grams in real stories": repetition(real_stories(texts))[1]}

    write_whole(folder / "samples.txt", samples_text(stories, tokenizer).encode())
    curves = ["held-out loss", "held-out accuracy"] + (["loss"] if not settings["rates"] else [])  # else too many
    save_curves(folder, {name: trainer.history for name, trainer in trainers.items()}, curves)
    if settings["rates"]:
        panels = {metric: [(metric, settings["rates"], [row[metric] for row in measured.values()])]
                  for metric in ("held-out loss", "accuracy")}
        draw_curves(folder / "learning rates.png", panels, x="learning rate", log_x=True)
    ids = tokenizer.encode(LOOKED_AT)[:size.config.context]
    plot_attention(attention_maps(trainers[judged[-1]].model, ids), tokenizer.tokens_of(ids), folder / "attention.png")
    print()
    for name, row in measured.items():
        early = (f"at step {row['at step']}, would have given {row['lowest held-out']:.3f} instead of "
                 f"{row['held-out loss']:.3f}")
        gains = row["at step"] < trainers[name].step
        print(f"{name}: stopping early{f', {early}' if gains else ' would have gained nothing'}")
    best = {"metric": "held-out loss", "value": min(row["held-out loss"] for row in measured.values())}
    seconds = sum(trainer.seconds for trainer in trainers.values())
    return finish(folder, criteria, numbers, seconds, ADVICE, best, measured, **verdict_on(settings))


def sample(args, settings, folder):
    "Print --sample as the model of a phase continues it; return the exit status."
    model, tokenizer = load_model(folder, settings, f"phase-{args.phase}/model.safetensors")
    words = [word for word in tokenizer.pattern.findall(args.sample) if word not in tokenizer.ids]
    if tokenizer.ids["<unk>"] in tokenizer.encode(args.sample):
        raise ValueError(f"--sample: {', '.join(map(repr, words))}: not among the {tokenizer.vocab_size:,} words that "
                         "the model knows; use others")
    text = written(model, tokenizer, args.sample, args.length, stop_tokens=tokenizer.special_ids[END],
                   suppress_tokens=never_written(model, tokenizer), **sampling(args))
    print(text.replace(END, "").strip())
    return 0


def check_twin():
    "Raises: ValueError where PyTorch is not installed."
    try:
        import torch  # noqa: F401
    except ImportError:
        raise ValueError("--twin needs PyTorch: pip install torch") from None


def main():
    args = parser.parse_args()
    if args.ranks != 1 or args.elastic:
        return start_ranks(args, parser)
    let_rank_0_speak()
    settings, folder = settings_of(args, parser, "tinystories", SIZES, f"phase-{args.phase}/model.safetensors",
                                   twin=args.twin, rates=args.sweep_lr)
    with refusing_input(parser):
        if args.sample is not None:
            return sample(args, settings, folder)
        if settings["twin"]:
            check_twin()
        texts = read_texts(settings)
        if folder is None:
            folder = start_run(args, "tinystories", settings, texts.tokenizer, SIZES[settings["size"]].config)
    with stoppable(parser, folder):
        return run(settings, folder, texts)


if __name__ == "__main__":
    sys.exit(main())
