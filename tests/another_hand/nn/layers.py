"""Linear, dropout and other small layers, by another hand."""

__all__ = [
    "LinearFunction", "linear", "Linear", "dropout_mask", "dropout", "Dropout", "Identity",
    "Flatten",
]

import numpy as np

from tinytorch.nn.init import uniform_
from tinytorch.nn.module import Module, Parameter
from tinytorch.ops.elementwise import Function
from tinytorch.ops.reductions import check_floats
from tinytorch.state import default_generator, get_default_dtype
from tinytorch.tensor import apply
from tinytorch.vocabulary.methods import may_overwrite


class LinearFunction(Function):
    def forward(self, x, weight, bias=None):
        check_floats("linear", x)
        fits = x.ndim > 0 and weight.ndim == 2 and x.shape[-1] == weight.shape[1]
        if not fits or (bias is not None and bias.shape != weight.shape[:1]):
            raise ValueError(f"linear: input {x.shape}, weight {weight.shape} and bias "
                             f"{None if bias is None else bias.shape} do not fit")
        self._x, self._weight, self._biased = x, weight, bias is not None
        y = np.tensordot(x, weight, (-1, 1))
        return y if bias is None else y + bias

    def backward(self, grad):
        lead = tuple(range(grad.ndim - 1))
        wants_x, wants_weight, wants_bias = self.needs_grad[:3]
        return (np.tensordot(grad, self._weight, (-1, 0)) if wants_x else None,
                np.tensordot(grad, self._x, (lead, lead)) if wants_weight else None,
                grad.sum(lead) if wants_bias and self._biased else None)


def linear(input, weight, bias=None):
    return apply(LinearFunction(), input, weight, bias)


class Linear(Module):
    def __init__(self, in_features, out_features, bias=True):
        def empty(*shape):
            return Parameter(np.zeros(shape, get_default_dtype()))

        self.in_features, self.out_features = in_features, out_features
        self.weight, self.bias = empty(out_features, in_features), empty(out_features) if bias else None
        self.reset_parameters()

    def reset_parameters(self):
        bound = max(self.in_features, 1) ** -0.5
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                uniform_(parameter, -bound, bound)

    def forward(self, input):
        return linear(input, self.weight, self.bias)

    def extra_repr(self):
        sizes = f"in_features={self.in_features}, out_features={self.out_features}"
        return f"{sizes}, bias={self.bias is not None}"


def dropout_mask(shape, p, dtype):
    scale = 0.0 if p == 1 else 1 / (1 - p)
    kept = default_generator().random(shape) >= p
    return np.multiply(kept, scale, dtype=dtype)


def _probability(p):
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: a probability is between 0 and 1, not {p}")
    return p


@may_overwrite
def dropout(input, p=0.5, training=True):
    if _probability(p) == 0 or not training:
        return input
    return input * dropout_mask(input.shape, p, input.dtype)


class Dropout(Module):
    def __init__(self, p=0.5, inplace=False):
        self.p, self.inplace = _probability(p), inplace

    def forward(self, input):
        return dropout(input, self.p, self.training, inplace=self.inplace)

    def extra_repr(self):
        return f"p={self.p}, inplace={self.inplace}"


class Identity(Module):
    def __init__(self, *args, **kwargs):
        pass

    def forward(self, input):
        return input


class Flatten(Module):
    def __init__(self, start_dim=1, end_dim=-1):
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input):
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self):
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
