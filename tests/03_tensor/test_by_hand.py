"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import numpy as np
from by_hand import expect, likely

from tinytorch.autograd import merged, topological_order
from tinytorch.ops.elementwise import Function
from tinytorch.tensor import Tensor


def test_gradients_add_up_in_a_leaf():
    x = Tensor([2.0], requires_grad=True)
    for _ in range(2):
        (3 * x).backward()
    expect(
        "two backwards of 3 x", x.grad, [6], {"the second gradient has replaced the first: they must be added": [3]}
    )


def test_gradients_add_up_where_paths_meet():
    x = Tensor([2.0], requires_grad=True)
    with likely("backward of a scalar needs no gradient: it starts from one", RuntimeError):
        (x * x + x).backward()
    expect(
        "x * x + x at 2, gradient",
        x.grad,
        [5],
        {
            "only one of the paths arrived: gradients must be added where paths meet": [1],
            "the last is missing": [4],
            "only one of the paths arrived: both uses in x * x count": [3],
        },
    )


def test_a_slice_stays_on_the_graph():
    table = Tensor([[1.0], [2.0], [3.0]], requires_grad=True)
    part = table[1:]
    assert part.requires_grad, (
        "the slice has no graph: was it taken from .data? Index is an operation like any other"
    )
    (part * Tensor([[10.0], [100.0]])).sum().backward()
    expect("table[1:], gradient", table.grad, [[0], [10], [100]])


def test_reflected_operators_mind_the_order():
    x = Tensor([2.0, 4.0])
    expect("1 - x", (1 - x).data, [-1, -3], {"the order is wrong: 1 - x, not x - 1": [1, 3]})
    expect("8 / x", (8 / x).data, [4, 2], {"the order is wrong: 8 / x, not x / 8": [0.25, 0.5]})


def test_a_sum_that_is_not_ours_is_left_alone():
    total, gradient = np.array([1.0, 2.0]), np.array([10.0, 20.0])
    found, ours = merged((total, False), gradient, False)
    expect(
        "merged, the sum",
        found,
        [11, 22],
        {"the new gradient has replaced the sum": gradient, "the new gradient is not added": [1, 2]},
    )
    assert total.tolist() == [1, 2], "merged wrote into an array that is not ours: somebody else is reading it"
    assert gradient.tolist() == [10, 20], (
        "merged wrote into a gradient that is not fresh: somebody else is reading it"
    )
    assert ours is True, "the new sum is ours"


def test_users_come_after_what_they_use():
    first, left, right, last = (Function() for _ in range(4))
    first.parents, left.parents, right.parents, last.parents = (), (first,), (left, first), (left, right)
    order = topological_order(last)
    names = {first: "first", left: "left", right: "right", last: "last"}
    told = [names[node] for node in order]
    assert len(told) == len(set(told)) == 4, f"each operation once: {told}; ask `seen` when a node is popped, too"
    wrong = [
        f"{names[node]} before {names[p]}"
        for node in order
        for p in node.parents
        if order.index(p) > order.index(node)
    ]
    assert not wrong, f"written down too early: {', '.join(wrong)}; a node comes when all its parents are done"
