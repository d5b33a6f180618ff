"""Methods of Tensor under PyTorch's names, each on top of those that chapter 03 teaches."""
import builtins
import functools
from collections import namedtuple

import numpy as np

from tinytorch.inplace import in_place, writes
from tinytorch.ops import elementwise, shapes
from tinytorch.state import get_default_dtype, thread
from tinytorch.vocabulary import operations
from tinytorch.vocabulary.arguments import explained, methods_explained
from tinytorch.vocabulary.hooks import hooked
from tinytorch.vocabulary.names import check_device, check_format, dtype_of
from tinytorch.vocabulary.names import device as device_of

ValuesIndices = namedtuple("ValuesIndices", "values indices")
MinMax = namedtuple("MinMax", "min max")


def _apply(operation, *inputs):
    from tinytorch.tensor import apply  # which imports this module: its Tensor inherits from the class below
    return apply(operation, *inputs)


def _array(value):
    "Return the array of a Tensor; anything else as it is."
    return value.data if isinstance(value, Vocabulary) else value


def _plain_key(key):
    "Return an index key with arrays in place of Tensors, in it or alone."
    return tuple(map(_array, key)) if isinstance(key, tuple) else _array(key)


def _floats(x):
    "Return a Tensor as one of floats, as functions that leave the integers take it."
    return x if x.dtype.kind == "f" else x.to(get_default_dtype())


def _axis(name, dim, ndim):
    "Return `dim`, an int, counted from the front. Raises: TypeError for another kind, IndexError out of range."
    if isinstance(dim, builtins.bool) or not hasattr(dim, "__index__"):
        raise TypeError(f"{name}: dim: expected an int, got {type(dim).__name__}")
    dim, end = dim.__index__(), max(ndim, 1)
    if not -end <= dim < end:
        raise IndexError(f"{name}: dim {dim} is out of range for {ndim} dimensions: expected {-end} to {end - 1}")
    return dim % end


def numpy_names(method):
    "Return `method`, which also takes NumPy's names for dim and keepdim: `axis`, `keepdims`, and `out=None`."
    @functools.wraps(method)
    def call(*args, **options):
        if not options:
            return method(*args)
        dtype, options = options.pop("dtype", None), _renamed(method.__name__, options)
        if dtype is None:
            return method(*args, **options)
        return method(args[0].to(dtype_of(dtype)), *args[1:], **options).to(dtype_of(dtype))
    return call


def _renamed(name, options):
    for theirs, ours in (("axis", "dim"), ("keepdims", "keepdim")):
        if theirs in options:
            options[ours] = options.pop(theirs)
    if options.pop("out", None) is not None:
        raise TypeError(f"{name}: out: not supported, the result is a new Tensor")
    return options


def statistic(method):
    "Return `var` or `std`, which also takes `unbiased`, by name or as its first argument, and NumPy's names."
    @functools.wraps(method)
    def call(self, dim=None, *more, unbiased=None, **options):
        if isinstance(dim, builtins.bool):
            dim, unbiased = None, dim
        if options.get("correction", 1) is None:
            options["correction"] = 1
        if unbiased is not None:
            if more or "correction" in options:
                raise TypeError(f"{method.__name__}: got both unbiased and correction; unbiased=False is correction=0")
            options["correction"] = builtins.int(unbiased)
        return numpy_names(method)(self, *([] if "dim" in options or "axis" in options else [dim]), *more, **options)
    return call


def may_overwrite(function):
    "Return a function of `input` that also takes `inplace=True`: then it writes the result into it, and returns it."
    @functools.wraps(function)
    def call(input, *args, inplace=False, **options):
        result = function(input, *args, **options)
        return input._overwrite(result, f"{function.__name__}(inplace=True)") if inplace else result
    return call


def of_own_kind(method):
    "Return `masked_fill`, which turns a value for a mask of booleans into one."
    @functools.wraps(method)
    def call(self, mask, value):
        value = builtins.bool(value) if self.dtype == np.bool_ else value
        return method(self, mask, value)
    return explained(call)


