"""Operations that add up, by another hand: sums, means, extremes, softmax, matrix products."""

__all__ = [
    "positive_dims", "Reduction", "Sum", "Mean", "Var", "Std", "Amax", "Amin", "Prod", "CumSum",
    "check_floats", "Softmax", "LogSoftmax", "LogSumExp", "check_inner_sizes", "MatMul", "einsum_letters", "Einsum",
]

from operator import index
from string import ascii_uppercase

import numpy as np

from tinytorch.ops.elementwise import Function, unbroadcast


def positive_dims(dim, ndim):
    if dim is None or (isinstance(dim, tuple | list) and not dim):
        return tuple(range(ndim))
    asked = [index(one) for one in (dim if isinstance(dim, tuple | list) else [dim])]
    wrong = [one for one in asked if one not in range(-max(ndim, 1), max(ndim, 1))]
    if wrong:
        raise IndexError(f"there is no dim {wrong[0]} among {ndim}")
    found = {one % max(ndim, 1) for one in asked}
    if len(found) < len(asked):
        raise ValueError(f"one dim is named twice in {dim}")
    return tuple(sorted(found)) if ndim else ()


class Reduction(Function):
    def __init__(self, dim=None, keepdim=False):
        self.dim, self.keepdim = dim, keepdim

    def axes_of(self, x):
        self.shape = np.shape(x)
        self.axes = positive_dims(self.dim, len(self.shape))
        self.count = 1
        for axis in self.axes:
            self.count *= self.shape[axis]
        return self.axes

    def restore(self, reduced):
        return np.reshape(reduced, [1 if axis in self.axes else size for axis, size in enumerate(self.shape)])

    def _finish(self, kept):
        "The result without the dims of size 1, unless they are to stay."
        return kept if self.keepdim else np.squeeze(kept, self.axes)


class Sum(Reduction):
    def forward(self, x):
        return np.add.reduce(x, self.axes_of(x), keepdims=self.keepdim)

    def backward(self, grad):
        return (np.broadcast_to(self.restore(grad), self.shape),)


class Mean(Sum):
    def forward(self, x):
        return np.mean(x, self.axes_of(x), keepdims=self.keepdim)

    def backward(self, grad):
        return super().backward(grad / max(self.count, 1))


class Var(Reduction):
    def __init__(self, dim=None, keepdim=False, correction=1):
        Reduction.__init__(self, dim, keepdim)
        self.correction = correction

    def forward(self, x):
        axes = self.axes_of(x)
        with np.errstate(all="ignore"):
            self._away = x - np.mean(x, axes, keepdims=True)
            self._freedom = np.asarray(max(self.count - self.correction, 0), self._away.dtype)
            return self._finish(np.sum(self._away**2, axes, keepdims=True) / self._freedom)

    def backward(self, grad):
        with np.errstate(all="ignore"):
            return (self.restore(grad) * (self._away * (2 / self._freedom)),)


class Std(Var):
    def forward(self, x):
        self._root = np.sqrt(super().forward(x))
        return self._root

    def backward(self, grad):
        with np.errstate(all="ignore"):
            return super().backward(np.where(self._root == 0, 0, grad / (2 * self._root)))


class Amax(Reduction):
    choose = staticmethod(np.max)

    def forward(self, x):
        axes = self.axes_of(x)
        if not self.count:
            raise ValueError(f"shape {self.shape} leaves no elements to choose from in dims {axes}")
        best = type(self).choose(x, axis=axes, keepdims=True)
        self._tied = x == best
        return self._finish(best)

    def backward(self, grad):
        winners = np.count_nonzero(self._tied, axis=self.axes, keepdims=True) if self.axes else np.ones(())
        return (self._tied * (self.restore(grad) / np.asarray(winners, grad.dtype)),)


class Amin(Amax):
    choose = staticmethod(np.min)


