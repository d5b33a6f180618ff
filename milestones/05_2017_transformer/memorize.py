"""2017, the transformer: five small tasks of growing difficulty, each answered letter by letter by a tiny GPT.

    python milestones/05_2017_transformer/memorize.py [--level 3] [--seed 0] [--quick] [--resume runs/memorize-001]

    1 memorize  FGHI>GHIJ  BBBB>BBBB  A1B2>2B1A    twelve answers without a rule, in 4,624 parameters
    2 shift     FGHI>GHIJ                          the next letter of the alphabet, Z is followed by A
    3 reverse   K3XA9Q>Q9AX3K
    4 copy      K3XA9QB7>K3XA9QB7
    5 sort      K3XA9Q>39AKQX                      digits before letters

From level 2 on, what counts are sequences that were never trained on: an answer is right if every one of its
characters is. Each level has its bar, and the exit status is 0 only if all are met. Everything is in the run folder,
and on one page in its report.html: curves, answers, attention. Each level has a checkpoint to go on from (--resume),
or to ask:

    python milestones/05_2017_transformer/memorize.py --resume runs/memorize-001 --level 3 --ask K3XA9Q

--broken no_positions or uniform_attention trains models that cannot work: see what the same check says.
"""
import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import NamedTuple

# Before NumPy is imported: products this small gain nothing from a second thread, and on a busy machine wait for it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from language import (
    ADVICE,
    add_run_arguments,
    at_least,
    attention_maps,
    build_model,
    check_arguments,
    count_parameters,
    finish,
    fit,
    loss_of,
    refusing_input,
    save_curves,
    saved_settings,
    start_part,
    stoppable,
)

import tinytorch
import tinytorch.nn as nn
from tinytorch.checkpoint import write_whole
from tinytorch.data import DataLoader, TensorDataset
from tinytorch.generation import generate
from tinytorch.optim import AdamW, LambdaLR, warmup_cosine
from tinytorch.runs import new_run
from tinytorch.tokenizers import CharTokenizer
from tinytorch.training import Trainer
from tito.report import plot_attention

# ---- knobs

NEEDS = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14")  # the chapters at work
DIGITS, LETTERS, DELIMITER = "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", ">"
TOKENIZER = CharTokenizer(DIGITS + LETTERS + DELIMITER)  # 37 tokens
TWELVE = ("FGHI>GHIJ ABCD>BCDE MNOP>NOPQ BBBB>BBBB CCCC>CCCC 7777>7777 "
          "A1B2>2B1A X9Y8>8Y9X 12AB>AB12 K3Q7>7K3Q 2468>8642 ZYXW>WXYZ").split()
TRAIN_SEQUENCES, HELD_OUT_SEQUENCES = 8_000, 500
WARMUP_STEPS, MAX_NORM, SAVE_EVERY = 50, 1.0, 100
IGNORED = -100  # a target that does not count, for `cross_entropy`


class Level(NamedTuple):
    "A task, a model for it, how long it learns, and the share of answers that must be right."
    name: str
    rule: Callable | None  # from a question to its answer; None: TWELVE
    alphabet: str
    length: int  # of question and answer
    d_model: int
    heads: int
    batch: int
    learning_rate: float
    steps: int
    bar: float
    quick_steps: int  # with --quick
    quick_bar: float

    @property
    def config(self):
        context = 2 * self.length  # question, delimiter, and the answer but for its last character
        return nn.GPTConfig(vocab_size=TOKENIZER.vocab_size, context=context, d_model=self.d_model, num_layers=1,
                            num_heads=self.heads, tied_head=False)


def shifted(text):
    return "".join(LETTERS[(LETTERS.index(c) + 1) % len(LETTERS)] for c in text)


def reversed_(text):
    return text[::-1]


def copied(text):
    return text


def ordered(text):
    return "".join(sorted(text))