def placed(method):
    "Return `to`, a method of dtype, which also takes a device, another Tensor (for its dtype), and both by name."
    @functools.wraps(method)
    def call(self, *targets, dtype=None, device=None, non_blocking=False, copy=False, memory_format=None):
        check_device(device)
        check_format(memory_format)
        for i, target in enumerate(targets):
            if isinstance(target, builtins.bool):  # non_blocking, then copy
                copy = target if targets[i - 1] is not target and isinstance(targets[i - 1], builtins.bool) else copy
            elif isinstance(target, Vocabulary):
                dtype = target.dtype
            elif isinstance(target, (device_of, str)) and not _names_dtype(target):
                check_device(target)
            elif target is not None:
                dtype = dtype_of(target)
        moved = self if dtype is None else method(self, dtype_of(dtype))
        return moved.clone() if copy and moved is self and hasattr(self, "clone") else moved
    return call


def _names_dtype(target):
    return isinstance(target, str) and target in np.sctypeDict


def comparable(value):
    "Return whether `==` compares a Tensor with `value`, number by number: not with None or a text."
    return isinstance(value, (Vocabulary, np.ndarray, np.generic, builtins.int, builtins.float, list, tuple))


def _operand(name, value):
    "Return `value`. Raises: TypeError, naming the method, for what is no Tensor, array, number or list."
    if not comparable(value):
        raise TypeError(f"{name}: other: expected a Tensor or a number, got {type(value).__name__}")
    return value


REFLECTED = {  # what Python calls for `array <operator> tensor`
    np.add: "__radd__", np.subtract: "__rsub__", np.multiply: "__rmul__", np.true_divide: "__rtruediv__",
    np.power: "__rpow__", np.matmul: "__rmatmul__", np.floor_divide: "__rfloordiv__", np.remainder: "__rmod__",
    np.equal: "__eq__", np.not_equal: "__ne__", np.less: "__gt__", np.less_equal: "__ge__", np.greater: "__lt__",
    np.greater_equal: "__le__", np.bitwise_and: "__rand__", np.bitwise_or: "__ror__", np.bitwise_xor: "__rxor__",
}


