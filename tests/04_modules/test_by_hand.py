"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import math

import numpy as np
import pytest
from by_hand import expect, likely

from tinytorch import Tensor
from tinytorch.nn.init import kaiming_normal_, xavier_normal_
from tinytorch.nn.layers import Linear, LinearFunction, TanhGelu, dropout
from tinytorch.nn.module import Module, Parameter

X, W, GRAD = (
    np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
    np.arange(12.0).reshape(4, 3),
    np.arange(8.0).reshape(2, 4),
)


class Scale(Module):
    def __init__(self, *sizes):
        self.weight = Parameter(np.zeros(sizes[0]))
        self.inner = Scale(*sizes[1:]) if sizes[1:] else None


def test_linear():
    operation = LinearFunction()
    expect(
        "linear, output",
        operation.forward(X, W, np.array([1.0, 0, 0, 0])),
        X @ W.T + [1, 0, 0, 0],
        {"the bias is missing": X @ W.T},
    )
    with likely("shapes do not fit: dX = G W, dW = G^T X, db sums G over the rows; is one transposed?"):
        dx, dweight, dbias = operation.backward(GRAD)
    expect("linear, gradient of the input", dx, GRAD @ W)
    expect("linear, gradient of the weight", dweight, GRAD.T @ X)
    expect(
        "linear, gradient of the bias",
        dbias,
        [4, 6, 8, 10],
        {"a mean where it should be a sum over the rows": GRAD.mean(0), "one number for each output": GRAD.sum(1)},
    )


def test_dropout_lets_grow_what_it_keeps():
    y = dropout(Tensor(np.full((40, 50), 3.0)), 0.25).data
    kept = np.unique(y[y != 0])
    expect(
        "dropout of 3 with p = 0.25, what is kept",
        kept,
        [4.0],
        {
            "what is kept must grow by 1 / (1 - p)": [3.0],
            "it grows by 1 / (1 - p), not by 1 / p": [12.0],
            "it is divided by 1 - p, not multiplied": [2.25],
        },
    )
    share = (y == 0).mean()
    assert abs(share - 0.25) < 0.05, f"a share of p = 0.25 should be 0, got {share:.2f}: is the mask inverted?"


@pytest.mark.parametrize(
    "fill, expected, swapped",
    [(kaiming_normal_, math.sqrt(2 / 900), math.sqrt(2 / 100)), (xavier_normal_, math.sqrt(2 / 1000), None)],
)
def test_the_size_of_random_weights(fill, expected, swapped):
    std = fill(Parameter(np.empty((100, 900)))).data.std()  # (out, in)
    mistakes = {
        "fan_in and fan_out are swapped: a weight is (out, in)": swapped,
        "a variance, not a standard deviation: take the root": expected**2,
    }
    named = [words for words, value in mistakes.items() if value and abs(std / value - 1) < 0.05]
    assert abs(std / expected - 1) < 0.05, f"{fill.__name__}: expected {expected:.4f}, got {std:.4f}: {named}"


def test_the_tree_of_modules():
    paths = [path for path, _ in Scale(1, 2, 3).tree()]
    assert paths == ["", "inner", "inner.inner"], f"parents first, names joined by dots (dotted): got {paths}"


def test_a_state_that_does_not_fit_changes_nothing():
    model = Scale(2, 3)
    for state in (
        {"weight": np.ones(2), "inner.weight": np.ones(4)},
        {"weight": np.ones(2)},
        {"weight": np.ones(2), "inner.weight": np.ones(3), "more": np.ones(1)},
    ):
        with likely("something was written before all was checked: raise first, then write", ValueError):
            with pytest.raises(RuntimeError):
                model.load_state_dict(state)
        assert not model.weight.data.any(), "something was written before all was checked: raise first, then write"


def test_the_slope_of_gelu():
    x = np.array([0.7, -1.2])
    t = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    inner = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
    out = np.empty(2)
    TanhGelu().slope(x, x * (1 + t) / 2, (1 + t) / 2, out)
    expect(
        "gelu, slope",
        out,
        (1 + t + (1 - t * t) * x * inner) / 2,
        {
            "a term is missing: the product rule has two": (1 + t) / 2,
            "the factor x is missing": (1 + t + (1 - t * t) * inner) / 2,
            "the factor 3 is missing: the slope of x^3 is 3 x^2": (
                1 + t + (1 - t * t) * x * math.sqrt(2 / math.pi) * (1 + 0.044715 * x * x)
            )
            / 2,
        },
    )


def test_a_layer_learns_from_all_its_parts():
    layer = Linear(3, 2)
    layer(Tensor(X)).sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), f"no gradient arrived at the {name}"
