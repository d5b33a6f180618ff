"""The graph: recorded as operations run, gone through once by backward, added up where paths meet, and then let go."""
import gc
import weakref

import numpy as np
import pytest

from tinytorch import Tensor, enable_grad, is_grad_enabled, no_grad
from tinytorch.autograd import run_backward, topological_order
from tinytorch.gradcheck import GradientError, gradcheck
from tinytorch.ops.elementwise import Function, Mul
from tinytorch.tensor import apply


def leaf(*numbers):
    return Tensor(np.array(numbers), requires_grad=True)


class Counted(Function):
    "x * 1, counting how often its backward runs"
    runs = 0

    def forward(self, x):
        return x * 1

    def backward(self, grad):
        Counted.runs += 1
        return (grad * 1,)


@pytest.fixture
def counted():
    Counted.runs = 0
    return lambda x: apply(Counted(), x)


# ---- gradients along paths

def test_a_gradient_of_one_path():
    x = leaf(1.0, 2.0, 3.0)
    ((x * 2 + 1) ** 2).sum().backward()
    assert np.allclose(x.grad, 4 * (2 * x.data + 1))


def test_where_paths_meet_gradients_add_up():
    x = leaf(3.0)
    a, b = x * 2, x * x
    (a * b).backward(np.ones(1))  # 2x^3
    assert np.allclose(x.grad, 6 * 9)


def test_one_tensor_on_both_sides():
    x = leaf(3.0)
    (x * x + x / x - x).backward(np.ones(1))
    assert np.allclose(x.grad, 2 * 3 - 1)


def test_a_diamond_of_diamonds():
    x = leaf(0.5, -1.0, 2.0)
    gradcheck(lambda x: ((x * 2).tanh() * (x + 1).sin() + (x * 2).exp() * x).sum(), x)
    gradcheck(lambda x: sum((x * k for k in range(1, 6)), x) * x, x)


def test_gradients_reach_only_what_asked_for_them():
    x, y = leaf(1.0, 2.0), Tensor([3.0, 4.0])
    (x * y).sum().backward()
    assert np.allclose(x.grad, [3, 4]) and y.grad is None


def test_gradients_add_up_over_calls_of_backward():
    x = leaf(1.0, 2.0)
    (x * 3).sum().backward()
    (x * 4).sum().backward()
    assert np.allclose(x.grad, [7, 7])
    x.grad = None
    (x * 5).sum().backward()
    assert np.allclose(x.grad, [5, 5])


def test_a_gradient_can_be_handed_in():
    x = leaf(1.0, 2.0)
    (x * x).backward(np.array([1.0, 10.0]))
    assert np.allclose(x.grad, [2, 40])
    x.backward(Tensor([1.0, 1.0]))  # a leaf receives what it is given
    assert np.allclose(x.grad, [3, 41])


# ---- the backward pass

def test_each_backward_runs_once_however_many_paths_lead_to_it(counted):
    x = leaf(1.0)
    y = counted(x)
    for _ in range(10):
        y = counted(y + y)
    y.backward(np.ones(1))
    assert Counted.runs == 11 and np.allclose(x.grad, 2 ** 10)


def test_60_doublings_have_2_to_the_60_paths_and_take_60_steps():
    x = leaf(1.0)
    y = x
    for _ in range(60):
        y = y + y
    y.backward(np.ones(1))
    assert x.grad == 2.0 ** 60


def test_a_chain_of_50000_operations(counted):
    x = leaf(2.0)
    y = x
    for _ in range(50_000):
        y = counted(y)
    y.backward(np.ones(1))
    assert Counted.runs == 50_000 and x.grad == 1


def test_a_long_chain_without_backward_can_be_dropped():
    y = leaf(1.0)
    for _ in range(100_000):
        y = -y
    del y


def test_operations_come_after_those_they_depend_on():
    x = leaf(1.0)
    a = x * 2
    b = a + 1
    c = b * a
    order = topological_order(c.grad_fn)
    assert len(order) == 3 and [order.index(t.grad_fn) for t in (a, b, c)] == [0, 1, 2]


