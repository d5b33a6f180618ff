"""Functions of `torch.nn.functional` that no chapter teaches, on top of those that one does."""
import functools
import math

import numpy as np

from tinytorch import creation
from tinytorch.nn import convolution
from tinytorch.nn.losses import reduced
from tinytorch.nn.normalization import layer_norm
from tinytorch.tensor import Tensor
from tinytorch.vocabulary.functions import broadcast_tensors, maximum, tensor_of
from tinytorch.vocabulary.methods import may_overwrite

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "celu", "conv1d", "conv2d", "cosine_similarity", "elu",
    "glu", "group_norm", "hardsigmoid", "hardtanh", "huber_loss", "kl_div", "max_pool1d", "max_pool2d",
    "mish", "one_hot", "pad", "pairwise_distance", "relu6", "selu", "smooth_l1_loss", "softmin", "softsign",
    "tanhshrink",
]


@may_overwrite
def elu(input, alpha=1.0):
    "Return input where it is positive, else alpha * (e^input - 1) (Clevert et al. 2016)."
    return input.where(input > 0, input.clamp(max=0).expm1() * alpha)


@may_overwrite
def selu(input):
    "Return `elu` with the alpha, and times the scale, that keep mean 0 and variance 1 (Klambauer et al. 2017)."
    return elu(input, 1.6732632423543772) * 1.0507009873554805


@may_overwrite
def celu(input, alpha=1.0):
    return input.where(input > 0, (input.clamp(max=0) / alpha).expm1() * alpha)


@may_overwrite
def relu6(input):
    return input.clamp(0, 6)


@may_overwrite
def hardtanh(input, min_val=-1.0, max_val=1.0):
    return input.clamp(min_val, max_val).to(input.dtype)


@may_overwrite
def hardsigmoid(input):
    return (input + 3).clamp(0, 6) / 6


@may_overwrite
def mish(input):
    from tinytorch.nn.activations import softplus
    return input * softplus(input).tanh()


def softsign(input):
    return input / (input.abs() + 1)


def softmin(input, dim, dtype=None):
    return (-input).softmax(dim, dtype=dtype)


def tanhshrink(input):
    return input - input.tanh()


def glu(input, dim=-1):
    "Return a * sigmoid(b) for the halves a and b of input along `dim` (Dauphin et al. 2017)."
    if input.ndim == 0 or input.shape[dim] % 2:
        raise ValueError(f"glu: expected an even size along dim {dim}, got shape {input.shape}")
    a, b = input.chunk(2, dim)
    return a * b.sigmoid()


def one_hot(tensor, num_classes=-1):
    """Return integers (...) as vectors (..., num_classes), 1 at the place that each names, else 0; -1: as many classes
    as there are. Raises: TypeError for what is no int64, IndexError for one outside of 0 .. num_classes - 1."""
    ids = tensor_of("one_hot", tensor).data
    if ids.dtype != np.int64:
        raise TypeError(f"one_hot: expected integers of 64 bits, got {ids.dtype}; convert with .long()")
    if num_classes == -1:
        if not ids.size:
            raise ValueError("one_hot: num_classes is needed where there are no integers")
        num_classes = int(ids.max()) + 1
    if ids.size and not (0 <= ids.min() and ids.max() < num_classes):
        raise IndexError(f"one_hot: integers from {ids.min()} to {ids.max()}, expected 0 to {num_classes - 1}")
    return Tensor.wrap((ids[..., None] == np.arange(num_classes)).astype(np.int64))


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    """Return input (N, C, ...) with each of `num_groups` groups of channels at mean 0 and variance 1, * weight + bias,
    both (C,) (Wu & He 2018). Raises: ValueError where the groups do not divide C, or a shape does not fit."""
    if input.ndim < 2 or num_groups < 1 or input.shape[1] % num_groups:
        raise ValueError(f"group_norm: {num_groups} groups do not divide the channels, dim 1 of {input.shape}")
    size = math.prod(input.shape[1:]) // num_groups
    out = layer_norm(input.reshape(input.shape[0], num_groups, size), (size,), eps=eps).reshape(input.shape)
    for name, x in {"weight": weight, "bias": bias}.items():
        if x is not None and x.shape != input.shape[1:2]:
            raise ValueError(f"group_norm: {name} has shape {x.shape}, expected {input.shape[1:2]}")
    columns = (-1,) + (1,) * (input.ndim - 2)
    out = out if weight is None else out * weight.reshape(columns)
    return out if bias is None else out + bias.reshape(columns)