@methods_explained
class Vocabulary:
    """What Tensor inherits: methods that need nothing of it but the taught ones. Gradients flow where PyTorch's do.
    A method without a docstring does what PyTorch's method of that name does."""
    __slots__ = ()

    # ---- what it holds
    device = property(lambda self: device_of("cpu"))
    is_cuda = property(lambda self: False)
    itemsize = property(lambda self: self.dtype.itemsize)
    nbytes = property(lambda self: self.data.nbytes)
    def nelement(self): return self.numel()
    def ndimension(self): return self.ndim
    def element_size(self): return self.dtype.itemsize
    def data_ptr(self): return self.data.ctypes.data
    def stride(self, dim=None):
        strides = tuple(n // self.dtype.itemsize for n in self.data.strides)
        return strides if dim is None else strides[dim]
    def is_contiguous(self): return self.data.flags.c_contiguous
    def is_floating_point(self): return self.dtype.kind == "f"
    def cpu(self): return self
    def cuda(self, device=None): raise RuntimeError('cuda: tensors live on the CPU here; use .to("cpu"), or no device')
    def __format__(self, spec): return format(self.item() if self.ndim == 0 else str(self), spec)
    def __contains__(self, element): return comparable(element) and builtins.bool((self == element).any())

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        """Compute for NumPy: array * tensor is tensor.__rmul__(array), `array += tensor` writes into the array, and any
        other function gives a Tensor without a gradient. Raises: RuntimeError where one is required."""
        if method == "__call__" and not options and ufunc in REFLECTED and not isinstance(inputs[0], Vocabulary):
            return getattr(self, REFLECTED[ufunc])(inputs[0])
        arrays = [x.numpy() if isinstance(x, Vocabulary) else x for x in inputs]
        result = getattr(ufunc, method)(*arrays, **options)
        return result if options.get("out") else type(self).wrap(result)

    # ---- written in place, and followed through the backward pass
    def __setitem__(self, key, value):
        """Write `value`, which broadcasts, where x[key] would read; while it is part of a graph, gradients follow.
        Raises: RuntimeError for a leaf that requires a gradient while operations are recorded; as `overwrite`."""
        self._refuse_recorded_leaf("item assignment")
        key = _plain_key(key)
        if thread.recording and (self.requires_grad or getattr(value, "requires_grad", False)):
            self._overwrite(_apply(operations.Put(key), self, value), "item assignment")
        else:
            self.data[key] = _array(value)
            writes.note("item assignment", self.data)

    def register_hook(self, hook):
        """Call hook(gradient), a Tensor, once the whole gradient of self is known in a backward pass; what it returns,
        unless None, takes its place. Return a handle, whose remove() takes the hook back.
        Raises: RuntimeError where self requires no gradient, TypeError for what is no function."""
        if not self.requires_grad:
            raise RuntimeError("register_hook: the tensor requires no gradient, so there will be none")
        return hooked(self if self.is_leaf else self.grad_fn, "hooks", hook)

    def retain_grad(self):
        "Keep the gradient of self, the result of an operation, in `grad`, as a leaf does."
        if not self.is_leaf:
            self.register_hook(self._keep)
    def _keep(self, gradient):
        self.grad = gradient.clone() if self.grad is None else self.grad + gradient

    def as_gradient(self, gradient):
        """Return a Tensor, or an array, that can be the gradient of self, as a Tensor around the same numbers.
        Raises: TypeError for another kind, RuntimeError for another shape or dtype."""
        if isinstance(gradient, (np.ndarray, np.generic)):
            gradient = type(self).wrap(gradient)
        if not isinstance(gradient, Vocabulary):
            raise TypeError(f"grad: expected a Tensor or None, got {type(gradient).__name__}")
        if (gradient.shape, gradient.dtype) != (self.shape, self.dtype):
            raise RuntimeError(f"grad: expected shape {self.shape} and {self.dtype}, as the tensor has; got "
                               f"{gradient.shape} and {gradient.dtype}")
        return gradient

    # ---- dtypes
    def float(self, memory_format=None): return self.to(np.float32, memory_format=memory_format)
    def double(self, memory_format=None): return self.to(np.float64, memory_format=memory_format)
    def long(self, memory_format=None): return self.to(np.int64, memory_format=memory_format)
    def bool(self, memory_format=None): return self.to(np.bool_, memory_format=memory_format)
    def int(self, memory_format=None): return self.to(np.int32, memory_format=memory_format)
    def short(self, memory_format=None): return self.to(np.int16, memory_format=memory_format)
    def byte(self, memory_format=None): return self.to(np.uint8, memory_format=memory_format)
    def half(self, memory_format=None): return self.to(np.float16, memory_format=memory_format)
    def type(self, dtype): return self.to(dtype_of(dtype))
    def type_as(self, other): return self.to(other.dtype)
    def new_tensor(self, data, dtype=None): return type(self).wrap(np.array(_array(data), dtype or self.dtype))
    def new_zeros(self, *size, dtype=None, device=None): return self._new(np.zeros, size, dtype, device)
    def new_ones(self, *size, dtype=None, device=None): return self._new(np.ones, size, dtype, device)
    def new_empty(self, *size, dtype=None, device=None): return self._new(np.zeros, size, dtype, device)
    def new_full(self, size, fill_value, dtype=None, device=None):
        if hasattr(size, "__index__"):
            raise TypeError(f"new_full: size: expected several in a tuple, got {size!r}; write ({size!r},)")
        return self.new_empty(size, dtype=dtype, device=device) + self.new_tensor(fill_value, dtype)
    def _new(self, make, size, dtype, device):
        check_device(device)
        size = size[0] if len(size) == 1 and not hasattr(size[0], "__index__") else size
        return type(self).wrap(make(tuple(size), dtype or self.dtype))

    # ---- comparisons
    def eq(self, other): return self == _operand("eq", other)
    def ne(self, other): return self != _operand("ne", other)
    def lt(self, other): return self < other
    def le(self, other): return self <= other
    def gt(self, other): return self > other
    def ge(self, other): return self >= other
    less, less_equal, greater, greater_equal, not_equal = lt, le, gt, ge, ne
    def _logic(self, ufunc, *others): return type(self).wrap(ufunc(self.data, *map(_array, others)))
    def __xor__(self, other): return self._logic(np.bitwise_xor, other)
    def __rand__(self, other): return self & other
    def __ror__(self, other): return self | other
    __rxor__ = __xor__
    def __lshift__(self, other): return self._logic(np.left_shift, other)
    def __rshift__(self, other): return self._logic(np.right_shift, other)
    def bitwise_and(self, other): return self & other
    def bitwise_or(self, other): return self | other
    def bitwise_xor(self, other): return self ^ other
    def bitwise_not(self): return ~self
    def logical_and(self, other): return self._logic(np.logical_and, _operand("logical_and", other))
    def logical_or(self, other): return self._logic(np.logical_or, _operand("logical_or", other))
    def logical_xor(self, other): return self._logic(np.logical_xor, _operand("logical_xor", other))
    def logical_not(self): return self._logic(np.logical_not)
    def isnan(self): return self._logic(np.isnan)
    def isinf(self): return self._logic(np.isinf)
    def isfinite(self): return self._logic(np.isfinite)
    def isclose(self, other, rtol=1e-5, atol=1e-8, equal_nan=False):
        close = np.isclose(self.data, _array(other), rtol=rtol, atol=atol, equal_nan=equal_nan)
        return type(self).wrap(close)
    def allclose(self, other, rtol=1e-5, atol=1e-8, equal_nan=False):
        return builtins.bool(np.all(self.isclose(other, rtol, atol, equal_nan).data))
    def equal(self, other): return np.array_equal(self.data, other.data)
    @numpy_names
    def any(self, dim=None, keepdim=False): return self._quantifier(np.any, dim, keepdim)
    @numpy_names
    def all(self, dim=None, keepdim=False): return self._quantifier(np.all, dim, keepdim)
    def _quantifier(self, reduce, dim, keepdim):
        return type(self).wrap(np.asarray(reduce(self.data, axis=self._axes(dim), keepdims=keepdim), bool))
    def count_nonzero(self, dim=None): return type(self).wrap(np.asarray(np.count_nonzero(self.data, self._axes(dim))))
    def _axes(self, dim):
        "Return `dim` (None, an int or several) as a tuple of axes for NumPy."
        return operations.positive_dims(dim, self.ndim)

    # ---- element by element
    def tan(self): return self._pointwise(np.tan)
    def asin(self): return self._pointwise(np.arcsin)
    def acos(self): return self._pointwise(np.arccos)
    def atan(self): return self._pointwise(np.arctan)
    def sinh(self): return self._pointwise(np.sinh)
    def cosh(self): return self._pointwise(np.cosh)
    def asinh(self): return self._pointwise(np.arcsinh)
    def acosh(self): return self._pointwise(np.arccosh)
    def atanh(self): return self._pointwise(np.arctanh)
    def exp2(self): return self._pointwise(np.exp2)
    def log2(self): return self._pointwise(np.log2)
    def log10(self): return self._pointwise(np.log10)
    def erf(self): return self._pointwise(operations.erf)
    def _pointwise(self, function):
        return _apply(operations.Pointwise(function), _floats(self))
    arcsin, arccos, arctan, arcsinh, arccosh, arctanh = asin, acos, atan, asinh, acosh, atanh

    def floor(self): return self._rounded(np.floor)
    def ceil(self): return self._rounded(np.ceil)
    def trunc(self): return self._rounded(np.trunc)
    def round(self, decimals=0):
        return self._rounded(np.rint) if decimals == 0 else (self * 10.0 ** decimals).round() / 10.0 ** decimals
    def frac(self): return self - self.trunc()
    def _rounded(self, function):
        return _apply(operations.Pointwise(function), self) if self.is_floating_point() else self.clone()
    fix = trunc

    def rsqrt(self): return self ** -0.5
    def square(self): return self ** 2
    def reciprocal(self): return 1 / self
    def absolute(self): return self.abs()
    def negative(self): return self.neg()
    def positive(self): return self
    __pos__ = positive
    def add(self, other, alpha=1): return self + (other if alpha == 1 else other * alpha)
    def sub(self, other, alpha=1): return self - (other if alpha == 1 else other * alpha)
    subtract = sub
    def multiply(self, other): return self.mul(other)
    def true_divide(self, other): return self / other
    def divide(self, other, rounding_mode=None):
        "Return self / other; rounded down ('floor') or towards 0 ('trunc'), integers then stay integers."
        if rounding_mode not in (None, "floor", "trunc"):
            raise ValueError(f"div: rounding_mode is None, 'floor' or 'trunc', got {rounding_mode!r}")
        if rounding_mode is None:
            return self / other
        return self.floor_divide(other) if rounding_mode == "floor" else self._truncated(other)
    div = divide
    def _truncated(self, other):
        quotient = (self.detach() / other).trunc()
        return quotient.to(np.result_type(self.data, _array(other)))
    def floor_divide(self, other): return self.detach()._logic(np.floor_divide, other)
    __floordiv__ = floor_divide
    def __rfloordiv__(self, other): return type(self).wrap(np.floor_divide(other, self.data))
    def remainder(self, other): return _apply(operations.Remainder(), self, other)
    __mod__ = remainder
    def __rmod__(self, other): return _apply(operations.Remainder(), other, self)
    def fmod(self, other): return _apply(operations.Remainder(np.fmod, np.trunc), self, other)
    def atan2(self, other): return _apply(operations.Atan2(), *map(_floats, (self, other)))
    arctan2 = atan2
    def hypot(self, other): return (self * self + other * other).sqrt()
    def logaddexp(self, other):
        a, b = self._broadcast_with(other)
        return _apply(shapes.Cat(0), a.unsqueeze(0), b.unsqueeze(0)).logsumexp(0)
    def lerp(self, end, weight): return self + weight * (end - self)
    def addcmul(self, tensor1, tensor2, value=1): return self + value * tensor1 * tensor2
    def addcdiv(self, tensor1, tensor2, value=1): return self + value * (tensor1 / tensor2)
    def nan_to_num(self, nan=0.0, posinf=None, neginf=None):
        if not self.is_floating_point():
            return self.clone()
        limits = np.finfo(self.dtype)
        posinf, neginf = limits.max if posinf is None else posinf, limits.min if neginf is None else neginf
        out = self.masked_fill(self.isnan(), nan or 0.0)
        return out.masked_fill(self.data == np.inf, posinf).masked_fill(self.data == -np.inf, neginf)
    def clamp(self, min=None, max=None):
        "Return self held to min <= x <= max, numbers or Tensors; one of them may be None."
        if not isinstance(min, Vocabulary) and not isinstance(max, Vocabulary):
            return _apply(elementwise.Clamp(min, max), self)
        low = self if min is None else self.where(self >= min, min)
        return low if max is None else low.where(low <= max, max)
    clip = clamp
    def clamp_min(self, min): return self.clamp(min=min)
    def clamp_max(self, max): return self.clamp(max=max)

    # ---- sums, norms, order
    def norm(self, p="fro", dim=None, keepdim=False, dtype=None):
        "Return (sum |x|^p)^(1/p) over `dim` (None: all elements); p='fro' is 2. Raises: ValueError for p='nuc'."
        if isinstance(p, str) and p != "fro":
            raise ValueError(f"norm: p is a number or 'fro', got {p!r}")
        x = self if dtype is None else self.to(dtype)
        return _apply(operations.VectorNorm(2 if p in ("fro", None) else p, dim, keepdim), x)
    def dist(self, other, p=2): return (self - other).norm(p)
    def mm(self, mat2): return self._with_ndim(2, "mm", mat2) @ mat2
    def bmm(self, mat2): return self._with_ndim(3, "bmm", mat2) @ mat2
    def outer(self, vec2): return self._with_ndim(1, "outer", vec2).unsqueeze(1) * vec2
    def _with_ndim(self, ndim, name, other):
        "Return self. Raises: ValueError where self or other does not have `ndim` dimensions."
        if self.ndim != ndim or other.ndim != ndim:
            raise ValueError(f"{name}: expected two tensors of {ndim} dimensions, got {self.shape} and {other.shape}")
        return self
    def dot(self, other): return self._vectors("dot", other).mul(other).sum()
    def inner(self, other):
        "Return the sums of products along the last dims of both; if one of them is a number, the products."
        if self.ndim == 0 or other.ndim == 0:
            return self * other
        return self @ (other if other.ndim == 1 else other.mT)
    def _vectors(self, name, other):
        if self.ndim != 1 or self.shape != other.shape:
            raise ValueError(f"{name}: expected two vectors of one length, got {self.shape} and {other.shape}")
        return self
    def mv(self, vec):
        if self.ndim != 2 or vec.ndim != 1:
            raise ValueError(f"mv: expected a matrix and a vector, got {self.shape} and {vec.shape}")
        return self @ vec
    def addmm(self, mat1, mat2, beta=1, alpha=1): return self._plus(mat1.mm(mat2), beta, alpha)
    def addmv(self, mat, vec, beta=1, alpha=1): return self._plus(mat.mv(vec), beta, alpha)
    def baddbmm(self, batch1, batch2, beta=1, alpha=1): return self._plus(batch1.bmm(batch2), beta, alpha)
    def _plus(self, product, beta, alpha):
        "Return beta * self + alpha * product; of integers, both are cut to integers."
        number = builtins.float if product.dtype.kind == "f" else builtins.int
        return self * number(beta) + product * number(alpha)
    def cumprod(self, dim, dtype=None):
        return _apply(operations.CumProd(dim), self if dtype is None else self.to(dtype))
    def diff(self, n=1, dim=-1, prepend=None, append=None):
        "Return each element less the one before it, `n` times, once `prepend` and `append` are joined to it."
        axis = (slice(None),) * _axis("diff", dim, self.ndim)
        if n == 0:
            return self
        around = [part for part in (prepend, self, append) if part is not None]
        x = _apply(shapes.Cat(dim), *around) if len(around) > 1 else self
        for _ in range(n):
            later, earlier = x[(*axis, slice(1, None))], x[(*axis, slice(None, -1))]
            x = later - earlier if x.dtype != np.bool_ else later ^ earlier
        return x
    def trace(self):
        if self.ndim != 2:
            raise ValueError(f"trace: expected a matrix, got shape {self.shape}")
        return self.diagonal().sum()
    def median(self, dim=None, keepdim=False):
        "Return the lower median of all elements, or with `dim` ValuesIndices along it."
        if dim is None or self.ndim == 0:
            values = self.reshape(-1)
            middle = values.argsort().data[(self.numel() - 1) // 2]
            found = values[int(middle)]
            return found if dim is None else ValuesIndices(found, type(self).wrap(np.zeros((), np.int64)))
        indices = self.argsort(dim).narrow(dim, (self.shape[dim] - 1) // 2, 1)
        values = self.gather(dim, indices)
        return ValuesIndices(values, indices) if keepdim else ValuesIndices(values.squeeze(dim), indices.squeeze(dim))
    def aminmax(self, dim=None, keepdim=False): return MinMax(self.amin(dim, keepdim), self.amax(dim, keepdim))

    def argsort(self, dim=-1, descending=False, stable=False):
        "Return the indices that sort along `dim`; equal elements keep their order, nan counts as the largest."
        axis = _axis("argsort", dim, self.ndim)
        if self.ndim == 0:
            return type(self).wrap(np.zeros((), np.int64))
        if not descending:
            return type(self).wrap(np.argsort(self.data, axis, kind="stable"))
        last = self.shape[axis] - 1
        return type(self).wrap(np.flip(last - np.argsort(np.flip(self.data, axis), axis, kind="stable"), axis))
    def sort(self, dim=-1, descending=False, stable=False):
        order = self.argsort(dim, descending)
        return ValuesIndices(self.gather(dim, order) if self.ndim else self.clone(), order)
    def topk(self, k, dim=-1, largest=True, sorted=True):
        "Return ValuesIndices of the k largest along `dim`, in order. Raises: ValueError for a k beyond its size."
        if not 0 <= k <= (self.shape[dim] if self.ndim else 1):
            raise ValueError(f"topk: k={k} of dim {dim} of {self.shape}: expected at most its size")
        values, order = self.sort(dim, descending=largest)
        return ValuesIndices(values, order) if not self.ndim else \
            ValuesIndices(values.narrow(dim, 0, k), order.narrow(dim, 0, k))
    def unique(self, sorted=True, return_inverse=False, return_counts=False, dim=None):
        "Return the different elements, or slices along `dim`, in order; then where each is found, and how often."
        found, inverse, counts = np.unique(self.data, return_inverse=True, return_counts=True, axis=dim)
        inverse = inverse.reshape(self.shape if dim is None else -1)
        parts = found, *[inverse] * return_inverse, *[counts] * return_counts
        return type(self).wrap(found) if len(parts) == 1 else tuple(map(type(self).wrap, parts))
    def bincount(self, weights=None, minlength=0):
        ids = self.data if self.is_floating_point() else self.data.astype(np.intp, copy=False)  # floats are refused
        return type(self).wrap(np.bincount(ids, _array(weights), minlength))
    def nonzero(self, as_tuple=False):
        "Return the indices of what is not 0: a matrix, one row each; or a tuple, one vector for each dim."
        if as_tuple:
            return tuple(map(type(self).wrap, np.nonzero(np.atleast_1d(self.data))))
        return type(self).wrap(np.argwhere(self.data))
    def argwhere(self): return self.nonzero()
    def multinomial(self, num_samples, replacement=False, generator=None):
        "Return `num_samples` indices of each row, drawn with chances in proportion to its entries."
        from tinytorch.vocabulary.creation import multinomial
        return multinomial(self, num_samples, replacement, generator=generator)

    # ---- shapes
    def t(self):
        if self.ndim > 2:
            raise ValueError(f"t: expected at most 2 dimensions, got shape {self.shape}; use .mT")
        return self.T
    def contiguous(self): return self if self.is_contiguous() else self.clone()
    def ravel(self): return self.flatten()
    def view_as(self, other): return self.view(*other.shape)
    def reshape_as(self, other): return self.reshape(*other.shape)
    def expand_as(self, other): return self.expand(*other.shape)
    def swapaxes(self, axis0, axis1): return self.transpose(axis0, axis1)
    def swapdims(self, dim0, dim1): return self.transpose(dim0, dim1)
    def movedim(self, source, destination):
        pairs = [(_axis("movedim", to, self.ndim), _axis("movedim", at, self.ndim)) for at, to in
                 zip(np.atleast_1d(source).tolist(), np.atleast_1d(destination).tolist(), strict=True)]
        order = [d for d in range(self.ndim) if d not in dict(pairs).values()]
        for to, at in sorted(pairs):
            order.insert(to, at)
        return self.permute(*order)
    moveaxis = movedim
    def unflatten(self, dim, sizes):
        at = _axis("unflatten", dim, self.ndim)
        return self.reshape(*self.shape[:at], *sizes, *self.shape[at + 1:])
    def narrow(self, dim, start, length):
        at, start = _axis("narrow", dim, self.ndim), int(start)
        start += self.shape[at] * (start < 0)
        if length < 0 or not 0 <= start <= self.shape[at] - length:
            raise IndexError(f"narrow: {start} to {start + length} is outside of dim {dim} of {self.shape}")
        return self[(slice(None),) * at + (slice(start, start + length),)]
    def select(self, dim, index): return self[(slice(None),) * _axis("select", dim, self.ndim) + (index,)]
    def unbind(self, dim=0):
        return tuple(self.select(dim, i) for i in range(self.shape[_axis("unbind", dim, self.ndim)]))
    def unfold(self, dimension, size, step):
        at = _axis("unfold", dimension, self.ndim)
        if self.ndim == 0:
            return self.reshape(1).unfold(0, size, step).reshape(-1)
        return _apply(operations.Windows(at, size, step), self)
    def flip(self, *axes, dims=None):
        axes = axes if dims is None else dims
        return _apply(shapes.Flip(*(axes[0] if len(axes) == 1 and not hasattr(axes[0], "__index__") else axes)), self)
    def roll(self, shifts, dims=None): return _apply(shapes.Roll(shifts, dims), self)
    def tril(self, diagonal=0): return _apply(shapes.Tril(diagonal.__index__()), self)
    def triu(self, diagonal=0): return _apply(shapes.Triu(diagonal.__index__()), self)
    def fliplr(self): return self.flip(1)
    def flipud(self): return self.flip(0)
    def tile(self, *dims):
        dims = dims[0] if len(dims) == 1 and not hasattr(dims[0], "__index__") else dims
        return self.repeat((1,) * (self.ndim - len(dims)) + tuple(dims))
    def repeat_interleave(self, repeats, dim=None, output_size=None):
        "Return each element (of a flat self, if `dim` is None) `repeats` times, an int or one for each of them."
        x, dim = (self.reshape(-1), 0) if dim is None or self.ndim == 0 else (self, dim)
        found = x.index_select(dim, np.repeat(np.arange(x.shape[dim]), _array(repeats)))
        if output_size not in (None, found.shape[dim]):
            raise ValueError(f"repeat_interleave: output_size is {output_size}, but there are {found.shape[dim]}")
        return found
    def diagonal(self, offset=0, dim1=0, dim2=1): return _apply(operations.Diagonal(offset, dim1, dim2), self)
    def diag(self, diagonal=0):
        "Return the diagonal of a matrix, or the matrix with a vector on its diagonal."
        if self.ndim == 2:
            return self.diagonal(diagonal)
        n = len(self) + abs(diagonal)
        rows = np.arange(len(self))
        zeros = self.new_zeros(n, n)
        return _apply(operations.Put((rows + max(-diagonal, 0), rows + max(diagonal, 0))), zeros, self)

    # ---- elements that are picked or put
    def masked_select(self, mask):
        x, mask = self._broadcast_with(mask)
        return x[mask]
    def take_along_dim(self, indices, dim=None):
        if dim is None:
            return self.reshape(-1)[indices.reshape(-1)]
        at = _axis("take_along_dim", dim, self.ndim)
        if indices.ndim != self.ndim:
            raise ValueError(f"take_along_dim: indices {indices.shape}: expected {self.ndim} dimensions")
        shape = np.broadcast_shapes(self.shape[:at] + (1,) + self.shape[at + 1:], indices.shape)
        ours = self.expand(*shape[:at], self.shape[at], *shape[at + 1:])
        return ours.gather(at, indices.expand(*shape[:at], indices.shape[at], *shape[at + 1:]))
    def scatter(self, dim, index, src, reduce=None):
        if reduce not in (None, "add"):
            raise ValueError(f"scatter: reduce is None or 'add', got {reduce!r}")
        return self._scattered("scatter", dim, index, src, add=reduce == "add")
    def scatter_add(self, dim, index, src): return self._scattered("scatter_add", dim, index, src, add=True)
    def _scattered(self, name, dim, index, src, add):
        key = list(np.ogrid[tuple(slice(size) for size in index.shape)])
        if self.ndim:
            key[_axis(name, dim, self.ndim)] = index.data
        if isinstance(src, Vocabulary):
            src = src[tuple(slice(size) for size in index.shape)]
        elif not self.is_floating_point():
            src = self.dtype.type(src)
        return _apply(operations.Put(tuple(key), add), self, src)
    def index_add(self, dim, index, source, alpha=1):
        return self._indexed("index_add", dim, index, source * alpha, add=True)
    def index_copy(self, dim, index, source): return self._indexed("index_copy", dim, index, source)
    def index_fill(self, dim, index, value):
        return self._indexed("index_fill", dim, type(self).wrap(np.unique(index.data)), value)
    def _indexed(self, name, dim, index, value, add=False):
        if self.ndim == 0:
            return self.reshape(1)._indexed(name, dim, index, value, add).reshape(())
        key = (slice(None),) * _axis(name, dim, self.ndim) + (np.atleast_1d(index.data),)
        return _apply(operations.Put(key, add), self, value)

    scatter_, scatter_add_, index_add_, index_copy_, index_fill_, round_, floor_, ceil_ = map(in_place, (
        "scatter", "scatter_add", "index_add", "index_copy", "index_fill", "round", "floor", "ceil"))
    def bernoulli_(self, p=0.5): return self._draw("bernoulli_", lambda generator: generator.random(self.shape) < p)

    def _broadcast_with(self, other):
        "Return self and `other`, broadcast to their common shape."
        shape = np.broadcast_shapes(self.shape, other.shape)
        return self.expand(*shape), other.expand(*shape)
