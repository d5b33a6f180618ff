"""Tensor, by another hand: most methods are made by `_method` from an operation."""

__all__ = ["FLOAT64", "ValuesIndices", "apply", "shape_from", "dim_of", "Tensor"]

import math
from collections import namedtuple

import numpy as np

from tinytorch.autograd import run_backward
from tinytorch.ops import elementwise, reductions, shapes
from tinytorch.state import thread
from tinytorch.vocabulary.methods import Vocabulary

FLOAT64 = np.dtype(np.float64)
ValuesIndices = namedtuple("ValuesIndices", "values indices")


def _raw(value):
    "What forward is given for an input."
    if isinstance(value, Tensor):
        return value.data
    if isinstance(value, np.generic):
        return value.item()
    return _numbers(value) if isinstance(value, list | tuple) else value


def _numbers(data):
    "An array of its own: Python floats in the default dtype."
    if isinstance(data, Tensor):
        data = data.data
    array = np.array(data)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"a tensor holds numbers, not {array.dtype} such as {data!r:.40}")
    if array.dtype == FLOAT64 and not isinstance(data, np.ndarray | np.generic):
        array = array.astype(thread.default_dtype)
    return array


def _float_of(arrays):
    "The dtype of the floats among `arrays`; without any, the default."
    found = [array.dtype for array in arrays if isinstance(array, np.ndarray) and array.dtype.kind == "f"]
    return np.result_type(*found) if found else thread.default_dtype


def apply(operation, *inputs):
    arrays = [_raw(value) for value in inputs]
    wanted = [thread.recording and isinstance(value, Tensor) and value.requires_grad for value in inputs]
    operation.needs_grad = tuple(wanted)
    try:
        if thread.observer is None:
            out = operation.forward(*arrays)
        else:
            out = thread.observer(operation.forward, *arrays)
    except Exception as error:
        shown = ", ".join("None" if array is None else str(np.shape(array)) for array in arrays)
        error.add_note(f"(while {operation.name} was computed from shapes {shown})")
        raise
    out = np.asarray(out)
    if out.dtype == FLOAT64 and not all(isinstance(a, np.ndarray) and a.dtype.kind == "f" for a in arrays):
        out = out.astype(_float_of(arrays), copy=False)
    result = Tensor.wrap(out)
    if any(wanted) and out.dtype.kind == "f":
        operation.parents = tuple((value.grad_fn or value) if asks else None for value, asks in zip(inputs, wanted))
        operation.out_shape, operation.out_dtype = out.shape, out.dtype
        result.grad_fn = operation
    return result


def shape_from(sizes):
    return tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else tuple(sizes)


def dim_of(name, dim, ndim):
    limit = max(ndim, 1)
    if dim < -limit or dim >= limit:
        raise IndexError(f"{name}: dim {dim} does not exist, there are {ndim}")
    return dim % limit


def _method(make):
    "A method that applies make(its options) to self."
    return lambda self, *args, **kwargs: apply(make(*args, **kwargs), self)


def _operator(make, reflected=False):
    def run(self, other):
        return apply(make(), other, self) if reflected else apply(make(), self, other)

    return run


def _comparison(ufunc):
    def compare(self, other):
        if other is None or isinstance(other, str):
            return NotImplemented
        return Tensor.wrap(np.asarray(ufunc(self.data, _raw(other))))

    return compare


def _converted(kind):
    return lambda self: kind(self.item())


def _of_shape(make):
    return lambda self, *sizes: apply(make(*shape_from(sizes)), self)


def _chosen_place(find):
    def method(self, dim=None, keepdim=False):
        if dim is None:
            return Tensor.wrap(np.asarray(find(self.data, keepdims=keepdim)))
        axis = dim_of(find.__name__, dim, self.ndim)
        if not self.ndim:
            return Tensor.wrap(np.asarray(0))
        return Tensor.wrap(np.asarray(find(self.data, axis=axis, keepdims=keepdim)))

    return method


def _chosen_value(reduce, find):
    def method(self, dim=None, keepdim=False):
        if dim is None:
            return apply(reduce(None, False), self)
        place = find(self, dim, self.ndim > 0)
        picked = self.gather(dim_of("max", dim, self.ndim), place) if self.ndim else self.clone()
        pair = (picked, place) if keepdim or not self.ndim else (picked.squeeze(dim), place.squeeze(dim))
        return ValuesIndices(*pair)

    return method


