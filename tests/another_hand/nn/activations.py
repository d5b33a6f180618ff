"""Activations, by another hand: each operation returns its value and its slope at once."""

__all__ = [
    "COEFFICIENTS", "TanhGelu", "erf", "ErfGelu", "SiLUFunction", "ReluSquared",
    "LeakyReLUFunction", "SoftplusFunction", "LogSigmoidFunction", "relu", "sigmoid", "tanh",
    "softmax", "log_softmax", "silu", "relu_squared", "leaky_relu", "softplus", "logsigmoid",
    "gelu", "ReLU", "Sigmoid", "Tanh", "SiLU", "LogSigmoid", "LeakyReLU", "GELU", "Softplus",
    "Softmax", "LogSoftmax",
]

import math

import numpy as np

from tinytorch.nn.module import Module
from tinytorch.ops.elementwise import Function
from tinytorch.ops.reductions import check_floats
from tinytorch.tensor import apply


class _ValueAndSlope(Function):
    def forward(self, x):
        check_floats(self.name, x)
        value, self._slope = self.at(x)
        return value

    def backward(self, grad):
        return (self._slope * grad,)


def _logistic(x):
    return (1 + np.tanh(x / 2)) / 2


class TanhGelu(_ValueAndSlope):
    scale, cubic = math.sqrt(2 / math.pi), 0.044715

    def at(self, x):
        square = x * x
        t = np.tanh(self.scale * x * (1 + self.cubic * square))
        inner = self.scale * (1 + 3 * self.cubic * square)
        return x * (1 + t) / 2, (1 + t + x * (1 - t * t) * inner) / 2


COEFFICIENTS = 1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592


def erf(z):
    z = np.asarray(z)
    if z.dtype != np.float32:
        return np.vectorize(math.erf, otypes=[z.dtype])(z)
    t = 1 / (1 + 0.3275911 * np.abs(z))
    tail = np.polyval((*COEFFICIENTS, 0.0), t.astype(np.float64)) * np.exp(-(z.astype(np.float64) ** 2))
    return (np.sign(z) * (1 - tail)).astype(z.dtype)


class ErfGelu(_ValueAndSlope):
    def at(self, x):
        below = (1 + erf(x / math.sqrt(2))) / 2
        return x * below, below + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


class SiLUFunction(_ValueAndSlope):
    def at(self, x):
        share = _logistic(x)
        return x * share, share * (1 + x * (1 - share))


class ReluSquared(_ValueAndSlope):
    def at(self, x):
        positive = np.maximum(x, 0)
        return positive**2, 2 * positive


class LeakyReLUFunction(_ValueAndSlope):
    def __init__(self, negative_slope=0.01):
        self.negative_slope = negative_slope

    def at(self, x):
        slope = np.where(x > 0, 1, self.negative_slope).astype(x.dtype)
        return slope * x, slope


class SoftplusFunction(_ValueAndSlope):
    def __init__(self, beta=1.0, threshold=20.0):
        self.beta, self.threshold = beta, threshold

    def at(self, x):
        scaled = self.beta * x
        straight = scaled > self.threshold
        return np.where(straight, x, np.logaddexp(0, scaled) / self.beta), np.where(straight, 1, _logistic(scaled))


class LogSigmoidFunction(_ValueAndSlope):
    def at(self, x):
        return -np.logaddexp(0, -x), _logistic(-x)


def relu(input):
    return input.relu()


def sigmoid(input):
    return input.sigmoid()


def tanh(input):
    return input.tanh()


def softmax(input, dim):
    return input.softmax(dim)


def log_softmax(input, dim):
    return input.log_softmax(dim)


def silu(input):
    return apply(SiLUFunction(), input)


def relu_squared(input):
    return apply(ReluSquared(), input)


def leaky_relu(input, negative_slope=0.01):
    return apply(LeakyReLUFunction(negative_slope), input)


def softplus(input, beta=1.0, threshold=20.0):
    return apply(SoftplusFunction(beta, threshold), input)


def logsigmoid(input):
    return apply(LogSigmoidFunction(), input)


def gelu(input, approximate="none"):
    forms = {"none": ErfGelu, "tanh": TanhGelu}
    if approximate not in forms:
        raise ValueError(f"gelu: approximate is one of {list(forms)}, not {approximate!r}")
    return apply(forms[approximate](), input)


class _Layer(Module):
    "Calls `function` with its options, which are the attributes that `options` names."
    options = ()

    def forward(self, input):
        return type(self).function(input, **{name: getattr(self, name) for name in self.options})

    def extra_repr(self):
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self.options)


class ReLU(_Layer):
    function = relu


class Sigmoid(_Layer):
    function = sigmoid


class Tanh(_Layer):
    function = tanh


class SiLU(_Layer):
    function = silu


class LogSigmoid(_Layer):
    function = logsigmoid


class LeakyReLU(_Layer):
    function, options = leaky_relu, ("negative_slope",)

    def __init__(self, negative_slope=0.01):
        self.negative_slope = negative_slope


class GELU(_Layer):
    function, options = gelu, ("approximate",)

    def __init__(self, approximate="none"):
        self.approximate = approximate


class Softplus(_Layer):
    function, options = softplus, ("beta", "threshold")

    def __init__(self, beta=1.0, threshold=20.0):
        self.beta, self.threshold = beta, threshold


class Softmax(_Layer):
    function, options = softmax, ("dim",)

    def __init__(self, dim):
        self.dim = dim


class LogSoftmax(Softmax):
    function = log_softmax