def _averages(before, after, dtype):
    "Return the matrix (after, before) whose row i averages the i-th of `after` windows that cover `before` places."
    if after < 0:
        raise ValueError(f"adaptive_avg_pool: output_size: expected 0 or more, got {after}")
    starts, ends = np.arange(after) * before // after, -(np.arange(1, after + 1) * -before // after)
    places = np.arange(before)
    inside = (places >= starts[:, None]) & (places < ends[:, None])
    return Tensor.wrap((inside / inside.sum(1, keepdims=True)).astype(dtype))


def adaptive_avg_pool1d(input, output_size):
    "Return the averages of `output_size` windows that cover (..., L): (..., output_size)."
    size = output_size if isinstance(output_size, int) else output_size[0]
    return input @ _averages(input.shape[-1], size, input.dtype).T


def adaptive_avg_pool2d(input, output_size):
    "Return the averages of `output_size` (an int, or two; None: as it is) windows: (..., H, W) -> (..., *output_size)."
    height, width = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    rows = _averages(input.shape[-2], input.shape[-2] if height is None else height, input.dtype)
    columns = _averages(input.shape[-1], input.shape[-1] if width is None else width, input.dtype)
    return rows @ input @ columns.T


def _same_shape(name, input, target, reduction):
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{name}: reduction is 'none', 'mean' or 'sum', got {reduction!r}")
    if tensor_of(name, input).shape != tensor_of(name, target).shape:
        raise ValueError(f"{name}: input {input.shape} and target {target.shape} must have the same shape")


def smooth_l1_loss(input, target, reduction="mean", beta=1.0):
    "Return 0.5 d^2 / beta where d = |input - target| is below beta, else d - 0.5 beta (Girshick 2015)."
    _same_shape("smooth_l1_loss", input, target, reduction)
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    d = (input - target).abs()
    return reduced(d if beta == 0 else (d * d * (0.5 / beta)).where(d < beta, d - 0.5 * beta), reduction)


def huber_loss(input, target, reduction="mean", delta=1.0):
    "Return 0.5 d^2 where d = |input - target| is at most delta, else delta (d - 0.5 delta) (Huber 1964)."
    _same_shape("huber_loss", input, target, reduction)
    if delta <= 0:
        raise ValueError(f"huber_loss: delta must be positive, got {delta}")
    d = (input - target).abs()
    return reduced((d * d * 0.5).where(d <= delta, (d - 0.5 * delta) * delta), reduction)


def kl_div(input, target, reduction="mean", log_target=False):
    """Return the mean of target * (log(target) - input) for log-probabilities `input`, or their "sum", or "none", or
    with "batchmean" the sum divided by the size of dim 0: the divergence itself. log_target: target is a log, too."""
    if reduction not in ("none", "mean", "sum", "batchmean"):
        raise ValueError(f"kl_div: reduction is 'none', 'mean', 'sum' or 'batchmean', got {reduction!r}")
    if log_target:
        losses = target.exp() * (target - input)
    else:
        present = target > 0
        losses = target * target.where(present, 1.0).log() - target * input
    return losses.sum() / input.shape[0] if reduction == "batchmean" else reduced(losses, reduction)


def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    "Return x1 . x2 / (|x1| |x2|) along `dim`, each length held to at least eps."
    x1, x2 = broadcast_tensors(x1, x2)
    lengths = [maximum(x.norm(2, dim), Tensor(np.asarray(eps, x.dtype))) for x in (x1, x2)]
    return (x1 * x2).sum(dim) / lengths[0] / lengths[1]


def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    "Return the p-norm of x1 - x2 + eps along the last dim."
    return (x1 - x2 + eps).norm(p, -1, keepdim)


MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}  # PyTorch's name: NumPy's


