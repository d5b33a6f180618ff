"""The gradient of an embedding: equal ids side by side, and a sum for each run of them."""
import numpy as np

from tinytorch.fast.registry import implements
from tinytorch.nn.embedding import scatter_add_rows


def run_starts(ordered):
    "Return the places where a number of the sorted vector `ordered` comes for the first time."
    begins = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
    return np.flatnonzero(begins)


@implements(scatter_add_rows, "numpy")
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
