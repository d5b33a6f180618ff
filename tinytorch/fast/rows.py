"""Softmax, cross entropy and the norms, whose work is row by row: sums by BLAS, in place, few passes over memory."""
import math

import numpy as np

from tinytorch.fast.products import as_rows, column_sum, full
from tinytorch.fast.registry import implements
from tinytorch.nn.losses import CrossEntropyFunction
from tinytorch.nn.normalization import LayerNormFunction, RMSNormFunction
from tinytorch.ops.reductions import LogSoftmax, Softmax


def is_last(dim, x):
    return x.ndim > 0 and dim in (-1, x.ndim - 1)


def in_rows(rows, columns):
    "Return rows[n, columns[n]] for each n, (N,)."
    return rows[np.arange(len(rows)), columns]


def largest_in_rows(rows):
    "Return the maximum of each row of (N, C), as (N, 1): argmax is several times faster than max."
    return in_rows(rows, rows.argmax(axis=1))[:, None]


def largest_along(x, dim):
    "Return the maximum of x along `dim`, kept with size 1; -inf where there is nothing."
    if x.size == 0 or not is_last(dim, x):
        return x.max(axis=dim, keepdims=True, initial=-np.inf)
    return largest_in_rows(as_rows(x)).reshape(*x.shape[:-1], 1)


def sum_along(x, dim):
    "Return the sum of x along `dim`, kept with size 1."
    if not is_last(dim, x):
        return x.sum(axis=dim, keepdims=True)
    return (as_rows(x) @ full(x.shape[-1], 1, x.dtype)).reshape(*x.shape[:-1], 1)


def shift_along(x, dim):
    "Return what softmax subtracts along `dim`: the mean if no score is far above one, else the maximum; size 1."
    if x.size and is_last(dim, x):
        mean = sum_along(x, dim) / x.shape[-1]
        if abs(x.max() - mean.min()) < 16:  # False for nan, and where a score, or their sum, is infinite
            return mean
    return largest_along(x, dim)


@implements(Softmax, "numpy")
class RowsSoftmax(Softmax):
    @np.errstate(invalid="ignore", over="ignore")
    def forward(self, x):
        if x.dtype.kind != "f":
            return super().forward(x)  # which refuses it
        out = np.exp(x - shift_along(x, self.dim))
        out /= sum_along(out, self.dim)
        self.out = out
        return out

    def backward(self, grad):
        difference = grad - sum_along(grad * self.out, self.dim)
        difference *= self.out
        return (difference,)


@implements(LogSoftmax, "numpy")
class RowsLogSoftmax(LogSoftmax):
    @np.errstate(invalid="ignore", divide="ignore")
    def forward(self, x):
        if x.dtype.kind != "f":
            return super().forward(x)
        out = x - largest_along(x, self.dim)
        out -= np.log(sum_along(np.exp(out), self.dim))
        self.out = out
        return out

    def backward(self, grad):
        return (grad - np.exp(self.out) * sum_along(grad, self.dim),)


