"""Attention in blocks of queries, on views of one packed array: nothing is copied, nothing above the diagonal done."""
import functools
import math

import numpy as np

from tinytorch.fast.products import full
from tinytorch.fast.registry import implements
from tinytorch.nn.attention import Attention, self_attention
from tinytorch.nn.embedding import rotate
from tinytorch.nn.grouped import group_size
from tinytorch.nn.layers import dropout_mask
from tinytorch.ops.elementwise import unbroadcast
from tinytorch.state import is_grad_enabled
from tinytorch.tensor import Tensor, apply

LIMITS = {np.dtype(kind): np.finfo(kind) for kind in (np.float16, np.float32, np.float64)}
MODERATE = 32  # e^32 and e^-32 are far from the limits of a float32


def largest_over_keys(scores):
    "Return the maximum over axis -2, kept with size 1: comparing halves is several times faster than np.max."
    while scores.shape[-2] > 1:
        half = (scores.shape[-2] + 1) // 2
        scores = np.maximum(scores[..., :half, :], scores[..., -half:, :])
    return scores


def softmax_over_keys(scores, bias=None):
    """Write softmax over axis -2 over `scores` (..., T_key, T_query), and return them.

    `bias` (..., n, T_query) is first added to the scores of the last n keys. A query that may attend to nothing gets
    zeros. Where all scores are moderate, and what is added is 0 or -inf, e^score stays in range without their maximum.
    """
    moderate = -MODERATE < scores.min(initial=0) and scores.max(initial=0) < MODERATE  # False for nan
    if bias is not None:
        scores[..., scores.shape[-2] - bias.shape[-2]:, :] += bias
        moderate = moderate and bias.ndim == 2 and bool(np.all((bias == 0) | (bias == -np.inf)))
    if not moderate:
        scores -= np.maximum(largest_over_keys(scores), LIMITS[scores.dtype].min)
    np.exp(scores, out=scores)
    total = full(scores.shape[-2], 1, scores.dtype) @ scores  # (..., T_query)
    np.maximum(total, LIMITS[scores.dtype].tiny, out=total)  # 0 where all are masked, else at least e^-MODERATE
    scores *= np.reciprocal(total, out=total)[..., None, :]
    return scores


def softmax_over_keys_backward(dscores, weights, average):
    "Write weights * (dscores - average) over `dscores` (..., T_key, T_query); average (..., T_query)."
    dscores -= average[..., None, :]
    dscores *= weights


class Block:
    """Some queries (..., T_query, d), with the keys (..., T_key, d) and values (..., T_key, e) that they may see.

    Weights are kept as (..., T_key, T_query): NumPy works along the last axis but one faster than along the last.
    """
    def __init__(self, query, key, value):
        self.inputs = query, key, value

    def attend(self, operation, bias, out):
        "Write the answers to `out` (..., T_query, e), and keep what the backward pass needs."
        query, key, value = self.inputs
        scores = key @ np.multiply(query.swapaxes(-1, -2), operation.factor, order="C")  # (..., T_key, T_query)
        self.weights = operation.softmax(scores, bias)
        p = operation.dropout_p
        self.mask = dropout_mask(scores.swapaxes(-1, -2).shape, p, scores.dtype).swapaxes(-1, -2) if p else None
        self.out = np.matmul(self.after_dropout().swapaxes(-1, -2), value, out=out)

    def after_dropout(self):
        return self.weights if self.mask is None else self.weights * self.mask

    def attend_backward(self, operation, grad, dquery, dkey, dvalue):
        "Write the three gradients; return that of the scores, times the scale, (..., T_key, T_query)."
        query, key, value = self.inputs
        np.matmul(self.after_dropout(), grad, out=dvalue)
        dscores = value @ np.multiply(grad.swapaxes(-1, -2), operation.factor, order="C")
        if self.mask is not None:
            dscores *= self.mask
        average = np.vecdot(grad, self.out)  # (..., T_query)
        average *= operation.factor
        operation.softmax_backward(dscores, self.weights, average)
        np.matmul(dscores, query, out=dkey)
        np.matmul(dscores.swapaxes(-1, -2), key, out=dquery)
        return dscores


