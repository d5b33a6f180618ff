"""2022, scaling laws: small runs say how large a model should be for a budget that none of them had.

    python milestones/08_efficiency/scaling.py [--seed 0] [--quick] [--workers 2] [--resume RUN]

GPTs of several widths learn TinyStories, character by character, each with the same budgets of arithmetic: a wide one
on few tokens, a narrow one on many. For every budget a parabola of held-out loss over the logarithm of size has a
minimum, and the minima lie on lines in logarithms (Hoffmann et al. 2022, approach 2). Then the prediction for a budget
four times the largest of them is checked by making that run: the model nearest to the predicted size, one of about half
and one of about twice the size.

What counts: every budget has its minimum between the sizes that were tried; the predicted loss is that of the run to
0.05 nats; and neither of its neighbours is better by more than 0.02. The exponents come with bootstrap intervals. The
exit status is 0 only if all this holds. `isoflops.png` shows it. Trials that are finished are in `trials.jsonl`: a run
that is interrupted goes on behind them.

--broken tokens (all models see as many tokens as the smallest, whatever that costs) or sizes (the losses are those of
other sizes) cannot work: see what the same check says.
"""
import argparse
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one thread a worker, set before NumPy is imported

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "05_2017_transformer"))  # language.py

from language import (
    Texts,
    add_run_arguments,
    at_least,
    at_most,
    corpus_of,
    finish,
    loss_of,
    measure,
    refusing_input,
    settings_of,
    start_run,
    stoppable,
    verdict_on,
)

import tinytorch
import tinytorch.nn as nn
from tinytorch.datasets import RandomBatches
from tinytorch.optim import AdamW, LambdaLR, decay_groups, warmup_cosine
from tinytorch.scaling import Trial, bootstrap, draw_isoflops, fit, minimum, multiplied, optima, tokens_for
from tinytorch.tokenizers import CharTokenizer
from tinytorch.training import train_step
from tito.curves import pyplot

# ---- knobs

