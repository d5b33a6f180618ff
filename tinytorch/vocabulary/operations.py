"""Differentiable operations that the chapters do without, on bare arrays."""
import math

import numpy as np

from tinytorch.ops.elementwise import Function, unbroadcast
from tinytorch.ops.reductions import Reduction, positive_dims


def erf(x):
    "Return the error function of an array, exact in float64."
    return np.vectorize(math.erf, otypes=[float])(x).astype(x.dtype) if x.size else x


def flat(x):
    return np.zeros_like(x)


SLOPES = {  # function of one number: its derivative
    np.tan: lambda x: 1 + np.tan(x) ** 2,
    np.arcsin: lambda x: 1 / np.sqrt(1 - x * x),
    np.arccos: lambda x: -1 / np.sqrt(1 - x * x),
    np.arctan: lambda x: 1 / (1 + x * x),
    np.sinh: np.cosh,
    np.cosh: np.sinh,
    np.arcsinh: lambda x: 1 / np.sqrt(x * x + 1),
    np.arccosh: lambda x: 1 / np.sqrt(x * x - 1),
    np.arctanh: lambda x: 1 / (1 - x * x),
    np.exp2: lambda x: np.exp2(x) * math.log(2),
    np.log2: lambda x: 1 / (x * math.log(2)),
    np.log10: lambda x: 1 / (x * math.log(10)),
    erf: lambda x: np.exp(-x * x) * (2 / math.sqrt(math.pi)),
    np.floor: flat,
    np.ceil: flat,
    np.rint: flat,
    np.trunc: flat,
}


class Pointwise(Function):
    "`function` of each number; its derivative stands in `SLOPES`"
    def __init__(self, function):
        self.function = function

    @property
    def name(self):
        return self.function.__name__.capitalize()

    def forward(self, x):
        self.x = x
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return self.function(x)

    def backward(self, grad):
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return (grad * SLOPES[self.function](self.x),)


class Remainder(Function):
    "x - y * floor(x / y), of the sign of y; for `fmod` rounded toward 0, of the sign of x"
    def __init__(self, function=np.mod, rounded=np.floor):
        self.function, self.rounded = function, rounded

    def forward(self, x, y):
        self.x, self.y = x, y
        if np.result_type(x, y).kind in "iu" and not np.all(y):
            raise ValueError("remainder: an integer was divided by zero")
        with np.errstate(invalid="ignore"):
            return self.function(x, y)

    def backward(self, grad):
        x, y = self.x, self.y
        dy = unbroadcast(-grad * self.rounded(np.true_divide(x, y)), np.shape(y)) if self.needs_grad[1] else None
        return unbroadcast(grad, np.shape(x)) if self.needs_grad[0] else None, dy


class Atan2(Function):
    "the angle of the point (x, y), from -pi to pi"
    def forward(self, y, x):
        self.y, self.x = y, x
        return np.arctan2(y, x)

    def backward(self, grad):
        y, x = self.y, self.x
        with np.errstate(invalid="ignore", divide="ignore"):
            share = grad / (x * x + y * y)
        return unbroadcast(share * x, np.shape(y)), unbroadcast(-share * y, np.shape(x))


