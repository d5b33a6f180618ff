"""The functions that make tensors, with all the arguments that PyTorch's take: size, device, generator, ..."""
import functools
import inspect
import operator
from contextlib import contextmanager

import numpy as np

from tinytorch import creation
from tinytorch.state import default_generator, get_default_dtype, thread
from tinytorch.tensor import Tensor
from tinytorch.vocabulary.functions import tensor_of
from tinytorch.vocabulary.names import check_device, dtype_of, float32, float64, int32, int64

__all__ = """
    BoolTensor DoubleTensor FloatTensor Generator IntTensor LongTensor arange as_tensor bernoulli empty empty_like eye
    from_numpy full full_like linspace logspace multinomial normal ones ones_like rand rand_like randint randn
    randn_like randperm tensor tril_indices triu_indices zeros zeros_like
    """.split()


class Generator(np.random.Generator):
    "A source of random numbers of its own; `manual_seed` restarts it, and returns it."
    def __init__(self, device=None):
        check_device(device)
        super().__init__(np.random.PCG64())

    def manual_seed(self, seed):
        self.bit_generator.state = np.random.PCG64(seed).state
        return self


@contextmanager
def drawing_from(generator):
    "Inside, random numbers come from `generator`: a Generator, NumPy's, or None, the thread's own."
    before = thread.generator
    if not isinstance(generator, (np.random.Generator, type(None))):
        raise TypeError(f"generator: expected a Generator, got {type(generator).__name__}")
    thread.generator = before if generator is None else generator
    try:
        yield
    finally:
        thread.generator = before


def _sizes(name, shape, size):
    "Return the shape that is given as `zeros(2, 3)`, `zeros((2, 3))` or `zeros(size=(2, 3))`."
    if size is not None:
        shape = (size,)
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    for n in shape:
        try:
            negative = operator.index(n) < 0
        except TypeError:
            raise TypeError(f"{name}: size: expected ints, got {type(n).__name__} in {shape}") from None
        if negative:
            raise ValueError(f"{name}: size: expected no negative one, got {shape}")
    return tuple(map(operator.index, shape))


def _of_size(make, name=None):
    "Return `make`, of the chapter, with PyTorch's further arguments, under a `name` of its own if there is one."
    name = name or make.__name__
    @functools.wraps(make)
    def call(*shape, size=None, dtype=None, device=None, requires_grad=False, generator=None):
        check_device(device)
        with drawing_from(generator):
            return make(*_sizes(name, shape, size), dtype=dtype and dtype_of(dtype), requires_grad=requires_grad)
    call.__signature__, call.__name__ = inspect.signature(call, follow_wrapped=False), name
    return call


zeros, ones, rand, randn = map(_of_size, (creation.zeros, creation.ones, creation.rand, creation.randn))
empty = _of_size(creation.zeros, "empty")  # what is not filled is 0 here


def _like(make):
    "Return the function that makes a tensor of the shape and dtype of another one."
    def call(input, dtype=None, device=None, requires_grad=False):
        input = tensor_of(call.__name__, input)
        return make(*input.shape, dtype=dtype or input.dtype, device=device, requires_grad=requires_grad)
    call.__name__ = call.__qualname__ = f"{make.__name__}_like"
    call.__doc__ = f"Return {make.__name__}(...) of the shape of `input`, and its dtype unless another one is given."
    return call


zeros_like, ones_like, empty_like, rand_like, randn_like = map(_like, (zeros, ones, empty, rand, randn))


def tensor(data, dtype=None, device=None, requires_grad=False):
    "Return a Tensor of a number, nested lists, an array or a Tensor, which is copied."
    check_device(device)
    return creation.tensor(data, requires_grad, dtype and dtype_of(dtype))


def _of_dtype(dtype):
    def call(data):
        return tensor(data, dtype)
    call.__name__ = call.__qualname__ = f"{dtype}Tensor"
    call.__doc__ = f"Return tensor(data, {dtype})."
    return call


