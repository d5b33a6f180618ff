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
from pathlib import Path
from typing import NamedTuple

# Before NumPy is imported: products this small gain nothing from a second thread, and on a busy machine wait for it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402
from language import (  # noqa: E402
    Criterion,
    WithoutPositions,
    WithUniformAttention,
    attention_maps,
    exit_2,
    finish,
    save_curves,
    stoppable,
)

import tinytorch  # noqa: E402
import tinytorch.nn as nn  # noqa: E402
import tinytorch.nn.functional as F  # noqa: E402
from tinytorch.checkpoint import write_whole  # noqa: E402
from tinytorch.data import DataLoader, TensorDataset  # noqa: E402
from tinytorch.generation import generate  # noqa: E402
from tinytorch.optim import AdamW, LambdaLR, warmup_cosine  # noqa: E402
from tinytorch.runs import new_run, read_config  # noqa: E402
from tinytorch.tokenizers import CharTokenizer  # noqa: E402
from tinytorch.training import Trainer  # noqa: E402
from tito.report import plot_attention  # noqa: E402

# ---- knobs

# The chapters whose code runs here.
NEEDS = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14")
DIGITS, LETTERS, DELIMITER = "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", ">"
TOKENIZER = CharTokenizer(DIGITS + LETTERS + DELIMITER)  # 37 tokens
TWELVE = ("FGHI>GHIJ ABCD>BCDE MNOP>NOPQ BBBB>BBBB CCCC>CCCC 7777>7777 "
          "A1B2>2B1A X9Y8>8Y9X 12AB>AB12 K3Q7>7K3Q 2468>8642 ZYXW>WXYZ").split()
TRAIN_SEQUENCES, HELD_OUT_SEQUENCES = 8_000, 500
WARMUP_STEPS, MAX_NORM, SAVE_EVERY = 50, 1.0, 100
IGNORED = -100  # a target that does not count


class Level(NamedTuple):
    "A task, the model for it, how long it learns, and the share of answers that must be right."
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
    def context(self):
        return 2 * self.length  # question, delimiter, and the answer but for its last character


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

BROKEN = {"no_positions": WithoutPositions, "uniform_attention": WithUniformAttention}

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--level", type=int, choices=LEVELS, help="only this one (default: all, one after the other)")
parser.add_argument("--seed", type=int, help="of data, weights and shuffling (default 0)")
parser.add_argument("--quick", action="store_true", help="fewer steps and lower bars: under a minute")
parser.add_argument("--broken", choices=BROKEN, help="models that must fail")
parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for the run folder (default runs/)")
parser.add_argument("--resume", type=Path, metavar="RUN", help="go on in this run folder, with its settings")
parser.add_argument("--ask", metavar="QUESTION", help="with --resume and --level: only answer this")


# ---- the tasks

def questions(level, seed):
    "(train, held out): texts such as 'FGHI>GHIJ', none in both; for the level without a rule twelve, and the same."
    if level.rule is None:
        return TWELVE, TWELVE
    generator = np.random.default_rng(seed)
    rows = generator.integers(0, len(level.alphabet), (TRAIN_SEQUENCES + HELD_OUT_SEQUENCES, level.length))
    asked = dict.fromkeys("".join(level.alphabet[i] for i in row) for row in rows)  # each once, in this order
    texts = [f"{text}{DELIMITER}{level.rule(text)}" for text in asked]
    return texts[HELD_OUT_SEQUENCES:], texts[:HELD_OUT_SEQUENCES]


def examples(texts, level):
    "(ids, targets), both (N, context): at each place the id that follows, IGNORED within the question."
    ids = np.array([TOKENIZER.encode(text) for text in texts])  # (N, context + 1)
    targets = ids[:, 1:].copy()
    targets[:, :level.length] = IGNORED
    return TensorDataset(ids[:, :-1], targets)


# ---- model, loss, answers

def build_model(level, broken=None):
    kind = BROKEN.get(broken, nn.GPT)
    return kind(nn.GPTConfig(vocab_size=TOKENIZER.vocab_size, context=level.context, d_model=level.d_model,
                             num_layers=1, num_heads=level.heads, tied_head=False))


def loss_of(model, ids, targets):
    "The mean over the characters of the answers."
    logits = model(ids)
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), ignore_index=IGNORED)


def answers(model, asked):
    "What the model writes, greedily, behind each of `asked` (texts of one length) and the delimiter."
    prompts = np.array([TOKENIZER.encode(text + DELIMITER) for text in asked])
    written = generate(model, prompts, len(asked[0]), temperature=0)[:, prompts.shape[1]:]
    return [TOKENIZER.decode(row) for row in written]


def graded(model, texts):
    "A list of (question, answer, right answer)."
    asked, right = zip(*(text.split(DELIMITER) for text in texts))
    return list(zip(asked, answers(model, asked), right))


def exact_match(model, texts):
    return float(np.mean([answer == right for _, answer, right in graded(model, texts)]))


def make_trainer(level, seed, quick=False, broken=None, folder=None, show=False):
    "A Trainer with model, data and optimizer of a level, all from the seed."
    tinytorch.manual_seed(seed)
    steps = level.quick_steps if quick else level.steps
    model = build_model(level, broken)
    loader = DataLoader(examples(questions(level, seed)[0], level), batch_size=level.batch, shuffle=True)
    optimizer = AdamW(model.parameters(), lr=level.learning_rate)
    schedule = LambdaLR(optimizer, warmup_cosine(WARMUP_STEPS, steps))
    return Trainer(model, loader, loss_of, optimizer, steps=steps, schedule=schedule, max_norm=MAX_NORM,
                   folder=folder, save_every=SAVE_EVERY, show=show)


