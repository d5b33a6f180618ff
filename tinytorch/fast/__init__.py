"""The layer that can be taken off: faster forms of operations. Without this folder everything works, more slowly."""
from tinytorch.fast import (
    activations, attention, compiled, convolution, embedding, few_rows, heads, mkl, optimizers, products, quantized,
    rows,
)
from tinytorch.fast.allocator import keep_freed_memory
from tinytorch.fast.registry import implements, registry, start, status, use
