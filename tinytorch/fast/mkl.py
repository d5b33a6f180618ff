"""Products by MKL, Intel's library, where the optional extra `mkl` has installed it: called as C, through ctypes.

On a Xeon with AVX-512 they take 0.6 to 0.9 of the time of NumPy's OpenBLAS, on AMD EPYC (Zen 4) 1.03 to 1.4: there one
has to ask for the level. Attention's many small products stay with NumPy: as one batch of MKL they took, on the EPYC,
1.0 to 1.7 of the time at 64 tokens, and half of it only at 1,024.
"""
import ctypes
import functools
import platform
import site
import sys
from ctypes import c_float, c_int, c_void_p
from pathlib import Path

import numpy as np

from tinytorch.fast.few_rows import FewRowsLinear
from tinytorch.fast.registry import implements
from tinytorch.nn.layers import LinearFunction
from tinytorch.promotion import FLOAT32
from tinytorch.threads import blas

PLACES = {"linux": "lib/libmkl_rt.so*", "win32": "Library/bin/mkl_rt*.dll"}  # below the environment
ROWS, PLAIN, TRANSPOSED = 101, 111, 112  # numbers of CBLAS
LARGE = 1 << 20  # multiplications; for fewer, calling C takes too long


@functools.cache
def path():
    "Return the path of the library, or None."
    places = [found for root in (sys.prefix, site.getuserbase())
              for found in sorted(Path(root).glob(PLACES[sys.platform]))] if sys.platform in PLACES else []
    return places[-1] if places else None


def is_home():
    "Return whether this is a processor of MKL's maker."
    if sys.platform == "linux":
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text()
    return "GenuineIntel" in platform.processor()


@functools.cache
def sgemm():
    "Return C's function; the first call loads the library, whose threads are then limited with those of all others."
    function = ctypes.CDLL(str(path())).cblas_sgemm
    function.restype = None
    function.argtypes = [*[c_int] * 6, c_float, c_void_p, c_int, c_void_p, c_int, c_float, c_void_p, c_int]
    for threads in path().parent.glob("libiomp5.so"):  # of MKL: they are to sleep after a product, not to spin
        ctypes.CDLL(str(threads)).kmp_set_blocktime(0)
    blas.cache_clear()
    return function


def layout(matrix):
    "Return (PLAIN or TRANSPOSED, length of a line) of a contiguous matrix, or None."
    if matrix.flags.c_contiguous:
        return PLAIN, matrix.shape[1]
    return (TRANSPOSED, matrix.shape[0]) if matrix.flags.f_contiguous else None


def product(a, b, out=None):
    "Return the matrix product a (m, k) @ b (k, n), in `out` (m, n), contiguous, if that is given."
    (m, k), n = a.shape, b.shape[1]
    places = layout(a), layout(b)
    if m * k * n < LARGE or None in places or {a.dtype, b.dtype, a.dtype if out is None else out.dtype} != {FLOAT32}:
        return FewRowsLinear.product(a, b, out)
    out = np.empty((m, n), FLOAT32) if out is None else out
    (how_a, line_a), (how_b, line_b) = places
    sgemm()(ROWS, how_a, how_b, m, n, k, 1, a.ctypes.data, line_a, b.ctypes.data, line_b, 0, out.ctypes.data, n)
    return out


@implements(LinearFunction, "mkl")
class MKLLinear(FewRowsLinear):
    "Large products of float32 by MKL, all else as in `FewRowsLinear`."
    product = staticmethod(product)
