"""Optimizer updates on few long vectors instead of many short arrays; no parameter's array moves."""
import math
import weakref

import numpy as np

from tinytorch.fast.registry import implements
from tinytorch.optim import adam_update, new_moments

BLOCK = 1 << 15  # numbers in a block of an update: all of its arrays stay in the processor's cache
FLUSH_EVERY = 64  # steps between two sweeps that set denormal moments to 0

homes = {}  # id of a vector: the ids of the arrays that are its parts, in order


@implements(new_moments, "numpy")
def flat_new_moments(arrays):
    "As `new_moments`, the small ones of a dtype as parts of one vector, which can then be updated as such."
    made = [array.copy() if array.size >= BLOCK else None for array in arrays]
    for members in small_groups(arrays).values():
        vector = np.concatenate([arrays[i] for i in members], axis=None)
        for i, span in zip(members, spans([arrays[i] for i in members])):
            made[i] = vector[span].reshape(arrays[i].shape)
        homes[id(vector)] = [id(made[i]) for i in members]
        weakref.finalize(vector, homes.pop, id(vector))
    return made


def small_groups(arrays, key=lambda i: 0):
    "Group the indices of arrays below BLOCK by dtype and `key`: {...: [index, ...]}."
    groups = {}
    for i, array in enumerate(arrays):
        if array.size < BLOCK:
            groups.setdefault((array.dtype, key(i)), []).append(i)
    return groups


def spans(arrays):
    "Return the slices that `arrays` take in their concatenation."
    ends = np.cumsum([a.size for a in arrays]).tolist()
    return [slice(end - a.size, end) for a, end in zip(arrays, ends)]


def as_vector(arrays):
    "Return `arrays` as one vector, and whether it is their own memory: where they are its parts, in this order."
    if len(arrays) == 1 and arrays[0].flags.c_contiguous:
        return arrays[0].reshape(-1), True
    home = arrays[0].base
    if home is not None and homes.get(id(home)) == [id(a) for a in arrays]:
        return home, True
    return np.concatenate(arrays, axis=None), False


def write_back(vector, arrays):
    for array, span in zip(arrays, spans(arrays)):
        array[...] = vector[span].reshape(array.shape)


def flush_denormals(*moments):
    "Set to 0 what is too small to matter and slow to compute with: the moments of rows that are never seen."
    for m in moments:
        m[np.abs(m) < np.finfo(m.dtype).tiny] = 0


@implements(adam_update, "numpy")
def flat_adam_update(params, grads, exp_avgs, exp_avg_sqs, steps, *, lr, betas, eps, weight_decay, decoupled,
                     update=None):
    """As `adam_update`: the small arrays as one vector, the large ones in blocks.

    `update(x, grad, m, v, step, ...)` changes the vectors x, m and v in place.
    """
    options = dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, decoupled=decoupled)
    update = update or adam_in_blocks
    groups = list(small_groups(params, steps.__getitem__).values())
    groups += [[i] for i, x in enumerate(params) if x.size >= BLOCK]
    for members in groups:
        lists = [[arrays[i] for i in members] for arrays in (params, grads, exp_avgs, exp_avg_sqs)]
        (x, x_own), (grad, _), (m, m_own), (v, v_own) = [as_vector(arrays) for arrays in lists]
        step = steps[members[0]]
        update(x, grad.astype(x.dtype, copy=False), m, v, step, **options)
        if step % FLUSH_EVERY == 0:
            flush_denormals(m, v)
        for vector, own, arrays in ((x, x_own, lists[0]), (m, m_own, lists[2]), (v, v_own, lists[3])):
            if not own:
                write_back(vector, arrays)


def adam_in_blocks(x, grad, m, v, step, **options):
    for start in range(0, x.size, BLOCK):
        block = slice(start, start + BLOCK)
        adam_in_place(x[block], grad[block], m[block], v[block], step, **options)


def adam_in_place(x, grad, m, v, step, lr, betas, eps, weight_decay, decoupled):
    "Kingma & Ba 2015, algorithm 1, in the more efficient order of its section 2."
    if weight_decay and decoupled:
        x *= 1 - lr * weight_decay
    elif weight_decay:
        grad = grad + weight_decay * x
    beta1, beta2 = betas
    c1, c2 = 1 - beta1 ** step, math.sqrt(1 - beta2 ** step)
    work = (1 - beta1) * grad
    m *= beta1
    m += work
    np.multiply(grad, grad, out=work)
    work *= 1 - beta2
    v *= beta2
    v += work
    np.sqrt(v, out=work)
    work += c2 * eps
    np.divide(m, work, out=work)
    work *= lr * c2 / c1
    x -= work
