"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import math

import numpy as np
from by_hand import expect, likely

from tinytorch import Tensor, nn
from tinytorch.diagnosis.case import Case
from tinytorch.diagnosis.data import agreement
from tinytorch.diagnosis.forward import surprise
from tinytorch.diagnosis.graph import leaves
from tinytorch.diagnosis.learning import best_factor, find_loop


class Square(nn.Module):
    def __init__(self):
        self.w = nn.Parameter(np.array([3.0]))

    def forward(self, x):
        return (self.w * self.w * x).sum()


def test_a_measured_slope():
    case = Case(Square(), (np.array([1.0]), np.array([0])), lambda model, x, _: model(x))
    got = case.slope(case.model.w, np.array([0.5]), case.batch)
    expect(
        "slope of w^2 at 3, nudged by 0.5",
        [got],
        [3.0],
        {"nudge both ways: above and below": [3.25 / 2], "below is measured with data - nudge": [0.0]},
    )
    assert case.model.w.data.tolist() == [3], f"the weight must be put back, it is {case.model.w.data}"


def test_the_leaves_of_a_graph():
    a, b = (Tensor([1.0], requires_grad=True) for _ in range(2))
    found = leaves((a * b + a).sum())
    assert len(found) == 2, f"each leaf once, although a is used twice: expected 2, got {len(found)}"
    assert any(leaf is a for leaf in found) and any(leaf is b for leaf in found), (
        "a leaf is among the parents of operations"
    )


def test_surprise():
    logits = np.log([[2.0, 1.0, 1.0], [2.0, 1.0, 1.0]])
    expect(
        "surprise",
        [surprise(logits, np.array([0, 1]))],
        [(math.log(2) + math.log(4)) / 2],
        {"a mean over rows, not a sum": [math.log(8)], "log z is missing": [-math.log(2) / 2]},
    )
    with np.errstate(all="ignore"):
        got = surprise(np.array([[1000.0, 0.0]]), np.array([1]))
    expect(
        "surprise of large logits",
        [got],
        [1000],
        {"exp overflows: subtract the largest, and add it again": [np.inf]},
    )


def test_a_loop_at_the_end():
    for tokens, expected in (([1, 2, 1, 2, 1, 2], (2, 3)), ([7, 7, 7], (1, 3)), ([5, 5, 5, 1, 2], (1, 1))):
        with likely("the comparison runs past the front of the tokens", IndexError):
            got = find_loop(tokens)
        assert got == expected, f"find_loop({tokens}): expected {expected}, got {got}: count from the end"


def test_targets_agree_at_a_shift():
    ids, targets = np.array([[1, 2, 3, 4]]), np.array([[2, 3, 4, 5]])
    expect(
        "agreement at shift 1",
        [agreement(ids, targets, 1)],
        [1.0],
        {"the shift goes the other way": [0.0], "only where both exist: three pairs": [0.75]},
    )
    expect("agreement at shift -1", [agreement(targets, ids, -1)], [1.0], {"the first t is max(-k, 0)": [0.0]})
    got = agreement(ids, np.array([[2, -100, -100, 5]]), 1)
    expect("agreement with padding", [got], [1.0], {"negative targets do not count": [1 / 3]})


def test_the_factor_to_suggest():
    losses = {0.1: 2.9, 1.0: 1.05, 10.0: 1.0, 100.0: math.inf}
    got = best_factor(losses, 3.0)
    assert got != 10.0, "the smallest that comes nearly as far, not the lowest loss alone"
    assert got == 1.0, f"from 3.0, a factor 1 goes down to 1.05, as good as any: expected 1.0, got {got}"
