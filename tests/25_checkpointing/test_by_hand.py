"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import numpy as np
from by_hand import expect, likely

import tinytorch
from tinytorch import Tensor
from tinytorch.nn import functional as F
from tinytorch.recomputation import best_segment, checkpoint, gradients_of, leaves_behind


def leaf(*numbers):
    return Tensor(np.array(numbers, np.float64), requires_grad=True)


def test_leaves():
    x, w, b = leaf(1, 2), leaf(3, 4), leaf(5, 6)
    found = leaves_behind((x * w + b) * w, [x])
    assert not any(one is x for one in found), "what is given beside must be left out"
    assert len(found) == 2, f"each leaf once, w is read twice: got {len(found)}"
    assert found[0] is w and found[1] is b, "in the order of the forward pass: w, then b"
    assert leaves_behind(Tensor([1.0])) == [], "without a graph there are no leaves"
    assert len(leaves_behind(w)) == 1, "a leaf is behind itself"


def test_gradients():
    x, w, unused = leaf(5, 7), leaf(2, 3), leaf(1)
    with likely("what is no Tensor has no gradient: None", AttributeError):
        dx, flag, dw, zero, fixed = gradients_of(x * w, np.array([1.0, 10.0]), [x, True, w, unused, Tensor([1.0])])
    expect("the gradient of x", dx, [2, 30], {"the gradient of the result is forgotten": [2, 3]})
    expect("the gradient of w", dw, [5, 70], {"the gradient of the result is forgotten": [5, 7]})
    assert flag is None and fixed is None, "None for what wants no gradient"
    assert zero is not None, "a leaf that got no gradient has zeros"
    expect("that of a leaf without a part", zero, [0])
    assert type(dx) is np.ndarray, "arrays, not Tensors"


def test_a_checkpointed_function():
    x, w = leaf(0.5, -0.1), leaf(2, 3)
    runs = []

    def block(x):
        runs.append(1)
        return (x * w).tanh()

    out = checkpoint(block, x)
    expect("the result", out.data, np.tanh([1.0, -0.3]))
    assert out.grad_fn is not None and out.grad_fn.name == "Checkpoint", "it is one operation in the graph"
    out.sum().backward()
    slope = 1 - np.tanh([1.0, -0.3]) ** 2
    assert x.grad is not None, "the input gets a gradient"
    expect("the gradient of x", x.grad.data, slope * [2, 3])
    assert w.grad is not None, "so does what the block reads: its leaves are inputs of the operation, too"
    expect("the gradient of w", w.grad.data, slope * [0.5, -0.1])
    assert len(runs) == 2, f"the block runs once forward and once again: got {len(runs)} runs"
    with tinytorch.no_grad():
        checkpoint(block, x)
    assert len(runs) == 3, "where nothing is recorded it is a call"


def test_data_without_a_gradient():
    w = leaf(2, 3)
    out = checkpoint(lambda x: x * w, Tensor(np.array([5.0, 7.0])))
    assert out.requires_grad, "data wants no gradient, but what the block reads does"
    out.sum().backward()
    expect("the gradient of w", w.grad.data, [5, 7])
    assert checkpoint(lambda x: x * 2, Tensor([1.0])).grad_fn is None, "nothing wants a gradient: no operation"


def test_dropout_is_the_same_twice():
    x = leaf(*[1.0] * 64)
    tinytorch.manual_seed(0)
    out = checkpoint(lambda x: F.dropout(x, 0.5), x)
    out.sum().backward()
    expect("the gradient", x.grad.data, out.data, {})


def test_segments():
    expect("64 layers with an inside of 4", best_segment(64, 4), 4, {"the most memory": 64})
    expect("12 layers with an inside of 24", best_segment(12, 24), 1)
    expect("2 layers, as good in one segment", best_segment(2, 1), 1, {"the smallest of several": 2})
