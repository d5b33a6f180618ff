"""Operations that move elements, by another hand. What reads elements notes their positions, and adds up there."""

__all__ = [
    "Reshape", "Permute", "Expand", "Index", "Gather", "Cat", "Flip", "Roll", "Pad", "Tril", "Triu",
    "Clone",
]

from itertools import accumulate

import numpy as np

from tinytorch.ops.elementwise import Function, unbroadcast


class Reshape(Function):
    def __init__(self, *shape):
        self.shape = shape

    def forward(self, x):
        self._old = np.shape(x)
        return np.reshape(x, self.shape)

    def backward(self, grad):
        return (np.reshape(grad, self._old),)


class Permute(Function):
    def __init__(self, *dims):
        self.dims = dims

    def forward(self, x):
        return np.transpose(x, self.dims)

    def backward(self, grad):
        back = [0] * len(self.dims)
        for place, dim in enumerate(self.dims):
            back[dim] = place
        return (np.transpose(grad, back),)


class Expand(Function):
    def __init__(self, *shape):
        self.shape = shape

    def forward(self, x):
        self._old = np.shape(x)
        new = len(self.shape) - len(self._old)
        sizes = (None,) * new + self._old
        wanted = [old if size == -1 else size for size, old in zip(self.shape, sizes)]
        if new < 0 or None in wanted:
            raise ValueError(f"{self._old} does not expand to {self.shape}")
        return np.broadcast_to(x, wanted)

    def backward(self, grad):
        return (unbroadcast(grad, self._old),)


class _Reader(Function):
    "Reads x[key]; the positions that were read are those of a numbered array."
    def _read(self, x, key):
        self._shape, self._key = x.shape, key
        return x[key]

    def _collect(self, grad):
        size = int(np.prod(self._shape))
        positions = np.arange(size).reshape(self._shape)[self._key]
        sums = np.bincount(np.ravel(positions), np.ravel(grad), size)
        return sums.astype(grad.dtype).reshape(self._shape)


class Index(_Reader):
    def __init__(self, key):
        self.key = key

    def forward(self, x):
        return self._read(x, self.key)

    def backward(self, grad):
        return (self._collect(grad),)


class Gather(_Reader):
    def __init__(self, dim):
        self.dim = dim

    def forward(self, x, index):
        if x.ndim != index.ndim:
            raise ValueError(f"gather: x {x.shape} and index {index.shape} have different numbers of dims")
        key = list(np.indices(index.shape, sparse=True))
        if key:
            key[self.dim] = index
        return self._read(x, tuple(key))

    def backward(self, grad):
        return self._collect(grad), None


class Cat(Function):
    def __init__(self, dim=0):
        self.dim = dim

    def forward(self, *arrays):
        self._ends = list(accumulate(np.shape(a)[self.dim] for a in arrays))
        return np.concatenate(arrays, self.dim)

    def backward(self, grad):
        pieces = np.split(grad, self._ends[:-1], self.dim)
        return tuple(piece if i >= len(self.needs_grad) or self.needs_grad[i] else None
                     for i, piece in enumerate(pieces))


class Flip(Function):
    def __init__(self, *dims):
        self.dims = dims

    def forward(self, x):
        turned = [slice(None)] * np.ndim(x)
        for dim in self.dims:
            turned[dim] = slice(None, None, -1)
        return x[tuple(turned)]

    def backward(self, grad):
        return (self.forward(grad),)


class Roll(Function):
    def __init__(self, shifts, dims=None):
        self.shifts, self.dims = shifts, dims

    def _roll(self, x, sign):
        shifts = [sign * int(shift) for shift in np.atleast_1d(self.shifts)]
        if self.dims is None:
            dims, moved = [0], np.ravel(x)
        else:
            dims, moved = [int(dim) for dim in np.atleast_1d(self.dims)], x
        if len(shifts) != len(dims):
            raise ValueError(f"roll: {len(shifts)} shifts for {len(dims)} dims")
        for shift, dim in zip(shifts, dims):
            moved = np.roll(moved, shift, dim)
        return moved.reshape(np.shape(x))

    def forward(self, x):
        return self._roll(x, 1)

    def backward(self, grad):
        return (self._roll(grad, -1),)


class Pad(Function):
    def __init__(self, widths, value=0.0):
        self.widths, self.value = widths, value

    def forward(self, x):
        self._shape = x.shape
        size = [n + before + after for n, (before, after) in zip(x.shape, self.widths)]
        self._seen = tuple(slice(max(-before, 0), n + min(after, 0))
                           for n, (before, after) in zip(x.shape, self.widths))
        self._inside = tuple(slice(max(before, 0), n + before + min(after, 0))
                             for n, (before, after) in zip(x.shape, self.widths))
        out = np.full(size, self.value, x.dtype)
        out[self._inside] = x[self._seen]
        return out

    def backward(self, grad):
        dx = np.zeros(self._shape, grad.dtype)
        dx[self._seen] = grad[self._inside]
        return (dx,)


class Tril(Function):
    keep = staticmethod(np.tril)

    def __init__(self, diagonal=0):
        self.diagonal = diagonal

    def forward(self, x):
        if np.ndim(x) < 2:
            raise ValueError(f"a triangle needs two dims, not shape {np.shape(x)}")
        self._mask = type(self).keep(np.ones(x.shape[-2:], bool), self.diagonal)
        return np.where(self._mask, x, np.zeros_like(x))

    def backward(self, grad):
        return (np.where(self._mask, grad, np.zeros_like(grad)),)


class Triu(Tril):
    keep = staticmethod(np.triu)


class Clone(Function):
    def forward(self, x):
        return np.array(x, copy=True)

    def backward(self, grad):
        return (grad,)
