"""What must hold for every shape, dim and key: Hypothesis draws them (the same ones each time)."""
import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, mutually_broadcastable_shapes

import tinytorch
from tinytorch import Tensor
from tinytorch.gradcheck import gradcheck
from tinytorch.nn.functional import pad

steady = settings(max_examples=80, derandomize=True, deadline=None, database=None)
SMALL = array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4)
ANY_SHAPE = array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)


def numbers(shape, seed=0):
    "float64 numbers that differ, so that no two of them tie"
    size = int(np.prod(shape))
    return (0.37 * np.random.default_rng(seed).permutation(size) - 0.17 * size + 0.05).reshape(shape)


def leaf(shape, seed=0):
    return Tensor(numbers(shape, seed), requires_grad=True)


def gradient_of(x, out):
    "the cotangent that was drawn, and dL/dx"
    cotangent = np.random.default_rng(5).standard_normal(out.shape)
    x.grad = None
    out.backward(cotangent)
    return cotangent, x.grad.data


# ---- indexing: what was read n times receives n gradients

@st.composite
def slices(draw, size):
    ends = st.none() | st.integers(-size - 1, size + 1)
    return slice(draw(ends), draw(ends), draw(st.none() | st.sampled_from([1, 2, 3, -1, -2])))


@st.composite
def keys(draw, shape):
    """A key for an array of `shape`: for some dims an integer, a slice, integers that repeat or a mask, in between None
    and at most one `...`. Integer arrays and masks in one key name the same number of places."""
    count = draw(st.integers(0, 3))
    parts, ellipsis_left = [], draw(st.booleans())
    for size in shape[:draw(st.integers(0, len(shape)))]:
        kind = draw(st.sampled_from(["integer", "slice", "array", "array", "mask"]))
        integer = st.integers(-size, size - 1)
        if kind == "integer":
            parts.append(draw(integer))
        elif kind == "slice":
            parts.append(draw(slices(size)))
        elif kind == "mask" and count <= size:
            mask = np.zeros(size, bool)
            mask[draw(st.permutations(range(size)))[:count]] = True
            parts.append(mask)
        else:
            form = draw(st.sampled_from([(count,), (1, count), (2, count)]))  # these broadcast
            parts.append(draw(arrays(np.int64, form, elements=integer)))
    if ellipsis_left and draw(st.booleans()):
        # after "...", keys count from the last dim: those parts may not fit the sizes there, so only slices and None
        parts += [..., *([slice(None)] * draw(st.integers(0, len(shape) - len(parts))))]
    for _ in range(draw(st.integers(0, 2))):
        parts.insert(draw(st.integers(0, len(parts))), None)
    return tuple(parts) if len(parts) != 1 or draw(st.booleans()) else parts[0]


def worded(key, how):
    "the same key with its arrays as lists or Tensors"
    if isinstance(key, tuple):
        return tuple(worded(part, how) for part in key)
    return how(key) if isinstance(key, np.ndarray) and key.size else key


@settings(steady, max_examples=800)
@given(st.data())
def test_indexing(data):
    shape = data.draw(SMALL)
    key = data.draw(keys(shape))
    how = data.draw(st.sampled_from([np.asarray, np.ndarray.tolist, Tensor]))
    x = leaf(shape)
    out = x[worded(key, how)]
    assert np.array_equal(out.data, x.data[key])
    cotangent, gradient = gradient_of(x, out)
    places = np.arange(x.numel()).reshape(shape)[key]  # where each element of the result was read
    expected = np.bincount(np.ravel(places), np.ravel(cotangent), minlength=x.numel())
    assert np.allclose(gradient, expected.reshape(shape), rtol=1e-12, atol=1e-12)


@steady
@given(st.data())
def test_a_mask_over_several_dims(data):
    shape = data.draw(SMALL)
    dims = data.draw(st.integers(1, len(shape)))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=int(np.prod(shape[:dims])),
        max_size=int(np.prod(shape[:dims])))), bool)
    mask = mask.reshape(shape[:dims])
    x = leaf(shape)
    out = x[Tensor(mask)]
    assert np.array_equal(out.data, x.data[mask])
    cotangent, gradient = gradient_of(x, out)
    expected = np.zeros(shape)
    expected[mask] = cotangent
    assert np.array_equal(gradient, expected)


# ---- reductions