class Prod(Reduction):
    def forward(self, x):
        self._x = x
        return np.multiply.reduce(x, self.axes_of(x), keepdims=self.keepdim)

    def backward(self, grad):
        kept = [axis for axis in range(len(self.shape)) if axis not in self.axes]
        order = kept + list(self.axes)
        moved = self._x.transpose(order)
        rows = moved.reshape(-1, self.count) if self.count else moved.reshape(-1, 1)[:0]
        others = np.ones_like(rows)  # the product of all but the one
        from_left, from_right = np.ones_like(rows[:, 0]), np.ones_like(rows[:, 0])
        for i in range(rows.shape[1] if rows.size else 0):
            others[:, i] *= from_left
            others[:, -1 - i] *= from_right
            from_left, from_right = from_left * rows[:, i], from_right * rows[:, -1 - i]
        return (others.reshape(moved.shape).transpose(np.argsort(order)) * self.restore(grad),)


class CumSum(Function):
    def __init__(self, dim):
        self.dim = dim

    def _run(self, x, step):
        axes = positive_dims(self.dim, np.ndim(x))
        if not axes:
            return np.array(x)
        x = np.moveaxis(x, axes[0], 0)[::step]
        return np.moveaxis(np.add.accumulate(x, 0)[::step], 0, axes[0])

    def forward(self, x):
        return self._run(x, 1)

    def backward(self, grad):
        return (self._run(grad, -1),)


def check_floats(name, x):
    kind = np.asarray(x).dtype
    if not np.issubdtype(kind, np.floating):
        raise TypeError(f"{name} works on floats, not on {kind}")


def _summed_exponentials(x, axes):
    "A shift, and the sum of exp(x - shift), over `axes`; the shift is the largest x, so nothing overflows."
    shift = np.max(x, axes, keepdims=True, initial=-np.inf)
    shift = np.where(np.isfinite(shift), shift, 0).astype(x.dtype, copy=False)
    return shift, np.sum(np.exp(x - shift), axes, keepdims=True)


class Softmax(Function):
    def __init__(self, dim):
        self.dim = dim

    def forward(self, x):
        check_floats("softmax", x)
        self._axes = positive_dims(self.dim, np.ndim(x))
        with np.errstate(all="ignore"):
            shift, total = _summed_exponentials(x, self._axes)
            self._shares = np.exp(x - shift) / total
        return self._shares

    def backward(self, grad):
        weighted = self._shares * grad
        return (weighted - self._shares * weighted.sum(self._axes, keepdims=True),)


class LogSoftmax(Function):
    def __init__(self, dim):
        self.dim = dim

    def forward(self, x):
        check_floats("log_softmax", x)
        self._axes = positive_dims(self.dim, np.ndim(x))
        with np.errstate(all="ignore"):
            shift, total = _summed_exponentials(x, self._axes)
            self._logs = (x - shift) - np.log(total)
        return self._logs

    def backward(self, grad):
        return (grad - np.exp(self._logs) * grad.sum(self._axes, keepdims=True),)


class LogSumExp(Reduction):
    def forward(self, x):
        check_floats("logsumexp", x)
        with np.errstate(all="ignore"):
            shift, total = _summed_exponentials(x, self.axes_of(x))
            self._x, self._kept = x, shift + np.log(total)
        return self._finish(self._kept)

    def backward(self, grad):
        with np.errstate(all="ignore"):
            finite = np.where(self._kept == -np.inf, 0, self._kept)
            return (np.exp(self._x - finite) * self.restore(grad),)


def check_inner_sizes(x, y):
    left, right = np.shape(x), np.shape(y)
    fits = left and right and left[-1] == right[max(len(right) - 2, 0)]
    if fits:
        try:
            np.broadcast_shapes(left[:-2], right[:-2])
        except ValueError:
            fits = False
    if not fits:
        raise ValueError(f"cannot multiply {left} by {right}")


