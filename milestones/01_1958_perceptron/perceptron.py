"""1958, the perceptron: one neuron learns from its mistakes, and meets the problem that it cannot learn.

    python milestones/01_1958_perceptron/perceptron.py [--seed 0] [--broken labels|xor]

"The Navy revealed the embryo of an electronic computer today that it expects will be able to walk, talk, see, write,
reproduce itself and be conscious of its existence", wrote the New York Times on 8 July 1958. What was shown that day:
an IBM 704 saw cards marked at the left or at the right, and told them apart after fifty attempts. The machine followed
a rule of Frank Rosenblatt (The perceptron, Psychological Review 65, 1958):

    if the answer is wrong, add the input to the weights, or subtract it, so that the answer moves to the right side.

Here the same happens twice: by that rule, and by the gradient of the loss max(0, -y score), which turns out to be the
same rule, number by number. One neuron learns the cards of 1958 and two clouds of points; then it is shown XOR, where
no straight line can be right (Minsky and Papert: Perceptrons, 1969), and never comes to rest.
"""
import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is imported: these products are tiny

import numpy as np

import tinytorch
import tinytorch.nn as nn
from tinytorch import Tensor
from tinytorch.optim import SGD
from tinytorch.runs import new_run

sys.path.append(str(Path(__file__).parents[1]))  # classics.py, criteria.py

from classics import with_labels_shuffled
from criteria import at_least, at_most, finish

from tito.curves import pyplot

# ---- knobs

NEEDS = ("01", "02", "03", "04", "06")  # the chapters whose code runs here
RETINA, MARK = 20, 6  # the Mark I had 20 x 20 photocells; a mark is a square of 6 x 6
CARDS, TEST_CARDS = 50, 500  # "after fifty attempts"
POINTS, TEST_POINTS, GAP = 200, 1_000, 0.5  # GAP: how far the clouds keep from the line between them, each
EPOCHS = 40  # passes over the examples; it stops after one without a mistake
CARDS_RIGHT, POINTS_RIGHT, XOR_RIGHT = 0.95, 0.98, 0.85  # thresholds; the last one is not to be reached

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--seed", type=int, default=0, help="of cards, points and first weights (default 0)")
parser.add_argument("--broken", choices=["labels", "xor"], help="train on shuffled labels, or on XOR: it has to fail")
parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for the run folder (default runs/)")


# ---- what there is to see: inputs (N, D) and sides (N,) of -1 and 1

