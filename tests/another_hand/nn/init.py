"""Starting values, by another hand."""

__all__ = [
    "uniform_", "normal_", "trunc_normal_", "constant_", "zeros_", "ones_", "fans",
    "calculate_gain", "xavier_normal_", "xavier_uniform_", "kaiming_normal_", "kaiming_uniform_",
]

import math
from statistics import NormalDist

from tinytorch.state import default_generator


def constant_(tensor, value):
    tensor.data[...] = value
    return tensor


def zeros_(tensor):
    return constant_(tensor, 0)


def ones_(tensor):
    return constant_(tensor, 1)


def uniform_(tensor, a=0.0, b=1.0):
    return constant_(tensor, default_generator().uniform(a, b, tensor.shape))


def normal_(tensor, mean=0.0, std=1.0):
    return constant_(tensor, mean + std * default_generator().standard_normal(tensor.shape))


def trunc_normal_(tensor, mean=0.0, std=1.0, a=-2.0, b=2.0):
    bell = NormalDist(mean, std)
    if bell.cdf(b) - bell.cdf(a) < 0.01:
        raise ValueError(f"hardly any number of N({mean}, {std}^2) lies between {a} and {b}")
    numbers = default_generator().normal(mean, std, tensor.shape)
    while (outside := (numbers < a) | (numbers > b)).any():
        numbers[outside] = default_generator().normal(mean, std, int(outside.sum()))
    return constant_(tensor, numbers)


def fans(tensor):
    if len(tensor.shape) < 2:
        raise ValueError(f"a weight has two dims or more, not {tensor.shape}")
    outputs, inputs, *kernel = tensor.shape
    return inputs * math.prod(kernel), outputs * math.prod(kernel)


def calculate_gain(nonlinearity, param=None):
    gains = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": 2**0.5}
    if nonlinearity == "leaky_relu":
        return (2 / (1 + (0.01 if param is None else param) ** 2)) ** 0.5
    if nonlinearity not in gains:
        raise ValueError(f"no gain is known for {nonlinearity!r}")
    return gains[nonlinearity]


def _xavier(tensor, gain):
    return gain * (2 / sum(fans(tensor))) ** 0.5


def _kaiming(tensor, a, mode, nonlinearity):
    sizes = dict(zip(("fan_in", "fan_out"), fans(tensor)))
    if mode not in sizes:
        raise ValueError(f"the mode is fan_in or fan_out, not {mode!r}")
    return calculate_gain(nonlinearity, a) / sizes[mode] ** 0.5


def _around_0(tensor, std):
    return uniform_(tensor, -std * 3**0.5, std * 3**0.5)


def xavier_normal_(tensor, gain=1.0):
    return normal_(tensor, std=_xavier(tensor, gain))


def xavier_uniform_(tensor, gain=1.0):
    return _around_0(tensor, _xavier(tensor, gain))


def kaiming_normal_(tensor, a=0.0, mode="fan_in", nonlinearity="leaky_relu"):
    return normal_(tensor, std=_kaiming(tensor, a, mode, nonlinearity))


def kaiming_uniform_(tensor, a=0.0, mode="fan_in", nonlinearity="leaky_relu"):
    return _around_0(tensor, _kaiming(tensor, a, mode, nonlinearity))
