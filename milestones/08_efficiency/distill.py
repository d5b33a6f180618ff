"""2015, distillation: a small model learns more from a large one than from the text alone; large ones can be pruned.

    python milestones/08_efficiency/distill.py [--size small] [--seed 0] [--quick] [--resume RUN]

From three seeds a GPT learns TinyStories, character by character. Then, on a tenth of the text that is held out:

- it is pruned: more and more of its weights by magnitude, and half of its heads and hidden units, each finetuned for a
  little while, beside the whole model that goes on as long. Half of the weights may cost at most 0.03 nats, and half of
  heads and units at most 0.15;
- it becomes a teacher: a student of a quarter of its size learns alone, and from the teacher's logits (Hinton et al.
  2015), on the same batches. With the teacher it must end at least 0.05 nats lower;
- the students become drafts in speculative decoding (chapter 24): how much of the teacher's distribution is also the
  draft's, on average, is the share of guesses that are kept; with the teacher's help it must be 1 % more.

All this on every seed. The exit status is 0 only if it holds. Everything is in the run folder, and on one page in its
report.html, with the curve of sparsity against loss in `pruning.png`; the last student is in `student.safetensors`.

--broken random (weights, heads and units are pruned at random, by the same masks of other numbers) or ignored (the
teacher is there, but does not count) cannot work: see what the same check says.
"""
import argparse
import copy
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "05_2017_transformer"))  # language.py

from language import (
    Texts,
    add_run_arguments,
    at_least,
    at_most,
    build_model,
    corpus_of,
    count_parameters,
    evaluation,
    finish,
    fit,
    loss_of,
    measure,
    refusing_input,
    save_curves,
    settings_of,
    start_part,
    start_run,
    stoppable,
    verdict_on,
)

import tinytorch
import tinytorch.nn as nn
from tinytorch.checkpoint import save_weights
from tinytorch.datasets import RandomBatches, TokenDataset
from tinytorch.distillation import Distillation
from tinytorch.optim import AdamW, LambdaLR, decay_groups, warmup_cosine
from tinytorch.pruning import apply_masks, hidden_scores, losses_without_heads, magnitude_mask, prune, shrink
from tinytorch.speculative import speculative_generate
from tinytorch.tokenizers import CharTokenizer
from tinytorch.training import Trainer, evaluating
from tito.curves import draw_curves

# ---- knobs

NEEDS = (  # the chapters at work
    "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14", "23", "24")


class Size(NamedTuple):
    "Teacher and student, how long they learn, how long what is pruned goes on, how many seeds, and the bars."
    model: dict  # options of nn.GPTConfig
    student: dict
    batch: int
    steps: int
    student_steps: int
    more_steps: int
    seeds: int
    pruned: float  # nats that half of the weights may cost
    shrunk: float  # nats that half of heads and units may cost


TEACHER = dict(context=64, d_model=128, num_layers=3, num_heads=4, tied_head=False)
STUDENT = TEACHER | dict(d_model=60)
SIZES = {
    "small": Size(TEACHER, STUDENT, 16, 1200, 500, 100, 3, 0.03, 0.15),  # 0.62 million parameters, and 0.15
    "quick": Size(TEACHER | dict(context=32, d_model=64, num_layers=2), TEACHER | dict(
        context=32, d_model=28, num_layers=2, num_heads=2), 16, 400, 200, 40, 1, 0.05, 0.3),
}
RATE, MORE_RATE, STUDENT_RATE = 3e-3, 1e-3, 6e-3
WARMUP_STEPS, MAX_NORM, BETAS, WEIGHT_DECAY, LAST_RATE = 20, 1.0, (0.9, 0.99), 0.1, 0.1
SAVE_EVERY, EVALUATE_EVERY, EVALUATED_WINDOWS, MEASURED_WINDOWS, ASKED_WINDOWS = 100, 100, 128, 512, 64
AMOUNTS, HALF, SHOWN = (0.3, 0.5, 0.7, 0.9), 0.5, ("teacher", "alone", "distilled")
TEMPERATURE, SHARE, BETTER, MOST = 1.0, 1.0, 0.05, 0.25
MORE_KEPT, DRAFTED, LOOKAHEAD, CONTINUED = 1.0, 64, 3, 8  # windows that are compared; guesses; texts that go on
ADVICE = ("Does the mask keep the weights of the largest magnitude, and are its zeros put back after each step? Does "
          "the student imitate softmax(teacher / T), is the teacher in eval mode, and is the loss times T^2?")

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--size", choices=["small"], help="which settings (default small)")
add_run_arguments(parser, ["random", "ignored"], "smaller models, one seed, pruning may cost more")
parser.set_defaults(sample=None, text=None)


