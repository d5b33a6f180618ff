"""2017, the transformer: five small tasks of growing difficulty, each answered letter by letter by a tiny GPT.

    python milestones/05_2017_transformer/memorize.py [--level 3] [--seed 0] [--quick] [--resume runs/memorize-001]

    1 memorize  FGHI>GHIJ  BBBB>BBBB  A1B2>2B1A    twelve answers without a rule, in 4,624 parameters
    2 shift     FGHI>GHIJ                          the next letter of the alphabet, Z is followed by A
    3 reverse   K3XA9Q>Q9AX3K
    4 copy      K3XA9QB7>K3XA9QB7
    5 sort      K3XA9Q>39AKQX                      digits before letters

From level 2 on, what counts are sequences that were never trained on: an answer is right if every one of its
characters is. Each level has its bar, and the exit status is 0 only if all are met. Everything is in the run folder:
loss.png, samples.txt, metrics.jsonl, config.json, and for each level a checkpoint to go on from (--resume), or to ask:

    python milestones/05_2017_transformer/memorize.py --resume runs/memorize-001 --level 3 --ask K3XA9Q
"""
import argparse
import json
import os
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

# Before NumPy is imported: products this small gain nothing from a second thread, and on a busy machine wait for it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402

import tinytorch  # noqa: E402
import tinytorch.nn as nn  # noqa: E402
import tinytorch.nn.functional as F  # noqa: E402
from tinytorch.checkpoint import CheckpointError, write_whole  # noqa: E402
from tinytorch.data import DataLoader, TensorDataset  # noqa: E402
from tinytorch.generation import generate  # noqa: E402
from tinytorch.optim import AdamW, LambdaLR, warmup_cosine  # noqa: E402
from tinytorch.runs import Metrics, new_run, read_config  # noqa: E402
from tinytorch.tokenizers import CharTokenizer  # noqa: E402
from tinytorch.training import Trainer  # noqa: E402

# ---- knobs

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

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--level", type=int, choices=LEVELS, help="only this one (default: all, one after the other)")
parser.add_argument("--seed", type=int, default=0, help="of data, weights and shuffling (default 0)")
parser.add_argument("--quick", action="store_true", help="fewer steps and lower bars: under a minute")
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

def build_model(level):
    return nn.GPT(TOKENIZER.vocab_size, level.context, level.d_model, num_layers=1, num_heads=level.heads,
                  tied_head=False)


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


def make_trainer(level, seed, quick=False, folder=None, show=False):
    "A Trainer with model, data and optimizer of a level, all from the seed."
    tinytorch.manual_seed(seed)
    steps = level.quick_steps if quick else level.steps
    model = build_model(level)
    loader = DataLoader(examples(questions(level, seed)[0], level), batch_size=level.batch, shuffle=True)
    optimizer = AdamW(model.parameters(), lr=level.learning_rate)
    schedule = LambdaLR(optimizer, warmup_cosine(WARMUP_STEPS, steps))
    return Trainer(model, loader, loss_of, optimizer, steps=steps, schedule=schedule, max_norm=MAX_NORM,
                   folder=folder, save_every=SAVE_EVERY, show=show)


def saved(folder):
    return (folder / "last.safetensors").exists()


# ---- looking

def save_picture(folder, histories):
    "loss.png: the loss of each level, {name: history}."
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 3.5), layout="constrained")
    for name, history in histories.items():
        axis.plot([r["step"] for r in history], [r["loss"] for r in history], label=name, linewidth=1)
    axis.set(xlabel="step", ylabel="training loss", yscale="log", title="Loss of the answers")
    axis.legend()
    figure.savefig(folder / "loss.png", dpi=120)
    plt.close(figure)


def sample_lines(rows, n=12):
    "Some (question, answer, right answer) as text, wrong ones first."
    chosen = sorted(rows, key=lambda row: row[1] == row[2])[:n]
    return [f"  {asked} > {answer}  " + ("right" if answer == right else f"wrong, it is {right}")
            for asked, answer, right in chosen]


def save_results(folder, results):
    "samples.txt, metrics.jsonl and loss.png for what has been learned so far."
    save_picture(folder, {LEVELS[n].name: trainer.history for n, (trainer, *_) in results.items()})
    samples = [line for n, (_, rows, _) in results.items() for line in [LEVELS[n].name, *sample_lines(rows)]]
    write_whole(folder / "samples.txt", ("\n".join(samples) + "\n").encode())
    with closing(Metrics(folder)) as record:
        for n, (trainer, *_) in results.items():
            for line in trainer.history:
                record({"level": n} | line)