LEVELS = {
    1: Level("memorize", None, DIGITS + LETTERS, 4, 16, 2, 12, 1e-2, 500, 1.0, 400, 1.0),
    2: Level("shift", shifted, LETTERS, 4, 32, 4, 64, 5e-3, 1000, 0.99, 400, 0.98),
    3: Level("reverse", reversed_, DIGITS + LETTERS, 6, 32, 4, 64, 5e-3, 1500, 0.99, 600, 0.98),
    4: Level("copy", copied, DIGITS + LETTERS, 8, 32, 4, 64, 5e-3, 1500, 0.99, 600, 0.98),
    5: Level("sort", ordered, DIGITS + LETTERS, 6, 64, 4, 64, 5e-3, 2000, 0.95, 800, 0.90),
}

BROKEN = ("no_positions", "uniform_attention")

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--level", type=int, choices=LEVELS, help="only this one (default: all, one after the other)")
add_run_arguments(parser, BROKEN, "fewer steps and lower bars")
parser.add_argument("--ask", metavar="QUESTION", help="with --resume and --level: only answer this")


# ---- the tasks

def questions(level, seed):
    "Return (train, held out), texts such as 'FGHI>GHIJ', none in both; without a rule: twelve, and the same twelve."
    if level.rule is None:
        return TWELVE, TWELVE
    generator = np.random.default_rng(seed)
    rows = generator.integers(0, len(level.alphabet), (TRAIN_SEQUENCES + HELD_OUT_SEQUENCES, level.length))
    asked = dict.fromkeys("".join(level.alphabet[i] for i in row) for row in rows)  # each once, in this order
    texts = [f"{text}{DELIMITER}{level.rule(text)}" for text in asked]
    return texts[HELD_OUT_SEQUENCES:], texts[:HELD_OUT_SEQUENCES]


def examples(texts, level):
    "Return a dataset of (ids, targets), both (N, context): the id that follows each, IGNORED within the question."
    ids = np.array([TOKENIZER.encode(text) for text in texts])  # (N, context + 1)
    targets = ids[:, 1:].copy()
    targets[:, :level.length] = IGNORED
    return TensorDataset(ids[:, :-1], targets)


# ---- learning and answering

def make_trainer(level, seed, quick=False, broken=None, folder=None, show=False):
    "Return a Trainer with model, data and optimizer of a level, all from the seed."
    tinytorch.manual_seed(seed)
    steps = level.quick_steps if quick else level.steps
    model = build_model(level.config, broken)
    loader = DataLoader(examples(questions(level, seed)[0], level), batch_size=level.batch, shuffle=True)
    optimizer = AdamW(model.parameters(), lr=level.learning_rate)
    schedule = LambdaLR(optimizer, warmup_cosine(WARMUP_STEPS, steps))
    return Trainer(model, loader, loss_of, optimizer, steps=steps, schedule=schedule, max_norm=MAX_NORM,
                   folder=folder, save_every=SAVE_EVERY, show=show)


def answers(model, asked):
    "Return what the model writes, greedily, behind each of `asked` (texts of one length) and the delimiter."
    prompts = np.array([TOKENIZER.encode(text + DELIMITER) for text in asked])
    written = generate(model, prompts, len(asked[0]), temperature=0)[:, prompts.shape[1]:]
    return [TOKENIZER.decode(row) for row in written]


def graded(model, texts):
    "Return a list of (question, answer, right answer)."
    asked, right = zip(*(text.split(DELIMITER) for text in texts))
    return list(zip(asked, answers(model, asked), right))


def exact_match(model, texts):
    "Return the share of questions that are answered without a mistake."
    return float(np.mean([answer == right for _, answer, right in graded(model, texts)]))


# ---- a run

def sample_lines(rows, n=12):
    "Return some (question, answer, right answer) as lines of text, wrong ones first."
    chosen = sorted(rows, key=lambda row: row[1] == row[2])[:n]
    return [f"  {asked} > {answer}  " + ("right" if answer == right else f"wrong, it is {right}")
            for asked, answer, right in chosen]


