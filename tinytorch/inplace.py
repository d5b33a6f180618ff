"""PyTorch's in-place methods; and no backward pass through what was overwritten since the forward pass.

Every write is numbered. An operation keeps the number of the last one before its forward pass: if what it saved was
written later, its gradient would mix old and new numbers, and the backward pass refuses to start.
"""
import weakref

import numpy as np

from tinytorch.state import thread

PRODUCTS = {"Mul", "MatMul", "LinearFunction", "ConvFunction"}  # of their first two inputs
KINDS = "biuf"  # in PyTorch's order: numbers may be written into a tensor of a later kind, not of an earlier one


class Writes:
    "Number the in-place writes, and remember the last one to each piece of memory; `writes` is the only instance."
    def __init__(self):
        self.count, self.last = 0, {}  # {id of the array that owns the memory: (number, who wrote)}

    def note(self, by, *arrays):
        "Remember that `by`, such as 'Adam.step', has just changed numbers in `arrays`, or in what they are views of."
        self.count += 1
        write, last = (self.count, by), self.last
        for array in arrays:
            owner = array if array.base is None else owner_of(array)
            if id(owner) not in last:
                weakref.finalize(owner, last.pop, id(owner), None)
            last[id(owner)] = write

    def check(self, operations):
        "Raise RuntimeError if an array that one of `operations` saved was written since: says which, and by whom."
        now = self.count
        for operation in [one for one in operations if getattr(one, "writes_before", now) < now]:
            before = operation.writes_before
            for array in saved_arrays(operation):
                number, by = self.last.get(id(owner_of(array)), (0, ""))
                if number > before and not is_spare(operation, array):
                    raise RuntimeError(f"backward: {by} changed an array of shape {array.shape} that {operation.name} "
                                       "had saved, and old and new numbers would mix: call backward() before it, or "
                                       "run forward again after it")


writes = Writes()


def owner_of(array):
    "Return the array whose memory `array` is a view of; itself if it is none."
    base = array
    while base is not None:
        if isinstance(base, np.ndarray):
            array = base
        base = getattr(base, "base", None)
    return array


def saved_arrays(operation):
    "Yield the arrays among the attributes of an operation, and in its tuples and lists."
    for value in vars(operation).values():
        for part in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(part, np.ndarray):
                yield part


def is_spare(operation, array):
    "Return whether `array` is a factor, saved for the gradient of the other, which nobody wants."
    if operation.name not in PRODUCTS or all(operation.needs_grad[:2]):
        return False
    leaf = next(parent for parent in operation.parents if parent is not None)
    while len(getattr(leaf, "parents", ())) == 1:  # a view, such as the transpose
        leaf = leaf.parents[0]
    return owner_of(getattr(leaf, "data", None)) is owner_of(array)


def in_place(name):
    "Return the method `name`_, which overwrites a tensor with what its method `name` returns."
    def method(self, *args, **kwargs):
        return self._overwrite(getattr(self, name)(*args, **kwargs), f"{name}_")
    method.__name__, method.__doc__ = f"{name}_", f"Overwrite self with `{name}` of it; return self."
    return method


class InPlace:
    """The in-place part of a Tensor: x += y, x.add_(y) and the like write into the array of x, and return x.
    While a graph is recorded and x or y is part of it, x gets a new array instead, and a new place in the graph: what
    was saved stays as it was, but views of x keep the old numbers. Raises, before anything changes: RuntimeError for a
    leaf that requires a gradient while operations are recorded, and for a result of another shape or a later kind."""
    __slots__ = ()

    def _refuse_recorded_leaf(self, by):
        "Raise RuntimeError for a leaf that requires a gradient, while operations are recorded."
        if self.requires_grad and self.is_leaf and thread.recording:
            raise RuntimeError(f"{by}: a leaf that requires a gradient cannot change in place while operations are "
                               "recorded; write it under `with no_grad():`")

    def _overwrite(self, result, by):
        "Take the numbers of the Tensor `result` over, for the user's method `by`; return self."
        self._refuse_recorded_leaf(by)
        if result.shape != self.shape:
            raise RuntimeError(f"{by}: the result has shape {result.shape}, which does not fit into {self.shape}")
        if KINDS.index(result.dtype.kind.replace("u", "i")) > KINDS.index(self.dtype.kind.replace("u", "i")):
            raise RuntimeError(f"{by}: a result of {result.dtype} does not fit into {self.dtype}; convert self first")
        if result.requires_grad:
            result = result.to(self.dtype)
            self.data, self.grad_fn, self._requires_grad = result.data, result.grad_fn, True
        elif not self.data.flags.writeable:
            raise RuntimeError(f"{by}: several elements share memory, as after expand; use .clone() first")
        else:
            self.data[...] = result.data
            writes.note(by, self.data)
        return self

    mul_, div_, pow_, neg_, abs_ = map(in_place, ("mul", "div", "pow", "neg", "abs"))
    exp_, log_, sqrt_, rsqrt_, reciprocal_ = map(in_place, ("exp", "log", "sqrt", "rsqrt", "reciprocal"))
    relu_, tanh_, sigmoid_, clamp_, masked_fill_ = map(in_place, ("relu", "tanh", "sigmoid", "clamp", "masked_fill"))

    def add_(self, other, *, alpha=1): return self._overwrite(self + (other if alpha == 1 else alpha * other), "add_")
    def sub_(self, other, *, alpha=1): return self._overwrite(self - (other if alpha == 1 else alpha * other), "sub_")
    def addcmul_(self, x, y, *, value=1): return self._overwrite(self + value * x * y, "addcmul_")
    def addcdiv_(self, x, y, *, value=1): return self._overwrite(self + value * x / y, "addcdiv_")
    def lerp_(self, end, weight): return self._overwrite(self + weight * (end - self), "lerp_")

    def __iadd__(self, other): return self._overwrite(self + other, "+=")
    def __isub__(self, other): return self._overwrite(self - other, "-=")
    def __imul__(self, other): return self._overwrite(self * other, "*=")
    def __itruediv__(self, other): return self._overwrite(self / other, "/=")
    def __ipow__(self, other): return self._overwrite(self ** other, "**=")
    def __iand__(self, other): return self._overwrite(self & other, "&=")
    def __ior__(self, other): return self._overwrite(self | other, "|=")

    def _put(self, values, by):
        "Overwrite all of self with `values`, which broadcast; self gets no gradient from before, `values` get theirs."
        return self._overwrite(self.masked_fill(np.ones(self.shape, bool), values).to(self.dtype), by)

    def fill_(self, value): return self._put(value, "fill_")
    def zero_(self): return self._put(0, "zero_")
    def copy_(self, source): return self._put(source, "copy_")

    def normal_(self, mean=0.0, std=1.0):
        "Draw all numbers of self from the normal distribution N(mean, std^2); return self."
        return self._draw("normal_", lambda generator: generator.normal(mean, std, self.shape))

    def uniform_(self, low=0.0, high=1.0):
        "Draw all numbers of self from the uniform distribution on [low, high); return self."
        return self._draw("uniform_", lambda generator: generator.uniform(low, high, self.shape))

    def _draw(self, by, numbers):
        "Overwrite self with `numbers(generator)` of this thread's generator. Raises: TypeError for no floats."
        self._refuse_recorded_leaf(by)
        if self.dtype.kind != "f":
            raise TypeError(f"{by}: expected a tensor of floats, got {self.dtype}")
        return self._put(numbers(thread.generator), by)