def _product_summed_to(shape, a, b):
    "a @ b, added up over those dims of the stack that `shape` lacks: they become part of the inner dim."
    dims = max(a.ndim, b.ndim)
    a, b = (array.reshape((1,) * (dims - array.ndim) + array.shape) for array in (a, b))
    sizes = (1,) * (dims - len(shape)) + shape
    gone = [axis for axis in range(dims - 2) if sizes[axis] == 1 and a.shape[axis] == b.shape[axis]]
    kept = [axis for axis in range(dims - 2) if axis not in gone]
    inner = a.shape[-1] * int(np.prod([a.shape[axis] for axis in gone]))
    left = a.transpose(*kept, dims - 2, *gone, dims - 1)
    right = b.transpose(*kept, *gone, dims - 2, dims - 1)
    return left.reshape(*left.shape[: len(kept) + 1], inner) @ right.reshape(
        *right.shape[: len(kept)], inner, b.shape[-1])


class MatMul(Function):
    def forward(self, x, y):
        check_inner_sizes(x, y)
        self._x, self._y = x, y
        return np.matmul(x, y)

    def backward(self, grad):
        x, y = np.atleast_2d(self._x), self._y if self._y.ndim > 1 else self._y[:, None]
        if self._y.ndim == 1:
            grad = np.expand_dims(grad, -1)
        if self._x.ndim == 1:
            grad = np.expand_dims(grad, -2)
        dx, dy = self.needs_grad[:2]
        return (_product_summed_to(x.shape, grad, y.swapaxes(-1, -2)).reshape(self._x.shape) if dx else None,
                _product_summed_to(y.shape, x.swapaxes(-1, -2), grad).reshape(self._y.shape) if dy else None)


def einsum_letters(equation, operands):
    left, arrow, right = equation.partition("->")
    terms, spare = left.split(","), [letter for letter in ascii_uppercase if letter not in equation]
    if len(terms) != len(operands):
        raise ValueError(f"einsum: {len(terms)} operands in {equation!r}, {len(operands)} given")
    hidden = [np.ndim(operand) - len(term.replace("...", "")) for term, operand in zip(terms, operands)]
    for term, operand, unnamed in zip(terms, operands, hidden):
        if unnamed < 0 or unnamed and "..." not in term:
            raise ValueError(f"einsum: {term!r} of {equation!r} is for an operand of shape {np.shape(operand)}")
    most = max((n for term, n in zip(terms, hidden) if "..." in term), default=0)
    if not arrow:
        once = sorted(letter for letter in set(left) - set(",.") if left.count(letter) == 1)
        right = "..." * bool(most) + "".join(once)
    spelled = [term.replace("...", "".join(spare[most - unnamed : most])) for term, unnamed in zip(terms, hidden)]
    return spelled, right.replace("...", "".join(spare[:most]))


class Einsum(Function):
    def __init__(self, equation):
        self.equation = equation

    def forward(self, *operands):
        self._operands = operands
        self._terms, self._result = einsum_letters(self.equation.replace(" ", ""), operands)
        return np.einsum(f"{','.join(self._terms)}->{self._result}", *operands)

    def backward(self, grad):
        return tuple(self.gradient_of(i, grad) if self.needs_grad[i] else None for i in range(len(self._operands)))

    def gradient_of(self, i, grad):
        mine, operand = self._terms[i], self._operands[i]
        terms = [*self._terms[:i], *self._terms[i + 1 :], self._result]
        arrays = [*self._operands[:i], *self._operands[i + 1 :], grad]
        once = "".join(dict.fromkeys(mine))
        known = "".join(letter for letter in once if any(letter in term for term in terms))
        found = np.einsum(f"{','.join(terms)}->{known}", *arrays, optimize=len(arrays) > 1)
        found = np.expand_dims(found, [place for place, letter in enumerate(once) if letter not in known])
        sizes = [operand.shape[mine.index(letter)] for letter in once]
        found = unbroadcast(np.broadcast_to(found, np.broadcast_shapes(found.shape, tuple(sizes))), tuple(sizes))
        if once == mine:
            return np.array(found, operand.dtype)
        whole = np.zeros(operand.shape, operand.dtype)
        np.einsum(f"{mine}->{once}", whole)[...] = found
        return whole
