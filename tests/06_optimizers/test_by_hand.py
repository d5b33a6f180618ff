"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import math

import numpy as np
import pytest
from by_hand import expect, likely

from tinytorch import Tensor, nn
from tinytorch.optim import (
    SGD,
    AdamW,
    LambdaLR,
    Optimizer,
    adam_update,
    clip_grad_norm_,
    decay_groups,
    linear_warmup,
    sgd_update,
    total_norm,
    warmup_cosine,
)


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


class Sum(Optimizer):
    "Keeps the sum of the gradients, and moves each parameter by lr."

    def __init__(self, params, lr=0.5):
        super().__init__(params, lr=lr)

    def moment_names(self, group):
        return ["total"]

    def update(self, params, grads, moments, steps, *, lr):
        for x, grad, total in zip(params, grads, moments[0]):
            total += grad
            x += lr


def test_a_step_updates_what_has_a_gradient():
    p, q = Tensor(np.zeros(1), requires_grad=True), Tensor(np.zeros(1), requires_grad=True)
    optimizer = Sum([p, q])
    for _ in range(3):
        q.grad = np.array([2.0])
        with likely("step hands lists of arrays to update, and the settings by name"):
            optimizer.step()
    mistakes = {"the step does not reach the parameter: hand over p.data itself": [0], "all parameters move": [1.5]}
    expect("three steps of 0.5, in place", q.data, [1.5], mistakes)
    assert p.data[0] == 0, "a parameter without a gradient waits: it must not move"
    saved = optimizer.state_dict()["state"]
    assert list(saved) == [1], f"only parameter 1 made a step, so only it has a state; got {list(saved)}"
    assert saved[1]["step"] == 3, f"three steps were made, the state counts {saved[1]['step']}"
    expect(
        "the moment after three gradients of 2",
        saved[1]["total"],
        [6],
        {"a moment must live on from step to step": [2], "no gradient arrived at the moment": [0]},
    )
    optimizer.step()
    assert saved[1]["total"][0] == 6, "state_dict must copy the arrays: the next step changes them"
    optimizer.zero_grad()
    assert q.grad is None, "zero_grad forgets the gradients: p.grad = None"


def test_a_loaded_state_goes_on():
    p, q = Tensor(np.zeros(1), requires_grad=True), Tensor(np.zeros(1), requires_grad=True)
    saved = {
        "state": {1: {"step": 7, "total": np.array([5.0])}},
        "param_groups": [{"lr": 0.25, "params": [0]}, {"lr": 1.0, "params": [1]}],
    }
    optimizer = Sum([{"params": [p]}, {"params": [q]}])
    optimizer.load_state_dict(saved)
    q.grad = np.array([2.0])
    optimizer.step()
    expect("q after a step of its own group's lr", q.data, [1.0], {"the lr of the saved group is not loaded": [0.5]})
    state = optimizer.state_dict()["state"]
    assert list(state) == [1], "parameter 0 had no state, and still has none"
    assert (state[1]["step"], state[1]["total"][0]) == (8, 7), f"step 7 + 1, total 5 + 2; got {state[1]}"
    assert saved["state"][1]["total"][0] == 5, "load_state_dict must copy the arrays: what was saved changed"


def test_sgd_on_lists():
    params, buffers = [np.array([1.0]), np.array([[2.0]])], [np.array([4.0]), np.array([[4.0]])]
    options = {"lr": 0.1, "momentum": 0.5, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False}
    sgd_update(params, [np.array([1.0]), np.array([[3.0]])], buffers, [1, 5], **options)
    got = [params[0][0], params[1][0, 0], buffers[0][0], buffers[1][0, 0]]
    expect(
        "velocities 4 with momentum 0.5: at step 1 with gradient 1, at step 5 with gradient 3",
        got,
        [0.9, 1.5, 1.0, 5.0],
        {
            "at step 1 the velocity is the gradient, whatever was there": [0.7, 1.5, 3.0, 5.0],
            "the buffers do not change: work in place": [0.9, 1.5, 4.0, 4.0],
        },
    )


