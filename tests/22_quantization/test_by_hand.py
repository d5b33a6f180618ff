"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import numpy as np
import pytest
from by_hand import expect, likely

from tinytorch import Tensor, manual_seed
from tinytorch.nn import Linear, ReLU, Sequential
from tinytorch.quantization import (
    fake_quantize,
    find_scales,
    integer_linear,
    pack,
    quantize,
    to_floats,
    to_integers,
    unpack,
)

HALF = np.full((1, 1, 1), 0.5)


def test_scales():
    weight = np.array([[7.0, -14, 0, 0], [0, 21, 1, 2]])
    expect("find_scales for 4 bits", find_scales(weight, 4), np.array([[[2.0]], [[3.0]]]),
           {"one scale for the whole matrix: each row needs its own": np.full((2, 1, 1), 3.0),
            "divided by 2^(bits - 1), not by the largest integer": np.array([[[1.75]], [[2.625]]]),
            "the magnitudes are forgotten": np.array([[[1.0]], [[3.0]]])})
    expect("find_scales for 4 bits, groups of 2", find_scales(weight, 4, 2), [[[2.0], [1.0]], [[3.0], [2 / 7]]],
           {"a group of zeros needs the scale 1": [[[2.0], [0.0]], [[3.0], [2 / 7]]]})


def test_integers():
    weight = np.array([[0.6, -1.3, 9.0]])
    expect("to_integers for 4 bits", to_integers(weight, HALF, 4), [[1, -3, 7]],
           {"not clipped to -7 .. 7": [[1, -3, 18]], "cut off, not rounded": [[1, -2, 7]],
            "multiplied by the scale": [[0, -1, 4]]})
    assert to_integers(np.array([[999.0]]), HALF).tolist() == [[127]], "clip before the conversion to int8"
    assert to_integers(weight, HALF, 4).dtype == np.int8, "the integers must be int8"


def test_floats():
    expect("to_floats", to_floats(np.array([[1, -3, 7]], np.int8), HALF), [[0.5, -1.5, 3.5]],
           {"divided by the scale": [[2.0, -6.0, 14.0]], "the scale is forgotten": [[1, -3, 7]]})


def test_two_in_a_byte():
    four = np.array([[1, -3, 7, 0]], np.int8)
    with likely("uint8 has no negative numbers: add 8 before the conversion"):
        got = pack(four, 1)
    expect("pack", got, [[249, 133]], {"the halves are swapped": [[159, 88]], "neighbours share a byte": [[89, 143]]})
    expect("pack, in two groups", pack(four, 2), [[89, 143]], {"the groups are ignored": [[249, 133]]})
    expect("unpack", unpack(np.array([[249, 133]], np.uint8), 1), four,
           {"8 is not subtracted": four + 8, "8 is subtracted as uint8": (four + 8).astype(np.uint8) - np.uint8(8),
            "the halves are swapped": [[7, 0, 1, -3]]})


def test_a_product_of_integers():
    x, integers = np.array([[127.0, -63.6]]), np.array([[1, 2]], np.int8)
    expect("integer_linear", integer_linear(x, integers, HALF), [[-0.5]],
           {"the input is not rounded": [[-0.1]], "the weight's scale is missing": [[-1.0]],
            "the input is cut off, not rounded": [[0.5]]})
    got = integer_linear(x, np.array([[1, 1]], np.int8), HALF, 2.0)
    expect("integer_linear with an input scale of 2", got, [[32.0]],
           {"the input's scale is missing in the result": [[16.0]], "each vector by its own scale": [[31.5]]})
    with likely("a vector of zeros needs the scale 1"):
        zeros = integer_linear(np.zeros((1, 2)), integers, HALF)
    expect("integer_linear of zeros", zeros, [[0.0]])
    two = np.array([[127.0, 0], [1.27, 0]])
    expect("integer_linear of two vectors", integer_linear(two, integers, HALF), [[63.5], [0.635]],
           {"one scale for all vectors: each needs its own": [[63.5], [0.5]]})
    expect("integer_linear beyond the range", integer_linear(np.array([[500.0, 0]]), integers, HALF, 1.0), [[63.5]],
           {"the input is not clipped": [[250.0]]})


def test_through_the_rounding():
    x = Tensor([[0.6, -1.3, 9.0, 3.6]], requires_grad=True)
    out = fake_quantize(x, HALF, 4)
    expect("fake_quantize", out.data, [[0.5, -1.5, 3.5, 3.5]], {"integers, not floats": [[1, -3, 7, 7]]})
    out.backward(np.array([[2.0, 3, 4, 5]]))
    expect("its gradient", x.grad.data, [[2, 3, 0, 5]],
           {"what was clipped gets no gradient": [[2, 3, 4, 5]], "the slope is the scale's": [[1, 1.5, 0, 2.5]],
            "the ruler ends half a mark beyond the last: 3.6 / 0.5 rounds to 7": [[2, 3, 0, 0]]})


def test_any_model():
    manual_seed(0)
    model = Sequential(Linear(4, 3), ReLU(), Linear(3, 2))
    assert quantize(model) is model, "quantize returns the model"
    kinds = [type(layer).__name__ for layer in model]
    assert kinds == ["QuantizedLinear", "ReLU", "QuantizedLinear"], f"each Linear is replaced, got {kinds}"
    four = quantize(Sequential(Linear(4, 3)), bits=4, group=2)
    assert (four[0].bits, four[0].group) == (4, 2), "bits and group must be handed on"
    assert quantize(Sequential(Linear(4, 3)), inputs="dynamic")[0].quantize_input, "inputs='dynamic' quantizes them"
    calibrated = quantize(Sequential(Linear(4, 3)), inputs={"0": 0.25})[0]
    assert calibrated.quantize_input and calibrated.input_scale == 0.25, "a layer's input scale stands under its path"
    whole = Sequential(Linear(4, 4), Linear(4, 5), Linear(5, 4))
    with pytest.raises(ValueError):
        quantize(whole, group=4)
    assert {type(layer) for layer in whole} == {Linear}, "make all new layers first: an error leaves the model whole"
