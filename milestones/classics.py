"""What the scripts of 1958 to 1998 share: learning images in batches, and the end of a run: criteria and files."""
import json
from typing import NamedTuple

import numpy as np

import tinytorch
import tinytorch.nn.functional as F
from tinytorch import Tensor
from tinytorch.checkpoint import write_whole
from tinytorch.optim import AdamW, LambdaLR, warmup_cosine
from tito.report import write_report


class Criterion(NamedTuple):
    "What a run has to show, and what it got."
    name: str
    got: float
    wanted: str
    passed: bool


def at_least(name, got, wanted):
    return Criterion(name, got, f"at least {shown(wanted)}", bool(got >= wanted))


def at_most(name, got, wanted):
    return Criterion(name, got, f"at most {shown(wanted)}", bool(got <= wanted))


def shown(value):
    if isinstance(value, float):
        return f"{value:.2%}" if 0.1 <= value <= 1 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def finish(folder, criteria, numbers, seconds, advice):
    """Write results.json, status.json and report.html of a run, print what it got; returns the exit status.

    numbers: {name: what else was measured}. The first criterion is the number that `tito runs` shows.
    """
    passed = all(criterion.passed for criterion in criteria)
    results = {"criteria": [criterion._asdict() for criterion in criteria], "numbers": numbers}
    write_whole(folder / "results.json", json.dumps(results, indent=1).encode())
    status = {"status": "learned" if passed else "not learned", "seconds": seconds,
              "best": {"metric": criteria[0].name, "value": criteria[0].got}}
    write_whole(folder / "status.json", json.dumps(status).encode())
    width = max(map(len, [*numbers, *(criterion.name for criterion in criteria)]))
    print("\n" + "\n".join(f"{name:{width}}  {shown(value)}" for name, value in numbers.items()))
    for name, got, wanted, good in criteria:
        print(f"{name:{width}}  {shown(got)}, wanted {wanted}: {'yes' if good else 'NO'}")
    print(f"\nrun folder: {folder}, all on one page: {write_report(folder)}")
    failed = ", ".join(criterion.name for criterion in criteria if not criterion.passed)
    print("LEARNED: every criterion is met." if passed else f"NOT LEARNED: {failed}. {advice}")
    return 0 if passed else 1


# ---- images

def fit(model, images, labels, epochs, learning_rate, batch=64, augment=None, smoothing=0.0, weight_decay=0.01,
        record=None):
    """Train `model` on images (N, C, H, W) and labels (N,) with AdamW and a cosine schedule; returns it in eval mode.

    augment(images, generator): other images of the same things, drawn anew in every epoch. record(dict): called after
    each step.
    """
    generator = tinytorch.default_generator()
    optimizer = AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    steps = epochs * -(-len(images) // batch)
    schedule = LambdaLR(optimizer, warmup_cosine(min(20, steps // 10), steps))
    step, report = 0, max(1, epochs // 5)
    for epoch in range(1, epochs + 1):
        right, order = 0, generator.permutation(len(images))
        for start in range(0, len(order), batch):
            chosen = order[start:start + batch]
            inputs = augment(images[chosen], generator) if augment else images[chosen]
            scores = model(Tensor(inputs))
            loss = F.cross_entropy(scores, Tensor(labels[chosen]), label_smoothing=smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
            right += int((scores.data.argmax(1) == labels[chosen]).sum())
            if record:
                record({"step": step, "loss": loss.item()})
        if epoch % report == 0 or epoch == epochs:
            print(f"  epoch {epoch:3}/{epochs}   loss {loss.item():.4f}   of the training images right "
                  f"{right / len(images):.2%}", flush=True)
    return model.eval()


@tinytorch.no_grad()
def scores_of(model, images, batch=500):
    "(N, classes), in batches"
    return np.concatenate([model(Tensor(images[i:i + batch])).data for i in range(0, len(images), batch)])


def accuracy(model, images, labels):
    return float((scores_of(model, images).argmax(1) == labels).mean())


def with_labels_shuffled(labels, generator):
    "The negative control: nothing is left to learn but by heart."
    return generator.permutation(labels)


# ---- pictures

def pyplot():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def worth_a_look(scores, labels):
    """(order, shares): all examples, those with a wrong answer first, the surest of them in front, then the right ones,
    the surest at the end; and the probability of each answer.
    """
    chances = np.exp(scores - scores.max(1, keepdims=True))
    shares, right = chances.max(1) / chances.sum(1), scores.argmax(1) == labels
    return np.lexsort((np.where(right, shares, -shares), right)), shares


def draw_mistakes(path, images, labels, scores, classes, most=24):
    "Held-out images: those that came out wrong (red), then those that were right, but only just."
    plt, given, (order, shares) = pyplot(), scores.argmax(1), worth_a_look(scores, labels)
    order, rows = order[:most], -(-min(most, len(order)) // 8)
    figure, axes = plt.subplots(rows, 8, figsize=(9, 1.3 * rows + 0.4), layout="constrained", squeeze=False)
    for axis in axes.flat[len(order):]:
        axis.axis("off")
    for axis, i in zip(axes.flat, order):
        wrong = given[i] != labels[i]
        axis.imshow(images[i].transpose(1, 2, 0).squeeze(), cmap="gray_r")
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_color("C3" if wrong else "0.8")
        told = f"{classes[given[i]]} ({shares[i]:.0%})" + (f", is {classes[labels[i]]}" if wrong else "")
        axis.set_title(told, fontsize=8, color="C3" if wrong else "black")
    figure.suptitle(f"{(given != labels).sum()} of {len(labels)} held-out images are wrong (red); then come those that "
                    "it was least sure of", fontsize=10)
    figure.savefig(path, dpi=120)
    plt.close(figure)