def saved(folder):
    return (folder / "last.safetensors").exists()


# ---- a run

def sample_lines(rows, n=12):
    "Some (question, answer, right answer) as text, wrong ones first."
    chosen = sorted(rows, key=lambda row: row[1] == row[2])[:n]
    return [f"  {asked} > {answer}  " + ("right" if answer == right else f"wrong, it is {right}")
            for asked, answer, right in chosen]


def look(trainer, text, path):
    "The picture of how attention reads a question and its answer, all but the last character."
    plot_attention(attention_maps(trainer.model, TOKENIZER.encode(text)[:-1]), list(text[:-1]), path)


def run_level(number, settings, folder):
    "Train a level, from its checkpoint where there is one; returns (trainer, graded answers)."
    level = LEVELS[number]
    texts = questions(level, settings["seed"])[1]
    trainer = make_trainer(level, settings["seed"], settings["quick"], settings["broken"], folder / f"level-{number}",
                           show=True)
    print(f"\nlevel {number}, {level.name}: {sum(p.numel() for p in trainer.model.parameters()):,} parameters, "
          f"for example {texts[0]}", flush=True)
    if (trainer.folder / "last.safetensors").exists():
        trainer.resume()
        print(f"goes on after step {trainer.step}")
    trainer.fit()
    look(trainer, texts[0], folder / f"attention, level {number}, {level.name}.png")
    rows = graded(trainer.model, texts)
    print("\n".join(sample_lines(rows, 4)))
    return trainer, rows


def run(settings, folder):
    "Train the levels, one after the other, measure, look; returns the exit status."
    print(f"seed {settings['seed']}{', quick' if settings['quick'] else ''}; to go on after an interruption: "
          f"--resume {folder}")
    histories, table, criteria, samples, seconds = {}, {}, [], [], 0.0
    for number in settings["levels"]:
        level, (trainer, rows) = LEVELS[number], run_level(number, settings, folder)
        right = sum(answer == expected for _, answer, expected in rows)
        share = right / len(rows)
        bar = level.quick_bar if settings["quick"] else level.bar
        histories[level.name] = trainer.history
        samples += [level.name, *sample_lines(rows)]
        seconds += trainer.seconds
        table[f"{number} {level.name}"] = {
            "parameters": sum(p.numel() for p in trainer.model.parameters()), "steps": trainer.step,
            "last loss": trainer.history[-1]["loss"], "right answers": f"{right}/{len(rows)}",
            "seconds": trainer.seconds}
        criteria.append(Criterion(f"level {number}, {level.name}: share of right answers", share, f"at least {bar}",
                                  share >= bar))
        save_curves(folder, histories, ["loss"])
        write_whole(folder / "samples.txt", ("\n".join(samples) + "\n").encode())
    worst = min(criterion.got for criterion in criteria)
    numbers = {"worst share of right answers": worst, "seconds of training": seconds}
    return finish(folder, criteria, numbers, seconds, ("worst share of right answers", worst), table)


# ---- what it is told

def settings_of(args):
    "(settings, run folder or None for a new run). SystemExit for arguments that do not fit."
    if args.seed is not None and args.seed < 0:
        parser.error(f"expected --seed of at least 0, got {args.seed}")
    if args.ask is not None and not (args.resume and args.level):
        parser.error("--ask: expected --resume RUN and --level N beside it, to say which model answers")
    if args.resume is None:
        return {"levels": [args.level] if args.level else list(LEVELS), "seed": args.seed or 0, "quick": args.quick,
                "broken": args.broken}, None
    if args.quick or args.broken or args.seed is not None or args.level and args.ask is None:
        parser.error("--resume: expected no other settings beside it; those of the run are used")
    try:
        config = read_config(args.resume)
        settings = {name: config[name] for name in ("levels", "seed", "quick", "broken")}
    except (TypeError, KeyError, ValueError, OSError):
        parser.error(f"--resume: expected a run folder of this script, got {args.resume} (no config.json of it there)")
    if args.level and args.level not in settings["levels"]:
        parser.error(f"--level: expected one of {settings['levels']}, those of {args.resume}, got {args.level}")
    return settings, args.resume


def ask(question, number, settings, folder):
    "Print what the model of a level answers; returns the exit status."
    level = LEVELS[number]
    if len(question) != level.length or not set(question) <= set(level.alphabet):
        raise ValueError(f"--ask: expected {level.length} characters of {level.alphabet}, got {question!r}")
    trainer = make_trainer(level, settings["seed"], settings["quick"], settings["broken"], folder / f"level-{number}")
    print(f"{question} > {answers(trainer.resume().model, [question])[0]}")
    return 0


def main():
    args = parser.parse_args()
    settings, folder = settings_of(args)
    with exit_2(parser):
        if args.ask is not None:
            return ask(args.ask, args.level, settings, folder)
        if folder is None:
            levels = [LEVELS[number] for number in settings["levels"]]
            models = {level.name: level._replace(rule=None)._asdict() for level in levels}
            folder = new_run(args.runs, "memorize", settings | {"models": models})
        with stoppable(folder):
            return run(settings, folder)


if __name__ == "__main__":
    sys.exit(main())
