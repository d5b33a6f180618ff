"""Losses, by another hand."""

__all__ = [
    "reduced", "mse_loss", "l1_loss", "BinaryCrossEntropyFunction", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "nll_loss", "CrossEntropyFunction", "cross_entropy",
    "MSELoss", "L1Loss", "BCELoss", "BCEWithLogitsLoss", "NLLLoss", "CrossEntropyLoss",
]

import math

import numpy as np

from tinytorch.nn.activations import log_softmax, logsigmoid
from tinytorch.nn.module import Module
from tinytorch.ops.elementwise import Function
from tinytorch.tensor import Tensor, apply

REDUCTIONS = "none", "sum", "mean"


def _tensor(value):
    return value if isinstance(value, Tensor) else Tensor(value)


def _array(value, dtype=None):
    return None if value is None else np.asarray(value.data if isinstance(value, Tensor) else value, dtype)


def _check_reduction(reduction):
    if reduction not in REDUCTIONS:
        raise ValueError(f"the reduction is one of {REDUCTIONS}, not {reduction!r}")


def _check_float(name, tensor):
    if tensor.dtype.kind != "f":
        raise TypeError(f"the {name} must be floats, not {tensor.dtype}")


def reduced(losses, reduction, weights=None):
    _check_reduction(reduction)
    if reduction == "none":
        return losses
    total = losses.sum()
    if reduction == "sum":
        return total
    divisor = losses.numel() if weights is None else float(np.sum(weights))
    return total / divisor if divisor else total * 0.0 + math.nan


def _pair(input, target, reduction):
    input, target = _tensor(input), _tensor(target)
    if input.shape != target.shape:
        raise ValueError(f"the input has shape {input.shape}, the target {target.shape}")
    _check_float("input", input)
    _check_float("target", target)
    _check_reduction(reduction)
    return input, target


def mse_loss(input, target, reduction="mean"):
    input, target = _pair(input, target, reduction)
    return reduced((input - target).square(), reduction)


def l1_loss(input, target, reduction="mean"):
    input, target = _pair(input, target, reduction)
    return reduced((target - input).abs(), reduction)


class BinaryCrossEntropyFunction(Function):
    def forward(self, p, t):
        for name, array in (("p", p), ("t", t)):
            outside = ~((array >= 0) & (array <= 1))
            if outside.any():
                raise ValueError(f"{name} = {array[outside].flat[0]} is no probability")
        with np.errstate(divide="ignore"):
            self._yes, self._no = np.fmax(np.log(p), -100), np.fmax(np.log1p(-p), -100)
        self._p, self._t = p, t
        return -(t * self._yes + (1 - t) * self._no)

    def backward(self, grad):
        p, t = self._p, self._t
        slopes = (p - t) / np.fmax(p * (1 - p), 1e-12), self._no - self._yes
        return tuple(grad * slope if wanted else None for slope, wanted in zip(slopes, self.needs_grad))


def binary_cross_entropy(input, target, weight=None, reduction="mean"):
    input, target = _pair(input, target, reduction)
    losses = apply(BinaryCrossEntropyFunction(), input, target)
    return reduced(losses if weight is None else losses * weight, reduction)


def binary_cross_entropy_with_logits(input, target, weight=None, reduction="mean", pos_weight=None):
    input, target = _pair(input, target, reduction)
    positive = target * logsigmoid(input)
    if pos_weight is not None:
        positive = positive * pos_weight
    losses = -(positive + (1 - target) * logsigmoid(-input))
    return reduced(losses if weight is None else losses * weight, reduction)


def _class_dim(input):
    if not input.ndim:
        raise ValueError(f"logits of shape {input.shape} have no classes")
    return min(1, input.ndim - 1)


def _check_options(input, weight, reduction, label_smoothing=0.0):
    _check_reduction(reduction)
    _check_float("input", input)
    classes = input.shape[_class_dim(input)]
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing is between 0 and 1, not {label_smoothing}")
    if isinstance(weight, Tensor) and weight.requires_grad:
        raise ValueError("the weight of the classes gets no gradient, but requires one")
    if weight is not None and np.shape(_array(weight)) != (classes,):
        raise ValueError(f"the weight must have shape ({classes},), not {np.shape(_array(weight))}")


def _check_indices(input, target, ignore_index):
    dim = _class_dim(input)
    if target.dtype.kind not in "iu":
        raise TypeError(f"the target must be indices of classes, not {target.dtype}")
    if target.shape != input.shape[:dim] + input.shape[dim + 1 :]:
        raise ValueError(f"the input has shape {input.shape}, and the target {target.shape}")
    wrong = (target.data != ignore_index) & ((target.data < 0) | (target.data >= input.shape[dim]))
    if wrong.any():
        raise IndexError(f"{target.data[wrong].flat[0]} is none of the {input.shape[dim]} classes")


