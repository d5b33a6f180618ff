"""The product with weights of 8 or 4 bits, read where they are: for few rows, when memory is what takes time."""
import numpy as np

from tinytorch.fast.compiling import loops
from tinytorch.fast.few_rows import compiled
from tinytorch.fast.registry import implements
from tinytorch.promotion import FLOAT32
from tinytorch.quantization import IntegerProduct

FEW = 4  # from so many rows on, one matrix of floats and a BLAS product are faster


def bytes_product(x, integers, scales, out):
    "out (N, out) = x (N, in) times int8 (out, in), with scales (out, groups)."
    groups, group = scales.shape[1], integers.shape[1] // scales.shape[1]
    for o in range(len(integers)):
        for n in range(len(x)):
            total = np.float32(0)
            for g in range(groups):
                some, row, part = x[n, g * group:], integers[o, g * group:], np.float32(0)
                for i in range(group):
                    part += some[i] * np.float32(row[i])
                total += part * scales[o, g]
            out[n, o] = total


def nibbles_product(x, packed, scales, out):
    "As `bytes_product`, for bytes (out, in / 2) of `pack`."
    groups, half = scales.shape[1], packed.shape[1] // scales.shape[1]
    for o in range(len(packed)):
        for n in range(len(x)):
            total = np.float32(0)
            for g in range(groups):
                low, high, part = x[n, 2 * g * half:], x[n, (2 * g + 1) * half:], np.float32(0)
                both = packed[o, g * half:]
                for i in range(half):
                    part += low[i] * np.float32(np.int32(both[i] & 15) - 8)
                    part += high[i] * np.float32(np.int32(both[i] >> 4) - 8)
                total += part * scales[o, g]
            out[n, o] = total


@implements(IntegerProduct, "compiled")
class CompiledIntegerProduct(IntegerProduct):
    "Few rows by a loop; many, or a gradient that somebody wants, by the plain form."
    def forward(self, x, integers, scales):
        rows = x.size // max(x.shape[-1], 1)
        if self.quantize_input or self.needs_grad[0] or not 0 < rows <= FEW or loops() is None \
                or x.dtype != FLOAT32 or scales.dtype != FLOAT32:
            return super().forward(x, integers, scales)
        out = np.empty((rows, len(integers)), x.dtype)
        loop = compiled(nibbles_product if integers.dtype == np.uint8 else bytes_product)
        loop(np.ascontiguousarray(x).reshape(rows, -1), integers, scales.reshape(len(scales), -1), out)
        return out.reshape(*x.shape[:-1], len(integers))

    def backward(self, grad):
        return super().backward(grad)
