"""Matrix products and einsum: every combination of vectors, matrices and stacks."""
import tracemalloc

import numpy as np
import pytest

from tinytorch.gradcheck import check_function
from tinytorch.ops.reductions import Einsum, MatMul, check_inner_sizes


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("left, right", [
    ((2, 3), (3, 4)), ((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)),
    ((5, 2, 3), (3, 4)), ((5, 2, 3), (5, 3, 4)), ((2, 3), (5, 3, 4)), ((3,), (5, 3, 4)), ((5, 2, 3), (3,)),
    ((2, 1, 2, 3), (4, 3, 2)), ((1, 2, 3), (5, 3, 2)), ((2, 2, 2, 3), (3, 2)),
    ((0, 3), (3, 4)), ((2, 0), (0, 4)), ((5, 2, 0), (0, 4)), ((0, 2, 3), (3, 4)),
], ids=str)
def test_matmul(left, right, seed):
    x, y = random(*left, seed=seed), random(*right, seed=seed + 10)
    assert np.allclose(MatMul().forward(x, y), x @ y)
    check_function(MatMul, x, y)


@pytest.mark.parametrize("make", [MatMul, lambda: Einsum("bij,jk->bik")], ids=["matmul", "einsum"])
def test_only_wanted_gradients_are_computed(make):
    for wanted in (0, 1):
        operation = make()
        operation.needs_grad = (wanted == 0, wanted == 1)
        operation.forward(random(5, 2, 3), random(3, 4))
        gradients = operation.backward(random(5, 2, 4))
        assert gradients[1 - wanted] is None and gradients[wanted].shape == [(5, 2, 3), (3, 4)][wanted]


@pytest.mark.parametrize("left, right", [((2, 3), (4, 5)), ((2, 3), (4, 3)), ((4,), (3,)), ((), (2, 3)), ((2, 3), ()),
                                         ((5, 2, 3), (4, 3)), ((3,), (5, 4, 3))], ids=str)
def test_matmul_says_what_does_not_fit(left, right):
    for call in (check_inner_sizes, MatMul().forward):
        with pytest.raises(ValueError) as raised:
            call(np.ones(left), np.ones(right))
        assert str(left) in str(raised.value) and str(right) in str(raised.value)


def test_a_stack_times_one_matrix_sums_its_gradient_without_a_stack_of_them():
    "10,000 rows, each a matrix of its own: a gradient of the weight for each would take 800 MB"
    x, y, operation = random(10_000, 1, 100), random(100, 100), MatMul()
    operation.forward(x, y)
    tracemalloc.start()
    _, dy = operation.backward(np.ones((10_000, 1, 100)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.allclose(dy, np.repeat(x.sum((0, 1))[:, None], 100, axis=1)) and peak < 1e8


@pytest.mark.parametrize("equation, shapes", [
    ("ij->ji", [(2, 3)]), ("ij->", [(2, 3)]), ("ijk->j", [(2, 3, 4)]), ("...ij->...ji", [(4, 2, 3)]),
    ("i,i->", [(3,), (3,)]), ("i,j->ij", [(3,), (4,)]), ("ij,j->i", [(2, 3), (3,)]), ("ij,jk->ik", [(2, 3), (3, 4)]),
    ("ij,jk", [(2, 3), (3, 4)]), ("bij,bjk->bik", [(5, 2, 3), (5, 3, 4)]), ("bij,jk->bik", [(5, 2, 3), (3, 4)]),
    ("...ij,...jk->...ik", [(5, 2, 3), (3, 4)]), ("ij,k->k", [(2, 3), (4,)]),
    ("ii->i", [(3, 3)]), ("ii", [(3, 3)]), ("jij,ik->jk", [(2, 3, 2), (3, 4)]),
    ("...i,...i->...", [(4, 1, 3), (2, 3)]), ("...->...", [(2, 3)]), ("ac,bc->ab", [(2, 3), (4, 1)]),
    ("...i,ij", [(5, 2, 3), (3, 4)]), ("iij->j", [(2, 2, 3)]), ("ij,ij->", [(2, 3), (2, 3)]),
    ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 2)]), ("i,i,i,i,i->i", [(3,)] * 5),
        ("b q d, b k d -> b q k", [(2, 3, 4), (2, 5, 4)]),
], ids=str)
def test_einsum(equation, shapes):
    arrays = [random(*shape, seed=i) for i, shape in enumerate(shapes)]
    assert np.allclose(Einsum(equation).forward(*arrays), np.einsum(equation, *arrays))
    check_function(lambda: Einsum(equation), *arrays)


@pytest.mark.parametrize("equation, shapes", [
    ("ij,jk->ik", [(2, 3)]), ("ij->i", [(2, 3), (3,)]), ("ijk->i", [(2, 3)]), ("...ijk->i", [(2, 3)]),
    ("i->i", [(2, 3)]), ("ii->i", [(3, 4)]), ("ij,jk->ik", [(2, 3), (4, 5)]),
], ids=str)
def test_einsum_refuses_what_does_not_fit(equation, shapes):
    with pytest.raises(ValueError):
        Einsum(equation).forward(*[random(*shape) for shape in shapes])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", [MatMul, lambda: Einsum("ij,jk->ik")], ids=["matmul", "einsum"])
def test_the_dtype_stays_and_nothing_is_written_to(make, dtype):
    x, y, grad = (random(*shape).astype(dtype) for shape in ((2, 3), (3, 4), (2, 4)))
    copies = x.copy(), y.copy(), grad.copy()
    operation = make()
    assert operation.forward(x, y).dtype == dtype
    assert [g.dtype for g in operation.backward(grad)] == [dtype, dtype]
    assert all(np.array_equal(a, copy) for a, copy in zip((x, y, grad), copies))