# ---- learning

def read_texts(settings):
    corpus = corpus_of(settings, "tinystories")
    tokenizer = CharTokenizer.train(corpus.train + corpus.held_out)
    return Texts(corpus, tokenizer, SIZES[settings["size"]].model["context"])


class Learner:
    "What all models of a seed have in common: the text, the settings, the folder; `curves` to be shown."
    def __init__(self, texts, settings, folder, seed):
        self.texts, self.settings, self.folder, self.seed = texts, settings, folder, seed
        self.size, self.curves, self.seconds = SIZES[settings["size"]], {}, 0.0

    def config(self, options):
        return nn.GPTConfig(vocab_size=self.texts.tokenizer.vocab_size, **options)

    def learn(self, name, model, steps, rate, loss_fn=loss_of, masks=None):
        "Let `model` learn for `steps`, from its last checkpoint where there is one; return it."
        part = start_part(self.folder, f"{name}-{self.seed}", self.settings, model.config)
        optimizer = AdamW(decay_groups(model, WEIGHT_DECAY), lr=rate, betas=BETAS)
        batches = RandomBatches(self.texts.windows, self.size.batch, steps, generator=self.seed + 1000)
        schedule = LambdaLR(optimizer, warmup_cosine(min(WARMUP_STEPS, steps // 4), steps, LAST_RATE))
        callbacks = [lambda record: apply_masks(model, masks)] if masks else []
        trainer = Trainer(model, batches, loss_fn, optimizer, steps=steps, schedule=schedule, max_norm=MAX_NORM,
                          folder=part, save_every=SAVE_EVERY, callbacks=callbacks, evaluate_every=EVALUATE_EVERY,
                          evaluate=evaluation(model, self.texts.held_out_windows, most=EVALUATED_WINDOWS))
        fit(trainer)
        if name in SHOWN:
            self.curves[f"{name}, seed {self.seed}"] = trainer.history
        self.seconds += trainer.seconds
        return model

    def loss(self, model):
        return measure(model, self.texts.held_out_windows, MEASURED_WINDOWS)[0]


# ---- pruning

def shuffled_mask(weight, amount, generator):
    return magnitude_mask(generator.random(weight.shape), amount)


def pruned(learner, teacher):
    "Return {way: (loss, loss after going on)} of the teacher, whole and pruned."
    size, generator = learner.size, np.random.default_rng(learner.seed)
    mask_of, ways = magnitude_mask, {}
    if learner.settings["broken"] == "random":
        mask_of = partial(shuffled_mask, generator=generator)
    for amount in (0.0, *AMOUNTS):
        model = copy.deepcopy(teacher)
        masks = prune(model, amount, mask_of=mask_of)
        before = learner.loss(model)
        learner.learn(f"pruned-{amount}", model, size.more_steps, MORE_RATE, masks=masks)
        ways[amount] = before, learner.loss(model)
    small = halved(copy.deepcopy(teacher), learner, generator)
    before = learner.loss(small)
    learner.learn("shrunk", small, size.more_steps, MORE_RATE)
    ways["shrunk"] = before, learner.loss(small)
    return ways


def halved(model, learner, generator):
    "Leave half of the heads, those without which the training text would be worst, and half of the hidden units."
    if learner.settings["broken"] == "random":
        return shrink(model, HALF, HALF, (lambda attention: generator.random(attention.num_heads),
                                          lambda mlp: generator.random(mlp.fc1.out_features)))
    seen = TokenDataset(learner.texts.train, model.context, stride=model.context)
    asked = losses_without_heads(model, lambda: measure(model, seen, ASKED_WINDOWS)[0])
    return shrink(model, HALF, HALF, (asked.get, hidden_scores))


# ---- students and drafts

def students(learner, teacher):
    "Return {name: student}: of the same start, on the same batches, alone and from the teacher."
    share = 0.0 if learner.settings["broken"] == "ignored" else SHARE
    found = {}
    for name, loss_fn in {"alone": loss_of, "distilled": Distillation(teacher, TEMPERATURE, share)}.items():
        tinytorch.manual_seed(learner.seed + 100)
        student = build_model(learner.config(learner.size.student))
        found[name] = learner.learn(name, student, learner.size.student_steps, STUDENT_RATE, loss_fn)
    return found


def overlap(teacher, student, windows):
    "Return the mean over places of sum(min(p, q)), the share of a draft's guesses that are kept."
    ids = np.stack([windows[i][0] for i in np.linspace(0, len(windows) - 1, DRAFTED).astype(int)])
    with evaluating(teacher), evaluating(student):
        p, q = (model(tinytorch.Tensor(ids)).softmax(-1).data for model in (teacher, student))
    return float(np.minimum(p, q).sum(axis=-1).mean())


def tokens_a_pass(teacher, student, windows):
    "Return how many tokens each pass of the teacher makes, on average, with this draft."
    half, made, steps = teacher.context // 2, 0, 0
    for i in np.linspace(0, len(windows) - 1, CONTINUED).astype(int):
        prompt = np.asarray(windows[i][0])[:half]
        got = speculative_generate(teacher, student, prompt, half - 1, LOOKAHEAD, generator=int(i))
        made, steps = made + half - 1, steps + got.steps
    return made / steps


# ---- a run

def one_seed(texts, seed, settings, folder):
    "Return ({column: {what: number}}, what was pruned, the learner, the distilled student) of one seed."
    learner = Learner(texts, settings, folder, seed)
    print(f"\nseed {seed}", flush=True)
    tinytorch.manual_seed(seed)
    teacher = build_model(learner.config(learner.size.model))
    learner.learn("teacher", teacher, learner.size.steps, RATE)
    ways, small = pruned(learner, teacher), students(learner, teacher)
    column = {"teacher": learner.loss(teacher), "teacher, going on": ways[0.0][1]}
    column |= {f"{amount:.0%} of weights pruned": ways[amount][1] for amount in AMOUNTS}
    column["half of heads and units"] = ways["shrunk"][1]
    for name, student in small.items():
        column |= {f"student, {name}": learner.loss(student), f"guesses kept, {name}, %": 100 * overlap(
            teacher, student, texts.held_out_windows), f"tokens a pass, {name}": tokens_a_pass(
            teacher, student, texts.held_out_windows)}
    return column, ways, learner, small["distilled"]


def judge(size, columns, share):
    "Return the criteria, each for the worst seed."
    def worst(name, than):
        return max(column[name] - column[than] for column in columns)

    better = min(column["student, alone"] - column["student, distilled"] for column in columns)
    kept = min(column["guesses kept, distilled, %"] - column["guesses kept, alone, %"] for column in columns)
    return [at_least("nats better with the teacher", better, BETTER),
            at_most("of the teacher's size", share, MOST, True),
            at_most("nats for half of the weights", worst(f"{HALF:.0%} of weights pruned", "teacher, going on"),
                    size.pruned),
            at_most("nats for half of heads and units", worst("half of heads and units", "teacher, going on"),
                    size.shrunk),
            at_least("more percent of guesses kept", kept, MORE_KEPT)]


def run(settings, folder, texts):
    "Learn, prune and distil from each seed; return the exit status."
    size, columns, curves, panels, seconds = SIZES[settings["size"]], {}, {}, {"held-out loss": []}, 0.0
    teacher, student = (nn.GPTConfig(vocab_size=texts.tokenizer.vocab_size, **options)
                        for options in (size.model, size.student))
    sizes = [count_parameters(build_model(config)) for config in (teacher, student)]
    print(f"{settings['size']}: teacher {sizes[0]:,} parameters, student {sizes[1]:,}; "
          f"to go on after an interruption: --resume {folder}", flush=True)
    for seed in range(settings["seed"], settings["seed"] + size.seeds):
        columns[f"seed {seed}"], ways, learner, small = one_seed(texts, seed, settings, folder)
        curves, seconds = curves | learner.curves, seconds + learner.seconds
        for place, name in enumerate(("pruned", "and finetuned")):
            panels["held-out loss"].append((name, [0.0, *AMOUNTS], [ways[a][place] for a in (0.0, *AMOUNTS)]))
    save_weights(folder / "student.safetensors", small)
    save_curves(folder, curves, ["held-out loss"])
    draw_curves(folder / "pruning.png", panels, x="share of weights that are 0")
    numbers = {"parameters of the teacher": sizes[0], "of the student": sizes[1], "share": sizes[1] / sizes[0]}
    criteria = judge(size, list(columns.values()), numbers["share"])
    return finish(folder, criteria, numbers, seconds, ADVICE, table=columns, **verdict_on(settings))


def main():
    args = parser.parse_args()
    settings, folder = settings_of(args, parser, "distill", SIZES, "student.safetensors")
    with refusing_input(parser):
        texts = read_texts(settings)
        if folder is None:
            config = nn.GPTConfig(vocab_size=texts.tokenizer.vocab_size, **SIZES[settings["size"]].model)
            folder = start_run(args, "distill", settings, texts.tokenizer, config)
    with stoppable(parser, folder):
        return run(settings, folder, texts)


if __name__ == "__main__":
    sys.exit(main())
