"""PyTorch's functions of tensors: `exp(x)` is `x.exp()`; and those that take several tensors, or give several."""
import numpy as np

from tinytorch import creation
from tinytorch.ops.elementwise import Pow
from tinytorch.state import get_default_dtype
from tinytorch.tensor import Tensor, apply
from tinytorch.vocabulary import operations
from tinytorch.vocabulary.arguments import explained
from tinytorch.vocabulary.methods import Vocabulary

METHODS = """
    abs absolute acos acosh add addcdiv addcmul addmm addmv all allclose amax amin aminmax any arccos arccosh arcsin
    arcsinh arctan arctanh argmax argmin argsort argwhere asin asinh atan atan2 atanh baddbmm bincount bitwise_and
    bitwise_not bitwise_or bitwise_xor bmm broadcast_to ceil chunk clamp clamp_max clamp_min clip clone cos cosh
    count_nonzero cumprod cumsum detach diag diagonal diff dist div divide dot eq equal erf exp exp2 expm1 fix flatten
    flip fliplr flipud floor floor_divide fmod frac gather ge greater greater_equal gt hypot index_add index_copy
    index_fill index_select inner is_floating_point isclose isfinite isinf isnan le lerp less less_equal log log10
    log1p log2 log_softmax logaddexp logical_and logical_not logical_or logical_xor lt masked_fill
    masked_select matmul max maximum mean median min minimum mm moveaxis movedim mul multinomial multiply mv
    nan_to_num narrow ne neg negative nonzero norm not_equal numel outer permute positive prod ravel reciprocal relu
    repeat_interleave reshape roll round rsqrt scatter scatter_add select sigmoid sign sin sinh softmax sort
    split sqrt square squeeze std sub subtract sum swapaxes swapdims t take_along_dim tan tanh tile topk trace
    transpose tril triu true_divide trunc unbind unflatten unique unsqueeze var
    """.split()


def tensor_of(name, value):
    "Return `value`, an array as a Tensor around it. Raises: TypeError, naming the function, for anything else."
    if isinstance(value, np.ndarray):  # such as the .data of a parameter
        return creation.Tensor.wrap(value)
    if not isinstance(value, Vocabulary):
        raise TypeError(f"{name}: input: expected a Tensor, got {type(value).__name__}; make one with tensor(...)")
    return value


def tensors_of(name, values):
    "Return a list of Tensors. Raises: TypeError, naming the function, for anything else."
    if isinstance(values, Tensor) or not hasattr(values, "__iter__"):
        raise TypeError(f"{name}: tensors: expected several in a list, got one {type(values).__name__}; write [x]")
    for i, value in enumerate(values := list(values)):
        if not isinstance(value, (Vocabulary, np.ndarray)):
            raise TypeError(f"{name}: tensors[{i}]: expected a Tensor, got {type(value).__name__}")
    return [tensor_of(name, value) for value in values]


def _function(name):
    "Return the function that calls the method `name` of its first argument."
    def call(input, *args, **kwargs):
        return getattr(tensor_of(name, input), name)(*args, **kwargs)
    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"Return input.{name}(...), with the arguments of that method of Tensor."
    return call


globals().update({name: _function(name) for name in METHODS})


def pow(input, exponent):
    "Return input ** exponent; one of them may be a number."
    return apply(Pow(), input, exponent)


def remainder(input, other):
    "Return what is left of input / other, of the sign of `other`; one of them may be a number."
    return apply(operations.Remainder(), input, other)


def logsumexp(input, dim, keepdim=False):
    "Return log(sum(exp(input))) over `dim`, of integers in the default dtype."
    input = tensor_of("logsumexp", input)
    floats = input if input.is_floating_point() else input.to(get_default_dtype())
    return floats.logsumexp(dim, keepdim)


def where(condition, input=None, other=None):
    "Return input where `condition` holds, else other; without these two, the indices where it holds, one per dim."
    if input is None and other is None:
        return tensor_of("where", condition).nonzero(as_tuple=True)
    return creation.where(condition, input, other)


def cat(tensors, dim=0, axis=None):
    """Return tensors joined along `dim`, or `axis`; vectors of size 0 fit to any shape, as in PyTorch.
    Raises: TypeError for what is no list of Tensors, ValueError for none."""
    tensors = tensors_of("cat", tensors)
    if not tensors:
        raise ValueError("cat: expected at least one Tensor, got none")
    return creation.cat([x for x in tensors if x.shape != (0,)] or tensors[:1], dim if axis is None else axis)