VALUES = {
    "sum": np.sum, "mean": np.mean, "amax": np.max, "amin": np.min,
    "var": lambda x, **o: np.var(x, ddof=1, **o), "std": lambda x, **o: np.std(x, ddof=1, **o),
    "logsumexp": lambda x, **o: np.log(np.sum(np.exp(x), **o)),
}


@pytest.mark.parametrize("name", VALUES)
@settings(steady, max_examples=40)
@given(st.data())
def test_reductions(name, data):
    shape = data.draw(array_shapes(min_dims=1, max_dims=4, min_side=2, max_side=3))
    dims = data.draw(st.lists(st.integers(0, len(shape) - 1), unique=True, min_size=1))
    dims = tuple(d - len(shape) if data.draw(st.booleans()) else d for d in dims)
    dim = data.draw(st.sampled_from([None, dims, dims[0]])) if name != "logsumexp" else dims
    keepdim = data.draw(st.booleans())
    x = leaf(shape)
    out = getattr(x, name)(dim=dim, keepdim=keepdim)
    assert np.allclose(out.data, VALUES[name](x.data, axis=dim, keepdims=keepdim)) and out.ndim == (
        len(shape) if keepdim else len(shape) - np.size(dims if dim is dims else dim if dim is not None else shape))
    gradcheck(lambda x: getattr(x, name)(dim=dim, keepdim=keepdim), x)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "cumsum"])
@settings(steady, max_examples=40)
@given(st.data())
def test_along_one_dim(name, data):
    shape = data.draw(array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=3))
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = leaf(shape)
    shares = np.exp(x.data) / np.exp(x.data).sum(axis=dim, keepdims=True)
    expected = {"softmax": shares, "log_softmax": np.log(shares), "cumsum": np.cumsum(x.data, axis=dim)}[name]
    assert np.allclose(getattr(x, name)(dim).data, expected)
    gradcheck(lambda x: getattr(x, name)(dim), x)


# ---- broadcasting and products

@pytest.mark.parametrize("name", ["add", "sub", "mul", "maximum", "minimum"])
@settings(steady, max_examples=40)
@given(mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0, max_side=3))
def test_broadcasting(name, pair):
    x, y = leaf(pair.input_shapes[0]), leaf(pair.input_shapes[1], seed=1)
    y.data += 0.01  # away from ties
    out = getattr(x, name)(y)
    ufunc = {"sub": "subtract", "mul": "multiply"}.get(name, name)
    assert out.shape == pair.result_shape and np.array_equal(out.data, getattr(np, ufunc)(x.data, y.data))
    gradcheck(getattr(Tensor, name), x, y)


@steady
@given(mutually_broadcastable_shapes(num_shapes=3, max_dims=3, min_side=1, max_side=3))
def test_where_broadcasts_all_three(triple):
    condition, x, y = [numbers(shape, seed) for seed, shape in enumerate(triple.input_shapes)]
    out = gradcheck(lambda x, y: tinytorch.where(condition > 0, x, y), Tensor(x, True), Tensor(y, True))
    assert out < 1e-6


@steady
@given(mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=2, min_side=0, max_side=3))
def test_matmul(pair):
    x, y = leaf(pair.input_shapes[0]), leaf(pair.input_shapes[1], seed=1)
    out = x @ y
    assert out.shape == pair.result_shape and np.allclose(out.data, x.data @ y.data)
    gradcheck(lambda x, y: x @ y, x, y)


@st.composite
def equations(draw):
    "an einsum of one to three operands and their shapes; at times with '...' or without '->'"
    sizes = dict(zip("abcde", draw(st.lists(st.integers(1, 3), min_size=5, max_size=5))))
    names = draw(st.lists(st.lists(st.sampled_from("abcde"), unique=True, max_size=3), min_size=1, max_size=3))
    dots = [draw(st.booleans()) for _ in names]
    shapes = [(2,) * dotted + tuple(sizes[c] for c in name) for dotted, name in zip(dots, names)]
    terms = ["..." * dotted + "".join(name) for dotted, name in zip(dots, names)]
    letters = sorted({c for name in names for c in name})
    result = draw(st.permutations(letters))[:draw(st.integers(0, len(letters)))] if letters else []
    equation = ",".join(terms)
    if draw(st.booleans()):
        equation += "->" + "..." * any(dots) + "".join(result)
    return equation, shapes


