"""PyTorch's dtypes where NumPy would choose others: for half precision, integers, and tensors without dims."""
import numpy as np

from tinytorch.ops import elementwise, reductions
from tinytorch.state import thread

FLOAT16, FLOAT32, INT64 = np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.int64)
ARITHMETIC = (elementwise.Add, elementwise.Sub, elementwise.Mul, elementwise.Div, elementwise.Pow, elementwise.Maximum,
              elementwise.Where)  # whose inputs meet in one dtype
OF_FLOATS = (elementwise.Div, elementwise.Exp, elementwise.Expm1, elementwise.Log, elementwise.Log1p, elementwise.Sqrt,
             elementwise.Sin, elementwise.Cos, elementwise.Tanh, elementwise.Sigmoid)  # they make floats of integers
MEANS = (reductions.Mean, reductions.Var, reductions.Std)  # refused of integers, which would be rounded
SUMS = (reductions.Sum, reductions.Prod, reductions.CumSum)
COMPUTING = ARITHMETIC + OF_FLOATS + SUMS + MEANS  # what makes other numbers of integers than NumPy, or refuses them
RANKS = {"b": 0, "u": 1, "i": 1, "f": 2}  # of a dtype's kind, and so of a number's


def promoted(values):
    """Return the dtype in which `values`, arrays and numbers, meet (`torch.result_type`): that of the arrays with dims,
    unless an array without dims, or else a number, is of a higher kind: floats over integers over booleans."""
    arrays = [value for value in values if isinstance(value, np.ndarray)]
    numbers = [np.asarray(value) for value in values if isinstance(value, (bool, int, float))]
    found = None
    for group in ([a.dtype for a in arrays if a.ndim], [a.dtype for a in arrays if not a.ndim],
                  [thread.default_dtype if n.dtype.kind == "f" else n.dtype for n in numbers]):
        rank = max((RANKS[dtype.kind] for dtype in group), default=-1)
        if found is None or rank > RANKS[found.kind]:
            found = np.result_type(*[dtype for dtype in group if RANKS[dtype.kind] == rank]) if group else found
    return found


def result_dtype(operation, arrays):
    "Return the dtype of PyTorch's result for `arrays`, None where it is the one that NumPy gives."
    if isinstance(operation, ARITHMETIC):
        dtype = promoted(arrays[1:] if isinstance(operation, elementwise.Where) else arrays)
    else:
        dtypes = {array.dtype for array in arrays if isinstance(array, np.ndarray)}
        floats = [dtype for dtype in dtypes if dtype.kind == "f"]
        dtype = np.result_type(*floats or dtypes)
    if isinstance(operation, OF_FLOATS) and dtype.kind != "f":
        return thread.default_dtype
    if isinstance(operation, SUMS) and dtype.kind != "f":
        return np.dtype(np.int64)
    known = isinstance(operation, ARITHMETIC) or dtype == FLOAT16 and not isinstance(operation, elementwise.Cast)
    return dtype if known else None


def prepared(operation, arrays):
    """Return `arrays` in the dtype in which the operation computes: that of PyTorch's result, float32 for float16.
    Raises: TypeError for the mean, variance or standard deviation of integers, as in PyTorch."""
    dtype = result_dtype(operation, arrays)
    if isinstance(operation, MEANS) and arrays[0].dtype.kind != "f":
        raise TypeError(f"{operation.name.lower()}: expected a tensor of floats, got {arrays[0].dtype}; "
                        "use .float() first")
    if isinstance(operation, elementwise.Where):
        return [arrays[0], *(in_dtype(array, dtype) for array in arrays[1:])]
    if isinstance(operation, ARITHMETIC + OF_FLOATS):
        return [in_dtype(array, dtype) for array in arrays]
    cast = isinstance(operation, elementwise.Cast)
    return [in_dtype(a, FLOAT32) if getattr(a, "dtype", None) == FLOAT16 and not cast else a for a in arrays]


def in_dtype(array, dtype):
    return array.astype(FLOAT32 if dtype == FLOAT16 else dtype, copy=False) if isinstance(array, np.ndarray) else array


def rounded(operation, out, arrays):
    "Return `out`, which the operation made of its `prepared` arrays, in the dtype of PyTorch's result."
    dtype = result_dtype(operation, arrays)
    if dtype is None and out.dtype == np.float64:
        dtypes = [array.dtype for array in arrays if isinstance(array, np.ndarray)]
        floats = [dtype for dtype in dtypes if dtype.kind == "f"]
        if len(floats) < len(dtypes):  # because there are integers?
            dtype = np.result_type(*floats or [thread.default_dtype])
    return out if dtype is None or out.dtype == dtype or out.dtype.kind == "b" else out.astype(dtype)
