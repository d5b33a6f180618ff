"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import numpy as np
import pytest
from by_hand import expect, likely

import tinytorch.nn as nn
from tinytorch import Tensor
from tinytorch.capstone import nats_per_byte, overlap, pareto_frontier, plan

IDS = np.array([0, 1, 2, 0, 2, 1, 1, 0])
TABLE = np.array([[0, 1, 2], [1, 0, 3], [2, 1, 0]], np.float32)
LOSSES = (np.log(np.exp(TABLE).sum(axis=1))[:, None] - TABLE)[IDS[:-1], IDS[1:]]  # of the seven predictions


class Bigrams(nn.Module):
    "Logits that depend on one token only; in training mode they are all alike."

    def __init__(self):
        super().__init__()
        self.widths, self.head = [], nn.Parameter(TABLE)

    def forward(self, ids):
        self.widths.append(np.shape(ids))
        return Tensor(0 * TABLE)[np.asarray(ids)] if self.training else self.head[np.asarray(ids)]


def test_a_loss_a_byte():
    model = Bigrams()
    found = nats_per_byte(model, IDS, 3, 20)
    means = [LOSSES[:3].mean(), LOSSES[3:6].mean(), LOSSES[6]]
    expect("nats a byte", found, LOSSES.sum() / 20, {
        "it is the mean of a token": LOSSES.mean(),
        "means are added up, not sums": sum(means) / 20,
        "the last, shorter window is left out": LOSSES[:6].sum() / 20,
        "the model was in training mode": 7 * np.log(3) / 20,
        "windows touch no more: the token behind each is lost": LOSSES[[0, 1, 3, 4, 6]].sum() / 20,
    })  # fmt: skip
    assert model.widths == [(1, 3), (1, 3), (1, 1)], f"windows of ids (1, T) that do not overlap: got {model.widths}"
    assert model.training, "afterwards the model is in the mode in which it was"


def test_a_plan():
    shapes = [(4, 32), (1, 8), (2, 8)]
    with likely("the largest that fits into both budgets: 20 tokens for each weight, one byte for each of 8 bits"):
        shape, tokens = plan(shapes, 1e9, 1e6, 10, 16)
    expect("the shape", shape, (2, 8),
           {"as large as the file allows": (4, 32), "the first or smallest that fits": (1, 8)})
    expect("its tokens", tokens, 78320, {"20 for each weight, not all that the budget pays for": 32320})
    expect("the shape in 1,000 bytes", plan(shapes, 1e9, 1000, 10, 16)[0], (1, 8),
           {"a weight of 8 bits is one byte: 1,616 do not fit": (2, 8)})
    expect("of 4 bits", plan(shapes, 1e9, 1000, 10, 16, bits=4)[0], (2, 8), {"bits are not counted": (1, 8)})
    with pytest.raises(ValueError):
        found = plan(shapes, 1e5, 1e6, 10, 16)
        raise AssertionError(f"none fits, which is a ValueError: got {found}")


def test_the_frontier():
    expect("the frontier", pareto_frontier([3, 1, 2], [1.0, 2.0, 2.5]), [1, 0],
           {"in the order in which they came": [0, 1], "all, in the order of their costs": [1, 2, 0],
            "costs and losses have changed places": [0, 1]})  # fmt: skip
    expect("of two that cost the same", pareto_frontier([1, 1, 2], [2.0, 1.0, 1.0]), [1],
           {"the first of them, whatever its loss": [0, 1], "more cost for the same loss": [1, 2]})
    expect("of two that are equal in both", pareto_frontier([1, 1], [2.0, 2.0]), [0], {"both": [0, 1], "the last": [1]})


def test_the_overlap():
    found = overlap("A cat sat; the dog!", "The cat sat. The dog sat", 2)
    expect("3 of the 5 runs of two words", found, 0.6, {
        "of the text's own runs": 0.75, "upper case counts": 0.2, "punctuation belongs to words": 0.2,
        "of all different words": 1.0, "runs across punctuation are left out": 2 / 3,
    })  # fmt: skip
    expect("a run that occurs twice counts twice", overlap("a b", "a b a b a c", 2), 0.4,
           {"different runs only": 1 / 3})
    expect("a text without a run of eight words", overlap("one two", "one two"), 0.0)