def nll_loss(input, target, weight=None, ignore_index=-100, reduction="mean"):
    input, target = _tensor(input), _tensor(target)
    dim = _class_dim(input)
    _check_options(input, weight, reduction)
    _check_indices(input, target, ignore_index)
    ignored = target.data == ignore_index
    classes = np.where(ignored, 0, target.data)
    picked = input.gather(dim, Tensor(classes).unsqueeze(dim)).squeeze(dim)
    weights = np.ones(input.shape[dim], input.dtype) if weight is None else _array(weight, input.dtype)
    weights = weights[classes] * ~ignored
    return reduced((-picked).masked_fill(ignored, 0.0) * weights, reduction, weights)


class CrossEntropyFunction(Function):
    """Row i costs sum_c a[i, c] (log z - x[i, c]), where a[i] holds what each class counts: so its gradient is
    sum(a[i]) softmax(x[i]) - a[i]."""
    def __init__(self, weight=None, ignore_index=-100, label_smoothing=0.0, reduction="none"):
        self.weight, self.ignore_index, self.label_smoothing = weight, ignore_index, label_smoothing
        self.reduction = reduction

    def forward(self, x, target):
        rows, classes = np.arange(len(x)), x.shape[1]
        weight = np.ones(classes, x.dtype) if self.weight is None else np.asarray(self.weight, x.dtype)
        counts = target != self.ignore_index
        target = np.where(counts, target, 0)
        below = x - x.max(axis=1, keepdims=True)
        exponentials = np.exp(below)
        z = exponentials.sum(axis=1, keepdims=True)
        surprise = np.log(z) - below
        sharp = (1 - self.label_smoothing) * weight[target]
        losses = sharp * surprise[rows, target]
        if self.label_smoothing:
            losses = losses + np.einsum("nc,c->n", surprise, weight) * (self.label_smoothing / classes)
        losses = np.where(counts, losses, 0).astype(x.dtype, copy=False)
        self._saved = exponentials / z, rows, target, sharp, weight
        self._factor = counts.astype(x.dtype)
        if self.reduction == "none":
            return losses
        total = losses.sum()
        if self.reduction == "mean":
            divisor = float(np.sum(weight[target] * counts))
            self._factor *= 1 / divisor if divisor else 0
            total = total / divisor if divisor else np.asarray(math.nan, x.dtype)
        return total

    def backward(self, grad):
        shares, rows, target, sharp, weight = self._saved
        spread = self.label_smoothing / len(weight) * weight
        dx = shares * (sharp + spread.sum())[:, None] - spread
        dx[rows, target] -= sharp
        factor = self._factor * grad
        return np.where(factor[:, None] == 0, 0, dx * factor[:, None]).astype(shares.dtype, copy=False), None


def _classes_last(tensor):
    dim = _class_dim(tensor)
    return tensor.permute(*(d for d in range(tensor.ndim) if d != dim), dim)


def cross_entropy(input, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    input, target = _tensor(input), _tensor(target)
    _check_options(input, weight, reduction, label_smoothing)
    if target.dtype.kind == "f":
        return _with_shares(input, target, weight, reduction, label_smoothing)
    _check_indices(input, target, ignore_index)
    operation = CrossEntropyFunction(_array(weight), ignore_index, label_smoothing, reduction)
    rows = _classes_last(input).reshape(target.numel(), input.shape[_class_dim(input)])
    loss = apply(operation, rows, target.reshape(target.numel()))
    return loss.reshape(target.shape) if reduction == "none" else loss


def _with_shares(input, target, weight, reduction, smoothing):
    if target.shape != input.shape:
        raise ValueError(f"the input has shape {input.shape}, the target of probabilities {target.shape}")
    logs, target = log_softmax(_classes_last(input), -1), _classes_last(target)
    target = target * (1 - smoothing) + smoothing / target.shape[-1]
    if weight is not None:
        target = target * _array(weight, input.dtype)
    return reduced(-(target * logs).sum(-1), reduction)


class MSELoss(Module):
    _function = staticmethod(mse_loss)

    def __init__(self, reduction="mean"):
        self.reduction = reduction

    def forward(self, input, target):
        return self._function(input, target, reduction=self.reduction)


class L1Loss(MSELoss):
    _function = staticmethod(l1_loss)


class BCELoss(Module):
    def __init__(self, weight=None, reduction="mean"):
        self.register_buffer("weight", weight)
        self.reduction = reduction

    def forward(self, input, target):
        return binary_cross_entropy(input, target, self.weight, self.reduction)


class BCEWithLogitsLoss(BCELoss):
    def __init__(self, weight=None, reduction="mean", pos_weight=None):
        super().__init__(weight, reduction)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input, target):
        return binary_cross_entropy_with_logits(input, target, self.weight, self.reduction, self.pos_weight)


class NLLLoss(Module):
    def __init__(self, weight=None, ignore_index=-100, reduction="mean"):
        self.register_buffer("weight", weight)
        self.ignore_index, self.reduction = ignore_index, reduction

    def forward(self, input, target):
        return nll_loss(input, target, self.weight, self.ignore_index, self.reduction)


class CrossEntropyLoss(NLLLoss):
    def __init__(self, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
        super().__init__(weight, ignore_index, reduction)
        self.label_smoothing = label_smoothing

    def forward(self, input, target):
        return cross_entropy(input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing)