def run_level(number, settings, folder):
    "Train a level, from its checkpoint where there is one; returns (trainer, graded answers, share that is right)."
    level = LEVELS[number]
    texts = questions(level, settings["seed"])[1]
    trainer = make_trainer(level, settings["seed"], settings["quick"], folder / f"level-{number}", show=True)
    print(f"\nlevel {number}, {level.name}: {sum(p.numel() for p in trainer.model.parameters()):,} parameters, "
          f"for example {texts[0]}", flush=True)
    if saved(trainer.folder):
        trainer.resume()
        print(f"goes on after step {trainer.step}")
    trainer.fit()
    rows = graded(trainer.model, texts)
    print("\n".join(sample_lines(rows, 4)))
    return trainer, rows, sum(answer == right for _, answer, right in rows) / len(rows)


# ---- what it is told

def settings_of(args):
    "(settings, run folder): those of the run to go on with, or of a new one. SystemExit for arguments that do not fit."
    if args.seed < 0:
        parser.error(f"expected --seed of at least 0, got {args.seed}")
    if args.ask is not None and not (args.resume and args.level):
        parser.error("--ask: expected --resume RUN and --level N beside it, to say which model answers")
    if args.resume is None:
        settings = {"levels": [args.level] if args.level else list(LEVELS), "seed": args.seed, "quick": args.quick}
        described = {level.name: {**level._asdict(), "rule": None} for level in LEVELS.values()}
        return settings, new_run(args.runs, "memorize", settings | {"models": described})
    try:
        config = read_config(args.resume)
        settings = {name: config[name] for name in ("levels", "seed", "quick")}
    except (TypeError, KeyError, ValueError):
        parser.error(f"--resume: expected a run folder of this script, got {args.resume} (no config.json of it there)")
    if args.level and args.level not in settings["levels"]:
        parser.error(f"--level: expected one of {settings['levels']}, those of {args.resume}, got {args.level}")
    return settings | {"levels": [args.level] if args.level else settings["levels"]}, args.resume


def ask(question, number, settings, folder):
    level, trainer = LEVELS[number], make_trainer(LEVELS[number], **settings, folder=folder / f"level-{number}")
    if len(question) != level.length or not set(question) <= set(level.alphabet):
        parser.error(f"--ask: expected {level.length} characters of {level.alphabet}, got {question!r}")
    print(f"{question} > {answers(trainer.resume().model, [question])[0]}")


def main():
    args = parser.parse_args()
    settings, folder = settings_of(args)
    numbers = settings.pop("levels")
    try:
        if args.ask is not None:
            return ask(args.ask, args.level, settings, folder)
        print(f"seed {settings['seed']}{', quick' if settings['quick'] else ''}; to go on after an interruption: "
              f"--resume {folder}")
        results = {}
        for number in numbers:
            results[number] = run_level(number, settings, folder)
            save_results(folder, results)
    except CheckpointError as error:
        print(error)
        return 1

    print(f"\n{'level':12}{'parameters':>11}{'steps':>7}{'last loss':>11}{'right':>10}{'share':>8}{'bar':>7}"
          f"{'seconds':>9}")
    failed = []
    for number, (trainer, rows, share) in results.items():
        level = LEVELS[number]
        bar = level.quick_bar if settings["quick"] else level.bar
        right = f"{round(share * len(rows))}/{len(rows)}"
        print(f"{number} {level.name:10}{sum(p.numel() for p in trainer.model.parameters()):11,}{trainer.step:7}"
              f"{trainer.history[-1]['loss']:11.4f}{right:>10}{share:8.1%}{bar:7.0%}{trainer.seconds:9.1f}")
        if share < bar:
            failed.append((number, share, bar))
    print(f"\nrun folder: {folder}")

    worst = min(share for *_, share in results.values())
    status = {"status": "not learned" if failed else "learned",
              "seconds": sum(trainer.seconds for trainer, *_ in results.values()),
              "best": {"metric": "worst share of right answers", "value": worst}}
    write_whole(folder / "status.json", json.dumps(status).encode())
    for number, share, bar in failed:
        print(f"NOT LEARNED: level {number}, {LEVELS[number].name}: {share:.1%} of the answers are right, {bar:.0%} "
              f"are needed. Does the loss in {folder / 'loss.png'} still fall (more steps)? If it is stuck: do "
              "positions get a gradient, does attention choose, and are the targets one place ahead of the ids?")
    if not failed:
        print("LEARNED: every level has met its bar.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