class Tensor(Vocabulary):
    "An array that remembers which operation made it."
    __slots__ = ("data", "_slope", "grad_fn", "_wants", "hooks", "__weakref__")
    __array_ufunc__ = None
    __hash__ = object.__hash__

    def __init__(self, data, requires_grad=False, dtype=None):
        array = _numbers(data)
        self.data = array if dtype is None else array.astype(dtype, copy=False)
        self._slope = self.grad_fn = None
        self.hooks = ()
        self._wants = False
        self.requires_grad = requires_grad

    @staticmethod
    def wrap(array):
        made = object.__new__(Tensor)
        made.data, made._slope, made.grad_fn, made._wants, made.hooks = array, None, None, False, ()
        return made

    @property
    def requires_grad(self):
        return self._wants or self.grad_fn is not None

    @requires_grad.setter
    def requires_grad(self, flag):
        if flag and self.dtype.kind != "f":
            raise TypeError(f"only floats have a gradient, not {self.dtype}")
        if self.grad_fn is not None and not flag:
            raise RuntimeError("the result of an operation requires a gradient; detach() it")
        self._wants = bool(flag)

    def requires_grad_(self, flag=True):
        self.requires_grad = flag
        return self

    def backward(self, gradient=None, retain_graph=False, create_graph=False):
        if create_graph:
            raise NotImplementedError("create_graph: gradients are plain arrays here")
        if not self.requires_grad:
            raise RuntimeError("no operation was recorded behind this tensor, and it requires no gradient")
        if gradient is None and self.numel() != 1:
            raise RuntimeError(f"backward of shape {self.shape} needs a gradient of this shape")
        start = np.ones(self.shape) if gradient is None else np.asarray(_raw(gradient))
        if start.shape != self.shape:
            raise RuntimeError(f"backward of shape {self.shape} cannot begin with a gradient of shape {start.shape}")
        start = start.astype(self.dtype, copy=False)
        if self.is_leaf:
            self.accumulate_grad(start, False)
        else:
            run_backward(self.grad_fn, start, retain_graph)

    def accumulate_grad(self, gradient, fresh):
        if self.grad is None:
            self.grad = gradient if fresh else np.array(gradient, self.dtype)
        else:
            np.add(self.grad.data, gradient, out=self.grad.data)

    @property
    def grad(self):
        return self._slope

    @grad.setter
    def grad(self, gradient):
        self._slope = gradient if gradient is None else self.as_gradient(gradient)

    # ---- what it holds
    is_leaf = property(lambda self: self.grad_fn is None)
    shape = property(lambda self: self.data.shape)
    dtype = property(lambda self: self.data.dtype)
    out_shape, out_dtype = shape, dtype
    ndim = property(lambda self: self.data.ndim)
    T = property(lambda self: self.permute(*reversed(range(self.ndim))))
    mT = property(lambda self: self.transpose(-2, -1))

    def detach(self):
        return Tensor.wrap(self.data)

    def size(self, dim=None):
        return self.shape if dim is None else self.shape[dim]

    def dim(self):
        return len(self.shape)

    def numel(self):
        return math.prod(self.shape)

    def tolist(self):
        return self.data.tolist()

    def __array__(self, dtype=None, copy=None):
        return np.array(self.data, dtype, copy=copy)

    def __len__(self):
        if not self.shape:
            raise TypeError("a single number has no length")
        return self.shape[0]

    def __iter__(self):
        return map(self.__getitem__, range(len(self)))

    __bool__, __float__, __int__ = _converted(bool), _converted(float), _converted(int)

    def __index__(self):
        if self.dtype.kind not in "iu":
            raise TypeError(f"only an integer counts, not {self.dtype}")
        return self.item()

    def item(self):
        if self.numel() != 1:
            raise ValueError(f"item() is for one element; the shape is {self.shape}")
        return self.data.item()

    def numpy(self):
        if self.requires_grad:
            raise RuntimeError("a gradient is required: detach() first")
        return self.data

    def __repr__(self):
        parts = [np.array2string(self.data, separator=", ", prefix="tensor(")]
        if self.dtype not in (thread.default_dtype, np.int64, np.bool_):
            parts.append(f"dtype={self.dtype}")
        if self.grad_fn is not None:
            parts.append(f"grad_fn={self.grad_fn.name}")
        elif self.requires_grad:
            parts.append("requires_grad=True")
        return f"tensor({', '.join(parts)})"

    # ---- operators
    add = __add__ = _operator(elementwise.Add)
    sub = __sub__ = _operator(elementwise.Sub)
    mul = __mul__ = _operator(elementwise.Mul)
    div = __truediv__ = _operator(elementwise.Div)
    pow = __pow__ = _operator(elementwise.Pow)
    matmul = __matmul__ = _operator(reductions.MatMul)
    __radd__, __rsub__ = _operator(elementwise.Add, True), _operator(elementwise.Sub, True)
    __rmul__, __rtruediv__ = _operator(elementwise.Mul, True), _operator(elementwise.Div, True)
    __rpow__, __rmatmul__ = _operator(elementwise.Pow, True), _operator(reductions.MatMul, True)
    __eq__, __ne__ = _comparison(np.equal), _comparison(np.not_equal)
    __lt__, __le__ = _comparison(np.less), _comparison(np.less_equal)
    __gt__, __ge__ = _comparison(np.greater), _comparison(np.greater_equal)
    __and__, __or__ = _comparison(np.bitwise_and), _comparison(np.bitwise_or)
    neg = __neg__ = _method(elementwise.Neg)
    abs = __abs__ = _method(elementwise.Abs)
    maximum, minimum = _operator(elementwise.Maximum), _operator(elementwise.Minimum)

    def __invert__(self):
        return Tensor.wrap(np.asarray(~self.data))

    def mm(self, other):
        return self._product("mm", other, 2)

    def bmm(self, other):
        return self._product("bmm", other, 3)

    def _product(self, name, other, dims):
        other = other if isinstance(other, Tensor) else Tensor(other)
        if self.ndim != dims or other.ndim != dims:
            raise ValueError(f"{name} takes two inputs of {dims} dims, not {self.shape} and {other.shape}")
        return self.matmul(other)

    def outer(self, other):
        other = other if isinstance(other, Tensor) else Tensor(other)
        if self.ndim != 1 or other.ndim != 1:
            raise ValueError(f"outer takes two vectors, not {self.shape} and {other.shape}")
        return self.unsqueeze(1) * other

    # ---- element by element
    exp, expm1, log = _method(elementwise.Exp), _method(elementwise.Expm1), _method(elementwise.Log)
    log1p, sqrt, sign = _method(elementwise.Log1p), _method(elementwise.Sqrt), _method(elementwise.Sign)
    sin, cos, tanh = _method(elementwise.Sin), _method(elementwise.Cos), _method(elementwise.Tanh)
    sigmoid, relu = _method(elementwise.Sigmoid), _method(elementwise.Relu)

    def rsqrt(self):
        return self.sqrt().reciprocal()

    def square(self):
        return self * self

    def reciprocal(self):
        return 1.0 / self

    def clamp(self, min=None, max=None):
        return apply(elementwise.Clamp(min, max), self)

    def where(self, condition, other):
        return apply(elementwise.Where(), condition, self, other)

    def masked_fill(self, mask, value):
        return apply(elementwise.Where(), mask, value, self)

    # ---- sums, means, extremes
    sum, mean, prod = _method(reductions.Sum), _method(reductions.Mean), _method(reductions.Prod)
    amax, amin, cumsum = _method(reductions.Amax), _method(reductions.Amin), _method(reductions.CumSum)
    logsumexp, softmax = _method(reductions.LogSumExp), _method(reductions.Softmax)
    log_softmax = _method(reductions.LogSoftmax)

    def var(self, dim=None, correction=1, keepdim=False):
        return apply(reductions.Var(dim, keepdim, correction), self)

    def std(self, dim=None, correction=1, keepdim=False):
        return apply(reductions.Std(dim, keepdim, correction), self)

    argmax, argmin = _chosen_place(np.argmax), _chosen_place(np.argmin)
    max, min = _chosen_value(reductions.Amax, argmax), _chosen_value(reductions.Amin, argmin)

    # ---- shapes
    def __getitem__(self, key):
        def plain(part):
            if isinstance(part, Tensor):
                return part.data
            return np.array(part, None if part else int) if isinstance(part, list) else part

        return apply(shapes.Index(tuple(map(plain, key)) if isinstance(key, tuple) else plain(key)), self)

    def __setitem__(self, key, value):
        raise TypeError("a tensor is not written to: make a new one, by where or masked_fill")

    view = reshape = _of_shape(shapes.Reshape)
    broadcast_to = expand = _of_shape(shapes.Expand)
    permute, flip = _of_shape(shapes.Permute), _of_shape(shapes.Flip)
    roll, tril, triu, clone = (_method(make) for make in (shapes.Roll, shapes.Tril, shapes.Triu, shapes.Clone))

    def gather(self, dim, index):
        return apply(shapes.Gather(dim), self, index)

    def transpose(self, dim0, dim1):
        first, second = (dim_of("transpose", dim, self.ndim) for dim in (dim0, dim1))
        swapped = {first: second, second: first}
        return self.permute(*(swapped.get(dim, dim) for dim in range(self.ndim)))

    def unsqueeze(self, dim):
        place = dim_of("unsqueeze", dim, self.ndim + 1)
        return self.reshape(self.shape[:place] + (1,) + self.shape[place:])

    def squeeze(self, dim=None):
        asked = range(self.ndim) if dim is None else dim if isinstance(dim, tuple | list) else [dim]
        asked = {dim_of("squeeze", one, self.ndim) for one in asked}
        return self.reshape([size for i, size in enumerate(self.shape) if size != 1 or i not in asked])

    def flatten(self, start_dim=0, end_dim=-1):
        start, end = (dim_of("flatten", dim, self.ndim) for dim in (start_dim, end_dim))
        if start > end:
            raise ValueError(f"flatten: dim {start_dim} comes after dim {end_dim}")
        merged = math.prod(self.shape[start : end + 1])
        return self.reshape(self.shape[:start] + (merged,) + self.shape[end + 1 :])

    def repeat(self, *counts):
        counts = shape_from(counts)
        new = len(counts) - self.ndim
        if new < 0:
            raise ValueError(f"repeat: shape {self.shape} needs more counts than {counts}")
        sizes = (1,) * new + self.shape
        apart = self.reshape([part for size in sizes for part in (1, size)])
        copies = apart.expand([part for pair in zip(counts, sizes) for part in pair])
        return copies.reshape([count * size for count, size in zip(counts, sizes)])

    def split(self, split_size, dim=0):
        axis = dim_of("split", dim, self.ndim)
        length = self.shape[axis] if self.ndim else 1
        if isinstance(split_size, list | tuple):
            sizes = list(split_size)
        elif split_size <= 0:
            raise ValueError(f"split: pieces of {split_size} do not divide shape {self.shape}")
        else:
            whole, rest = divmod(length, split_size)
            sizes = [split_size] * whole + [rest] * (rest > 0 or length == 0)
        if min(sizes, default=0) < 0 or sum(sizes) != length:
            raise ValueError(f"split: the sizes {sizes} do not add up to dim {dim} of shape {self.shape}")
        ends = np.cumsum([0, *sizes]).tolist()
        return tuple(self[(slice(None),) * axis + (slice(a, b),)] for a, b in zip(ends, ends[1:]))

    def chunk(self, chunks, dim=0):
        if chunks < 1:
            raise ValueError(f"chunk: {chunks} chunks")
        length = self.shape[dim_of("chunk", dim, self.ndim)]
        return self.split(max(1, math.ceil(length / chunks)), dim)

    def index_select(self, dim, index):
        return self[(slice(None),) * dim_of("index_select", dim, self.ndim) + (_raw(index),)]

    def to(self, dtype):
        dtype = np.dtype(dtype)
        if dtype == self.dtype:
            return self
        if dtype.kind == self.dtype.kind == "f":
            return apply(elementwise.Cast(dtype), self)
        return Tensor.wrap(self.data.astype(dtype))

    def float(self):
        return self.to(np.float32)

    def double(self):
        return self.to(np.float64)

    def long(self):
        return self.to(np.int64)

    def bool(self):
        return self.to(np.bool_)
