"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import numpy as np
import pytest
from by_hand import expect, likely

from tinytorch import Tensor, nn
from tinytorch.inside import activations, logit_lens, looks_back, patched, without_head


class Doubling(nn.Module):
    def forward(self, x):
        return x * 2


class Model(nn.Module):
    "x, doubled, plus 1 in norm, times 10 in head."
    def __init__(self):
        self.inner, self.outer = Doubling(), Doubling()
    def norm(self, x):
        return x + 1
    def head(self, x):
        return x * 10
    def forward(self, x):
        return self.outer(self.inner(x))


def test_activations():
    model, x = Model(), Tensor([[1.0, 2.0]])
    with activations(model, "inner", "outer") as kept:
        expect("the result", model(x).data, [[4, 8]], {"a hook changed it": [[2, 4]]})
    with likely("each name keeps its own output; a loop's name is the last one's", KeyError):
        expect("inner", kept["inner"].data, [[2, 4]], {"what came in": [[1, 2]], "every name is the last": [[4, 8]]})
        expect("outer", kept["outer"].data, [[4, 8]], {"what came in": [[2, 4]]})
    model(x * 5)
    expect("outer, after the block", kept["outer"].data, [[4, 8]], {"the hooks are still there": [[20, 40]]})
    with pytest.raises(AttributeError):
        with activations(model, "nowhere"):
            pass


def test_hooks_go_when_something_is_raised():
    model = Model()
    with pytest.raises(ZeroDivisionError), activations(model, "inner") as kept:
        raise ZeroDivisionError
    model(Tensor([[1.0]]))
    assert not kept, "the hooks are still there after an error: finally"


def test_logit_lens():
    expect("logits", logit_lens(Model(), Tensor([[2.0]])).data, [[30]], {"norm is forgotten": [[20]],
                                                                          "head, then norm": [[21]]})


def test_a_head_says_its_mean():
    attention = nn.MultiHeadAttention(4, 2, bias=False)
    attention.out_proj.weight.data[:] = np.eye(4)
    x = Tensor(np.arange(8.0, dtype=np.float32).reshape(1, 2, 4) / 8)
    whole = attention(x).data
    expected, zeros, other = whole.copy(), whole.copy(), whole.copy()
    expected[..., 2:], zeros[..., 2:], other[..., :2] = whole[..., 2:].mean((0, 1)), 0, whole[..., :2].mean((0, 1))
    with without_head(attention, 1):
        expect("without head 1", attention(x).data, expected,
               {"zeros, not the mean": zeros, "the other head": other, "nothing is switched off": whole})
    expect("afterwards", attention(x).data, whole, {"the hook is still there": expected})
    for head in (-1, 2):
        with pytest.raises(ValueError):
            with without_head(attention, head):
                pass


def test_patched():
    model, x = Model(), Tensor([[1.0, 2.0, 3.0]])
    with patched(model, "inner", Tensor([[7.0, 8.0, 9.0]]), [1]):
        expect("one place", model(x).data, [[4, 16, 12]], {"all places": [[14, 16, 18]], "nothing": [[4, 8, 12]]})
    with patched(model, "inner", Tensor([[7.0, 8.0, 9.0]])):
        expect("all places", model(x).data, [[14, 16, 18]], {"nothing": [[4, 8, 12]]})
    expect("afterwards", model(x).data, [[4, 8, 12]], {"the hook is still there": [[14, 16, 18]]})


def test_looks_back():
    weights = np.zeros((1, 2, 3, 3))
    weights[0, 0, 1, 0], weights[0, 0, 2, 1], weights[0, 1, 2, 0] = 0.5, 1.0, 0.25
    expect("one back", looks_back(weights, 1), [0.75, 0], {"over all places": [0.5, 0], "ahead": [0, 0]})
    expect("two back", looks_back(weights, 2), [0, 0.25], {"over all places": [0, 0.25 / 3]})
