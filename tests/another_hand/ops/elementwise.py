"""Operations that treat every element alone, by another hand: most are made of a formula and its slope."""

__all__ = [
    "Function", "Neg", "Exp", "unbroadcast", "Add", "Sub", "Mul", "Div", "Pow", "Tanh", "Sigmoid",
    "Relu", "Log", "Log1p", "Expm1", "Sqrt", "Abs", "Sign", "Sin", "Cos", "Where", "Clamp",
    "Maximum", "Minimum", "Cast",
]

import numpy as np

from tinytorch.dispatch import chosen


class Function:
    "One operation: forward on arrays, backward from the gradient of the output to a tuple of one gradient per input."
    needs_grad = (True,) * 32
    parents = None
    plain, hooks, kind = None, (), None

    def __new__(cls, *args, **kwargs):
        return object.__new__(chosen.get(cls, cls))

    @property
    def name(self):
        return (self.plain or type(self)).__name__

    def forward(self, *arrays):
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, grad):
        raise NotImplementedError(f"{type(self).__name__} has no backward")


class _OneInput(Function):
    "y = value(x), whose slope is slope(x, y)."
    def forward(self, x):
        self._xy = x, self.value(x)
        return self._xy[1]

    def backward(self, grad):
        return (grad * self.slope(*self._xy),)


class Neg(Function):
    def forward(self, x):
        return np.negative(x)

    def backward(self, grad):
        return (np.negative(grad),)


class Exp(_OneInput):
    value, slope = staticmethod(np.exp), staticmethod(lambda x, y: y)


class Tanh(_OneInput):
    value, slope = staticmethod(np.tanh), staticmethod(lambda x, y: (1 - y) * (1 + y))


class Sigmoid(_OneInput):
    slope = staticmethod(lambda x, y: y * (1 - y))

    @staticmethod
    def value(x):
        small = np.exp(-np.abs(x))  # at most 1
        return np.where(np.greater_equal(x, 0), 1, small) / (1 + small)


class Relu(_OneInput):
    value, slope = staticmethod(lambda x: np.clip(x, 0, None)), staticmethod(lambda x, y: y > 0)


class Log(_OneInput):
    value = staticmethod(np.log)

    def backward(self, grad):
        return (grad / self._xy[0],)


class Log1p(_OneInput):
    value = staticmethod(np.log1p)

    def backward(self, grad):
        return (grad / (1 + self._xy[0]),)


class Expm1(_OneInput):
    value, slope = staticmethod(np.expm1), staticmethod(lambda x, y: y + 1)


class Sqrt(_OneInput):
    value = staticmethod(np.sqrt)

    def backward(self, grad):
        return (grad / (2 * self._xy[1]),)


class Abs(_OneInput):
    value, slope = staticmethod(np.abs), staticmethod(lambda x, y: np.sign(x))


class Sign(_OneInput):
    value, slope = staticmethod(np.sign), staticmethod(lambda x, y: np.zeros_like(y))


class Sin(_OneInput):
    value, slope = staticmethod(np.sin), staticmethod(lambda x, y: np.cos(x))


class Cos(_OneInput):
    value, slope = staticmethod(np.cos), staticmethod(lambda x, y: -np.sin(x))


def unbroadcast(grad, shape):
    if np.shape(grad) == tuple(shape):
        return grad
    padded = (1,) * (np.ndim(grad) - len(shape)) + tuple(shape)
    stretched = [axis for axis, (size, grown) in enumerate(zip(padded, grad.shape)) if size != grown]
    return np.add.reduce(grad, tuple(stretched), keepdims=True).reshape(shape)


class _TwoInputs(Function):
    "z = value(x, y), broadcast; `left(grad)` and `right(grad)` are the gradients of x and y before they shrink again."
    def forward(self, x, y):
        self._inputs = x, y
        self._output = self.value(x, y)
        return self._output

    def backward(self, grad):
        halves = zip(self.needs_grad, (self.left, self.right), self._inputs)
        return tuple(unbroadcast(half(grad, *self._inputs), np.shape(one)) if wanted else None
                     for wanted, half, one in halves)


class Add(_TwoInputs):
    value = staticmethod(np.add)
    left = right = staticmethod(lambda grad, x, y: grad)


class Sub(_TwoInputs):
    value = staticmethod(np.subtract)
    left, right = staticmethod(lambda grad, x, y: grad), staticmethod(lambda grad, x, y: -grad)


class Mul(_TwoInputs):
    value = staticmethod(np.multiply)
    left, right = staticmethod(lambda grad, x, y: grad * y), staticmethod(lambda grad, x, y: grad * x)


class Div(_TwoInputs):
    value = staticmethod(np.divide)
    left = staticmethod(lambda grad, x, y: grad / y)
    right = staticmethod(lambda grad, x, y: grad / y * -(x / y))


class Pow(_TwoInputs):
    value = staticmethod(np.power)

    def left(self, grad, x, y):
        with np.errstate(all="ignore"):
            return grad * np.where(np.equal(y, 0), 0, y * np.power(x, y - np.ones_like(y, grad.dtype)))

    def right(self, grad, x, y):
        with np.errstate(all="ignore"):
            slope = self._output * np.log(x, dtype=grad.dtype)
        return grad * np.where(np.equal(x, 0) & np.greater_equal(y, 0), 0, slope)


class Maximum(_TwoInputs):
    choose, wins = np.maximum, np.greater

    def value(self, x, y):
        return type(self).choose(x, y)

    def _part(self, grad, one, other):
        return np.where(type(self).wins(one, other), grad, np.where(np.equal(one, other), grad / 2, 0))

    def left(self, grad, x, y):
        return self._part(grad, x, y)

    def right(self, grad, x, y):
        return self._part(grad, y, x)


class Minimum(Maximum):
    choose, wins = np.minimum, np.less


class Where(Function):
    def forward(self, condition, x, y):
        kind = np.asarray(condition).dtype
        if kind.kind != "b":
            raise TypeError(f"where: the condition must be of booleans, not {kind}")
        self._taken, self._shapes = condition, (np.shape(x), np.shape(y))
        return np.where(condition, x, y)

    def backward(self, grad):
        masks = self._taken, np.logical_not(self._taken)
        return None, *(unbroadcast(grad * mask, shape) if wanted else None
                       for wanted, mask, shape in zip(self.needs_grad[1:], masks, self._shapes))


class Clamp(Function):
    def __init__(self, low=None, high=None):
        if low is None and high is None:
            raise ValueError("clamp: give low or high, or both")
        self.low, self.high = low, high

    def forward(self, x):
        held = np.clip(x, self.low, self.high)
        self._inside = held == x
        return held.astype(np.asarray(x).dtype, copy=False)

    def backward(self, grad):
        return (grad * self._inside,)


class Cast(Function):
    def __init__(self, dtype):
        self.dtype = np.dtype(dtype)

    def forward(self, x):
        self._before = x.dtype
        return np.array(x, self.dtype)

    def backward(self, grad):
        return (np.array(grad, self._before),)
