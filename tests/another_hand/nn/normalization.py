"""Normalization: LayerNorm, RMSNorm, and vectors of length 1."""
__all__ = ["LayerNormFunction", "layer_norm", "LayerNorm", "RMSNormFunction", "rms_norm", "RMSNorm", "normalize"]

import math

import numpy as np

from tinytorch.creation import ones, zeros
from tinytorch.nn.module import Module, Parameter
from tinytorch.ops.elementwise import Function
from tinytorch.tensor import Tensor, apply


class _RowNorm(Function):
    "y = h * r * weight + bias for rows h of N numbers, r = 1 / sqrt(mean(h^2) + eps); a subclass makes h from x."

    def __init__(self, dims=1, eps=1e-5):
        self.dims, self.eps = dims, eps

    def normalized(self, x, weight, bias, centered):
        self.row_shape, self.centered = x.shape[x.ndim - self.dims:], centered
        self.gain, self.has_bias, width = weight, bias is not None, math.prod(self.row_shape)
        rows = x.reshape(math.prod(x.shape[:x.ndim - self.dims]), width)
        if centered:
            rows = rows - rows[:, :1]  # a shift changes nothing, and what is constant becomes 0
            rows = rows - rows.mean(axis=1, keepdims=True)
        power = np.einsum("nd,nd->n", rows, rows)[:, None] / rows.dtype.type(width)
        self.inverse = 1 / np.sqrt(power + rows.dtype.type(self.eps))
        self.unit = rows * self.inverse
        out = self.unit.reshape(x.shape)
        if weight is not None:
            out = out * weight
        return out if bias is None else out + bias

    def gradients(self, grad):
        "dx, and the rows (N, D) of what arrives."
        arriving = grad.reshape(self.unit.shape)
        inner = arriving if self.gain is None else arriving * self.gain.reshape(-1)
        overlap = np.einsum("nd,nd->n", inner, self.unit)[:, None] / inner.dtype.type(inner.shape[1])
        dx = inner - self.unit * overlap
        if self.centered:
            dx -= inner.mean(axis=1, keepdims=True)
        dx *= self.inverse
        dgain = None if self.gain is None else np.einsum("nd,nd->d", arriving, self.unit).reshape(self.row_shape)
        dbias = np.einsum("nd->d", arriving).reshape(self.row_shape) if self.has_bias else None
        return dx.reshape(grad.shape), dgain, dbias


class LayerNormFunction(_RowNorm):
    def forward(self, x, weight=None, bias=None):
        return self.normalized(x, weight, bias, centered=True)

    def backward(self, grad):
        return self.gradients(grad)


class RMSNormFunction(_RowNorm):
    def forward(self, x, weight=None):
        return self.normalized(x, weight, None, centered=False)

    def backward(self, grad):
        return self.gradients(grad)[:2]


def _row_shape(name, x, normalized_shape, **affine):
    "Check the inputs of a norm; the shape of a row, a tuple."
    row = (normalized_shape,) if isinstance(normalized_shape, (int, np.integer)) else tuple(normalized_shape)
    if not row or x.shape[-len(row):] != row:
        raise ValueError(f"{name}: normalized_shape {row} is not how the shape {x.shape} ends")
    for what, given in affine.items():
        if given is not None and given.shape != row:
            raise ValueError(f"{name}: {what} of shape {given.shape} does not fit rows of shape {row}")
    if x.dtype.kind != "f":
        raise TypeError(f"{name}: only floats have a norm, got {x.dtype}")
    return row


def layer_norm(x, normalized_shape, weight=None, bias=None, eps=1e-5):
    row = _row_shape("layer_norm", x, normalized_shape, weight=weight, bias=bias)
    return apply(LayerNormFunction(len(row), eps), x, weight, bias)


def rms_norm(x, normalized_shape, weight=None, eps=None):
    row = _row_shape("rms_norm", x, normalized_shape, weight=weight)
    eps = float(np.finfo(x.dtype).eps) if eps is None else eps
    return apply(RMSNormFunction(len(row), eps), x, weight)


class _Norm(Module):
    def __init__(self, normalized_shape, eps, elementwise_affine):
        single = isinstance(normalized_shape, (int, np.integer))
        self.normalized_shape = (normalized_shape,) if single else tuple(normalized_shape)
        self.eps = eps
        self.weight = Parameter(ones(self.normalized_shape)) if elementwise_affine else None

    def extra_repr(self):
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.weight is not None}"


class LayerNorm(_Norm):
    def __init__(self, normalized_shape, eps=1e-5, elementwise_affine=True, bias=True):
        super().__init__(normalized_shape, eps, elementwise_affine)
        self.bias = Parameter(zeros(self.normalized_shape)) if bias and elementwise_affine else None

    def forward(self, x):
        return layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)


class RMSNorm(_Norm):
    def __init__(self, normalized_shape, eps=None, elementwise_affine=True):
        super().__init__(normalized_shape, eps, elementwise_affine)

    def forward(self, x):
        return rms_norm(x, self.normalized_shape, self.weight, self.eps)


def normalize(x, p=2.0, dim=1, eps=1e-12):
    if not p > 0:
        raise ValueError(f"normalize: p is positive or infinity, got {p}")
    sizes = abs(x)
    largest = sizes.amax(dim, keepdim=True)
    if p == float("inf"):
        return x / largest.maximum(eps)
    # the largest of each vector comes out in front of the root, as a constant: norm = top * ||x / top||; no gradient
    # is lost, because the norm does not depend on which number is taken out.
    empty = largest.data == 0
    top = Tensor.wrap(np.where(empty, np.ones_like(largest.data), largest.data))
    powers = (sizes / top).masked_fill(empty, 1.0) ** p
    norm = top * powers.sum(dim, keepdim=True) ** (1 / p)
    return x / norm.masked_fill(empty, 0.0).maximum(eps)
