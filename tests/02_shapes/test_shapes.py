"""Operations that move elements: where an element goes, its gradient comes back from."""
import numpy as np
import pytest

from tinytorch.gradcheck import GradientError, check_function
from tinytorch.ops.shapes import Cat, Clone, Expand, Flip, Gather, Index, Pad, Permute, Reshape, Roll, Tril, Triu

X = np.arange(24.0).reshape(2, 3, 4)
MOVES = {
    "reshape": (lambda: Reshape(4, 6), X.reshape(4, 6)),
    "reshape with -1": (lambda: Reshape(-1, 8), X.reshape(3, 8)),
    "permute": (lambda: Permute(2, 0, 1), X.transpose(2, 0, 1)),
    "permute, from the end": (lambda: Permute(-1, 0, -2), X.transpose(2, 0, 1)),
    "expand": (lambda: Expand(5, 2, 3, 4), np.broadcast_to(X, (5, 2, 3, 4))),
    "expand with -1": (lambda: Expand(2, -1, -1, -1), np.broadcast_to(X, (2, 2, 3, 4))),
    "flip": (lambda: Flip(0, -1), X[::-1, :, ::-1]),
    "roll": (lambda: Roll(1, 2), np.roll(X, 1, 2)),
    "roll two dims": (lambda: Roll((1, -2), (0, 1)), np.roll(X, (1, -2), (0, 1))),
    "roll all": (lambda: Roll(5), np.roll(X, 5)),
    "tril": (lambda: Tril(), np.tril(X)),
    "tril, further up": (lambda: Tril(1), np.tril(X, 1)),
    "triu": (lambda: Triu(-1), np.triu(X, -1)),
    "pad": (lambda: Pad([(0, 0), (1, 0), (2, 3)], 9.0), np.pad(X, [(0, 0), (1, 0), (2, 3)], constant_values=9.0)),
    "pad, cropping": (lambda: Pad([(0, 0), (-1, 0), (1, -2)]), np.pad(X[:, 1:, :-2], [(0, 0), (0, 0), (1, 0)])),
    "clone": (Clone, X),
}


@pytest.mark.parametrize("name", MOVES)
def test_value_and_gradient(name):
    make, expected = MOVES[name]
    x = X.copy()
    assert np.array_equal(make().forward(x), expected)
    check_function(make, x)
    assert np.array_equal(x, X)


@pytest.mark.parametrize("name", MOVES)
def test_the_dtype_stays(name):
    operation = MOVES[name][0]()
    out = operation.forward(X.astype(np.float32))
    assert out.dtype == np.float32 and operation.backward(np.ones_like(out))[0].dtype == np.float32


def test_expand_sums_the_gradients_of_its_copies():
    operation = Expand(3, 4)
    operation.forward(np.ones((3, 1)))
    assert np.array_equal(operation.backward(np.arange(12.0).reshape(3, 4))[0], [[6], [22], [38]])


def test_a_clone_has_memory_of_its_own():
    x = X.copy()
    assert not np.shares_memory(Clone().forward(x), x)


@pytest.mark.parametrize("shapes, dim", [
    ([(2, 3), (2, 3)], 0), ([(2, 3), (4, 3), (0, 3)], 0), ([(2, 1), (2, 5)], 1), ([(2, 1, 3), (2, 2, 3)], -2),
        ([(3,)] * 5, 0),
], ids=str)
def test_cat(shapes, dim):
    arrays = [np.random.default_rng(i).standard_normal(shape) for i, shape in enumerate(shapes)]
    assert np.array_equal(Cat(dim).forward(*arrays), np.concatenate(arrays, dim))
    check_function(lambda: Cat(dim), *arrays)