def run_level(number, settings, folder):
    "Train a level, from its checkpoint where there is one; return (trainer, graded answers)."
    level, seed = LEVELS[number], settings["seed"]
    texts = questions(level, seed)[1]
    part = start_part(folder, f"level-{number}", settings, level.config)
    trainer = make_trainer(level, seed, settings["quick"], settings["broken"], part, show=True)
    print(f"\nlevel {number}, {level.name}: {count_parameters(trainer.model):,} parameters, for example {texts[0]}",
          flush=True)
    fit(trainer)
    read = texts[0][:-1]
    plot_attention(attention_maps(trainer.model, TOKENIZER.encode(read)), list(read),
                   folder / f"attention, level {number}, {level.name}.png")
    rows = graded(trainer.model, texts)
    print("\n".join(sample_lines(rows, 4)))
    return trainer, rows


def run(settings, folder):
    "Train the levels, one after the other, and measure; return the exit status."
    print(f"seed {settings['seed']}{', quick' if settings['quick'] else ''}; to go on after an interruption: "
          f"--resume {folder}")
    histories, table, criteria, samples, seconds = {}, {}, [], [], 0.0
    for number in settings["levels"]:
        level, (trainer, rows) = LEVELS[number], run_level(number, settings, folder)
        right = sum(answer == expected for _, answer, expected in rows)
        histories[level.name] = trainer.history
        samples += [level.name, *sample_lines(rows)]
        seconds += trainer.seconds
        table[f"{number} {level.name}"] = {
            "parameters": count_parameters(trainer.model), "steps": trainer.step,
            "last loss": trainer.history[-1]["loss"], "right answers": f"{right}/{len(rows)}",
            "seconds": trainer.seconds}
        criteria.append(at_least(f"answers right, level {number} ({level.name})", right / len(rows),
                                 level.quick_bar if settings["quick"] else level.bar, percent=True))
        save_curves(folder, histories, ["loss"])
        write_whole(folder / "samples.txt", ("\n".join(samples) + "\n").encode())
    worst = {"metric": "worst share of right answers", "value": min(criterion.got for criterion in criteria)}
    numbers = {worst["metric"]: worst["value"], "seconds of training": seconds}
    levels = settings["levels"]
    part = ["--quick"] * settings["quick"] + [f"--level {levels[0]}"] * (len(levels) == 1)
    return finish(folder, criteria, numbers, seconds, ADVICE, worst, table, " ".join(part), settings["broken"])


def ask(question, number, settings, folder):
    "Print what the model of a level answers; return the exit status."
    level = LEVELS[number]
    if len(question) != level.length or not set(question) <= set(level.alphabet):
        raise ValueError(f"--ask: expected {level.length} characters of {level.alphabet}, got {question!r}")
    trainer = make_trainer(level, settings["seed"], settings["quick"], settings["broken"], folder / f"level-{number}")
    print(f"{question} > {answers(trainer.resume().model, [question])[0]}")
    return 0


def settings_of(args):
    "Return (settings, run folder or None for a new run). Exits with status 2 for arguments that do not fit."
    check_arguments(args, parser)
    if args.ask is not None and not (args.resume and args.level):
        parser.error("--ask: expected --resume RUN and --level N beside it, to say which model answers")
    if args.resume is None:
        return {"levels": [args.level] if args.level else list(LEVELS), "seed": args.seed or 0, "quick": args.quick,
                "broken": args.broken}, None
    if args.level and args.ask is None:
        parser.error("--level: expected no other settings beside --resume; those of the run are used")
    settings = saved_settings(args.resume, parser, ("levels", "seed", "quick", "broken"))
    if args.level and args.level not in settings["levels"]:
        parser.error(f"--level: expected one of {settings['levels']}, those of {args.resume}, got {args.level}")
    return settings, args.resume


def main():
    args = parser.parse_args()
    settings, folder = settings_of(args)
    if args.ask is not None:
        with refusing_input(parser):
            return ask(args.ask, args.level, settings, folder)
    if folder is None:
        models = {LEVELS[number].name: asdict(LEVELS[number].config) for number in settings["levels"]}
        with refusing_input(parser):
            folder = new_run(args.runs, "memorize", settings | {"models": models})
    with stoppable(parser, folder):
        return run(settings, folder)


if __name__ == "__main__":
    sys.exit(main())
