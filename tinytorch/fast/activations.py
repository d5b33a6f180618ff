"""Activations with a costly formula, block by block: value and slope are computed together, in the cache."""
import math

import numpy as np

from tinytorch.fast.registry import implements
from tinytorch.nn.activations import ErfGelu, ReluSquared, SiLUFunction, TanhGelu, erf

BLOCK = 1 << 15  # numbers that stay in the processor's cache through all steps of a formula


class Blocked:
    """Only the slope is saved, so that the backward pass is a single product.

    A subclass fills the array `out` in two methods: `value(x, out)`, which may return something that it computed on
    the way, and `slope(x, value, something, out)`.
    """
    def forward(self, x):
        if x.dtype.kind != "f":
            return super().forward(x)  # which refuses it
        value = np.empty(x.shape, x.dtype)
        flat_x, flat_value = x.reshape(-1), value.reshape(-1)
        if self.needs_grad[0]:
            self.derivative = np.empty(x.shape, x.dtype)
            flat_slope = self.derivative.reshape(-1)
        for start in range(0, x.size, BLOCK):
            part = slice(start, start + BLOCK)
            something = self.value(flat_x[part], flat_value[part])
            if self.needs_grad[0]:
                self.slope(flat_x[part], flat_value[part], something, flat_slope[part])
        return value

    def backward(self, grad):
        return (grad * self.derivative,)


@implements(TanhGelu, "numpy")
class BlockedTanhGelu(Blocked, TanhGelu):
    linear = math.sqrt(2 / math.pi)
    cubic = 0.044715 * linear

    def value(self, x, out):
        h = x * x
        h *= self.cubic
        h += self.linear
        h *= x
        np.tanh(h, out=h)
        h *= 0.5
        h += 0.5
        np.multiply(x, h, out=out)
        return h

    def slope(self, x, value, h, out):
        "h + value (1 - h) (2 linear + 6 cubic x^2)"
        np.multiply(x, x, out=out)
        out *= 6 * self.cubic
        out += 2 * self.linear
        out *= value
        out *= 1 - h
        out += h


@implements(ErfGelu, "numpy")
class BlockedErfGelu(Blocked, ErfGelu):
    def value(self, x, out):
        below = erf(x * math.sqrt(0.5))
        below += 1
        below *= 0.5
        np.multiply(x, below, out=out)
        return below

    def slope(self, x, value, below, out):
        np.multiply(x, x, out=out)
        out *= -0.5
        np.exp(out, out=out)
        out *= x
        out *= 1 / math.sqrt(2 * math.pi)
        out += below


@implements(SiLUFunction, "numpy")
class BlockedSiLU(Blocked, SiLUFunction):
    @np.errstate(over="ignore")  # where e^-x overflows, 1 / inf is the 0 that we want
    def value(self, x, out):
        sigmoid = 1 / (1 + np.exp(-x))
        np.multiply(x, sigmoid, out=out)
        return sigmoid

    def slope(self, x, value, sigmoid, out):
        np.subtract(1, sigmoid, out=out)
        out *= value
        out += sigmoid


@implements(ReluSquared, "numpy")
class BlockedReluSquared(Blocked, ReluSquared):
    def value(self, x, out):
        positive = np.maximum(x, 0)
        np.multiply(positive, positive, out=out)
        return positive

    def slope(self, x, value, positive, out):
        np.multiply(positive, 2, out=out)
