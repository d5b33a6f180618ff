"""Attention: each position compares itself with the others, and takes from them what it needs."""
__all__ = ["causal_mask", "mask_scores", "masked_softmax", "Attention", "scaled_dot_product_attention",
           "attention_weights", "split_heads", "merge_heads", "self_attention", "head_size", "MultiHeadAttention"]

import numpy as np

from tinytorch.creation import eye
from tinytorch.dispatch import replaceable
from tinytorch.nn.grouped import group_size, share_heads, split_packed
from tinytorch.nn.layers import Linear, linear
from tinytorch.nn.module import Module
from tinytorch.ops.elementwise import Function, unbroadcast
from tinytorch.state import default_generator, is_grad_enabled
from tinytorch.tensor import Tensor, apply


def causal_mask(T, S=None):
    keys = T if S is None else S
    return Tensor(np.tri(T, keys, keys - T, dtype=bool))


def mask_scores(scores, mask=None, is_causal=False):
    hidden = np.zeros(scores.shape[-2:], bool)
    if is_causal:
        hidden = ~np.tri(*hidden.shape, dtype=bool)
    if mask is not None and mask.dtype == bool:
        hidden = hidden | ~mask
    elif mask is not None:
        scores = scores + mask.astype(scores.dtype)
    return np.where(hidden, scores.dtype.type(-np.inf), scores)


def masked_softmax(scores):
    peaks = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    shares = np.exp(scores - np.where(np.isneginf(peaks), 0, peaks).astype(scores.dtype))
    totals = np.einsum("...s->...", shares)[..., None]
    return np.divide(shares, totals, out=np.zeros_like(shares), where=totals != 0)


def _dropout_mask(weights, p):
    survivors = default_generator().random(weights.shape) >= p
    boost = 1 / (1 - p) if p < 1 else 0.0
    return np.where(survivors, boost, 0.0).astype(weights.dtype)


class Attention(Function):
    def __init__(self, is_causal=False, scale=None, dropout_p=0.0):
        self.is_causal, self.scale, self.dropout_p = is_causal, scale, dropout_p

    def forward(self, query, key, value, mask=None):
        if self.scale is None:
            self.scale = query.shape[-1] ** -0.5
        self.inputs, self.added = (query, key, value), None if mask is None or mask.dtype == bool else mask
        scores = np.matmul(query, key.swapaxes(-1, -2)) * float(self.scale)
        self.weights = used = masked_softmax(mask_scores(scores, mask, self.is_causal))
        self.thinned = None
        if self.dropout_p > 0:
            self.thinned = _dropout_mask(used, self.dropout_p)
            used = used * self.thinned
        return np.matmul(used, value)

    def backward(self, grad):
        query, key, value = self.inputs
        used, dused = self.weights, np.matmul(grad, value.swapaxes(-1, -2))
        if self.thinned is not None:
            used, dused = used * self.thinned, dused * self.thinned
        surprise = dused - np.einsum("...s,...s->...", dused, self.weights)[..., None]
        dscores = self.weights * surprise
        scaled = dscores * float(self.scale)
        gradients = (np.matmul(scaled, key), np.matmul(scaled.swapaxes(-1, -2), query),
                     np.matmul(used.swapaxes(-1, -2), grad))
        fitted = [unbroadcast(dx, x.shape) for dx, x in zip(gradients, self.inputs)]
        wanted = self.added is not None and self.needs_grad[3]
        dmask = unbroadcast(dscores, self.added.shape).astype(self.added.dtype) if wanted else None
        return *fitted, dmask


def _checked_mask(mask, is_causal, query, key):
    "`mask` as it is, or an array if it was a list, once it is sure that it fits the scores of query and key."
    if query.dtype.kind != "f" or key.dtype.kind != "f":
        raise TypeError(f"attention: works on floats, got query {query.dtype} and key {key.dtype}")
    try:
        leading = np.broadcast_shapes(query.shape[:-2], key.shape[:-2])
    except ValueError:
        leading = None
    if leading is None or min(query.ndim, key.ndim) < 2 or query.shape[-1] != key.shape[-1]:
        raise ValueError(f"attention: query {query.shape} and key {key.shape} do not fit: (..., T, d), (..., S, d)")
    if mask is None:
        return None
    if is_causal:
        raise ValueError("attention: give attn_mask or is_causal, not both; causal_mask can be part of a mask")
    mask, scores = mask if isinstance(mask, Tensor) else np.asarray(mask), (*leading, query.shape[-2], key.shape[-2])
    if mask.dtype != bool and mask.dtype.kind != "f":
        raise TypeError(f"attention: attn_mask holds booleans or floats, not {mask.dtype}")
    padded = (1,) * (len(scores) - mask.ndim) + tuple(mask.shape)
    if len(padded) != len(scores) or any(m not in (1, s) for m, s in zip(padded, scores)):
        raise ValueError(f"attention: attn_mask {mask.shape} cannot be broadcast to the scores {scores}")
    return mask


