"""1969, XOR: a hidden layer solves what one neuron cannot, from a hundred different starts.

    python milestones/02_1969_xor/xor.py [--seed 0] [--seeds 100] [--broken linear]

Exclusive or: 1 where exactly one of two inputs is on. In the plane its four cases sit at the corners of a square, ones
and zeros crosswise, and no straight line has both ones on one side. Minsky and Papert (Perceptrons, 1969) proved what a
single layer cannot compute, parity among it, and wrote of "our intuitive judgement that the extension to multilayer
systems is sterile" (section 13.2), which they called an important research problem to elucidate or reject. What was
missing was a rule for hidden neurons, of which nobody says what they should do. Rumelhart, Hinton and Williams made
backpropagation that rule, and XOR their first example (Learning internal representations by error propagation, in
Parallel Distributed Processing, 1986, which also shows a network with two hidden neurons stuck at it).

Here a network with eight hidden neurons learns it from noisy examples, from as many different starts as --seeds says.
One more number tells of the network of 1986: how often two hidden neurons find a way.
"""
import argparse
import os
import sys
import time
from contextlib import closing
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is imported: these products are tiny

import numpy as np

import tinytorch
import tinytorch.nn as nn
import tinytorch.nn.functional as F
from tinytorch import Tensor
from tinytorch.optim import Adam
from tinytorch.runs import Metrics, new_run

sys.path.append(str(Path(__file__).parents[1]))  # criteria.py

from criteria import at_least, finish

from tito.curves import pyplot

# ---- knobs

NEEDS = ("01", "02", "03", "04", "05", "06")  # the chapters whose code runs here
HIDDEN, STEPS, LEARNING_RATE = 8, 200, 0.05
POINTS, TEST_POINTS, NOISE = 100, 400, 0.2  # standard deviation around the corners, which are 2 apart
SOLVED = 0.99  # share of held-out points that a start has to get right
WANTED = 0.99  # share of starts that have to solve it

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--seed", type=int, default=0, help="the first seed; each start has its own data (default 0)")
parser.add_argument("--seeds", type=int, default=100, help="how many starts (default 100)")
parser.add_argument("--broken", choices=["linear"], help="no nonlinearity in the hidden layer: it has to fail")
parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for the run folder (default runs/)")


def xor(count, generator):
    "Return noisy corners (N, 2) of float32, and targets (N, 1): 1 where exactly one coordinate is positive."
    corners = generator.choice([-1, 1], (count, 2))
    points = corners + NOISE * generator.standard_normal((count, 2))
    return points.astype(np.float32), (corners.prod(axis=1, keepdims=True) < 0).astype(np.float32)


def build(hidden, linear=False):
    return nn.Sequential(nn.Linear(2, hidden), nn.Identity() if linear else nn.Tanh(), nn.Linear(hidden, 1))


def train(model, points, targets):
    "Train on all examples at once, as in 1986; return the loss of each step."
    optimizer, losses = Adam(model.parameters(), lr=LEARNING_RATE), []
    for _ in range(STEPS):
        loss = F.binary_cross_entropy_with_logits(model(Tensor(points)), Tensor(targets))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@tinytorch.no_grad()
def share_right(model, points, targets):
    return float(((model(Tensor(points)).data > 0) == targets).mean())


def one_start(seed, hidden=HIDDEN, linear=False):
    "Train from one seed; return (model, training points, losses, share of held-out points right)."
    generator = tinytorch.manual_seed(seed)
    examples, held_out = xor(POINTS, generator), xor(TEST_POINTS, generator)
    model = build(hidden, linear)
    losses = train(model, *examples)
    return model, examples, losses, share_right(model, *held_out)


@tinytorch.no_grad()
def draw(path, model, points, targets, losses):
    "Draw the output over the plane, with the line of each hidden neuron; and the losses of all starts."
    plt = pyplot()
    figure, (plane, curves) = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
    ticks = np.linspace(-2, 2, 200, dtype=np.float32)
    grid = np.stack(np.meshgrid(ticks, ticks), -1)  # (200, 200, 2)
    shares = F.sigmoid(model(Tensor(grid))).data[..., 0]
    image = plane.imshow(shares, extent=(-2, 2, -2, 2), origin="lower", cmap="RdBu", vmin=0, vmax=1)
    for (a, b), c in zip(model[0].weight.data, model[0].bias.data):
        plane.contour(ticks, ticks, a * grid[..., 0] + b * grid[..., 1] + c, levels=[0], colors="gray", linewidths=0.7)
    for target, color in ((1, "C0"), (0, "C3")):
        plane.scatter(*points[targets[:, 0] == target].T, c=color, s=14, edgecolors="white", linewidths=0.5,
                      label=f"{target}")
    plane.set(title=f"gray: where each of {len(model[0].bias.data)} hidden neurons changes sign", aspect="equal",
              xlabel="first input", ylabel="second input", xticks=range(-2, 3), yticks=range(-2, 3))
    plane.legend(loc="upper right", fontsize=8, handletextpad=0.1)
    figure.colorbar(image, ax=plane, label="the network's probability of 1", shrink=0.9)
    curves.semilogy(range(1, len(losses[0]) + 1), np.array(losses).T, color="C0", alpha=0.25, linewidth=0.7)
    curves.semilogy(range(1, len(losses[0]) + 1), np.median(losses, axis=0), color="black", label="median")
    curves.axhline(np.log(2), color="0.5", linestyle=":", label="a coin: ln 2")
    curves.set(title=f"{len(losses)} starts", xlabel="step", ylabel="training loss")
    curves.legend(fontsize=8)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main():
    args = parser.parse_args()
    if args.seed < 0 or args.seeds < 1:
        parser.error(f"expected --seed of at least 0 and --seeds of at least 1, got {args.seed} and {args.seeds}")
    begin, linear = time.perf_counter(), args.broken == "linear"
    folder = new_run(args.runs, "xor", vars(args))
    seeds = range(args.seed, args.seed + args.seeds)
    starts = [one_start(seed, linear=linear) for seed in seeds]
    shares = np.array([share for *_, share in starts])
    for seed, share in zip(seeds, shares):
        if share < SOLVED:
            print(f"seed {seed}: only {share:.2%} of the held-out points are right")
    two = np.array([one_start(seed, hidden=2, linear=linear)[-1] for seed in seeds])

    model, examples, _, _ = starts[0]
    losses = [losses for _, _, losses, _ in starts]
    draw(folder / "xor.png", model, *examples, losses)
    with closing(Metrics(folder)) as record:
        for step, loss in enumerate(np.median(losses, axis=0), 1):
            record({"step": step, "loss": loss})
    numbers = {"starts": args.seeds, "worst start, held out right": float(shares.min()),
               "starts that two hidden neurons solve": float((two >= SOLVED).mean())}
    criteria = [at_least("starts solve it", float((shares >= SOLVED).mean()), WANTED, percent=True)]
    return finish(folder, criteria, numbers, time.perf_counter() - begin,
                  "Is there a nonlinearity between the two layers, and does the gradient reach the first one?",
                  part=f"--seeds {args.seeds}" if args.seeds < parser.get_default("seeds") else "",
                  broken=args.broken)


if __name__ == "__main__":
    sys.exit(main())
