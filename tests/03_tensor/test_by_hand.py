"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import numpy as np
from by_hand import expect, likely

from tinytorch import no_grad, ones, stack
from tinytorch.autograd import add_gradient, topological_order
from tinytorch.creation import pad
from tinytorch.ops.elementwise import Function
from tinytorch.tensor import Tensor, apply


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
    found, ours = add_gradient((total, False), gradient, False)
    expect(
        "add_gradient, the sum",
        found,
        [11, 22],
        {"the new gradient has replaced the sum": gradient, "the new gradient is not added": [1, 2]},
    )
    assert total.tolist() == [1, 2], "add_gradient wrote into an array that is not ours: somebody else is reading it"
    assert gradient.tolist() == [10, 20], (
        "add_gradient wrote into a gradient that is not fresh: somebody else is reading it"
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
    assert not wrong, f"listed too early: {', '.join(wrong)}; a node comes when all its parents are done"


def test_each_operation_hands_on_all_that_it_collected():
    x = Tensor([3.0], requires_grad=True)
    a = 2 * x
    (a * a).backward()  # (2 x)^2
    expect("(2 x)^2 at 3, gradient", x.grad, [24], {
        "an operation handed on only the last gradient that reached it: they must be added": [12],
    })  # fmt: skip
    y = Tensor([1.0], requires_grad=True)
    b = 2 * y
    (b * 3 + b * b).backward()
    expect("6 y + 4 y^2 at 1, gradient", y.grad, [14])


def test_a_graph_is_freed_by_the_backward_pass():
    x = Tensor([3.0], requires_grad=True)
    loss = (x * x).exp()
    loss.backward()
    before = x.grad.clone()
    try:
        loss.backward()
    except RuntimeError:
        pass
    except Exception as error:
        raise AssertionError("this graph was freed: refuse it, with a RuntimeError, before you run it") from error
    else:
        raise AssertionError("a second backward through a graph that was freed must be a RuntimeError")
    assert x.grad.tolist() == before.tolist(), "a backward that is refused changes nothing"


def test_leaves_do_not_share_their_gradients():
    x, y = Tensor([1.0], requires_grad=True), Tensor([2.0], requires_grad=True)
    (x + y).backward()
    x.grad += 100
    assert y.grad.tolist() == [1], "x and y hold one array: it was no fresh one, somebody else held it, so copy it"


def test_a_graph_is_recorded_only_where_a_gradient_is_needed():
    x, y = Tensor([2.0], requires_grad=True), Tensor([3.0])
    assert (y * y).grad_fn is None, "nothing here requires a gradient: a graph was recorded all the same"
    with no_grad():
        assert not (x * y).requires_grad, "under no_grad nothing is recorded: ask the thread, thread.recording"
    with likely("y requires no gradient: its place among the parents is None", RuntimeError):
        (x * y).backward()
    assert y.grad is None, "y requires no gradient: its place among the parents is None"
    expect("x * y, gradient of x", x.grad, [3])


def test_scalars_of_numpy_do_not_make_float64():
    class Given(Function):
        def forward(self, x, scalar):
            self.scalar = scalar
            return x

    operation = Given()
    apply(operation, Tensor([1.0, 2.0]), np.float64(2.0))
    assert type(operation.scalar) is float, "a NumPy scalar makes float64 of float32: make it a Python number first"
    out = Tensor([1, 2]) / 2
    assert out.dtype == np.float32, "integers divided are float64 in NumPy: the result belongs in the default dtype"


def test_masked_fill_and_where_choose_the_right_side():
    x = Tensor([1.0, 5.0])
    mask = Tensor([True, False])
    expect("masked_fill", x.masked_fill(mask, 9.0).data, [9, 5], {"the mask is inverted: value where it holds": [1, 9]})
    expect("where", x.where(mask, 9.0).data, [1, 9], {"the order is wrong: self where the condition holds": [9, 5]})


def test_max_along_a_dim_has_a_gradient():
    x = Tensor([[1.0, 5.0], [7.0, 2.0]], requires_grad=True)
    values, indices = x.max(dim=1)
    expect("max(dim=1), values", values.data, [5, 7])
    expect("max(dim=1), indices", indices.data, [1, 0])
    assert values.requires_grad, "the values have lost the graph: gather them, instead of taking them from .data"
    values.sum().backward()
    expect("max(dim=1), gradient", x.grad, [[0, 1], [1, 0]])


def test_views_put_everything_in_its_place():
    x = Tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
    flat = x.transpose(0, 1)
    expect("transpose", flat.data, [[1, 4], [2, 5], [3, 6]], {"reshaped, not transposed": [[1, 2], [3, 4], [5, 6]]})
    tiled = Tensor([1.0, 2.0], requires_grad=True).repeat(2)
    expect("repeat(2)", tiled.data, [1, 2, 1, 2], {"each element was repeated, not the whole tensor": [1, 1, 2, 2]})
    pieces = x.split(2, dim=1)
    expect("split(2, dim=1), sizes", [piece.shape[1] for piece in pieces], [2, 1])
    expect("split(2, dim=1), the last", pieces[-1].data, [[3], [6]])
    assert len(x.chunk(2, dim=1)) == 2 and x.chunk(2, dim=1)[0].shape == (2, 2), (
        "3 columns in 2 chunks: the size is rounded up, 2 and 1"
    )
    for name, view in [("transpose", flat), ("repeat", tiled), ("split", pieces[0])]:
        assert view.requires_grad, f"{name} has lost the graph: was it taken from .data?"


def test_a_change_of_dtype_stays_on_the_graph():
    x = Tensor([1.0, 2.0], requires_grad=True)
    double = x.to(np.float64)
    assert double.requires_grad, "to has lost the graph: from floats to floats it is an operation, Cast"
    (double * double).sum().backward()
    assert x.grad.dtype == np.float32, "the gradient comes back in the leaf's own dtype"
    expect("x.to(float64)^2, gradient", x.grad, [2, 4])


def test_pad_and_stack_count_their_dims():
    expect("pad (1, 2) of ones (1, 3)", pad(ones(1, 3), (1, 2)).data, [[0, 1, 1, 1, 0, 0]])
    padded = pad(ones(1, 2), (0, 1, 1, 0))
    expect("pad (0, 1, 1, 0) of ones (1, 2)", padded.data, [[0, 0, 0], [1, 1, 0]], {
        "the order of the dims is wrong: pad begins with the last": [[0, 1, 1], [0, 0, 0]],
    })  # fmt: skip
    pair = stack([Tensor([1.0, 2.0]), Tensor([3.0, 4.0])], dim=1)
    expect("stack in dim 1", pair.data, [[1, 3], [2, 4]], {"stacked in dim 0": [[1, 2], [3, 4]]})
