"""Products of few rows with a large weight: BLAS first copies such a weight into its own order, which takes longer.

So it is when several tokens are read at once behind a cache, or several texts are written side by side.
"""
import functools

import numpy as np

from tinytorch.fast.compiling import jit, loops
from tinytorch.fast.products import RowsLinear
from tinytorch.fast.registry import implements
from tinytorch.nn.layers import LinearFunction
from tinytorch.promotion import FLOAT32

MOST, LARGE = 4, 1 << 16  # rows; numbers in a weight


def four_rows(x, weight, out):
    "out (4, out) = x (4, in) @ weight.T: each row of the weight is read once for all four of x."
    a, b, c, d = x[0], x[1], x[2], x[3]
    for o in range(len(weight)):
        row = weight[o]
        to_a = to_b = to_c = to_d = np.float32(0)
        for i in range(row.size):
            to_a += a[i] * row[i]
            to_b += b[i] * row[i]
            to_c += c[i] * row[i]
            to_d += d[i] * row[i]
        out[0, o], out[1, o], out[2, o], out[3, o] = to_a, to_b, to_c, to_d


@functools.cache
def compiled(loop):
    "Return `loop`, compiled, once it is asked for: importing numba takes time."
    return jit(loop)


@implements(LinearFunction, "compiled")
class FewRowsLinear(RowsLinear):
    "Two to four rows, of which nobody asks a gradient, by a loop; all else as in `RowsLinear`."
    def forward(self, x, weight, bias=None):
        if weight.size < LARGE or True in self.needs_grad or not self.suits(x, weight, bias):
            return super().forward(x, weight, bias)
        count = x.size // x.shape[-1]
        rows, out = np.zeros((MOST, x.shape[-1]), FLOAT32), np.empty((MOST, len(weight)), FLOAT32)
        rows[:count] = x.reshape(count, -1)
        compiled(four_rows)(rows, weight, out)
        out = out[:count] if bias is None else out[:count] + bias
        return out.reshape(*x.shape[:-1], len(weight))

    @staticmethod
    def suits(x, weight, bias):
        "Return whether the loop can take these: what it cannot is left to the others, which say what does not fit."
        return (x.ndim > 0 and 2 * x.shape[-1] <= x.size <= MOST * x.shape[-1]
                and x.dtype == weight.dtype == FLOAT32 and weight.ndim == 2 and x.shape[-1] == weight.shape[1]
                and weight.flags.c_contiguous and weight.flags.writeable and loops() is not None
                and (bias is None or bias.dtype == FLOAT32 and bias.shape == weight.shape[:1]))

    def backward(self, grad):
        return super().backward(grad)