def stack(tensors, dim=0):
    "Return tensors of one shape side by side, along a new `dim`. Raises: as `cat`."
    return creation.stack(tensors_of("stack", tensors), dim)


concat = concatenate = cat


def hstack(tensors):
    tensors = [x.reshape(-1) if x.ndim == 0 else x for x in tensors_of("hstack", tensors)]
    return cat(tensors, 0 if tensors[0].ndim == 1 else 1)


def vstack(tensors):
    return cat([x.reshape(1, -1) if x.ndim < 2 else x for x in tensors_of("vstack", tensors)])


def broadcast_tensors(*tensors):
    shape = np.broadcast_shapes(*(x.shape for x in tensors_of("broadcast_tensors", tensors)))
    return tuple(x.expand(*shape) for x in tensors)


def meshgrid(*tensors, indexing="ij"):
    "Return the coordinates of a grid, one tensor per dim. Raises: ValueError for an `indexing` but 'ij' and 'xy'."
    tensors = tensors_of("meshgrid", tensors if isinstance(tensors[0], Tensor) else tensors[0])
    if indexing not in ("ij", "xy"):
        raise ValueError(f"meshgrid: indexing is 'ij' or 'xy', got {indexing!r}")
    swap = indexing == "xy" and len(tensors) > 1
    order = [tensors[1], tensors[0], *tensors[2:]] if swap else tensors
    if wrong := [x.shape for x in tensors if x.ndim > 1]:
        raise ValueError(f"meshgrid: expected vectors or numbers, got shapes {wrong}")
    lines = [x.reshape((-1,) + (1,) * (len(order) - 1 - i)) for i, x in enumerate(order)]
    grid = list(broadcast_tensors(*lines))
    return tuple([grid[1], grid[0], *grid[2:]] if swap else grid)


def cartesian_prod(*tensors):
    return stack([x.flatten() for x in meshgrid(*tensors)], -1) if len(tensors) > 1 else tensors[0]


def einsum(equation, *operands):
    "Return the sums of products that `equation` names: \"bij,bjk->bik\"; operands one by one, or in a list."
    listed = len(operands) == 1 and isinstance(operands[0], (list, tuple))
    return creation.einsum(equation, *tensors_of("einsum", operands[0] if listed else operands))


def cdist(x1, x2, p=2.0, compute_mode=None):
    """Return the distances of all pairs of rows: (..., M, D), (..., N, D) -> (..., M, N), exact ones
    whatever the `compute_mode`."""
    return (x1.unsqueeze(-2) - x2.unsqueeze(-3)).norm(p, dim=-1)


def var_mean(input, dim=None, *args, keepdim=False, **options):
    "Return input.var(...) and input.mean(...), with the arguments of `var`."
    over = None if isinstance(dim, bool) else dim
    return input.var(dim, *args, keepdim=keepdim, **options), input.mean(over, keepdim)


def std_mean(input, dim=None, *args, **options):
    "Return input.std(...) and input.mean(...), with the arguments of `std`."
    variance, mean = var_mean(input, dim, *args, **options)
    return variance.sqrt(), mean


def searchsorted(sorted_sequence, input, out_int32=False, right=False, side=None):
    "Return where in a sorted vector, or rows, each number of `input` belongs; behind its equals if `right`."
    edges, values = tensor_of("searchsorted", sorted_sequence).data, np.asarray(getattr(input, "data", input))
    side, dtype = side or ("right" if right else "left"), np.int32 if out_int32 else np.int64
    if edges.ndim == 1:
        return Tensor.wrap(np.asarray(np.searchsorted(edges, values, side), dtype))
    if edges.shape[:-1] != values.shape[:-1]:
        raise ValueError(f"searchsorted: got rows {edges.shape} and numbers {values.shape}, expected as many rows")
    rows = [np.searchsorted(edges[i], values[i], side) for i in np.ndindex(edges.shape[:-1])]
    return Tensor.wrap(np.array(rows, dtype).reshape(values.shape))


def bucketize(input, boundaries, out_int32=False, right=False):
    return searchsorted(boundaries, input, out_int32, right)


def is_tensor(obj):
    return isinstance(obj, Tensor)


_NOT_PYTORCHS = {"np", "creation", "operations", "Pow", "Tensor", "Vocabulary", "apply", "get_default_dtype", "METHODS",
                 "tensor_of", "tensors_of", "explained"}
__all__ = [name for name in globals() if not name.startswith("_") and name not in _NOT_PYTORCHS]
globals().update({name: explained(globals()[name]) for name in __all__ if name not in METHODS})
