"""Attention one head after the other, `TILE` queries at a time, for float32; tinytorch/fast/heads.py calls it.

What a tile needs, above all its weights, stays in the processor's cache and is then forgotten: the backward pass makes
it again, from two numbers kept for each query. So memory grows with the context, not with its square (Dao et al. 2022).
Every inner loop runs along the keys, whose number is rounded up to a multiple of `TILE`.
"""
import numpy as np

from tinytorch.fast.compiling import jit
from tinytorch.fast.kernels import exp, largest

f4 = np.float32
TILE, LOWEST = 16, f4(np.finfo(np.float32).min)
HEADS = "float32[:, :, :, :]"  # in any layout, so that one machine code serves all
FORWARD = f"void({', '.join([HEADS] * 5)}, boolean, float32, int64, int64, {HEADS}, {HEADS})"
BACKWARD = f"{FORWARD[:-1]}, {', '.join([HEADS] * 4)})"


@jit
def add_product(a, b, n, out):
    """out += a b, the first n columns; a (m, k), both multiples of 4: each row of b is read once for four of out.
    The shorter dim is the inner loop, so that what it needs stays in the cache."""
    rows, columns = a.shape
    for outer in range(0, max(rows, columns), 4):
        for inner in range(0, min(rows, columns), 4):
            i, k = (outer, inner) if rows > columns else (inner, outer)
            a00, a01, a02, a03 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
            a10, a11, a12, a13 = a[i + 1, k], a[i + 1, k + 1], a[i + 1, k + 2], a[i + 1, k + 3]
            a20, a21, a22, a23 = a[i + 2, k], a[i + 2, k + 1], a[i + 2, k + 2], a[i + 2, k + 3]
            a30, a31, a32, a33 = a[i + 3, k], a[i + 3, k + 1], a[i + 3, k + 2], a[i + 3, k + 3]
            for j in range(n):
                b0, b1, b2, b3 = b[k, j], b[k + 1, j], b[k + 2, j], b[k + 3, j]
                out[i, j] += a00 * b0 + a01 * b1 + a02 * b2 + a03 * b3
                out[i + 1, j] += a10 * b0 + a11 * b1 + a12 * b2 + a13 * b3
                out[i + 2, j] += a20 * b0 + a21 * b1 + a22 * b2 + a23 * b3
                out[i + 3, j] += a30 * b0 + a31 * b1 + a32 * b2 + a33 * b3


@jit
def dots(a, b, n, out):
    "out = a b^T over the first n columns of a (4 k, .) and b (m, .), m even."
    for j in range(0, b.shape[0], 2):
        for i in range(0, a.shape[0], 4):
            s00 = s01 = s10 = s11 = s20 = s21 = s30 = s31 = f4(0)
            for k in range(n):
                b0, b1 = b[j, k], b[j + 1, k]
                s00 += a[i, k] * b0
                s01 += a[i, k] * b1
                s10 += a[i + 1, k] * b0
                s11 += a[i + 1, k] * b1
                s20 += a[i + 2, k] * b0
                s21 += a[i + 2, k] * b1
                s30 += a[i + 3, k] * b0
                s31 += a[i + 3, k] * b1
            out[i, j], out[i, j + 1], out[i + 1, j], out[i + 1, j + 1] = s00, s01, s10, s11
            out[i + 2, j], out[i + 2, j + 1], out[i + 3, j], out[i + 3, j + 1] = s20, s21, s30, s31


@jit
def transpose(x, out):
    for d in range(x.shape[1]):
        for t in range(x.shape[0]):
            out[d, t] = x[t, d]


@jit
def tile(x, start, factor, out):
    "Fill out (TILE, .) with rows of x (T, d) from `start` on, times `factor`; with 0 beyond its end."
    for i in range(TILE):
        for d in range(x.shape[1]):
            out[i, d] = x[start + i, d] * factor if start + i < len(x) else f4(0)


@jit
def clear(x, n):
    for i in range(len(x)):
        for j in range(n):
            x[i, j] = f4(0)


@jit
def score(q, kt, bias, is_causal, keys, start, n, scores):
    "scores (TILE, n) of the queries q from number `start` on, with keys (d, n); -inf for what they may not attend to."
    clear(scores, n)
    add_product(q, kt, n, scores)
    for i in range(min(TILE, len(bias) - start)):
        for j in range(keys):
            scores[i, j] += bias[start + i, j]
    for i in range(TILE):
        for j in range(min(keys, start + i + 1) if is_causal else keys, n):
            scores[i, j] = f4(-np.inf)


@jit
def drop(mask, start, rows):
    "rows (TILE, .) times the dropout mask of the queries from `start` on, where there is one."
    for i in range(min(TILE, len(mask) - start)):
        for j in range(mask.shape[1]):
            rows[i, j] *= mask[start + i, j]