def blocks_of(T_query, T_key, is_causal, size):
    "Yield slices (queries, keys): `size` queries at a time, and the keys that some may attend to; the last has all."
    for start in range(0, max(T_query, 1), size):
        stop = min(start + size, T_query)
        yield slice(start, stop), slice(0, min(stop, T_key) if is_causal and stop < T_query else T_key)


def queries_at_once(query, is_causal):
    """Return the size of a block: a narrow one leaves out more above the diagonal, and costs more calls.

    On AMD EPYC (Zen 4), one thread, forward and backward in float32, blocks of 32 take 0.82 to 1.02 of the time of
    blocks of 64 at 64 tokens, and 0.86 to 0.96 at 96. They lose with few heads, at 50 or 100 tokens, whose last block
    is thin, and win nothing that can be told from chance at 128 and more.
    """
    return 32 if is_causal and query.shape[-2] in (64, 96) and query.size >= 1 << 15 else 64


@functools.lru_cache(16)
def causal_block_bias(queries, keys, dtype):
    "Return what is added to the scores of a block's last n keys, those from its first query on: (n, queries)."
    bias = np.ascontiguousarray(np.triu(np.full((queries, keys), -np.inf, dtype), 1).T)
    bias.flags.writeable = False
    return bias


def fits(query, key, value, mask, is_causal):
    "Return whether the blocks can take these; what they cannot is left to the plain operation, which says why."
    shapes = query.shape, key.shape, value.shape
    if min(map(len, shapes)) < 2 or shapes[0][-1] != shapes[1][-1] or shapes[1][-2] != shapes[2][-2]:
        return False
    if mask is None:
        return True
    scores = (*np.broadcast_shapes(*(shape[:-2] for shape in shapes)), query.shape[-2], key.shape[-2])
    return not is_causal and mask.dtype.kind in "bf" and mask.ndim <= len(scores) and \
        all(m in (1, n) for m, n in zip(mask.shape[::-1], scores[::-1]))


def as_bias(mask, dtype):
    "Return a mask as what is added to scores."
    return np.where(mask, 0, -np.inf).astype(dtype) if mask.dtype == bool else mask.astype(dtype, copy=False)


def bias_over_keys(mask, shape, dtype):
    "Return a mask as what is added to scores (..., T_key, T_query), for scores of `shape` (..., T_query, T_key)."
    mask = mask.reshape((1,) * (2 - mask.ndim) + mask.shape)
    bias = np.ascontiguousarray(as_bias(mask, dtype).swapaxes(-1, -2))
    return np.broadcast_to(bias, (*bias.shape[:-2], shape[-1], shape[-2]))


class BlockedHalves:
    "Both halves on heads that may be strided views; output and gradients are written where they belong."
    softmax = staticmethod(softmax_over_keys)
    softmax_backward = staticmethod(softmax_over_keys_backward)

    def attend(self, query, key, value, mask, out):
        "Write the answers to `out`, and keep what the backward pass needs."
        self.heads, self.mask = (query, key, value), mask
        self.factor = 1 / math.sqrt(query.shape[-1]) if self.scale is None else float(self.scale)
        self.answer(out)

    def answer(self, out):
        "Write the answers block by block, and keep the blocks."
        query, key, value = self.heads
        shape = (*query.shape[:-1], key.shape[-2])
        bias = None if self.mask is None else bias_over_keys(self.mask, shape, query.dtype)
        self.blocks = []
        for queries, keys in blocks_of(*shape[-2:], self.is_causal, queries_at_once(query, self.is_causal)):
            block = Block(query[..., queries, :], key[..., keys, :], value[..., keys, :])
            if self.is_causal:
                sizes = queries.stop - queries.start, max(keys.stop - queries.start, 0)
                block.attend(self, causal_block_bias(*sizes, query.dtype), out[..., queries, :])
            else:
                block.attend(self, None if bias is None else bias[..., queries], out[..., queries, :])
            self.blocks.append((queries, keys, block))

    def attend_backward(self, grad, dquery, dkey, dvalue):
        "Write the three gradients; return that of a float mask, or None."
        dscores = []
        for queries, keys, block in reversed(self.blocks):
            whole = block is self.blocks[-1][-1]  # the last block has all keys: it writes what the others add to
            into = [dx if whole else np.empty_like(dx[..., keys, :]) for dx in (dkey, dvalue)]
            dblock = block.attend_backward(self, grad[..., queries, :], dquery[..., queries, :], *into)
            if self.mask_learns():
                dscores.insert(0, dblock)
            if not whole:
                dkey[..., keys, :] += into[0]
                dvalue[..., keys, :] += into[1]
        if not dscores:
            return None
        return unbroadcast(np.concatenate(dscores, axis=-1).swapaxes(-1, -2) / self.factor, self.mask.shape)

    def mask_learns(self):
        return self.mask is not None and self.mask.dtype != bool and self.needs_grad[-1]


