"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import math

import numpy as np
from by_hand import expect, likely

from tinytorch import Tensor
from tinytorch.nn.losses import (
    BCEWithLogitsLoss,
    BinaryCrossEntropyFunction,
    CrossEntropyFunction,
    CrossEntropyLoss,
    binary_cross_entropy_with_logits,
    cross_entropy,
    l1_loss,
    mse_loss,
    nll_loss,
)

P = np.array([0.5, 0.25, 0.25])
LOGITS = np.log([[2.0, 1.0, 1.0], [2.0, 1.0, 1.0]])  # two rows with the probabilities P


def test_squared_and_absolute_errors():
    x, t = Tensor([1.0, 5.0]), Tensor([2.0, 2.0])
    expect(
        "mse_loss",
        mse_loss(x, t, "none").data,
        [1, 9],
        {"the square is missing": [-1, 3], "that is l1_loss": [1, 3]},
    )
    expect("l1_loss", l1_loss(x, t, "none").data, [1, 3], {"the absolute value is missing": [-1, 3]})


def test_reductions():
    x, t = Tensor([1.0, 5.0]), Tensor([2.0, 2.0])
    expect("the mean", mse_loss(x, t).data, 5, {"that is the sum": 10})
    expect("the sum", mse_loss(x, t, "sum").data, 10, {"that is the mean": 5})
    log_p, y, w = Tensor([[-1.0, -2.0], [-3.0, -4.0]]), Tensor([0, 1]), Tensor([1.0, 3.0])
    expect(
        "the mean with weights",
        nll_loss(log_p, y, w).data,
        (1 * 1 + 3 * 4) / 4,
        {"divide by the sum of the weights, not by the number of rows": 13 / 2, "the weights do not multiply": 2.5},
    )
    expect(
        "the mean with an ignored row",
        nll_loss(log_p, Tensor([0, -100])).data,
        1,
        {"an ignored row must not count in the mean": 0.5},
    )


def test_the_loss_of_probabilities():
    operation = BinaryCrossEntropyFunction()
    p, t = np.array([0.25, 0.5, 0.0]), np.array([1.0, 0.0, 1.0])
    expect(
        "binary cross entropy",
        operation.forward(p, t),
        [math.log(4), math.log(2), 100],
        {
            "a logarithm is held above -100, so that p = 0 costs 100": [math.log(4), math.log(2), np.inf],
            "t = 0 costs -log(1 - p)": [math.log(4), 0, 100],
        },
    )
    dp, dt = operation.backward(np.ones(3))
    expect(
        "binary cross entropy, gradient of p",
        dp[:2],
        [-4, 2],
        {"divide by p (1 - p)": [-0.75, 0.5], "the sign is wrong: it is p - t": [4, -2]},
    )
    expect("binary cross entropy, gradient of t", dt[:2], [math.log(3), 0])


def test_modules_keep_their_options():
    x, y = Tensor(LOGITS), Tensor([0, 2])
    for options in ({"label_smoothing": 0.3}, {"ignore_index": 2}, {"reduction": "sum"}, {"weight": Tensor(P)}):
        got, expected = CrossEntropyLoss(**options)(x, y).item(), cross_entropy(x, y, **options).item()
        assert math.isclose(got, expected, rel_tol=1e-6), f"CrossEntropyLoss forgets {', '.join(options)}"
    criterion = BCEWithLogitsLoss(weight=Tensor(P), pos_weight=Tensor(P))
    assert list(criterion.state_dict()) == ["weight", "pos_weight"], "a weight is a buffer: register_buffer saves it"


def test_the_loss_of_logits():
    x, t = Tensor([0.0, 0.0]), Tensor([1.0, 0.0])
    expect(
        "bce_with_logits of 0",
        binary_cross_entropy_with_logits(x, t, reduction="none").data,
        [math.log(2)] * 2,
        {
            "both targets should cost something": [math.log(2), 0],
            "the logarithm counts for both targets": [0, math.log(2)],
        },
    )
    got = binary_cross_entropy_with_logits(x, t, reduction="none", pos_weight=3.0).data
    expect(
        "with pos_weight=3",
        got,
        [3 * math.log(2), math.log(2)],
        {
            "pos_weight belongs to the positive part only": [3 * math.log(2)] * 2,
            "pos_weight is ignored": [math.log(2)] * 2,
        },
    )


def test_one_log_probability_is_picked_from_each_row():
    x = Tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    with likely("gather along dim 1 wants the indices as a column (N, 1)"):
        got = nll_loss(x, Tensor([2, 0]), reduction="none").data
    expect("nll_loss", got, [-3, -4], {"the classes are dim 1": [-1, -4]})


def test_cross_entropy_and_its_gradient():
    operation = CrossEntropyFunction()
    expect("cross_entropy", operation.forward(LOGITS, np.array([0, 2])), [math.log(2), math.log(4)])
    dx, _ = operation.backward(np.ones(2))
    expect(
        "cross_entropy, gradient",
        dx,
        [[-0.5, 0.25, 0.25], [0.5, 0.25, -0.75]],
        {
            "what was believed minus what was true: the sign of the target's term is wrong": [
                [1.5, 0.25, 0.25],
                [0.5, 0.25, 1.25],
            ],
            "the term of the target is missing": [P, P],
        },
    )


def test_large_logits():
    with np.errstate(all="ignore"):
        got = CrossEntropyFunction().forward(np.array([[1000.0, 0.0]]), np.array([1]))
    expect(
        "cross_entropy of 1000, 0",
        got,
        [1000],
        {
            "exp overflows: subtract the largest logit of each row": [np.inf],
            "exp overflows: subtract the largest": [np.nan],
        },
    )


def test_probabilities_as_target():
    target, smooth = np.array([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]), 0.3
    log_p = np.log(P)
    plain = cross_entropy(Tensor(LOGITS), Tensor(target), reduction="none").data
    expect("cross_entropy of probabilities", plain, -(target * log_p).sum(1))
    got = cross_entropy(Tensor(LOGITS), Tensor(target), reduction="none", label_smoothing=smooth).data
    expect(
        "with label_smoothing",
        got,
        -((0.7 * target + 0.1) * log_p).sum(1),
        {
            "each class gets s / C, not s": -((0.7 * target + 0.3) * log_p).sum(1),
            "smoothing is ignored": plain,
            "the target keeps only 1 - s": -((target + 0.1) * log_p).sum(1),
        },
    )
