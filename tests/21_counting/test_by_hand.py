"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import numpy as np
from by_hand import expect, likely

from tinytorch import Tensor
from tinytorch.counting import Machine, Tally, count, matmul_flops, traffic, training_flops, ufunc_flops, utilisation
from tinytorch.nn import functional as F
from tinytorch.ops.elementwise import Function, Mul
from tinytorch.ops.shapes import Index


def test_a_product_of_matrices():
    expect("(5, 3) @ (3, 4)", matmul_flops((5, 3), (3, 4)), 120, {"an addition for each multiplication is missing": 60})
    with likely("a vector has no rows or no columns: it is one row, or one column"):
        expect("(5, 3) @ (3,)", matmul_flops((5, 3), (3,)), 30, {"a vector on the right is one column": 90})
        expect("(3,) @ (3, 4)", matmul_flops((3,), (3, 4)), 24, {"a vector on the left is one row": 72})
    expect("(7, 1, 5, 3) @ (2, 3, 4)", matmul_flops((7, 1, 5, 3), (2, 3, 4)), 1680,
           {"the stack is not counted": 120, "the stack broadcasts: that of y belongs to it": 840})


def test_a_ufunc():
    x = np.ones((4, 5), np.float32)
    expect("x.sum(-1)", ufunc_flops(np.add, "reduce", (x,), x.sum(-1)), 16,
           {"a sum of n numbers takes n - 1 additions": 20, "counted was the result, not what is added": 4})
    expect("x > 0", ufunc_flops(np.greater, "__call__", (x, 0), x > 0), 0, {"booleans are no arithmetic": 20})
    expect("x + column", ufunc_flops(np.add, "__call__", (x[:, :1], x), x + x), 20, {"the result broadcasts": 4})
    with likely("'at' has no result: count what it adds"):
        found = ufunc_flops(np.add, "at", (np.zeros((9, 5), np.float32), np.array([0, 2, 2, 1]), x), None)
    expect("np.add.at", found, 20, {"counted was the whole table": 45, "'at' has no result: count what it adds": 1})


def test_bytes():
    y = np.ones(6)
    square = Mul()
    expect("x * x", traffic(square.forward, (y, y), square.forward(y, y)), 96, {"x is fetched once": 144})
    expect("its gradient", traffic(square.backward, (2 * y,), square.backward(2 * y)), 8 * 24,
           {"what forward saved is not read": 8 * 18, "x is fetched once": 8 * 30})
    half = Index(slice(2, 4))
    expect("a slice", traffic(half.forward, (y,), half.forward(y)), 0,
           {"a view moves nothing": 48, "a view moves nothing, though it begins elsewhere": 64})


class Twice(Function):
    "2 x, and a backward that computes nothing"
    def forward(self, x):
        return x + x

    def backward(self, grad):
        return (None,)


def test_the_tally():
    tally, twice, x = Tally(), Twice(), np.ones(3, np.float32)
    results = [tally(twice.forward, x), tally(twice.forward, x), tally(twice.backward, x)]
    assert all(type(result) is np.ndarray for result in results[:2]), "results must go on as plain arrays"
    assert results[2] == (None,), f"a tuple stays a tuple, and None stays None: got {results[2]}"
    calls, flops, moved = tally.rows["Twice", "forward"]
    assert calls == 2, f"two calls, got {calls}: add to the row that is there"
    expect("the FLOPs of both", flops, 6, {"all FLOPs so far, not those of this half": 9})
    expect("the bytes of both", moved, 48)
    assert tally.rows["Twice", "backward"] == (1, 0, 0)


def test_the_formulas():
    expect("6N + 12LTd, for 10 tokens", training_flops(1000, 2, 8, 16, 10), 90720,
           {"that is forward only": 30240, "attention is forgotten": 60000, "for one token only": 9072})
    x, weight = (Tensor(np.ones(shape), requires_grad=True) for shape in [(6, 3), (4, 3)])
    rows = count(lambda: F.linear(x, weight).sum().backward()).rows
    there, back = (rows["Linear", half].flops for half in ("forward", "backward"))
    assert there == 2 * 6 * 3 * 4 and back == 2 * there, f"a product forward, and two back: got {there} and {back}"


def test_what_a_machine_can_do():
    machine = Machine(flops=100.0, bandwidth=10.0)
    with likely("min takes no arrays: np.minimum"):
        expect("attainable", machine.attainable(np.array([0.5, 10, 40])), [5, 100, 100],
               {"the larger one": [100, 100, 400], "intensity over bandwidth": [0.05, 1, 4]})
    expect("utilisation", utilisation(20.0, 2.0, machine), 0.1, {"times the seconds": 0.4, "upside down": 10})