def test_adam():
    beta1, beta2, lr, g = 0.5, 0.9, 0.1, np.array([0.02])
    x, m, v = np.array([1.0]), np.zeros(1), np.zeros(1)
    options = {"lr": lr, "betas": (beta1, beta2), "eps": 0.01, "weight_decay": 0.0, "decoupled": False}
    adam_update([x], [g], [m], [v], [1], **options)
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
            "m and v are both corrected, m is not": 1 - lr * m1 / (np.sqrt(v1 / c2) + 0.01),
            "m and v are both corrected, v is not": 1 - lr * m1 / c1 / (np.sqrt(v1) + 0.01),
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


def test_decay_groups():
    model = nn.Linear(3, 2)
    matrices, vectors = decay_groups(model, weight_decay=0.1)
    assert [p.ndim for p in matrices["params"]] == [2], "the first group: parameters of two or more dims"
    assert matrices["weight_decay"] == 0.1 and vectors["weight_decay"] == 0, "matrices decay, vectors do not"
    model.bias.requires_grad_(False)
    assert len(decay_groups(model, 0.1)) == 1, "frozen parameters are left out, and so is an empty group"


def test_total_norm():
    arrays = [np.array([3.0, 0.0]), np.array([[4.0]])]
    expect("norm of 3, 0 and 4", total_norm(arrays), 5.0, {"the root is missing": 25.0, "norms do not add up": 7.0})
    with np.errstate(all="ignore"):
        huge = total_norm([a.astype(np.float32) * np.float32(1e20) for a in arrays])
    assert huge == pytest.approx(5e20), f"squares overflow in float32: expected 5e20, got {huge}"


def test_clipping():
    a, b = (Tensor(np.zeros(1), requires_grad=True) for _ in range(2))
    a.grad, b.grad = np.array([3.0]), np.array([4.0])
    norm = clip_grad_norm_([a, b], max_norm=1.0)
    got = np.array([a.grad.data[0], b.grad.data[0]])
    assert norm == pytest.approx(5), f"the norm before clipping is returned: expected 5, got {norm}"
    assert not np.array_equal(got, [3, 4]), "the gradients did not change: scale them in place, p.grad.data *= ..."
    assert not np.allclose(got, [1, 1], atol=1e-3), "one factor for all gradients, or their direction changes"
    assert np.allclose(got, [0.6, 0.8], atol=1e-5), (
        f"gradients 3 and 4 with max_norm=1: expected 0.6 and 0.8, got {got}"
    )
    clip_grad_norm_([a, b], max_norm=10.0)
    assert np.allclose([a.grad.item(), b.grad.item()], [0.6, 0.8], atol=1e-5), "a norm below the bound: nothing grows"


def test_rates_of_a_schedule():
    p, q = Tensor(np.zeros(1), requires_grad=True), Tensor(np.zeros(1), requires_grad=True)
    schedule = LambdaLR(SGD([{"params": [p]}, {"params": [q], "lr": 0.1}], lr=1.0), lambda step: 0.5**step)
    schedule.step()
    schedule.step()
    expect(
        "a half for each of two steps",
        schedule.get_last_lr(),
        [0.25, 0.025],
        {
            "the multiplier is of the first lr, kept as initial_lr, not of the last": [0.125, 0.0125],
            "step is not counted": [1.0, 0.1],
            "each group has its own first lr": [0.25, 0.25],
        },
    )
    schedule.load_state_dict({"steps": 1})
    expect("back to step 1", schedule.get_last_lr(), [0.5, 0.05], {"loading must set the rates": [0.25, 0.025]})


def test_warmup():
    expect(
        "linear_warmup(4)",
        [linear_warmup(4)(s) for s in range(6)],
        [0.25, 0.5, 0.75, 1, 1, 1],
        {
            "the first step must not be 0: (s + 1) / W": [0, 0.25, 0.5, 0.75, 1, 1],
            "after the warm-up it stays at 1": [0.25, 0.5, 0.75, 1, 1.25, 1.5],
        },
    )


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
