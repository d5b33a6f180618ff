"""2009, the roofline: what training the models of this course costs, and how much of this machine it uses.

    python milestones/08_efficiency/utilisation.py [--repeats 5]

For each milestone that trains a network, a step of its own model at its own batch size, forward and backward, is
counted: FLOPs and bytes of every operation (chapter 21). The machine's peaks are measured, and the step is timed. The
table says what the step needs, how long it takes, and its model FLOPs utilisation (Chowdhery et al. 2022, appendix B);
`roofline.png` shows every operation of the largest one under the line of this machine (Williams et al. 2009).

What counts: the linear layers and the attention of each transformer take the FLOPs of the closed formula, 6N + 12LTd
for each token, to 3 %. The times are stated whatever they are. The exit status is 0 only if that holds.

--broken forward (counts no backward half) or lookups (multiplies with the table of embeddings, too) cannot work.
"""
import argparse
import sys
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
for folder in ("03_1986_mlp", "04_1998_cnn", "05_2017_transformer", "."):
    sys.path.append(str(HERE.parent / folder))  # the other milestones, and criteria.py

import cnn
import copilot
import mlp
import shakespeare
import tinystories
from criteria import at_most, finish
from language import loss_of

import tinytorch
import tinytorch.nn as nn
import tinytorch.nn.functional as F
from tinytorch import Tensor, fast
from tinytorch.counting import (
    count,
    draw_roofline,
    fastest,
    measure_machine,
    multiplied_weights,
    roofline,
    training_flops,
    utilisation,
)
from tinytorch.runs import new_run
from tito.curves import pyplot

# ---- knobs

NEEDS = ("01", "02", "03", "04", "05", "10", "11", "12", "13", "17", "21")  # the chapters at work
GPTS = {"copilot": copilot.SIZES["small"].config(97), "shakespeare": shakespeare.SIZES["base"].config(67),
        "tinystories": tinystories.SIZES["small"].config, "tinystories, large": tinystories.SIZES["large"].config}
BATCHES = {"copilot": 16, "shakespeare": 32, "tinystories": 16, "tinystories, large": 16}
DRAWN, MOST = "shakespeare", 0.03
ADVICE = "Are both halves counted, and is N the number of weights that each token is multiplied with?"

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--repeats", type=int, default=5, help="timed steps, of which the fastest counts (default 5)")
parser.add_argument("--broken", choices=["forward", "lookups"], help="a count that must fail")
parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for the run folder (default runs/)")


# ---- what is counted

def step_of(model, inputs, targets, loss_fn):
    "Return a function that makes a step of training, without the optimizer."
    def step():
        loss_fn(model, inputs, targets).backward()
        model.zero_grad()
    return step


def image_steps():
    "Return {milestone: step} of the classics, on noise in the place of images."
    generator = np.random.default_rng(0)
    tinytorch.manual_seed(0)
    models = {"mlp": (mlp.build(64, 10, mlp.SETTINGS["digits"]["hidden"]), mlp.SETTINGS["digits"]["batch"]),
              "cnn": (cnn.build((1, 8, 8), 10, cnn.SETTINGS["digits"]["channels"]), cnn.SETTINGS["digits"]["batch"])}
    images, labels = generator.standard_normal((64, 1, 8, 8), dtype=np.float32), generator.integers(10, size=64)
    return {name: step_of(model, Tensor(images[:batch]), Tensor(labels[:batch]), lambda model, x, y: F.cross_entropy(
        model(x), y)) for name, (model, batch) in models.items()}


def gpt_step(config, batch):
    "Return (a GPT, its step on random tokens)."
    tinytorch.manual_seed(0)
    model, generator = nn.GPT(config), np.random.default_rng(0)
    ids, targets = (Tensor(generator.integers(config.vocab_size, size=(batch, config.context))) for _ in range(2))
    return model, step_of(model, ids, targets, loss_of)


def formula_of(model, tokens, broken):
    "Return the closed formula for training `model` on so many tokens."
    config, weights = model.config, multiplied_weights(model)
    if broken == "lookups":
        weights += model.token_embedding.weight.numel()
    return training_flops(weights, config.num_layers, config.d_model, config.context, tokens)


def products_of(tally, broken):
    "Return the FLOPs of linear layers and of attention."
    halves = ("forward",) if broken == "forward" else ("forward", "backward")
    return sum(row.flops for (name, half), row in tally.rows.items()
               if name in ("Linear", "Attention") and half in halves)


def column(step, tally, machine, repeats):
    seconds = fastest(step, repeats)
    return {"MFLOP a step": tally.flops / 1e6, "MB a step": tally.bytes / 1e6,
            "FLOPs a byte": tally.flops / tally.bytes, "ms a step": 1000 * seconds,
            "GFLOP/s": tally.flops / seconds / 1e9,
            "utilisation, %": 100 * utilisation(tally.flops, seconds, machine)}


def main():
    args = parser.parse_args()
    if args.repeats < 1:
        parser.error(f"expected --repeats of at least 1, got {args.repeats}")
    started, level = time.perf_counter(), fast.status()["level"]
    folder = new_run(args.runs, "utilisation", {"broken": args.broken, "fast": level})
    machine, table, criteria = measure_machine(), {}, []
    for name, step in image_steps().items():
        table[name] = column(step, count(step), machine, args.repeats)
    for name, config in GPTS.items():
        model, step = gpt_step(config, BATCHES[name])
        tally = count(step)
        table[name] = column(step, tally, machine, args.repeats)
        formula = formula_of(model, BATCHES[name] * config.context, args.broken)
        off = abs(products_of(tally, args.broken) / formula - 1)
        criteria.append(at_most(f"off the closed formula, {name}", off, MOST, True))
        if name == DRAWN:
            figure, axes = pyplot().subplots(figsize=(7, 4.5), layout="constrained")
            draw_roofline(axes, roofline(step, args.repeats), machine)
            axes.set_title(f"A step of {name}, operation by operation")
            figure.savefig(folder / "roofline.png", dpi=120)
    numbers = {"machine, GFLOP/s": machine.flops / 1e9, "machine, GB/s": machine.bandwidth / 1e9, "forms": level}
    return finish(folder, criteria, numbers, time.perf_counter() - started, ADVICE, table=table, broken=args.broken)


if __name__ == "__main__":
    sys.exit(main())
