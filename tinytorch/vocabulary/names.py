"""PyTorch's names of dtypes and devices. There is one device, the CPU; dtypes are NumPy's."""
import math
from dataclasses import dataclass

import numpy as np

__all__ = """
    bool contiguous_format device double e float float16 float32 float64 half inf int int16 int32 int64 int8 long nan pi
    preserve_format short uint8
    """.split()

float16, float32, float64 = map(np.dtype, ("float16", "float32", "float64"))
int8, int16, int32, int64, uint8 = map(np.dtype, ("int8", "int16", "int32", "int64", "uint8"))
bool = np.dtype("bool")
half, float, double, short, int, long = float16, float32, float64, int16, int32, int64
contiguous_format, preserve_format = "contiguous_format", "preserve_format"  # layouts: arrays decide of their own
inf, nan, pi, e = math.inf, math.nan, math.pi, math.e


def dtype_of(dtype):
    "Return `dtype` as NumPy's. Raises: TypeError, naming it, for what is none."
    try:
        return np.dtype(dtype)
    except TypeError:
        raise TypeError(f"dtype: expected one such as float32, got {dtype!r}") from None


@dataclass(frozen=True)
class device:
    """The place of a tensor: `device("cpu")`, the only one. Raises: RuntimeError for a name that PyTorch has and we
    have not, such as "cuda"; TypeError for what is no name."""
    type: str

    def __init__(self, type, index=None):
        if isinstance(type, device):
            type = type.type
        if not isinstance(type, str):
            raise TypeError(f'device: expected a name such as "cpu", got {type!r}')
        if type.split(":")[0] != "cpu":
            raise RuntimeError(f'device: tensors live on the CPU here, got {type!r}; use "cpu"')
        object.__setattr__(self, "type", "cpu")

    def __str__(self): return self.type
    def __repr__(self): return f"device(type='{self.type}')"


def check_format(memory_format):
    "Raise TypeError unless a memory format is one of the two that say nothing, or None."
    if memory_format not in (None, contiguous_format, preserve_format):
        raise TypeError(f"memory_format: expected contiguous_format or preserve_format, got {memory_format!r}")


def check_device(where):
    "Raise unless `where` is None, a `device`, or its name."
    if where is not None:
        device(where)