def scaled_dot_product_attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None,
                                 enable_gqa=False):
    if enable_gqa and query.ndim > 2:
        key, value = share_heads(key, query.shape[-3]), share_heads(value, query.shape[-3])
    mask = _checked_mask(attn_mask, is_causal, query, key)
    if value.dtype.kind != "f":
        raise TypeError(f"attention: works on floats, got value {value.dtype}")
    if value.ndim < 2 or value.shape[-2] != key.shape[-2]:
        raise ValueError(f"attention: a value for each key, please: key {key.shape}, value {value.shape}")
    if not 0 <= dropout_p <= 1:
        raise ValueError(f"attention: dropout_p is a probability, not {dropout_p}")
    return apply(Attention(is_causal, scale, dropout_p), query, key, value, mask)


def attention_weights(query, key, attn_mask=None, is_causal=False, scale=None):
    one_each = eye(key.shape[-2], dtype=query.dtype)  # what a query takes from these values is its weights
    return scaled_dot_product_attention(query, key, one_each, attn_mask, is_causal=is_causal, scale=scale)


def split_heads(x, num_heads):
    *batch, length, width = x.shape
    return x.reshape(*batch, length, num_heads, width // num_heads).transpose(-3, -2)


def merge_heads(heads):
    return heads.transpose(-3, -2).flatten(-2)


def _turned(heads, rotary, offset=0):
    return heads if rotary is None else rotary(heads, offset)


@replaceable
def self_attention(packed, num_heads, attn_mask=None, dropout_p=0.0, is_causal=False, rotary=None, cache=None,
                   num_kv_heads=None):
    counts = (num_heads,) + (num_heads if num_kv_heads is None else num_kv_heads,) * 2
    query, key, value = map(split_heads, split_packed(packed, num_heads, num_kv_heads), counts)
    begin = 0 if cache is None else cache.length
    query, key = _turned(query, rotary, begin), _turned(key, rotary, begin)
    if cache is not None:
        key, value = map(Tensor.wrap, cache.append(key.data, value.data))
        attn_mask, is_causal = causal_mask(query.shape[-2], key.shape[-2]), False
    key, value = share_heads(key, num_heads), share_heads(value, num_heads)
    return merge_heads(scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal))


def head_size(embed_dim, num_heads):
    if num_heads < 1 or embed_dim % num_heads:
        raise ValueError(f"attention: {embed_dim} features cannot be shared equally among {num_heads} heads")
    return embed_dim // num_heads


class MultiHeadAttention(Module):
    def __init__(self, embed_dim, num_heads, dropout=0.0, bias=True, rotary=None, num_kv_heads=None, qkv_bias=None):
        head_size(embed_dim, num_heads)
        self.width, self.heads, self.dropout, self.rotary = embed_dim, num_heads, dropout, rotary
        shared = embed_dim // group_size(num_heads, num_kv_heads)
        self.kv_heads = num_heads * shared // embed_dim
        self.in_proj = Linear(embed_dim, embed_dim + shared + shared, bias if qkv_bias is None else qkv_bias)
        self.out_proj = Linear(embed_dim, embed_dim, bias)

    def project(self, query, key, value):
        weights, biases = split_packed(self.in_proj.weight, self.heads, self.kv_heads, 0), (None,) * 3
        if self.in_proj.bias is not None:
            biases = split_packed(self.in_proj.bias, self.heads, self.kv_heads, 0)
        projected = map(linear, (query, key, value), weights, biases)
        q, k, v = map(split_heads, projected, (self.heads, self.kv_heads, self.kv_heads))
        return _turned(q, self.rotary), _turned(k, self.rotary), v

    def forward(self, query, key=None, value=None, attn_mask=None, is_causal=False, cache=None):
        others = [given for given in (key, value, attn_mask) if given is not None]
        if cache is not None and (others or is_grad_enabled()):
            raise RuntimeError("MultiHeadAttention: a cache is for self-attention without a mask, inside of no_grad")
        dropout_p = self.dropout if self.training else 0.0
        if key is None and value is None:
            mixed = self_attention(self.in_proj(query), self.heads, attn_mask, dropout_p, is_causal, self.rotary, cache,
                                   self.kv_heads)
        else:
            key = query if key is None else key
            heads = self.project(query, key, key if value is None else value)
            mixed = merge_heads(scaled_dot_product_attention(*heads, attn_mask, dropout_p, is_causal, enable_gqa=True))
        return self.out_proj(mixed)

    def weights(self, query, key=None, attn_mask=None, is_causal=False):
        key = query if key is None else key
        query, key, _ = self.project(query, key, key)
        return attention_weights(query, share_heads(key, self.heads), attn_mask, is_causal)

    def extra_repr(self):
        return f"{self.width}, num_heads={self.heads}, dropout={self.dropout}"