KEYS = [
    0, -1, slice(1, 3), slice(None, None, 2), slice(None, None, -1), slice(3, 0, -2), ..., None, (), (1, 2),
        (slice(None), 0),
    (..., 1), (None, 0, ..., None), (slice(None), slice(None), slice(0, 4, 3)),
    np.array([0, 0, 3]), np.array([[1, 1], [0, -1]]), (np.array([0, 1, 0]), np.array([2, 2, 2])),
    (slice(None), np.array([1, 1])), (np.array([3, 3]), slice(None), np.array([0, 0])), (..., np.array([4, 0, 4])),
    (1, np.array([0, 0])), (np.array([0, 0]), None, slice(1)), np.array([], int),
    np.array([True, False, True, True]), (slice(None), np.array([True, False, True])), (np.array([False] * 4), 0),
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_indexing(key):
    x = np.random.default_rng(0).standard_normal((4, 3, 5))
    assert np.array_equal(Index(key).forward(x), x[key])
    check_function(lambda: Index(key), x)


def test_indexing_with_a_mask_of_the_whole():
    x = np.random.default_rng(0).standard_normal((4, 3))
    assert np.array_equal(Index(x > 0).forward(x), x[x > 0])
    check_function(lambda: Index(x > 0), x.copy())


def test_an_element_read_twice_receives_both_gradients():
    operation = Index(np.array([1, 1, 0, 1]))
    operation.forward(np.zeros(3))
    assert np.array_equal(operation.backward(np.array([1.0, 10.0, 5.0, 100.0]))[0], [5, 111, 0])


def test_assigning_where_one_must_add_is_noticed():
    class Assigned(Index):
        def backward(self, grad):
            dx = np.zeros(3)
            dx[self.key] = grad
            return (dx,)

    check_function(lambda: Assigned(np.array([0, 2])), np.ones(3))  # right as long as nothing repeats
    with pytest.raises(GradientError, match="Assigned"):
        check_function(lambda: Assigned(np.array([0, 0, 2])), np.ones(3))


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("shape", [(3, 4), (2, 2), (3, 1), (0, 4)], ids=str)
def test_gather(shape, dim):
    x = np.random.default_rng(0).standard_normal((3, 4))
    index = np.random.default_rng(1).integers(0, 3, shape)
    expected = np.array([[x[index[i, j], j] if dim == 0 else x[i, index[i, j]] for j in range(shape[1])]
                         for i in range(shape[0])]).reshape(shape)
    assert np.array_equal(Gather(dim).forward(x, index), expected)
    check_function(lambda: Gather(dim), x, index)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError) as raised:
        Gather(0).forward(X, np.array([0, 1]))
    assert "(2, 3, 4)" in str(raised.value) and "(2,)" in str(raised.value)
    for triangle in (Tril(), Triu(1)):
        with pytest.raises(ValueError, match=r"\(3,\)"):
            triangle.forward(np.ones(3))
    for operation, options in [
        (Reshape, (5, 5)), (Expand, (2, 3)), (Expand, (3, 3, 4)), (Roll, ((1, 2), 0)), (Roll, (1, (0, 1))),
        (Permute, (0, 1)),
    ]:
        with pytest.raises(ValueError):  # by the one or the other
            operation(*options).forward(X)
    with pytest.raises(IndexError):
        Index(2).forward(X)


def test_options_are_kept_under_their_names():
    assert Reshape(2, 3).shape == Expand(2, 3).shape == (2, 3) and Permute(1, 0).dims == Flip(1, 0).dims == (1, 0)
    assert (Roll(1, 2).shifts, Roll(1, 2).dims, Roll(1).dims) == (1, 2, None)
    assert (Gather(1).dim, Cat(1).dim, Cat().dim, Tril(2).diagonal, Triu().diagonal) == (1, 1, 0, 2, 0)
    border = Pad([(1, 2)], 3.0)
    assert Index((0, None)).key == (0, None) and border.widths == [(1, 2)] and border.value == 3.0


def test_an_integer_key_that_repeats_beside_slices():
    "A key is a view or not as a whole: one integer array in it, and elements may repeat."
    operation = Index((slice(0, 2), np.array([1, 1, 1])))
    operation.forward(np.zeros((2, 3)))
    assert np.array_equal(operation.backward(np.ones((2, 3)))[0], [[0, 3, 0], [0, 3, 0]])


def test_numbers_of_no_dims():
    for operation in (Reshape(), Permute(), Expand(), Flip(), Index(()), Index(...), Clone()):
        number = np.array(3.0)
        assert np.shape(operation.forward(number)) == ()
        (gradient,) = operation.backward(np.array(2.0))
        assert np.shape(gradient) == () and gradient == 2


def test_cat_has_as_many_gradients_as_arrays():
    joined = Cat(-1)
    joined.forward(np.ones((2, 1)), np.zeros((2, 0)), np.ones((2, 3)))
    assert [piece.shape for piece in joined.backward(np.ones((2, 4)))] == [(2, 1), (2, 0), (2, 3)]
