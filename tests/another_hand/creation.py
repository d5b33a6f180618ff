"""New tensors, by another hand."""

__all__ = [
    "tensor", "zeros_like", "ones_like", "where", "einsum", "outer", "cat", "stack", "zeros",
    "ones", "eye", "rand", "randn", "randint", "full", "arange", "pad",
]

import numpy as np

from tinytorch.ops import elementwise, reductions, shapes
from tinytorch.state import default_generator, get_default_dtype
from tinytorch.tensor import Tensor, apply, shape_from


def tensor(data, requires_grad=False, dtype=None):
    return Tensor(data, requires_grad, dtype)


def zeros_like(x):
    return Tensor.wrap(np.zeros(x.shape, x.dtype))


def ones_like(x):
    return Tensor.wrap(np.ones(x.shape, x.dtype))


def where(condition, x, y):
    return apply(elementwise.Where(), condition, x, y)


def einsum(equation, *operands):
    return apply(reductions.Einsum(equation), *(_as_tensor(operand) for operand in operands))


def outer(x, y):
    return _as_tensor(x).outer(y)


def cat(tensors, dim=0):
    return apply(shapes.Cat(dim), *(_as_tensor(one) for one in tensors))


def stack(tensors, dim=0):
    return cat([_as_tensor(one).unsqueeze(dim) for one in tensors], dim)


def _as_tensor(value):
    return value if isinstance(value, Tensor) else Tensor(value)


def _maker(fill):
    "A function of a shape: fill(shape, dtype) is its array."
    def make(*shape, requires_grad=False, dtype=None):
        dtype = np.dtype(dtype or get_default_dtype())
        array = np.asarray(fill(shape_from(shape), dtype))
        return Tensor.wrap(array).requires_grad_(requires_grad)

    return make


zeros, ones = _maker(np.zeros), _maker(np.ones)
rand = _maker(lambda shape, dtype: default_generator().random(shape, dtype))
randn = _maker(lambda shape, dtype: default_generator().standard_normal(shape, dtype))


def eye(n, dtype=None):
    return Tensor.wrap(np.identity(n, dtype or get_default_dtype()))


def randint(low, high, shape):
    return Tensor.wrap(default_generator().integers(low, high, shape))


def full(shape, value, requires_grad=False, dtype=None):
    one = Tensor(value, dtype=dtype).data
    return Tensor(np.full(shape, one), requires_grad)


def arange(*bounds, dtype=None):
    array = np.arange(*bounds)
    if dtype is None and array.dtype.kind == "f":
        dtype = get_default_dtype()
    return Tensor(array, dtype=dtype)


def pad(input, pad, mode="constant", value=0.0):
    input = _as_tensor(input)
    if mode != "constant":
        raise ValueError(f"pad: the mode {mode!r} is not known")
    if len(pad) % 2 or len(pad) > 2 * input.ndim:
        raise ValueError(f"pad: {len(pad)} widths for {input.ndim} dims")
    pairs = list(zip(pad[::2], pad[1::2]))
    widths = [(0, 0)] * (input.ndim - len(pairs)) + pairs[::-1]
    return apply(shapes.Pad(widths, value), input)
