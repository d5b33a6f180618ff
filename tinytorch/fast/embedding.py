"""Embedding: ids are checked in one pass; the gradient is one product for a small table, else a sum for each run of
equal ids."""
import numpy as np

from tinytorch.fast.registry import implements
from tinytorch.nn.embedding import EmbeddingFunction, scatter_add_rows
from tinytorch.promotion import INT64

SMALL = 600_000  # products that take less time than sorting


@implements(EmbeddingFunction, "numpy")
class OnePassEmbedding(EmbeddingFunction):
    "As integers without a sign, negative ids are larger than any table: one maximum finds them, too."
    def forward(self, indices, weight):
        right = isinstance(indices, np.ndarray) and indices.dtype is INT64 and indices.size \
            and np.maximum.reduce(indices.view(np.uint64), axis=None) < len(weight)
        if not right:
            return super().forward(indices, weight)  # which says what is wrong
        self.indices, self.count = indices, len(weight)
        return weight[indices]

    def backward(self, grad):
        return super().backward(grad)


def run_starts(ordered):
    "Return the places where a number of the sorted vector `ordered` comes for the first time."
    begins = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
    return np.flatnonzero(begins)


@implements(scatter_add_rows, "numpy")
def quick_scatter_add_rows(rows, indices, count):
    if rows.size * count < SMALL:
        table = one_hot_product(rows, indices, count)
        if np.isfinite(table).all():  # else 0 times inf has spoilt rows that were right
            return table
    return sorted_scatter_add_rows(rows, indices, count)


def one_hot_product(rows, indices, count):
    "Multiply with a matrix (count, N) that has a 1 where row n belongs."
    belongs = np.zeros((count, len(rows)), rows.dtype)
    belongs[indices, np.arange(len(rows))] = 1
    return belongs @ rows


def sorted_scatter_add_rows(rows, indices, count):
    "Sort, then `np.add.reduceat` sums each run; several times faster than np.add.at, and never slower by much."
    table = np.zeros((count, rows.shape[-1]), rows.dtype)
    if indices.size:
        order = np.argsort(indices, kind="stable")
        ordered = indices[order]
        starts = run_starts(ordered)
        if 4 * len(starts) < len(ordered):
            table[ordered[starts]] = np.add.reduceat(rows[order], starts, axis=0)
        else:  # mostly short runs, and reduceat is slow at starting one: their first rows are just put down
            table[ordered[starts]] = rows[order[starts]]
            others = np.delete(order, starts)
            ordered = indices[others]
            starts = run_starts(ordered)
            table[ordered[starts]] += np.add.reduceat(rows[others], starts, axis=0) if others.size else 0
    return table
