"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import math

import numpy as np
import pytest
from by_hand import expect

from tinytorch import Tensor
from tinytorch.optim import SGD, AdamW, adam_update, clip_grad_norm_, warmup_cosine


def after(make_optimizer, *gradients, start=1.0):
    "Where x is after steps with these gradients."
    x = Tensor(np.array([start]), requires_grad=True)
    optimizer = make_optimizer([x])
    for gradient in gradients:
        x.grad = np.array([gradient])
        optimizer.step()
    return x.data


def test_downhill():
    expect(
        "SGD, lr 0.1, gradient 2, from 1",
        after(lambda p: SGD(p, lr=0.1), 2.0),
        [0.8],
        {
            "uphill: subtract the gradient, do not add it": [1.2],
            "the learning rate is missing": [-1.0],
            "x did not change: work in place": [1.0],
        },
    )


def test_momentum():
    got = after(lambda p: SGD(p, lr=0.1, momentum=0.5), 1.0, 1.0, 1.0)
    expect(
        "momentum 0.5, three gradients of 1",
        got,
        [1 - 0.1 * (1 + 1.5 + 1.75)],
        {
            "the velocity is forgotten: change it in place, `v *= momentum` (v = v * momentum makes a new array)": [
                1 - 0.1 * (1 + 1.5 + 1.5)
            ],
            "there is no momentum: is the velocity kept?": [0.7],
            "the velocity must be changed in place": [1 - 0.1 * (1 + 0.5 + 0.5)],
        },
    )


def test_weight_decay_and_nesterov():
    expect(
        "weight_decay 0.5",
        after(lambda p: SGD(p, lr=0.1, weight_decay=0.5), 1.0),
        [0.85],
        {"weight decay is ignored": [0.9], "decay shrinks x: add decay * x to the gradient": [0.95]},
    )
    expect(
        "nesterov",
        after(lambda p: SGD(p, lr=0.1, momentum=0.5, nesterov=True), 1.0, 1.0),
        [1 - 0.1 * (1.5 + 1.75)],
        {"the step goes along gradient + momentum * velocity": [0.75]},
    )


def test_adam():
    beta1, beta2, lr, g = 0.5, 0.9, 0.1, np.array([0.02])
    x, m, v = np.array([1.0]), np.zeros(1), np.zeros(1)
    adam_update(x, g, m, v, 1, lr, (beta1, beta2), 0.01)
    m1, v1 = (1 - beta1) * g, (1 - beta2) * g * g
    expect("adam, m", m, m1, {"m must be changed in place": [0]})
    expect("adam, v", v, v1, {"the mean of the squares": (1 - beta2) * g, "v must be changed in place": [0]})
    c1, c2 = 1 - beta1, 1 - beta2
    expect(
        "adam, first step with eps=0.01",
        x,
        1 - lr * g / (abs(g) + 0.01),
        {
            "eps stands outside the root": 1 - lr * g / np.sqrt(g * g + 0.01),
            "eps stands outside the root, and v is corrected first": 1
            - lr * math.sqrt(c2) / c1 * m1 / np.sqrt(v1 + 0.01),
            "m and v start at 0 and must be corrected: c1 and c2 are missing": 1 - lr * m1 / (np.sqrt(v1) + 0.01),
            "the correction of m and v is missing in front": 1 - lr * m1 / (np.sqrt(v1) + math.sqrt(c2) * 0.01),
            "eps is multiplied by c2 here": 1 - lr * math.sqrt(c2) / c1 * m1 / (np.sqrt(v1) + 0.01),
            "uphill: subtract the step": 1 + lr * g / (abs(g) + 0.01),
        },
    )


def adam(gradients, lr=0.01, decay=0.0, l2=0.0):
    "Textbook Adam from 1; `decay` beside the moments, or as `l2` in the gradient."
    x, m, v = 1.0, 0.0, 0.0
    for step, g in enumerate(gradients, 1):
        g, x = g + l2 * x, x * (1 - lr * decay)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        x -= lr * (m / (1 - 0.9**step)) / (math.sqrt(v / (1 - 0.999**step)) + 1e-8)
    return np.array([x])


def test_adamw_decays_beside_the_moments():
    gradients = 1.0, -1.0
    got = after(lambda p: AdamW(p, lr=0.01, weight_decay=5.0), *gradients)
    expect(
        "AdamW",
        got,
        adam(gradients, decay=5.0),
        {
            "the decay belongs to x, not into the gradient (that is L2)": adam(gradients, l2=5.0),
            "the decay is missing": adam(gradients),
            "decay by lr * weight_decay": adam(gradients, decay=500.0),
        },
    )


def test_clipping():
    a, b = (Tensor(np.zeros(1), requires_grad=True) for _ in range(2))
    a.grad, b.grad = np.array([3.0]), np.array([4.0])
    norm = clip_grad_norm_([a, b], max_norm=1.0)
    got = np.array([a.grad[0], b.grad[0]])
    assert norm == pytest.approx(5), f"the norm before clipping is returned: expected 5, got {norm}"
    assert not np.array_equal(got, [3, 4]), "the gradients did not change: scale them in place, p.grad *= ..."
    assert not np.allclose(got, [1, 1], atol=1e-3), "one factor for all gradients, or their direction changes"
    assert np.allclose(got, [0.6, 0.8], atol=1e-5), (
        f"gradients 3 and 4 with max_norm=1: expected 0.6 and 0.8, got {got}"
    )
    clip_grad_norm_([a, b], max_norm=10.0)
    assert np.allclose([a.grad[0], b.grad[0]], [0.6, 0.8], atol=1e-5), "a norm below the bound: nothing may grow"


def test_warmup_and_cosine():
    multiplier = warmup_cosine(4, 8, floor=0.2)
    expect(
        "warm-up",
        [multiplier(s) for s in range(4)],
        [0.25, 0.5, 0.75, 1],
        {"the first step must not be 0: (s + 1) / W": [0, 0.25, 0.5, 0.75]},
    )
    expect(
        "half way down, and behind the end",
        [multiplier(6), multiplier(8), multiplier(12)],
        [0.6, 0.2, 0.2],
        {"after the last step it stays at the floor": [0.6, 0.2, 1.0], "the floor is missing": [0.5, 0, 0]},
    )