def row_blocks(rows, size=1 << 17):
    "Return slices that together are all `rows` (N, C), each of about `size` numbers, which stay in the cache."
    step = max(1, size // max(rows.shape[1], 1))
    return [slice(start, start + step) for start in range(0, len(rows), step)]


@implements(CrossEntropyFunction, "numpy")
class BlockedCrossEntropy(CrossEntropyFunction):
    "The formula in blocks of rows; the exponentials are kept for the backward pass."
    def forward(self, x, target):
        self.weights = full(x.shape[1], 1, x.dtype) if self.weight is None else self.weight
        self.counts = target != self.ignore_index
        self.target = np.where(self.counts, target, 0)
        picked, spread = self.row_sums(x)
        log_z, self.worth = np.log(self.z), self.weights[self.target]
        losses = (1 - self.label_smoothing) * self.worth * (log_z - picked)
        if self.label_smoothing:
            losses += self.label_smoothing / x.shape[1] * (log_z * self.weights.sum() - spread)
        losses = np.where(self.counts, losses, 0)
        if self.reduction == "none":
            return losses
        self.divisor = float(self.worth @ self.counts) if self.reduction == "mean" else 1.0
        return losses.sum() / self.divisor if self.divisor else losses.sum() + math.nan

    def row_sums(self, x):
        "Of x less its row's maximum: keep exp and its sum z; return x at the target, and the weighted sum of x."
        n, classes = x.shape
        self.exp, self.z = np.empty(x.shape, x.dtype), np.empty(n, x.dtype)
        picked, spread = np.empty(n, x.dtype), np.zeros(n, x.dtype)
        for rows in row_blocks(x):
            shifted = np.subtract(x[rows], largest_in_rows(x[rows]), out=self.exp[rows])
            picked[rows] = in_rows(shifted, self.target[rows])
            if self.label_smoothing:
                spread[rows] = shifted @ self.weights
            np.exp(shifted, out=shifted)
            self.z[rows] = shifted @ full(classes, 1, x.dtype)
        return picked, spread

    def backward(self, grad):
        if self.reduction != "none":
            grad = grad / self.divisor if self.divisor else 0 * grad
        grad = np.where(self.counts, grad, 0)  # one number a row
        chosen = grad * (1 - self.label_smoothing) * self.worth
        spread = grad * (self.label_smoothing / len(self.weights))
        return self.logits_gradient(chosen, spread), None

    def logits_gradient(self, chosen, spread):
        "Return dL/dx (N, C), given what a row's loss is worth: `chosen` for its target, `spread` for each class."
        total = chosen + spread * self.weights.sum() if self.label_smoothing else chosen
        dx = self.exp * (total / self.z)[:, None]
        dx[np.arange(len(dx)), self.target] -= chosen
        if self.label_smoothing:
            dx -= spread[:, None] * self.weights
        return dx


# ---- norms

def row_mean(rows):
    "Return the mean of each row, (N, 1): a matrix-vector product."
    return (rows @ full(rows.shape[1], 1 / max(rows.shape[1], 1), rows.dtype))[:, None]


def mean_product(x, y):
    "Return the mean of x * y over each row, (N, 1), without ever storing x * y."
    return np.vecdot(x, y)[:, None] / max(x.shape[1], 1)


class RowNorm:
    "What both norms share, for rows (N, D). A norm adds `standardize` and `standardize_backward`."
    inputs = 3

    def forward(self, x, weight=None, bias=None):
        rows = as_rows(x, self.dims)
        self.row_shape, self.given = x.shape[x.ndim - self.dims:], (weight is not None, bias is not None)
        self.weight = full(rows.shape[1], 1, x.dtype) if weight is None else weight.reshape(-1)
        self.xhat = np.empty(rows.shape, x.dtype)
        self.scale = self.standardize(rows, self.xhat)
        out = self.xhat * self.weight
        if bias is not None:
            out += bias.reshape(-1)
        return out.reshape(x.shape)

    def backward(self, grad):
        dx = np.empty(grad.shape, grad.dtype)
        grad, drows = as_rows(grad, self.dims), as_rows(dx, self.dims)
        np.multiply(grad, self.xhat, out=drows)
        dweight = column_sum(drows).reshape(self.row_shape) if self.given[0] else None
        overlap = (drows @ (self.weight / max(self.weight.size, 1)))[:, None]
        np.multiply(grad, self.weight, out=drows)  # dL/dxhat
        self.standardize_backward(drows, overlap)
        dbias = column_sum(grad).reshape(self.row_shape) if self.given[1] else None
        return (dx, dweight, dbias)[:self.inputs]


@implements(LayerNormFunction, "numpy")
class RowsLayerNorm(RowNorm, LayerNormFunction):
    def standardize(self, rows, xhat):
        "Write the normalized `rows` to `xhat`; return the factor that scaled each, (N, 1)."
        np.subtract(rows, rows[:, :1], out=xhat)  # small numbers, wherever the row lies: their mean is exact
        xhat -= row_mean(xhat)
        scale = 1 / np.sqrt(mean_product(xhat, xhat) + self.eps)
        xhat *= scale
        return scale

    def standardize_backward(self, grad, overlap):
        "Turn `grad` from dL/dxhat into dL/drows, in place; overlap: the mean of grad * xhat in each row."
        grad -= row_mean(grad)
        grad -= self.xhat * overlap
        grad *= self.scale


@implements(RMSNormFunction, "numpy")
class RowsRMSNorm(RowNorm, RMSNormFunction):
    inputs = 2

    def standardize(self, rows, xhat):
        scale = 1 / np.sqrt(mean_product(rows, rows) + self.eps)
        np.multiply(rows, scale, out=xhat)
        return scale

    def standardize_backward(self, grad, overlap):
        grad -= self.xhat * overlap
        grad *= self.scale