@jit
def room(features, keys):
    "Zeros, to be filled with rows of keys: a multiple of 4 of them, each as long as a multiple of TILE."
    return np.zeros(((features + 3) // 4 * 4, (keys + TILE - 1) // TILE * TILE), f4)


@jit
def seen(start, is_causal, width):
    "How many columns of `width` a tile of queries from `start` on needs."
    return min(start + TILE, width) if is_causal else width


@jit(signature=FORWARD)
def attend(query, key, value, bias, dropout, is_causal, scale, first, last, out, norms):
    """Heads number `first` to `last` - 1 of query (B, H, T, d), to those of key (B, G, S, d) and value (B, G, S, e),
    which H / G of them share: fills their part of out (B, H, T, e), and of norms (2, B, H, T), each query's largest
    score and 1 / (sum of e^(score - largest)). bias (B, H, T, S) is added to the scores, and the weights are multiplied
    by `dropout` (B, H, T, S), its mask; these are empty where there is none."""
    B, H, T, d = query.shape
    groups, keys, e = value.shape[1:]
    kt, vt, weights = room(d, keys), room(e, keys), room(TILE, keys)
    q, answers, lanes = np.zeros((TILE, len(kt)), f4), np.zeros((TILE, len(vt)), f4), np.empty(32, f4)
    for head in range(first, last):
        b, h = head // H, head % H
        transpose(key[b, h * groups // H], kt)
        transpose(value[b, h * groups // H], vt)
        for start in range(0, T, TILE):
            n = seen(start, is_causal, kt.shape[1])
            tile(query[b, h], start, scale, q)
            score(q, kt, bias[b, h], is_causal, keys, start, n, weights)
            for i in range(min(TILE, T - start)):
                most, total = max(largest(weights[i, :n], lanes), LOWEST), f4(0)
                for j in range(n):
                    share = exp(weights[i, j] - most)
                    weights[i, j] = share
                    total += share
                norms[0, b, h, start + i] = most
                norms[1, b, h, start + i] = f4(1) / (f4(1) if total < f4(1) else total)  # 0 where all are masked
            drop(dropout[b, h], start, weights)
            dots(weights, vt, n, answers)
            for i in range(min(TILE, T - start)):
                for c in range(e):
                    out[b, h, start + i, c] = answers[i, c] * norms[1, b, h, start + i]


@jit(signature=BACKWARD)
def attend_backward(query, key, value, bias, dropout, is_causal, scale, first, last, out, norms, grad, dquery,
                    dkey, dvalue):
    "The gradients of `attend`; dkey (B, H, S, d) and dvalue (B, H, S, e) are the shares of each head of queries."
    B, H, T, d = query.shape
    groups, keys, e = value.shape[1:]
    kt, vt, weights, dscores = room(d, keys), room(e, keys), room(TILE, keys), room(TILE, keys)
    dkt, dvt = np.zeros_like(kt), np.zeros_like(vt)
    q, dq, g = np.zeros((TILE, len(kt)), f4), np.zeros((TILE, len(kt)), f4), np.zeros((TILE, len(vt)), f4)
    for head in range(first, last):
        b, h = head // H, head % H
        transpose(key[b, h * groups // H], kt)
        transpose(value[b, h * groups // H], vt)
        clear(dkt, dkt.shape[1])
        clear(dvt, dvt.shape[1])
        for start in range(0, T, TILE):
            n = seen(start, is_causal, kt.shape[1])
            tile(query[b, h], start, scale, q)
            tile(grad[b, h], start, f4(1), g)
            score(q, kt, bias[b, h], is_causal, keys, start, n, weights)
            clear(dscores, n)
            add_product(g, vt, n, dscores)
            drop(dropout[b, h], start, dscores)
            for i in range(TILE):
                most = times = average = f4(0)
                if start + i < T:  # else the weights are 0
                    most, times = norms[0, b, h, start + i], norms[1, b, h, start + i]
                    for c in range(e):
                        average += g[i, c] * out[b, h, start + i, c]
                for j in range(n):
                    share = exp(weights[i, j] - most) * times
                    weights[i, j] = share
                    dscores[i, j] = (dscores[i, j] - average) * share
            drop(dropout[b, h], start, weights)
            add_product(g.T, weights, n, dvt)
            add_product(q.T, dscores, n, dkt)
            dots(dscores, kt, n, dq)
            for i in range(min(TILE, T - start)):
                for c in range(d):
                    dquery[b, h, start + i, c] = dq[i, c] * scale
        transpose(dkt[:d, :keys], dkey[b, h])
        transpose(dvt[:e, :keys], dvalue[b, h])