# ---- memory

def test_saved_arrays_are_freed_during_the_backward_pass():
    x = leaf(*np.ones(1000))
    middle = x.exp()
    saved = weakref.ref(middle.data)
    loss = (middle * 2).sum()
    del middle
    gc.disable()  # no cycle: counting references is enough
    try:
        assert saved() is not None
        loss.backward()
        assert saved() is None
    finally:
        gc.enable()


def test_a_graph_that_nobody_holds_is_gone_at_once():
    x = leaf(*np.ones(10))
    gc.disable()
    try:
        y = (x * 2).exp()
        operation = weakref.ref(y.grad_fn)
        del y
        assert operation() is None
    finally:
        gc.enable()


def test_a_leaf_owns_the_memory_of_its_gradient():
    x, y, z = leaf(1.0, 2.0), leaf(3.0, 4.0), leaf(5.0, 6.0)
    seed = np.ones(2)
    (x + y + z).backward(seed)
    for a, b in [(x, y), (y, z), (x, z)]:
        assert not np.shares_memory(a.grad, b.grad)
    assert not np.shares_memory(x.grad, seed)
    x.grad += 100
    assert np.allclose(y.grad, 1) and np.allclose(seed, 1)
    x.grad = None
    x.sum().backward()  # the gradient of a sum is a read-only view of one number
    x.grad += 1
    assert np.allclose(x.grad, 2)
    w = Tensor(np.ones((2, 3)), requires_grad=True)
    w.reshape(3, 2).permute(1, 0).backward(np.ones((2, 3)))
    w.grad += 1
    assert np.allclose(w.grad, 2)


def test_values_and_inputs_are_untouched_by_backward():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    a = x * y
    b = a.exp()
    before = [t.data.copy() for t in (x, y, a, b)]
    (b + a + a).sum().backward()
    assert all(np.array_equal(t.data, kept) for t, kept in zip((x, y, a, b), before))


# ---- twice

def test_a_second_backward_through_a_freed_graph_is_refused_and_changes_nothing():
    x = leaf(1.0, 2.0)
    y = x * 2
    z = y.sum()
    z.backward()
    grad = x.grad.clone()
    for root in (z, (y * 3).sum()):  # the same graph, and a new one on top of a freed part
        with pytest.raises(RuntimeError, match="retain_graph"):
            root.backward()
    assert np.array_equal(x.grad, grad)


def test_a_graph_that_is_retained_can_be_used_again():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert np.allclose(x.grad, 4 * x.data)


# ---- what has no backward pass

def test_backward_needs_a_scalar_or_a_gradient_of_the_same_shape():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match=r"\(2,\)"):
        (x * 2).backward()
    with pytest.raises(RuntimeError) as raised:
        (x * 2).backward(np.ones(3))
    assert "(2,)" in str(raised.value) and "(3,)" in str(raised.value)
    assert x.grad is None


def test_backward_needs_something_that_requires_a_gradient():
    with pytest.raises(RuntimeError):
        Tensor([1.0]).backward()
    with no_grad():
        y = leaf(1.0) * 2
    with pytest.raises(RuntimeError):
        y.backward()


class Careless(Mul):
    "its backward is given from outside"
    def __init__(self, answer):
        self.answer = answer

    def backward(self, grad):
        return self.answer(grad)


@pytest.mark.parametrize("answer, words", [
    (lambda grad: grad, ["2"]),
    (lambda grad: (grad,), ["2"]),
    (lambda grad: (grad, grad), ["1", "(3,)", "(2, 3)"]),
    (lambda grad: (grad, None), ["1", "(3,)", "None"]),
], ids=["no tuple", "too few", "not unbroadcast", "missing"])
def test_a_careless_backward_is_told_what_it_did(answer, words):
    x, y = Tensor(np.ones((2, 3)), requires_grad=True), leaf(1.0, 2.0, 3.0)
    with pytest.raises(RuntimeError) as raised:
        apply(Careless(answer), x, y).backward(np.ones((2, 3)))
    assert all(word in str(raised.value) for word in ["Careless", *words]), str(raised.value)


