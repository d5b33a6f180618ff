"""Vectors for tokens and for places: embeddings, learned, sinusoidal and rotary positions."""
__all__ = ["scatter_add_rows", "EmbeddingFunction", "embedding", "Embedding", "LearnedPositions", "position_angles",
           "sinusoidal_table", "SinusoidalPositions", "rotate", "RotaryFunction", "Rotary"]

import numpy as np

from tinytorch.creation import randn
from tinytorch.dispatch import replaceable
from tinytorch.nn.module import Module, Parameter
from tinytorch.ops.elementwise import Function
from tinytorch.state import get_default_dtype
from tinytorch.tensor import Tensor, apply


@replaceable
def scatter_add_rows(rows, indices, count):
    total = np.zeros((count, rows.shape[1]), rows.dtype)
    if indices.size:  # sorted, all rows for one place are neighbours, and each run is one sum
        order = indices.argsort(kind="stable")
        places, begins = np.unique(indices[order], return_index=True)
        total[places] = np.add.reduceat(rows[order], begins, axis=0)
    return total


class EmbeddingFunction(Function):
    def __init__(self, padding_idx=None):
        self.padding_idx = padding_idx

    def forward(self, indices, weight):
        indices, vocabulary = np.asarray(indices), weight.shape[0]
        if not np.issubdtype(indices.dtype, np.integer):
            raise TypeError(f"embedding: ids are integers from 0 to {vocabulary - 1}, these are {indices.dtype}")
        wrong = np.argwhere((indices < 0) | (indices >= vocabulary))
        if len(wrong):
            place = tuple(wrong[0].tolist())
            raise IndexError(f"embedding: id {indices[place]} at {place} is not in a table of {vocabulary} rows")
        self.looked_up, self.table_shape = indices, weight.shape
        return weight.take(indices, axis=0)

    def backward(self, grad):
        count, width = self.table_shape
        table = scatter_add_rows(grad.reshape(self.looked_up.size, width), self.looked_up.ravel(), count)
        if self.padding_idx is not None:
            table[self.padding_idx] = 0
        return None, table


def _from_the_front(padding_idx, count):
    if padding_idx is None:
        return None
    if padding_idx not in range(-count, count):
        raise IndexError(f"embedding: padding_idx {padding_idx} is no row of a table of {count}")
    return padding_idx % count


def embedding(indices, weight, padding_idx=None):
    return apply(EmbeddingFunction(_from_the_front(padding_idx, weight.shape[0])), indices, weight)


class Embedding(Module):
    def __init__(self, num_embeddings, embedding_dim, padding_idx=None):
        self.size, self.padding_idx = (num_embeddings, embedding_dim), _from_the_front(padding_idx, num_embeddings)
        self.weight = Parameter(randn(self.size))
        if self.padding_idx is not None:
            self.weight.data[self.padding_idx] = 0

    def forward(self, indices):
        return embedding(indices, self.weight, self.padding_idx)

    def extra_repr(self):
        padding = [] if self.padding_idx is None else [f"padding_idx={self.padding_idx}"]
        return ", ".join([*map(str, self.size), *padding])


def _places(name, offset, length, available):
    "The slice of `length` places from `offset` on."
    if offset < 0 or length < 0 or offset + length > available:
        raise ValueError(f"{name}: places {offset} to {offset + length - 1}, but there are only 0 to {available - 1}")
    return slice(offset, offset + length)


class LearnedPositions(Module):
    def __init__(self, max_len, dim):
        self.weight = Parameter(randn(max_len, dim))

    def forward(self, length, offset=0):
        return self.weight[_places("LearnedPositions", offset, length, len(self.weight))]

    def extra_repr(self):
        return "{}, {}".format(*self.weight.shape)


def position_angles(max_len, dim, base=10000.0):
    speeds = float(base) ** (-np.arange(0, dim, 2, dtype=np.float64) / dim)
    return np.multiply.outer(np.arange(max_len, dtype=np.float64), speeds)


def sinusoidal_table(max_len, dim):
    quarter_turns = np.arange(dim) % 2 * (np.pi / 2)
    angles = position_angles(max_len, dim).repeat(2, axis=1)[:, :dim]
    return np.sin(angles + quarter_turns)  # sin(a + pi/2) = cos(a)


class SinusoidalPositions(Module):
    def __init__(self, max_len, dim):
        table = sinusoidal_table(max_len, dim).astype(get_default_dtype())
        self.register_buffer("table", Tensor(table), persistent=False)

    def forward(self, length, offset=0):
        return self.table[_places("SinusoidalPositions", offset, length, len(self.table))]

    def extra_repr(self):
        return "{}, {}".format(*self.table.shape)


@replaceable
def rotate(x, cos, sin):
    swapped = np.roll(x, x.shape[-1] // 2, axis=-1)
    return cos * x + sin * swapped


class RotaryFunction(Function):
    def __init__(self, cos, sin):
        self.cos, self.sin = cos, sin

    def forward(self, x):
        return rotate(x, self.cos, self.sin)

    def backward(self, grad):
        return (rotate(grad, self.cos, np.negative(self.sin)),)


class Rotary(Module):
    def __init__(self, head_dim, max_len, base=10000.0):
        if head_dim % 2:
            raise ValueError(f"Rotary: features turn in pairs, but head_dim {head_dim} is odd")
        self.max_len, self.base = max_len, base
        angles = position_angles(max_len, head_dim, base)
        self.register_buffer("cos", Tensor(np.cos(np.tile(angles, 2))), persistent=False)
        self.register_buffer("sin", Tensor(np.sin(np.hstack([-angles, angles]))), persistent=False)

    def forward(self, x, offset=0):
        if x.ndim < 2 or x.shape[-1] != self.cos.shape[1]:
            raise ValueError(f"Rotary: turns (..., T, {self.cos.shape[1]}), got {x.shape}")
        return apply(RotaryFunction(*self.tables(x.shape[-2], offset, x.dtype)), x)

    def tables(self, length, offset, dtype):
        rows = _places("Rotary", offset, length, self.max_len)
        return tuple(table.data[rows].astype(dtype) for table in (self.cos, self.sin))

    def extra_repr(self):
        return f"{self.cos.shape[1]}, max_len={self.max_len}, base={self.base}"