FloatTensor, DoubleTensor, LongTensor, IntTensor, BoolTensor = map(
    _of_dtype, (float32, float64, int64, int32, np.dtype(bool)))


def from_numpy(ndarray):
    "Return a Tensor around an array: both see what is written to one of them. Raises: TypeError for no array."
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"from_numpy: expected a NumPy array, got {type(ndarray).__name__}")
    return Tensor.wrap(ndarray)


def as_tensor(data, dtype=None, device=None):
    "Return `data` as a Tensor, not copied where it is a Tensor or an array of that dtype already."
    check_device(device)
    if isinstance(data, (Tensor, np.ndarray)):
        found = data if isinstance(data, Tensor) else Tensor.wrap(data)
        return found if dtype is None else found.to(dtype_of(dtype))
    return tensor(data, dtype)


def full(size, fill_value, dtype=None, device=None, requires_grad=False):
    check_device(device)
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"full: size: expected a tuple of ints, got {type(size).__name__}")
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    return creation.full(_sizes("full", (size,), None), value, requires_grad, dtype and dtype_of(dtype))


def full_like(input, fill_value, dtype=None, device=None, requires_grad=False):
    input = tensor_of("full_like", input)
    return full(input.shape, fill_value, dtype or input.dtype, device, requires_grad)


def eye(n, m=None, dtype=None, device=None, requires_grad=False):
    check_device(device)
    shape = _sizes("eye", (n, n if m is None else m), None)
    return Tensor(np.eye(*shape, dtype=dtype or get_default_dtype()), requires_grad)


def arange(*bounds, start=0, end=None, step=1, dtype=None, device=None, requires_grad=False):
    """Return the numbers from `start` by `step` until before `end`: integers unless one of them is a float.
    Raises: TypeError for what is no number; ValueError for a step of 0, or one that leads away from `end`."""
    check_device(device)
    if not bounds and end is None or len(bounds) > 3:
        raise TypeError(f"arange: expected end, or start, end and step; got {len(bounds)} numbers")
    if len(bounds) == 1:
        end = bounds[0] if end is None else end
        start = start if end is bounds[0] else bounds[0]
    elif bounds:
        start, end, step = (*bounds, step)[:3]
    start, end, step = (x.item() if isinstance(x, (Tensor, np.generic)) else x for x in (start, end, step))
    for name, x in {"start": start, "end": end, "step": step}.items():
        if not isinstance(x, (int, float)):
            raise TypeError(f"arange: {name}: expected a number, got {type(x).__name__}")
    if step == 0 or (end - start) * step < 0:
        raise ValueError(f"arange: a step of {step} does not lead from {start} to {end}")
    dtype = dtype and dtype_of(dtype)
    if dtype is not None and dtype.kind in "iu":
        start, end, step = int(start), int(end), int(step)
    return Tensor(creation.arange(start, end, step, dtype=dtype), requires_grad)


def linspace(start, end, steps, dtype=None, device=None, requires_grad=False):
    "Return `steps` numbers at equal distances, from `start` to `end`, both included."
    check_device(device)
    return Tensor(_line(start, end, steps, dtype), requires_grad, dtype or get_default_dtype())


def _line(start, end, steps, dtype):
    "Return np.linspace(start, end, steps), between whole numbers if `dtype` is one of integers."
    if isinstance(steps, float) or not hasattr(steps, "__index__") or steps.__index__() < 0:
        raise TypeError(f"linspace: steps: expected an int of 0 or more, got {steps!r}")
    number = int if dtype is not None and dtype_of(dtype).kind in "iu" else float
    return np.linspace(number(start), number(end), steps)


def logspace(start, end, steps, base=10.0, dtype=None, device=None, requires_grad=False):
    "Return base ** linspace(start, end, steps)."
    check_device(device)
    powers = base ** _line(start, end, steps, dtype)
    return Tensor(powers, requires_grad, dtype or get_default_dtype())