NEEDS = (  # the chapters at work
    "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "17", "21", "26")


class Size(NamedTuple):
    "Budgets in FLOPs, the widths for each, and how many seeds; the budget to predict, and how near it must be."
    model: dict  # options of nn.GPTConfig, but for the width
    budgets: dict
    seeds: int
    predicted: float
    near: float  # nats between the predicted loss and that of the run
    beaten: float  # nats by which a neighbour may be better


MODEL = dict(context=64, num_layers=2, tied_head=False, d_model=16)
SIZES = {
    "small": Size(MODEL, {1e10: (4, 6, 8, 10, 12, 16, 20, 24), 2e10: (6, 8, 10, 12, 16, 20, 24, 32),
                          4e10: (8, 10, 12, 16, 20, 24, 32, 40), 8e10: (10, 12, 16, 20, 24, 32, 40, 48),
                          1.6e11: (12, 16, 20, 24, 32, 40, 48, 64)}, 3, 6.4e11, 0.05, 0.02),
    "quick": Size(MODEL, {1e9: (2, 4, 6, 8, 12), 2e9: (4, 6, 8, 12, 16), 4e9: (4, 6, 8, 12, 16)}, 1, 8e9, 0.2,
                  0.1),
}
WIDTHS = (*range(2, 16, 2), *range(16, 64, 4), *range(64, 129, 8))  # to choose from for the prediction
HEAD, BATCH, MAX_NORM, BETAS, WEIGHT_DECAY, LAST_RATE = 16, 8, 1.0, (0.9, 0.99), 0.1, 0.1
MEASURED_WINDOWS, DRAWS, LEVEL, WORKERS = 512, 500, 0.9, 2
ADVICE = ("Does each size get the tokens that the budget is worth for it, 6N + 12LTd for each? Are there sizes on both "
          "sides of the minimum, and is the learning rate right for each width?")

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--size", choices=["small"], help="which settings (default small)")
parser.add_argument("--workers", type=int, help=f"processes that train at the same time (default {WORKERS})")
add_run_arguments(parser, ["tokens", "sizes"], "smaller budgets, one seed, a prediction that is less near")
parser.set_defaults(sample=None, text=None)


# ---- one trial

def read_texts(settings):
    corpus = corpus_of(settings, "tinystories")
    tokenizer = CharTokenizer.train(corpus.train + corpus.held_out)
    return Texts(corpus, tokenizer, MODEL["context"])


def learning_rate(width):
    "Return what was best, to a third, for widths from 16 to 128."
    return 0.2 / width ** 0.75


def config_of(texts, width):
    heads = max(width // HEAD, 1)
    return nn.GPTConfig(vocab_size=texts.tokenizer.vocab_size, **MODEL | dict(
        d_model=width, num_heads=heads if width % heads == 0 else 1))


def tokens_of(budget, width, texts):
    return tokens_for(budget, MODEL["num_layers"], width, texts.tokenizer.vocab_size, MODEL["context"])


def trial(texts, budget, width, seed, tokens):
    "Train a GPT of this width on so many tokens; return its Trial."
    config, steps = config_of(texts, width), max(tokens // (BATCH * MODEL["context"]), 1)
    tinytorch.manual_seed(seed)
    model = nn.GPT(config)
    optimizer = AdamW(decay_groups(model, WEIGHT_DECAY), lr=learning_rate(width), betas=BETAS)
    schedule = LambdaLR(optimizer, warmup_cosine(max(steps // 10, 1), steps, LAST_RATE))
    for batch in RandomBatches(texts.windows, BATCH, steps, generator=seed):
        train_step(model, [batch], loss_of, optimizer, MAX_NORM)
        schedule.step()
    loss, _ = measure(model, texts.held_out_windows, MEASURED_WINDOWS)
    return Trial(budget, multiplied(MODEL["num_layers"], width, config.vocab_size), tokens, loss)


@cache
def texts_of(settings):
    "Return the texts, of settings as a tuple of pairs: each worker reads them once."
    return read_texts(dict(settings))


def in_worker(job, settings):
    started = time.process_time()
    return job, trial(texts_of(settings), *job), time.process_time() - started


# ---- all of them

def saved(path):
    "Return {(budget, width, seed, tokens): Trial} of what is finished; a line that was cut off is left out."
    found = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        found[tuple(row["job"])] = Trial(*row["trial"])
    return found


def make(jobs, settings, folder, workers):
    "Return ({job: Trial}, CPU seconds): those of `jobs` that are not in the folder yet are trained, and written there."
    path = folder / "trials.jsonl"
    found, seconds = saved(path), 0.0
    missing = [job for job in jobs if job not in found]
    given = tuple((name, settings[name]) for name in ("text", "text_sha256"))
    with ProcessPoolExecutor(workers) as pool, path.open("a") as file:
        for task in as_completed([pool.submit(in_worker, job, given) for job in missing]):
            job, made, took = task.result()
            found[job], seconds = made, seconds + took
            file.write("\n" * (file.tell() > 0) + json.dumps({"job": job, "trial": made, "seconds": took}))
            file.flush()
            print(f"{made.flops:.1e} FLOPs  width {job[1]:>3}  seed {job[2]}  {made.size:>7,} weights  "
                  f"{made.tokens:>10,} tokens  loss {made.loss:.3f}  {took:5.1f} s", flush=True)
    return {job: found[job] for job in jobs}, seconds


def sweep_jobs(size, settings, texts):
    "Return the jobs of the sweep: (budget, width, seed, tokens)."
    jobs = []
    for budget, widths in size.budgets.items():
        most = tokens_of(budget, widths[0], texts)
        for width in widths:
            tokens = most if settings["broken"] == "tokens" else tokens_of(budget, width, texts)
            jobs += [(budget, width, settings["seed"] + seed, tokens) for seed in range(size.seeds)]
    return sorted(jobs, key=lambda job: -job[0])  # the longest first


def in_other_order(trials, seed):
    "Give the losses of each budget to other sizes."
    generator, found = np.random.default_rng(seed), []
    for budget in sorted({one.flops for one in trials}):
        group = [one for one in trials if one.flops == budget]
        losses = generator.permutation([one.loss for one in group])
        found += [one._replace(loss=float(loss)) for one, loss in zip(group, losses)]
    return found


def without_minimum(trials):
    "Return the budgets for which no minimum lies between the sizes."
    missing = []
    for budget in sorted({one.flops for one in trials}):
        group = [one for one in trials if one.flops == budget]
        try:
            minimum([one.size for one in group], [one.loss for one in group])
        except ValueError:
            missing.append(budget)
    return missing


# ---- the prediction

def candidates(wanted, texts):
    "Return three widths: the one nearest to `wanted` weights, and those nearest to half and twice as many."
    def weights(width):
        return multiplied(MODEL["num_layers"], width, texts.tokenizer.vocab_size)

    return [min(WIDTHS, key=lambda width, factor=factor: abs(np.log(weights(width) / (factor * wanted))))
            for factor in (1.0, 0.5, 2.0)]


def check_prediction(size, law, settings, folder, texts, workers):
    "Make the runs at the budget that was predicted; return ([nearest, half, twice], CPU seconds), the means of seeds."
    widths = candidates(law.at(size.predicted)[0], texts)
    jobs = [(size.predicted, width, settings["seed"] + seed, tokens_of(size.predicted, width, texts))
            for width in widths for seed in range(size.seeds)]
    made, seconds = make(jobs, settings, folder, workers)
    means = []
    for width in widths:
        group = [one for job, one in made.items() if job[1] == width]
        means.append(group[0]._replace(loss=float(np.mean([one.loss for one in group]))))
    return means, seconds


def draw(folder, trials, checked, law):
    plt = pyplot()
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    draw_isoflops(axes[0], trials)
    axes[0].semilogx([one.size for one in checked], [one.loss for one in checked], "s", color="0.4", markersize=5)
    budgets, rows = zip(*optima(trials).items())
    ends = np.array([budgets[0], checked[0].flops])
    axes[1].loglog(budgets, [size for size, _, _ in rows], "k*", label="minima")
    axes[1].loglog(ends, law.size[0] * ends ** law.size[1], "k--", linewidth=1, label=f"C^{law.size[1]:.2f}")
    axes[1].loglog([checked[0].flops], [checked[0].size], "s", color="0.4", label="the run that was predicted")
    axes[1].set(xlabel="FLOPs", ylabel="best number of weights")
    axes[1].legend(fontsize=8)
    figure.savefig(folder / "isoflops.png", dpi=120)
    plt.close(figure)


# ---- a run

def run(settings, folder, texts, workers):
    "Make the sweep, fit, predict, check; return the exit status."
    size, started = SIZES[settings["size"]], time.perf_counter()
    jobs = sweep_jobs(size, settings, texts)
    print(f"{settings['size']}: {len(jobs)} trials; to go on after an interruption: --resume {folder}", flush=True)
    made, seconds = make(jobs, settings, folder, workers)
    trials = list(made.values())
    if settings["broken"] == "sizes":
        trials = in_other_order(trials, settings["seed"])
    missing = without_minimum(trials)
    criteria = [at_most("budgets without a minimum", len(missing), 0)]
    if missing:
        return finish(folder, criteria, {"trials": len(trials)}, time.perf_counter() - started, ADVICE,
                      **verdict_on(settings))
    law = fit(trials)
    intervals = bootstrap(trials, size.predicted, DRAWS, LEVEL, generator=settings["seed"])
    checked, more = check_prediction(size, law, settings, folder, texts, workers)
    best, _, expected = law.at(size.predicted)
    draw(folder, trials, checked, law)
    criteria += [at_most("nats between prediction and run", abs(checked[0].loss - expected), size.near),
                 at_least("nats by which a neighbour is worse", min(one.loss for one in checked[1:]) - checked[0].loss,
                          -size.beaten)]
    table = {f"{budget:.1e} FLOPs": dict(zip(("best size", "tokens", "loss"), row))
             for budget, row in optima(trials).items()}
    table[f"{size.predicted:.1e}, predicted"] = dict(zip(("best size", "tokens", "loss"), law.at(size.predicted)))
    for name, one in zip(("run", "half the size", "twice the size"), checked):
        table[f"{name}"] = {"best size": one.size, "tokens": one.tokens, "loss": one.loss}
    numbers = {"trials": len(trials) + len(checked) * size.seeds, "exponent of the size": law.size[1],
               "its interval": "{:.3f} to {:.3f}".format(*intervals.size), "exponent of the tokens": law.tokens[1],
               "interval of that": "{:.3f} to {:.3f}".format(*intervals.tokens), "predicted size": best,
               "interval of the size": "{:,.0f} to {:,.0f}".format(*intervals.size_at), "predicted loss": expected,
               "interval of the loss": "{:.3f} to {:.3f}".format(*intervals.loss_at),
               "draws without a minimum": intervals.failed, "CPU seconds": seconds + more}
    return finish(folder, criteria, numbers, time.perf_counter() - started, ADVICE, table=table, **verdict_on(settings))


def main():
    args = parser.parse_args()
    if args.workers is not None and args.workers < 1:
        parser.error(f"expected --workers of at least 1, got {args.workers}")
    workers, args.workers = args.workers or WORKERS, None  # no setting of the run
    settings, folder = settings_of(args, parser, "scaling", SIZES, "trials.jsonl")
    with refusing_input(parser):
        texts = read_texts(settings)
        if folder is None:
            folder = start_run(args, "scaling", settings, texts.tokenizer, config_of(texts, MODEL["d_model"]))
    with stoppable(parser, folder):
        return run(settings, folder, texts, workers)


if __name__ == "__main__":
    sys.exit(main())