@settings(steady, max_examples=150)
@given(equations())
def test_einsum(drawn):
    equation, shapes = drawn
    operands = [leaf(shape, seed) for seed, shape in enumerate(shapes)]
    out = tinytorch.einsum(equation, *operands)
    assert set(equation) <= set(string.ascii_letters + ",.->")
    assert np.allclose(out.data, np.einsum(equation, *[x.data for x in operands]))
    gradcheck(lambda *xs: tinytorch.einsum(equation, *xs), *operands)


# ---- there and back

@st.composite
def shape_and_dim(draw):
    shape = draw(array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5))
    return shape, draw(st.integers(-len(shape), len(shape) - 1))


def assert_identity(x, out):
    "out equals x, and so does its gradient the cotangent"
    assert np.array_equal(out.data, x.data)
    cotangent, gradient = gradient_of(x, out)
    assert np.array_equal(gradient, cotangent)


@steady
@given(shape_and_dim(), st.data())
def test_split_and_cat(case, data):
    shape, dim = case
    cuts = sorted(data.draw(st.lists(st.integers(0, shape[dim]), max_size=3)))
    sizes = np.diff([0, *cuts, shape[dim]]).tolist()
    x = leaf(shape)
    pieces = x.split(sizes, dim)
    assert [piece.shape[dim] for piece in pieces] == sizes
    assert_identity(x, tinytorch.cat(pieces, dim))
    assert_identity(x, tinytorch.cat(x.chunk(data.draw(st.integers(1, 6)), dim), dim))
    assert_identity(x, tinytorch.cat(x.split(data.draw(st.integers(1, 6)), dim), dim))
    assert_identity(x, tinytorch.stack([x.index_select(dim, i) for i in range(shape[dim])], dim))


@steady
@given(ANY_SHAPE, st.data())
def test_what_only_moves_elements_moves_back(shape, data):
    x, ndim = leaf(shape), len(shape)
    order = data.draw(st.permutations(range(ndim)))
    assert_identity(x, x.permute(*order).permute(*np.argsort(order).tolist()))
    assert_identity(x, x.reshape(-1 if x.numel() else 0).reshape(shape))
    assert_identity(x, x.flatten().view(shape))
    dim = data.draw(st.integers(-ndim - 1, ndim))
    assert_identity(x, x.unsqueeze(dim).squeeze(dim))
    if ndim:
        dims = tuple(data.draw(st.lists(st.integers(0, ndim - 1), unique=True, min_size=1)))
        shift = data.draw(st.integers(-4, 4))
        assert_identity(x, x.flip(*dims).flip(*dims))
        assert_identity(x, x.roll(shift, dims[0]).roll(-shift, dims[0]))
        assert_identity(x, x.transpose(dims[0], dims[-1]).transpose(dims[0], dims[-1]))
        before, after = data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
        padded = pad(x, (before, after), value=9.0)
        assert padded.shape == (*shape[:-1], before + shape[-1] + after)
        assert_identity(x, padded[..., before:before + shape[-1]])


@steady
@given(array_shapes(min_dims=1, max_dims=2, min_side=1, max_side=3),
    st.lists(st.integers(1, 3), min_size=2, max_size=3))
def test_repeat_and_expand(shape, counts):
    x = leaf(shape)
    assert np.array_equal(x.repeat(*counts).data, np.tile(x.data, counts))
    gradcheck(lambda x: x.repeat(*counts), x)
    wide = (*counts, *shape)
    assert np.array_equal(x.expand(wide).data, np.broadcast_to(x.data, wide))
    gradcheck(lambda x: x.expand(wide), x)


@steady
@given(shape_and_dim(), st.data())
def test_gather(case, data):
    shape, dim = case
    count = data.draw(st.integers(0, 4))
    index_shape = [min(n, data.draw(st.integers(1, 5))) for n in shape]
    index_shape[dim] = count
    index = np.random.default_rng(data.draw(st.integers(0, 9))).integers(0, shape[dim], index_shape)
    x = leaf(shape)
    smaller = tuple(slice(n) if d != dim % len(shape) else slice(None) for d, n in enumerate(index_shape))
    assert np.array_equal(x.gather(dim, Tensor(index)).data, np.take_along_axis(x.data[smaller], index, dim))
    gradcheck(lambda x: x.gather(dim, Tensor(index)), x)