def cards(count, generator):
    "Return cards with a square at a random place of the left half (-1) or of the right half (1), as rows of 400 cells."
    images, sides = np.zeros((count, RETINA, RETINA), np.float32), generator.choice([-1, 1], count)
    for image, side in zip(images, sides):
        y, x = generator.integers(0, RETINA - MARK + 1), generator.integers(0, RETINA // 2 - MARK + 1)
        image[y:y + MARK, (x if side < 0 else x + RETINA // 2):][:, :MARK] = 1
    return images.reshape(count, -1), sides


def clouds(count, generator):
    "Return points of the plane on both sides of the line x + 2 y = 0, none closer to it than GAP."
    points = generator.standard_normal((20 * count, 2)).astype(np.float32) * 2
    distance = points @ np.array([1, 2], np.float32) / np.sqrt(5, dtype=np.float32)
    kept = np.abs(distance) > GAP
    return points[kept][:count], np.sign(distance[kept][:count]).astype(int)


def xor(count, generator):
    "Return points around the corners of a square: 1 where exactly one coordinate is positive."
    corners = generator.choice([-1, 1], (count, 2))
    return (1.5 * corners + 0.3 * generator.standard_normal((count, 2))).astype(np.float32), -corners.prod(axis=1)


# ---- the rule, twice

def rosenblatt(inputs, sides, weight, bias):
    "Learn from examples one by one, until a pass has no mistake; return (weight, bias, mistakes in each pass)."
    mistakes = []
    for _ in range(EPOCHS):
        wrong = 0
        for x, side in zip(inputs, sides):
            if side * (weight @ x + bias) < 0:
                weight, bias = weight + side * x, bias + side
                wrong += 1
        mistakes.append(wrong)
        if not wrong:
            break
    return weight, bias, mistakes


def by_gradient(inputs, sides, weight, bias):
    "Do the same by the gradient of max(0, -side * score), which is -side * x where the side is wrong, and else 0."
    neuron = nn.Linear(len(weight), 1)
    neuron.load_state_dict({"weight": weight[None], "bias": np.array([bias])})
    optimizer, mistakes = SGD(neuron.parameters(), lr=1.0), []
    for _ in range(EPOCHS):
        wrong = 0
        for x, side in zip(inputs, sides):
            loss = (neuron(Tensor(x)) * float(-side)).relu().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            wrong += loss.item() > 0
        mistakes.append(wrong)
        if not wrong:
            break
    return neuron.weight.data[0], float(neuron.bias.data[0]), mistakes


def first_weights(size):
    return tinytorch.randn(size).data * np.float32(0.1), float(tinytorch.randn(1).data[0]) * 0.1


def share_right(inputs, sides, weight, bias):
    return float((np.sign(inputs @ weight + bias) == sides).mean())


def most_mistakes(inputs, gap):
    """Return the most mistakes that the rule can make on inputs separable with margin `gap`, from 0 (Novikoff 1962).

    (R / gap)^2, R being the length of the longest input, to which the bias adds a 1.
    """
    return int(((inputs**2).sum(axis=1).max() + 1) / gap**2)


# ---- looking

def draw(path, panels, cards, card_weight):
    "Draw cards and their weights; for each of two panels (title, inputs, sides, found) the line and the mistakes."
    plt = pyplot()
    figure, axes = plt.subplots(2, 3, figsize=(11, 6.8), layout="constrained")
    for axis in axes[:, 0]:
        axis.set(xticks=[], yticks=[])
    shown = np.pad(cards[:9].reshape(3, 3, RETINA, RETINA), [(0, 0), (0, 0), (1, 1), (1, 1)], constant_values=0.4)
    axes[0, 0].imshow(shown.transpose(0, 2, 1, 3).reshape(3 * (RETINA + 2), -1), cmap="gray_r")
    axes[0, 0].set(title=f"cards: is the mark left or right?\n(9 of {len(cards)})")
    largest = np.abs(card_weight).max()
    image = axes[1, 0].imshow(card_weight.reshape(RETINA, RETINA), cmap="RdBu", vmin=-largest, vmax=largest)
    bar = figure.colorbar(image, ax=axes[1, 0], ticks=[-largest, largest], shrink=0.8)
    bar.ax.set_yticklabels(["left", "right"])
    axes[1, 0].set(title="what the neuron's 400 weights say")
    for axis, below, (title, inputs, sides, (weight, bias, mistakes)) in zip(axes[0, 1:], axes[1, 1:], panels):
        grid = np.stack(np.meshgrid(*[np.linspace(-6, 6, 200, dtype=np.float32)] * 2), -1)  # (200, 200, 2)
        axis.contourf(*grid.transpose(2, 0, 1), grid @ weight + bias > 0, levels=[-0.5, 0.5, 1.5],
                      colors=["#f4c7c3", "#c3d4f4"])
        wrong = np.sign(inputs @ weight + bias) != sides
        for side, color in ((1, "C0"), (-1, "C3")):
            axis.scatter(*inputs[sides == side].T, c=color, s=9, label=f"{side:+d}")
        axis.scatter(*inputs[wrong].T, s=18, facecolors="none", edgecolors="black", linewidths=0.5, label="wrong")
        axis.set(title=f"{title}\n{wrong.sum()} of {len(sides)} are wrong in the end", xlim=(-6, 6), ylim=(-6, 6),
                 aspect="equal", xticks=range(-6, 7, 3), yticks=range(-6, 7, 3))
        below.plot(range(1, len(mistakes) + 1), mistakes, "o-", color="0.3", markersize=3)
        below.set(xlabel="pass over the points", ylabel="mistakes", ylim=(0, 1.1 * max(mistakes)),
                  title=f"mistakes of the last pass: {mistakes[-1]}")
        below.xaxis.get_major_locator().set_params(integer=True)
    axes[0, 2].legend(loc="lower center", fontsize=8, ncols=3, columnspacing=1, handletextpad=0.2)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main():
    args = parser.parse_args()
    if args.seed < 0:
        parser.error(f"expected --seed of at least 0, got {args.seed}")
    start, generator = time.perf_counter(), tinytorch.manual_seed(args.seed)
    folder = new_run(args.runs, "perceptron", vars(args))

    def learn(name, task, train_count, test_count):
        "Return (training examples, what the rule found, share of held-out ones right, difference to the gradient)."
        train, test = task(train_count, generator), task(test_count, generator)
        if args.broken == "labels":
            train = train[0], with_labels_shuffled(train[1], generator)
        begin = first_weights(train[0].shape[1])
        found, same = rosenblatt(*train, *begin), by_gradient(*train, *begin)
        difference = float(max(np.abs(found[0] - same[0]).max(), abs(found[1] - same[1])))
        share = share_right(*test, *found[:2])
        print(f"{name}: {sum(found[2])} mistakes in {len(found[2])} passes, the last had {found[2][-1]}; held out "
              f"right {share:.2%}; the gradient's weights differ by {difference:.1e}", flush=True)
        return train, found, share, difference

    tasks = {"cards": (cards, CARDS, TEST_CARDS), "points": (clouds, POINTS, TEST_POINTS)}
    if args.broken == "xor":
        tasks["points"] = (xor, POINTS, TEST_POINTS)
    learned = {name: learn(name, *task) for name, task in tasks.items()}
    xor_train, xor_found, xor_share, _ = learn("XOR", xor, POINTS, TEST_POINTS)

    points, found, share, _ = learned["points"]
    numbers = {"mistakes on the points": sum(found[2]),
               "of which there can be (Novikoff)": most_mistakes(points[0], GAP),
               "passes over the cards": len(learned["cards"][1][2]),
               "XOR, held out right": xor_share, "XOR, mistakes in the last pass": xor_found[2][-1]}
    criteria = [
        at_least("held-out cards right", learned["cards"][2], CARDS_RIGHT, percent=True),
        at_least("held-out points right", share, POINTS_RIGHT, percent=True),
        at_most("points, mistakes in the last pass", found[2][-1], 0),
        at_most("rule and gradient, difference of weights", max(each[3] for each in learned.values()), 1e-3),
        at_most("held-out points of XOR right (no line can)", xor_share, XOR_RIGHT, percent=True),
    ]
    draw(folder / "perceptron.png", [("two clouds", *points, found), ("XOR", *xor_train, xor_found)],
         learned["cards"][0][0], learned["cards"][1][0])
    return finish(folder, criteria, numbers, time.perf_counter() - start,
                  "Does the rule move the line towards the mistakes (sign), and the bias too?", broken=args.broken)


if __name__ == "__main__":
    sys.exit(main())
