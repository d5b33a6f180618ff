"""Attention without its weights: compiled loops go from head to head, in as many threads as a product has.

Short contexts stay with the products of `BlockedHalves`, which keep weights: OpenBLAS multiplies 1.5 times as fast, and
its threads, which spin for a while after each product, leave no processor to ours.
"""
import math

import numpy as np

from tinytorch.fast import attention
from tinytorch.fast.compiled import CompiledSoftmaxOverKeys, knows
from tinytorch.fast.registry import implements
from tinytorch.nn.attention import Attention
from tinytorch.threads import blas_threads, helpers

LONG = 256  # keys; with fewer, products in blocks are faster
MANY = 16  # keys for each feature of a head; with fewer, products are faster than loops in one thread
LARGE = 1 << 28  # multiplications of queries and keys; with fewer, ours in threads wait for BLAS's, which still spin


def four_dims(x, group):
    "View heads (..., T, d) as (B, H, T, d), those of a group, (B, G, group, T, d), side by side; None for more dims."
    if group > 1 and x.ndim == 5:
        return x.reshape(len(x), -1, *x.shape[-2:])
    return x[(None,) * (4 - x.ndim)] if group == 1 and x.ndim <= 4 else None


def writable(x):
    return x if x.flags.writeable else x.copy()  # numba takes what is read-only for another type


def spread(x, shape):
    "View `x` in `shape`, as np.broadcast_to does, but writable."
    return np.lib.stride_tricks.as_strided(x, shape, np.broadcast_to(x, shape).strides)


def threads_of_loops(query, key, is_causal):
    "Return how many threads are to go through heads (B, H, T, d); 0 where products in blocks are faster."
    keys, d = key.shape[-2:]
    threads = blas_threads() if keys >= LONG else 0
    if threads == 1:
        return int(keys >= MANY * d)
    size = math.prod(query.shape) * keys // (2 if is_causal else 1)
    return min(threads, math.prod(query.shape[:2])) if size >= LARGE else 0


def in_parts(function, count, threads):
    "Call function(first, last) for parts of range(count), in so many threads, of which the caller's is one."
    cuts = [count * part // threads for part in range(threads + 1)]
    others = [helpers(threads - 1).submit(function, *cuts[part:part + 2]) for part in range(1, threads)]
    function(*cuts[:2])
    for other in others:
        other.result()


class HeadByHead(CompiledSoftmaxOverKeys):
    "Both halves as loops, where these are no slower than blocks."
    group, inputs_of_loops = 1, None

    def attend(self, query, key, value, mask, out):
        self.heads, self.mask, self.inputs_of_loops = (query, key, value), mask, None
        self.factor = 1 / math.sqrt(query.shape[-1]) if self.scale is None else float(self.scale)
        heads = [four_dims(x, self.group) for x in (query, key, value, out)]
        if heads[0] is None or self.mask_learns() or not knows(query, key, value):
            return super().attend(query, key, value, mask, out)
        self.threads = threads_of_loops(heads[0], key, self.is_causal)
        if not self.threads:
            return super().attend(query, key, value, mask, out)
        from tinytorch.fast.attention_loops import attend
        *heads, self.out = heads
        shape = (*heads[0].shape[:-1], key.shape[-2])  # of the scores
        growth = 1 / (1 - self.dropout_p) if self.dropout_p < 1 else 0.0
        self.inputs_of_loops = (*map(writable, heads), added(mask, shape), self.kept(shape), growth, self.is_causal,
                                self.factor)
        self.norms = np.empty((2, *shape[:-1]), query.dtype)
        in_parts(lambda *part: attend(*self.inputs_of_loops, *part, self.out, self.norms), math.prod(shape[:2]),
                 self.threads)

    def kept(self, shape):
        "Return the weights that dropout leaves, booleans of `shape`; an empty array without dropout."
        if not self.dropout_p:
            return np.empty((*shape[:2], 0, 0), bool)
        return attention.dropout_mask(shape, self.dropout_p, np.float32) > 0

    def attend_backward(self, grad, dquery, dkey, dvalue):
        if self.inputs_of_loops is None:
            return super().attend_backward(grad, dquery, dkey, dvalue)
        from tinytorch.fast.attention_loops import attend_backward
        grad, *gradients = (four_dims(x, self.group) for x in (grad, dquery, dkey, dvalue))
        grad = writable(grad)
        in_parts(lambda *part: attend_backward(*self.inputs_of_loops, *part, self.out, self.norms, grad, *gradients),
                 math.prod(grad.shape[:2]), self.threads)
        return None


def added(mask, shape):
    "Return a mask as what is added to scores of `shape` (B, H, T, S); an empty array without one."
    if mask is None:
        return np.empty((*shape[:2], 0, 0), np.float32)
    bias = np.where(mask, np.float32(0), np.float32(-np.inf)) if mask.dtype == bool else mask.astype(np.float32)
    return spread(bias, shape)


@implements(Attention, "compiled")
class CompiledAttention(HeadByHead, attention.BlockedAttention):
    pass


@implements(attention.PackedAttention, "compiled")
class CompiledPackedAttention(HeadByHead, attention.PackedAttention):
    pass