class VectorNorm(Reduction):
    "(sum |x|^p)^(1/p) over `dim`; p may be 0, inf and -inf. Where the norm is 0 its gradient is 0, as in PyTorch."
    def __init__(self, p=2, dim=None, keepdim=False):
        super().__init__(dim, keepdim)
        self.p = p

    def forward(self, x):
        axes, p, size = self.axes_of(x), self.p, np.abs(x)
        if math.isinf(p) and self.count == 0:
            raise ValueError(f"norm: the largest of no elements, along dim {self.dim} of {x.shape}")
        if p == 0:
            out = (x != 0).sum(axes, keepdims=True).astype(x.dtype)
        elif math.isinf(p):
            out = (size.max if p > 0 else size.min)(axes, keepdims=True)
        else:
            scale = size.max(axes, keepdims=True, initial=0) if p == 2 else 1.0  # squares of large numbers overflow
            scale = np.where((scale > 0) & np.isfinite(scale), scale, 1) if p == 2 else 1.0
            with np.errstate(divide="ignore", invalid="ignore"):
                out = ((size / scale) ** p).sum(axes, keepdims=True) ** (1 / p) * scale
        self.x, self.out = x, out.astype(x.dtype, copy=False)
        return self.out if self.keepdim else self.out.squeeze(axes)

    def backward(self, grad):
        x, out, p, grad = self.x, self.out, self.p, self.restore(grad)
        if p == 0:
            return (np.zeros_like(x),)
        if math.isinf(p):
            chosen = np.abs(x) == out
            return (np.sign(x) * chosen * (grad / chosen.sum(self.axes, keepdims=True, dtype=grad.dtype)),)
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = np.sign(x) * (np.abs(x) / out) ** (p - 1)
        return (np.where((out == 0) | (x == 0), 0, grad * slope),)


class CumProd(Function):
    "running product along `dim`; the gradient is right with zeros too"
    def __init__(self, dim):
        self.dim = dim

    def forward(self, x):
        self.axes = positive_dims(self.dim, x.ndim)
        self.x = x
        return np.cumprod(x, axis=self.axes[0]) if x.ndim else x.copy()

    def backward(self, grad):
        if not self.axes:
            return (grad,)
        x, grad = np.moveaxis(self.x, self.axes[0], -1), np.moveaxis(grad, self.axes[0], -1)
        dx = np.zeros_like(x)
        for i in range(x.shape[-1]):  # what follows element i, with it replaced by 1
            others = np.concatenate([x[..., :i], np.ones_like(x[..., :1]), x[..., i + 1:]], axis=-1)
            dx[..., i] = (grad * np.cumprod(others, axis=-1))[..., i:].sum(-1)
        return (np.moveaxis(dx, -1, self.axes[0]),)


class Put(Function):
    "x with x[key] = value, or + value if `add`; of elements written twice the last one counts"
    def __init__(self, key, add=False):
        self.key, self.add = key, add

    def forward(self, x, value):
        out = x.copy()
        if self.add:
            np.add.at(out, self.key, value)
        else:
            out[self.key] = value
        self.shape = np.shape(value)
        return out

    def backward(self, grad):
        dx = dvalue = None
        if self.needs_grad[0]:
            dx = grad if self.add else grad.copy()
            if not self.add:
                dx[self.key] = 0
        if self.needs_grad[1]:
            dvalue = unbroadcast(grad[self.key], self.shape)
        return dx, dvalue


class Diagonal(Function):
    "the diagonal of dims `dim1` and `dim2`, as a new last dim"
    def __init__(self, offset=0, dim1=0, dim2=1):
        self.options = offset, dim1, dim2

    def forward(self, x):
        self.shape = x.shape
        return np.diagonal(x, *self.options).copy()

    def backward(self, grad):
        dx = np.zeros(self.shape, grad.dtype)
        view = np.diagonal(dx, *self.options)
        view.flags.writeable = True
        view[...] = grad
        return (dx,)


class Windows(Function):
    "windows of `size`, `step` apart, along `dim`; their elements are a new last dim"
    def __init__(self, dim, size, step):
        self.dim, self.size, self.step = dim, size, step

    def forward(self, x):
        self.shape = x.shape
        return self.view(x).copy()

    def view(self, x, writeable=False):
        windows = np.lib.stride_tricks.sliding_window_view(x, self.size, self.dim, writeable=writeable)
        return np.moveaxis(np.moveaxis(windows, self.dim, 0)[::self.step], 0, self.dim)

    def backward(self, grad):
        dx = np.zeros(self.shape, grad.dtype)
        for i in range(self.size):  # the i-th element of each window: they do not overlap
            view = self.view(dx, writeable=True)
            view[..., i] += grad[..., i]
        return (dx,)