def pad(input, pad, mode="constant", value=None):
    """Return `input` with a border: `pad` = (before, after) of the last dim, then of the one before it, ...; of
    `value`, or from the inside: mode="reflect", "replicate" (the edge) or "circular". Negative widths crop.
    Raises: ValueError for an odd number of widths or too many, another mode, a border that the inside cannot fill."""
    if mode == "constant":
        for i, (before, after) in enumerate(zip(pad[::2], pad[1::2])):
            if i < input.ndim and input.shape[-1 - i] + min(before, 0) + min(after, 0) < 0:
                raise ValueError(f"pad: {before} and {after} crop more than dim {-1 - i} of {input.shape} has")
        return creation.pad(input, pad, mode, 0.0 if value is None else value)
    if mode not in MODES or len(pad) % 2 or len(pad) > 2 * input.ndim or value is not None:
        raise ValueError(f"pad: expected 'constant' or one of {[*MODES]} without a value, (before, after) for dims of "
                         f"{input.shape}; got {mode!r}, {pad}, {value}")
    for i, (before, after) in enumerate(zip(pad[::2], pad[1::2])):
        size = input.shape[-1 - i]
        places = np.arange(size)[max(-before, 0):size - max(-after, 0)]
        limit = len(places) - (mode == "reflect") if mode != "replicate" else math.inf
        if not len(places) or max(before, after) > limit:
            raise ValueError(f"pad: a border of {before} and {after} around dim {-1 - i} of {input.shape}, {mode!r}")
        input = input.index_select(-1 - i, np.pad(places, (max(before, 0), max(after, 0)), MODES[mode]))
    return input


def _max_pool(dims, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices):
    """Return max pooling over the last `dims` dims, and if `return_indices` where each maximum stands in the flattened
    plane. Its windows are gathered one by one: for options that chapter 16's form has not."""
    kernel, stride, padding, dilation = ((x,) * dims if isinstance(x, int) else tuple(x) * (dims // len(x)) for x in (
        kernel_size, kernel_size if stride in (None, ()) else stride, padding, dilation))
    sizes, places = input.shape[-dims:], []
    for n, k, s, p, d in zip(sizes, kernel, stride, padding, dilation):
        reach = n + 2 * p - d * (k - 1) - 1
        count = (-(-reach // s) if ceil_mode else reach // s) + 1
        count -= ceil_mode and (count - 1) * s >= n + p  # no window begins in the border behind
        if count < 1 or 2 * p > k:
            raise ValueError(f"max_pool: windows of {kernel}, with padding {padding}, in {input.shape}: expected at "
                             "least one to fit, and a padding of at most half a window")
        places.append(np.arange(count)[:, None] * s - p + np.arange(k) * d)  # (count, k)
    grids = np.ix_(*(np.arange(len(place)) for place in places), *(np.arange(k) for k in kernel))
    at = [place[grids[i], grids[dims + i]] for i, place in enumerate(places)]
    inside = np.logical_and.reduce(np.broadcast_arrays(*[(x >= 0) & (x < n) for x, n in zip(at, sizes)]))
    flat = np.ravel_multi_index(tuple(np.broadcast_arrays(*[x.clip(0, n - 1) for x, n in zip(at, sizes)])), sizes)
    lowest = -np.inf if input.dtype.kind == "f" else np.iinfo(input.dtype).min
    windows = input.reshape(*input.shape[:-dims], -1)[..., flat].where(input.wrap(inside), lowest).to(input.dtype)
    rows = flat.shape[:dims]
    values, index = windows.reshape(*windows.shape[:-dims], -1).max(-1)
    if not return_indices:
        return values
    return values, input.wrap(np.take_along_axis(np.broadcast_to(flat.reshape(*rows, -1), (*index.shape, flat[
        (0,) * dims].size)), index.data[..., None], -1)[..., 0])


def _pool(dims, plain):
    def call(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
        if input.dtype.kind == "f" and input.ndim == dims + 2 and not return_indices:
            return plain(input, kernel_size, None if stride == () else stride, padding, dilation, ceil_mode)
        return _max_pool(dims, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)
    call.__name__ = call.__qualname__ = plain.__name__
    call.__doc__ = f"{plain.__doc__}\n\n    Also of integers, of one image, and with return_indices: (values, indices)."
    return call


max_pool1d, max_pool2d = _pool(1, convolution.max_pool1d), _pool(2, convolution.max_pool2d)


def _of_one(dims, plain):
    "Return a convolution that also takes one example without the dim of a batch."
    @functools.wraps(plain)
    def call(input, *args, **options):
        if input.ndim == dims + 1:
            return plain(input.unsqueeze(0), *args, **options).squeeze(0)
        return plain(input, *args, **options)
    return call


conv1d, conv2d = _of_one(1, convolution.conv1d), _of_one(2, convolution.conv2d)
