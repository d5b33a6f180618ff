"""Attention without its weights: compiled loops go from head to head, in as many threads as a product has.

Most of attention stays with the products of `BlockedHalves`, which keep weights: OpenBLAS multiplies 1.5 times as fast
as loops, and its threads, which spin for a while after each product, leave no processor to ours. Loops are taken where
a product is too narrow for it to matter, and where weights would fill the memory.
"""
import math

import numpy as np

from tinytorch.fast import attention
from tinytorch.fast.compiled import CompiledSoftmaxOverKeys, knows
from tinytorch.fast.registry import implements
from tinytorch.nn.attention import Attention
from tinytorch.nn.layers import dropout_mask
from tinytorch.threads import blas_threads, helpers

LONG, NARROW = 256, 16  # from so many keys on, of so few features, loops in one thread are faster than products
MOST_BYTES = 1 << 28  # of weights


def threads_of_loops(query, key, is_causal):
    "Return how many threads are to go through heads (..., T, d) of float32; 0: none, products do it."
    *heads, T, d = query.shape
    if key.shape[-2] < LONG:
        return 0
    pairs = T * key.shape[-2] // (2 if is_causal else 1)
    if 4 * math.prod(heads) * pairs > MOST_BYTES:
        return min(blas_threads(), math.prod(heads))
    return int(d <= NARROW and blas_threads() == 1)


def in_parts(function, count, threads):
    "Call function(first, last) for parts of range(count), in so many threads, of which the caller's is one."
    cuts = [count * part // threads for part in range(threads + 1)]
    others = [helpers(threads - 1).submit(function, *cuts[part:part + 2]) for part in range(1, threads)]
    function(*cuts[:2])
    for other in others:
        other.result()


def four_dims(x):
    "View heads (T, d), (H, T, d) or (B, H, T, d), or those of groups, (B, G, H / G, T, d), as (B, H, T, d)."
    return x.reshape(len(x), -1, *x.shape[-2:]) if x.ndim == 5 else x[(None,) * (4 - x.ndim)]


def writable(x):
    return x if x.flags.writeable else x.copy()  # numba takes what is read-only for another type


def for_all_heads(rows, shape):
    "View an array of float32, or None, in the shape of the scores, (B, H, T, S); an empty array for None."
    if rows is None:
        return np.empty((*shape[:2], 0, 0), np.float32)
    rows = writable(rows)
    return np.lib.stride_tricks.as_strided(rows, shape, np.broadcast_to(rows, shape).strides)


class HeadByHead(CompiledSoftmaxOverKeys):
    "Both halves as loops, in the threads that `threads_of_loops` gives them."
    group, threads = 1, 0

    def answer(self, out):
        query, key, _ = self.heads
        self.threads = threads_of_loops(query, key, self.is_causal)
        known = query.ndim <= (4 if self.group == 1 else 5) and not self.mask_learns()
        if not self.threads or not known or not knows(*self.heads):
            self.threads = 0
            return super().answer(out)
        from tinytorch.fast.attention_loops import attend
        *heads, self.out = [four_dims(x) for x in (*self.heads, out)]
        shape = (*self.out.shape[:-1], key.shape[-2])
        bias = None if self.mask is None else attention.as_bias(self.mask, np.float32)
        dropout = dropout_mask(shape, self.dropout_p, np.float32) if self.dropout_p else None
        self.given = (*map(writable, heads), for_all_heads(bias, shape), for_all_heads(dropout, shape), self.is_causal,
                      self.factor)
        self.norms = np.empty((2, *shape[:-1]), np.float32)
        self.run(attend)

    def attend_backward(self, grad, *gradients):
        if not self.threads:
            return super().attend_backward(grad, *gradients)
        from tinytorch.fast.attention_loops import attend_backward
        self.run(attend_backward, four_dims(writable(grad)), *map(four_dims, gradients))
        return None

    def run(self, loop, *gradients):
        "Go with `loop` through all heads."
        in_parts(lambda *part: loop(*self.given, *part, self.out, self.norms, *gradients),
                 math.prod(self.out.shape[:2]), self.threads)


@implements(Attention, "compiled")
class CompiledAttention(HeadByHead, attention.BlockedAttention):
    pass


@implements(attention.PackedAttention, "compiled")
class CompiledPackedAttention(HeadByHead, attention.PackedAttention):
    pass