def matching(query, key, value):
    "Return the three with their leading dims broadcast."
    if query.shape[:-2] == key.shape[:-2] == value.shape[:-2]:
        return query, key, value
    leading = np.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    return [np.broadcast_to(x, (*leading, *x.shape[-2:])) for x in (query, key, value)]


@implements(Attention, "numpy")
class BlockedAttention(BlockedHalves, Attention):
    heads = None

    def forward(self, query, key, value, mask=None):
        if self.scale == 0 or not fits(query, key, value, mask, self.is_causal):  # a mask's gradient divides by it
            return super().forward(query, key, value, mask)
        self.shapes = query.shape, key.shape, value.shape
        query, key, value = matching(query, key, value)
        out = np.empty_like(query, shape=(*query.shape[:-1], value.shape[-1]))
        self.attend(query, key, value, mask, out)
        return out

    def backward(self, grad):
        if self.heads is None:
            return super().backward(grad)
        gradients = [np.empty_like(x) for x in self.heads]
        dmask = self.attend_backward(grad, *gradients)
        return (*[unbroadcast(dx, shape) for dx, shape in zip(gradients, self.shapes)], dmask)


class PackedAttention(BlockedHalves, Attention):
    """Self-attention with query, key and value packed side by side, and heads inside each: (..., T, 3D) -> (..., T, D).

    The heads are views of the packed array, and so are their gradients of its gradient. Heads of queries that share one
    of keys and values are a dim of their own: (..., G, H / G, T, head_dim) beside (..., G, 1, T, head_dim).
    """
    plain = Attention

    def __init__(self, num_heads, is_causal=False, dropout_p=0.0, rotary=None, num_kv_heads=None):
        super().__init__(is_causal, None, dropout_p)
        self.num_heads, self.rotary = num_heads, rotary
        self.group = group_size(num_heads, num_kv_heads)
        self.kinds = (num_heads, num_heads // self.group, num_heads // self.group)  # heads of query, key, value

    def forward(self, packed, mask=None):
        query, key, value = split(packed, *self.kinds)
        out = np.empty((*packed.shape[:-1], self.num_heads * query.shape[-1]), packed.dtype)
        query, key = self.rotated(query, key)
        self.attend(*self.grouped(query, key, value), mask, *self.grouped(*split(out, self.num_heads)))
        return out

    def backward(self, grad):
        head_dim = grad.shape[-1] // self.num_heads
        dpacked = np.empty((*grad.shape[:-1], sum(self.kinds) * head_dim), grad.dtype)
        dquery, dkey, dvalue = split(dpacked, *self.kinds)
        parts = self.grouped(dquery, dkey, dvalue)
        if self.group > 1:  # each head of a group has a share in the gradient of their key
            parts[1:] = [np.empty(np.broadcast_shapes(dx.shape, parts[0].shape), dx.dtype) for dx in parts[1:]]
        dmask = self.attend_backward(*self.grouped(*split(grad, self.num_heads)), *parts)
        if self.group > 1:
            for dx, part in zip((dkey, dvalue), parts[1:]):
                part.sum(axis=-3, out=dx)
        if self.rotary is not None:
            for dx in (dquery, dkey):
                dx[...] = rotate(dx, self.cos, -self.sin)  # back, by the opposite angles
        return dpacked, dmask

    def grouped(self, query, *others):
        "Return heads (..., H, T, head_dim) of queries, and those of keys and values, as views with a dim of groups."
        if self.group == 1:
            return [query, *others]
        shape = (*query.shape[:-3], query.shape[-3] // self.group, self.group, *query.shape[-2:])
        return [query.reshape(shape), *(x[..., None, :, :] for x in others)]

    def rotated(self, query, key, offset=0):
        "Return query and key (..., H, T, head_dim) with rotary positions from `offset` on, where there are any."
        if self.rotary is None:
            return query, key
        self.cos, self.sin = self.rotary.tables(query.shape[-2], offset, query.dtype)
        return rotate(query, self.cos, self.sin), rotate(key, self.cos, self.sin)


def split(x, *kinds):
    "Return views (..., n, T, head_dim) of x (..., T, D), for each n in `kinds`, whose heads stand side by side."
    count = sum(kinds)
    heads = x.reshape(*x.shape[:-1], count, x.shape[-1] // count).swapaxes(-2, -3)  # (..., all, T, head_dim)
    parts, end = [], 0
    for n in kinds:
        parts.append(heads[..., end:end + n, :, :])
        end += n
    return parts


class CachedAttention(PackedAttention):
    "The newest tokens, packed (B, T, 3D), attend to all that came before, kept in `cache`. Without a backward pass."
    def __init__(self, num_heads, cache, rotary=None, num_kv_heads=None):
        super().__init__(num_heads, rotary=rotary, num_kv_heads=num_kv_heads)
        self.cache = cache

    def forward(self, packed):
        query, key, value = split(packed, *self.kinds)  # (B, H, T, head_dim)
        query, key = self.rotated(query, key, self.cache.length)
        key, value = self.cache.append(key, value)  # (B, H, S, head_dim)
        return self.attend(query, key, value).reshape(*packed.shape[:-1], self.num_heads * query.shape[-1])

    def backward(self, grad):
        raise RuntimeError("attention: a cache of keys and values is for reading, without a backward pass")

    def attend(self, query, key, value):
        """Return what the newest tokens, query (B, H, T, head_dim), take from all: (B, T, H, head_dim).
        Few queries, so plain reductions are the fastest; each query sees itself, so no row is empty. The heads of a
        group ask the same keys: they are so many more queries.
        """
        B, H, T, d = query.shape
        group, S = H // key.shape[1], key.shape[2]
        query = query.reshape(B, H // group, group * T, d)
        weights = key @ np.multiply(query.swapaxes(-1, -2), 1 / math.sqrt(d), order="C")  # (B, G, S, group * T)
        if T > 1:
            weights += np.tile(np.tril(np.full((S, T), -np.inf, weights.dtype), T - S - 1), group)
        weights -= np.maximum.reduce(weights, axis=-2, keepdims=True)
        np.exp(weights, out=weights)
        weights /= np.add.reduce(weights, axis=-2, keepdims=True)
        return (weights.swapaxes(-1, -2) @ value).reshape(B, H, T, -1).swapaxes(-2, -3)


def mask_fits(packed, kinds, mask, is_causal):
    if mask is None:
        return True
    if kinds[0] != kinds[1]:  # a mask has a row for each head of queries, and no dim of groups
        return False
    query = split(packed.data, *kinds)[0]
    mask = mask.data if isinstance(mask, Tensor) else np.asarray(mask)
    return fits(query, query, query, mask, is_causal)


@implements(self_attention, "numpy")
def packed_self_attention(packed, num_heads, attn_mask=None, dropout_p=0.0, is_causal=False, rotary=None, cache=None,
                          num_kv_heads=None):
    "As `self_attention`, as one operation on the packed array."
    kv_heads = num_heads // group_size(num_heads, num_kv_heads)
    if cache is None and mask_fits(packed, (num_heads, kv_heads, kv_heads), attn_mask, is_causal):
        return apply(PackedAttention(num_heads, is_causal, dropout_p, rotary, num_kv_heads), packed, attn_mask)
    if cache is not None and attn_mask is None and not is_grad_enabled():
        return apply(CachedAttention(num_heads, cache, rotary, num_kv_heads), packed)
    return self_attention.__wrapped__(packed, num_heads, attn_mask, dropout_p, is_causal, rotary, cache, num_kv_heads)
