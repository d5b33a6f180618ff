"""Matrix products as NumPy's BLAS likes them: one tall product instead of a stack of small ones."""
import functools
import math

import numpy as np

from tinytorch.fast.registry import implements
from tinytorch.nn.layers import LinearFunction
from tinytorch.ops.reductions import MatMul


def as_rows(x, dims=1):
    "View `x` as a matrix (N, D): the last `dims` dims are a row."
    if dims == 1 and x.size:
        return x if x.ndim == 2 else x.reshape(-1, x.shape[-1])
    kept = x.ndim - dims
    return x.reshape(math.prod(x.shape[:kept]), math.prod(x.shape[kept:]))


@functools.lru_cache(64)
def constant(n, number, dtype):
    vector = np.full(n, number, dtype)
    vector.flags.writeable = False
    return vector


def full(n, number, dtype):
    "Return a vector of n equal numbers, for reading only; a short one is made once."
    return constant(n, number, dtype) if n < 4096 else np.full(n, number, dtype)


def column_sum(rows):
    "Add up the rows of (N, D), giving (D,): a vector-matrix product, several times faster than a sum."
    return full(len(rows), 1, rows.dtype) @ rows


@implements(LinearFunction, "numpy")
class RowsLinear(LinearFunction):
    "x @ weight.T + bias with all dims before the last as one tall stack of rows: each half is 2-D products only."
    rows = None

    @staticmethod
    def product(a, b, out=None):
        return a.dot(b) if out is None else np.matmul(a, b, out=out)  # for one row, dot is quicker to start

    def forward(self, x, weight, bias=None):
        shape, sizes = x.shape, weight.shape
        if x.dtype.kind != "f" or len(sizes) != 2 or shape[-1:] != sizes[1:] \
                or (bias is not None and bias.shape != sizes[:1]):
            return super().forward(x, weight, bias)  # which says what does not fit
        self.shape, self.weight, self.has_bias = shape, weight, bias is not None
        self.rows = as_rows(x)  # (N, in)
        out = self.product(self.rows, weight.T)
        if bias is not None:
            out += bias
        return out.reshape(shape[:-1] + sizes[:1])

    def backward(self, grad):
        if self.rows is None:
            return super().backward(grad)
        grad = grad.reshape(len(self.rows), len(self.weight))  # (N, out)
        dx = dweight = dbias = None
        if self.needs_grad[0]:
            dx = np.empty(self.shape, grad.dtype)
            self.product(grad, self.weight, out=dx.reshape(self.rows.shape))
        if self.needs_grad[1]:
            dweight = self.product(grad.T, self.rows)  # (out, in)
        if self.has_bias and self.needs_grad[2]:
            dbias = column_sum(grad)
        return dx, dweight, dbias


@implements(MatMul, "numpy")
class TallMatMul(MatMul):
    "A stack of matrices times one matrix as a single tall product: 1.1 to 1.4 times as fast as many small ones."
    tall = False

    def forward(self, x, y):
        self.tall = np.ndim(x) > 2 and np.ndim(y) == 2 and x.shape[-1] == y.shape[0]
        if not self.tall:
            return super().forward(x, y)
        self.x, self.y = x, y
        return (as_rows(x) @ y).reshape(*x.shape[:-1], y.shape[-1])

    def backward(self, grad):
        if not self.tall:
            return super().backward(grad)
        grad = as_rows(grad)
        dx = (grad @ self.y.T).reshape(self.x.shape) if self.needs_grad[0] else None
        dy = as_rows(self.x).T @ grad if self.needs_grad[1] else None
        return dx, dy