def randint(*bounds, low=0, high=None, size=None, dtype=None, device=None, generator=None):
    """Return integers from `low` to `high` - 1: `randint(10, (3,))`, `randint(2, 10, (3,))` or by name.
    Raises: TypeError without a size, ValueError where no integer lies between."""
    check_device(device)
    bounds, size = (bounds, size) if size is not None else (bounds[:-1], bounds[-1] if bounds else None)
    if bounds:
        high = bounds[-1] if high is None else high
        low = bounds[0] if len(bounds) == 2 or high is not bounds[-1] else low
    if high is None or not isinstance(size, (tuple, list)):
        raise TypeError(f"randint: expected (high, size) or (low, high, size), size a tuple; got {bounds}, {size!r}")
    if not low < high:
        raise ValueError(f"randint: expected low < high, got {low} and {high}")
    with drawing_from(generator):
        found = creation.randint(low, high, _sizes("randint", (size,), None))
    return found if dtype is None else found.to(dtype_of(dtype))


def randperm(n, generator=None, dtype=np.int64, device=None):
    "Return the integers from 0 to n - 1 in random order."
    check_device(device)
    with drawing_from(generator):
        return Tensor(default_generator().permutation(n), dtype=dtype)


def normal(mean=0.0, std=1.0, size=None, generator=None, dtype=None, device=None):
    "Return normally distributed numbers; mean and std are numbers, or Tensors that say the shape."
    shape = size if size is not None else (mean + std * 0 if isinstance(mean, Tensor) else std).shape
    return randn(*shape, generator=generator, dtype=dtype, device=device) * std + mean


def bernoulli(input, generator=None):
    "Return 1 with the probability that `input` says, else 0, element by element."
    with drawing_from(generator):
        return Tensor.wrap((default_generator().random(input.shape) < input.data).astype(input.dtype))


def multinomial(input, num_samples, replacement=False, generator=None):
    """Return `num_samples` indices of each row of weights (N,) or (M, N), each drawn with a chance in proportion to its
    weight. Raises: ValueError for weights that are negative, infinite or all 0, and for more samples than weights above
    0, without replacement."""
    weights = np.atleast_2d(tensor_of("multinomial", input).data).astype(np.float64)
    if not np.all((weights >= 0) & np.isfinite(weights)) or not np.all(weights.sum(-1)):
        raise ValueError("multinomial: expected weights of 0 or more, one of them above 0, none infinite or nan")
    if num_samples < 1 or not replacement and num_samples > (weights > 0).sum(-1).min():
        raise ValueError(f"multinomial: cannot draw {num_samples} of {weights.shape[-1]} weights, some of them 0, "
                         "without replacement")
    with drawing_from(generator), np.errstate(divide="ignore"):
        uniform = default_generator().random((len(weights), num_samples if replacement else weights.shape[-1]))
        if replacement:
            ends = weights.cumsum(-1) / weights.sum(-1, keepdims=True)
            ends[ends >= ends[:, -1:]] = 1  # rounding leaves no gap at the end
            found = (uniform[:, :, None] >= ends[:, None]).sum(-1)
        else:  # the first of independent waiting times, of rates `weights`
            found = np.argsort(-np.log1p(-uniform) / weights, axis=-1)[:, :num_samples]
    return Tensor.wrap(found.reshape(*input.shape[:-1], num_samples))


def tril_indices(row, col, offset=0, dtype=np.int64, device=None):
    "Return the rows and columns, (2, n), of the elements on and below a diagonal."
    return Tensor.wrap(np.stack(np.tril_indices(row, offset, col)).astype(dtype))


def triu_indices(row, col, offset=0, dtype=np.int64, device=None):
    "Return the rows and columns, (2, n), of the elements on and above a diagonal."
    return Tensor.wrap(np.stack(np.triu_indices(row, offset, col)).astype(dtype))
