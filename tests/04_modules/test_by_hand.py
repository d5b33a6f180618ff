"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import math

import numpy as np
import pytest
from by_hand import expect, likely

from tinytorch import Tensor
from tinytorch.nn.activations import (
    ErfGelu,
    ReluSquared,
    SiLUFunction,
    SoftplusFunction,
    TanhGelu,
    erf,
    leaky_relu,
    logsigmoid,
    softplus,
)
from tinytorch.nn.init import fans, kaiming_normal_, xavier_normal_
from tinytorch.nn.layers import Linear, LinearFunction, dropout
from tinytorch.nn.module import Module, ModuleList, Parameter, Sequential

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
    weight = Parameter(np.empty((100, 900)))  # (out, in)
    array = weight.data
    assert fill(weight) is weight and weight.data is array, "fill the array that is there: an optimizer holds it too"
    std = array.std()
    mistakes = {
        "fan_in and fan_out are swapped: a weight is (out, in)": swapped,
        "a variance, not a standard deviation: take the root": expected**2,
    }
    named = [words for words, value in mistakes.items() if value and abs(std / value - 1) < 0.05]
    assert abs(std / expected - 1) < 0.05, f"{fill.__name__}: expected {expected:.4f}, got {std:.4f}: {named}"


def test_the_tree_of_modules():
    paths = [path for path, _ in Scale(1, 2, 3).named_modules()]
    assert paths == ["", "inner", "inner.inner"], f"parents first, names joined by dots: got {paths}"


def test_a_shared_parameter_is_counted_once():
    model = Scale(2, 2)
    model.inner.weight = model.weight
    names = [name for name, _ in model.named_parameters()]
    assert names == ["weight"], f"one parameter with two names counts once, by its first name: got {names}"
    assert list(model.state_dict()) == ["weight", "inner.weight"], "it is saved under both names"
    names = [name for name, _ in Scale(2, 2).named_parameters()]
    assert names == ["weight", "inner.weight"], f"equal numbers are not yet one parameter: got {names}"


def test_a_buffer_belongs_to_one_module():
    first, second = Scale(1), Scale(1)
    first.register_buffer("count", Tensor(3))
    assert [name for name, _ in first.named_buffers()] == ["count"], "register_buffer keeps the buffer and its name"
    with likely("the dictionary of the class was changed: make a new one for this module", AttributeError):
        others = list(second.named_buffers())
    assert others == [], "the dictionary of the class was changed: make a new one for this module"


def test_modes_reach_every_module():
    model = Scale(1, 2, 3)
    model.eval()
    assert not model.inner.inner.training, "train and eval go through all modules below, not only the children"


def test_a_chain_of_modules():
    class Add(Module):
        def forward(self, x):
            return 10 * x + self.digit

    parts = [Add(), Add(), Add()]
    for digit, part in enumerate(parts, 1):
        part.digit = digit
    expect(
        "Sequential, output",
        Sequential(*parts).forward(0),
        123,
        {"each module takes what the one before it returned": 3, "the order is reversed": 321},
    )
    for kind in (Sequential(*parts), ModuleList(parts)):
        assert isinstance(kind[1:], type(kind)) and list(kind[1:]) == parts[1:], "a slice is a container of its kind"


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


def value_and_slope(operation, x):
    value = operation.forward(x)
    return value, operation.backward(np.ones_like(x))[0]


def value_and_slope_of(function, x):
    x = Tensor(x, requires_grad=True)
    value = function(x)
    value.sum().backward()
    return value.data, x.grad.data


def test_the_slope_of_gelu():
    x = np.array([0.7, -1.2])
    t = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    inner = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
    value, slope = value_and_slope(TanhGelu(), x)
    expect("gelu by tanh", value, x * (1 + t) / 2, {"half of it": x * (1 + t)})
    expect(
        "gelu, slope",
        slope,
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


def test_the_exact_gelu():
    z = np.array([0.5, -0.5], np.float32)
    exact = [math.erf(0.5), -math.erf(0.5)]
    expect("erf in float32", erf(z).astype(float), exact, {"erf(-z) = -erf(z): where is the sign?": np.abs(exact)})
    x = np.array([0.7, -1.2])
    below = np.array([(1 + math.erf(v / math.sqrt(2))) / 2 for v in x])
    density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    value, slope = value_and_slope(ErfGelu(), x)
    expect("gelu", value, x * below)
    expect(
        "gelu, slope",
        slope,
        below + x * density,
        {
            "a term is missing: the product rule has two": below,
            "the factor x is missing": below + density,
            "the density is exp(-x^2 / 2) / sqrt(2 pi)": below + x * density * math.sqrt(2 * math.pi),
        },
    )


def test_the_family_of_relu():
    x = np.array([2.0, -1.0])
    s = 1 / (1 + np.exp(-x))
    value, slope = value_and_slope(SiLUFunction(), x)
    expect("silu", value, x * s)
    expect(
        "silu, slope",
        slope,
        s + x * s * (1 - s),
        {"a term is missing: the product rule has two": s, "that is the slope of the sigmoid": s * (1 - s)},
    )
    value, slope = value_and_slope(ReluSquared(), x)
    expect("relu_squared", value, [4, 0], {"the negative part is not cut off": [4, 1]})
    expect("relu_squared, slope", slope, [4, 0], {"a factor of 2 is missing: the slope of x^2 is 2 x": [2, 0]})
    value, slope = value_and_slope_of(lambda x: leaky_relu(x, 0.1), x)
    expect("leaky_relu", value, [2, -0.1], {"both sides leak": [0.2, -0.1]})
    expect("leaky_relu, slope", slope, [1, 0.1], {"the slope is that of ReLU": [1, 0], "the value again": value})


def test_softplus_and_logsigmoid_far_out():
    x = np.array([-1000.0, 0.0, 1000.0])
    for function, expected, steep in (
        (softplus, [0, math.log(2), 1000], [0, 0.5, 1]),
        (logsigmoid, [-1000, -math.log(2), 0], [1, 0.5, 0]),
    ):
        with np.errstate(all="ignore"):
            value, slope = value_and_slope_of(function, x)
        name = function.__name__
        assert np.isfinite(value).all(), f"{name}: exp overflows: use np.logaddexp; got {value}"
        expect(name, value, expected, {"the mirror image: it is softplus(-x), negated": expected[::-1]})
        expect(f"{name}, slope", slope, steep, {"it is sigmoid(-x), not sigmoid(x)": steep[::-1]})
    got = SoftplusFunction(beta=2.0).forward(np.array([0.5]))
    expect("softplus with beta=2", got, [math.log(1 + math.e) / 2], {"divide by beta": [math.log(1 + math.e)]})


def test_counting_what_a_weight_connects():
    assert fans(Parameter(np.zeros((8, 3, 5, 5)))) == (75, 200), "(out, in, *kernel): in or out, times the kernel"


def test_a_layer_learns_from_all_its_parts():
    layer = Linear(3, 2)
    layer(Tensor(X)).sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), f"no gradient arrived at the {name}"