def test_gradcheck_finds_a_wrong_gradient_in_the_middle_of_a_graph():
    def off(x):
        return apply(Careless(lambda grad: (grad * 2.002, grad * 0)), x, Tensor(np.float64(2.0)))

    x = leaf(0.5, -1.0)
    gradcheck(lambda x: (x * 2).tanh(), x)
    with pytest.raises(GradientError, match="gradient of input 0"):
        gradcheck(lambda x: off(x).tanh(), x)
    with pytest.raises(TypeError, match="float64"):
        gradcheck(lambda x: x, Tensor([1.0], requires_grad=True))


# ---- not recording

def test_no_grad_records_nothing_and_gives_the_same_values():
    x = leaf(1.0, 2.0)
    with no_grad():
        assert not is_grad_enabled()
        y = (x * 2).exp()
        with enable_grad():
            assert (x * 2).requires_grad
        assert not is_grad_enabled()
    assert is_grad_enabled() and y.grad_fn is None and not y.requires_grad
    assert np.array_equal(y.data, (x * 2).exp().data)


def test_no_grad_ends_when_an_error_leaves_it():
    with pytest.raises(ValueError, match="(?i)matmul"), no_grad():
        Tensor(1.0) @ Tensor(1.0)
    assert is_grad_enabled()


def test_no_grad_as_a_decorator_also_of_a_function_that_calls_itself():
    @no_grad()
    def countdown(x, n):
        return countdown(x * 2, n - 1) if n else x

    y = countdown(leaf(1.0), 3)
    assert y.data == 8 and not y.requires_grad and is_grad_enabled()


def test_detach_cuts_the_graph_and_shares_the_numbers():
    x = leaf(2.0)
    y = x * 3
    cut = y.detach()
    assert not cut.requires_grad and cut.is_leaf and np.shares_memory(cut.data, y.data)
    (y * cut).backward(np.ones(1))
    assert np.allclose(x.grad, 3 * 6)  # as if cut were the constant 6


def test_leaves_and_results_say_what_they_are():
    x, y = leaf(1.0), Tensor([1.0])
    z = x * y
    assert x.is_leaf and y.is_leaf and not z.is_leaf
    assert x.requires_grad and not y.requires_grad and z.requires_grad
    assert type(z.grad_fn).__name__ == "Mul" and z.grad is None


# ---- dtypes along the way

def test_each_leaf_gets_its_gradient_in_its_own_dtype():
    single, double = Tensor([1.0, 2.0], requires_grad=True), leaf(3.0, 4.0)
    ((single * 2) * double).sum().backward()
    assert single.grad.dtype == np.float32 and double.grad.dtype == np.float64
    assert np.allclose(single.grad, [6, 8]) and np.allclose(double.grad, [2, 4])


def test_the_backward_pass_can_begin_at_any_operation():
    "run_backward knows operations, and leaves only by `accumulate_grad`, `out_shape` and `out_dtype`"
    x = leaf(1.0, 2.0)
    y = x * x
    run_backward(y.grad_fn, np.array([1.0, 2.0]))
    assert np.allclose(x.grad, [2, 8])


def test_second_derivatives_are_refused():
    x = Tensor([1.0, 2.0], requires_grad=True)
    loss = (x ** 3).sum()
    with pytest.raises(NotImplementedError, match="create_graph"):
        loss.backward(create_graph=True)
    assert x.grad is None
    loss.backward()
    np.testing.assert_allclose(x.grad, 3 * x.data ** 2)


def test_a_first_gradient_is_kept_where_it_is_fresh_and_else_copied():
    x, fresh, held = Tensor(np.ones(2), requires_grad=True), np.ones(2), np.ones(2)
    x.accumulate_grad(fresh, fresh=True)
    assert x.grad.data is fresh, "nobody else holds a fresh gradient: a copy costs time and memory"
    x.grad = None
    x.accumulate_grad(held, fresh=False)
    x.accumulate_grad(held, fresh=False)
    assert x.grad.tolist() == [2, 2] and held.tolist() == [1, 1], "somebody else holds it: copy before adding"
