"""The gradient of an embedding: one product for a small table, else a sum for each run of equal ids."""
import numpy as np

from tinytorch.fast.registry import implements
from tinytorch.nn.embedding import scatter_add_rows

SMALL = 600_000  # products that take less time than sorting


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
