"""Optimizer updates on few long vectors instead of many short arrays; no parameter's array moves."""
import math
import weakref

import numpy as np

from tinytorch.fast.registry import implements
from tinytorch.optim import adam_update, new_moments

BLOCK = 1 << 15  # numbers in a block of an update: all of its arrays stay in the processor's cache
FLUSH_EVERY = 64  # steps between two sweeps that set denormal moments to 0

homes = {}  # id of a vector of moments: what is known of it


class Home:
    "A vector whose parts are moments, in order; and room, laid out alike, for parameters and gradients on their way."
    def __init__(self, vector, arrays):
        ends = np.cumsum([a.size for a in arrays]).tolist()
        self.spans = [slice(end - a.size, end) for a, end in zip(arrays, ends)]
        self.parts = [id(part) for part in arrays]
        self.values, self.grads = np.empty_like(vector), np.empty_like(vector)
        self.views = [self.values[span].reshape(a.shape) for a, span in zip(arrays, self.spans)]


@implements(new_moments, "numpy")
def flat_new_moments(arrays):
    "As `new_moments`, the small ones of a dtype as parts of one vector, which can then be updated as such."
    made = [array.copy() if array.size >= BLOCK else None for array in arrays]
    for dtype in {array.dtype for array in arrays}:
        members = [i for i, array in enumerate(arrays) if made[i] is None and array.dtype == dtype]
        if members:
            vector = np.concatenate([arrays[i] for i in members], axis=None)
            home = Home(vector, [arrays[i] for i in members])
            for i, span in zip(members, home.spans):
                made[i] = vector[span].reshape(arrays[i].shape)
            home.parts = [id(made[i]) for i in members]
            homes[id(vector)] = home
            weakref.finalize(vector, homes.pop, id(vector))
    return made


def flush_denormals(*moments):
    "Set to 0 what is too small to matter and slow to compute with: the moments of rows that are never seen."
    for m in moments:
        m[np.abs(m) < np.finfo(m.dtype).tiny] = 0


@implements(adam_update, "numpy")
def flat_adam_update(params, grads, exp_avgs, exp_avg_sqs, steps, *, update=None, **options):
    """As `adam_update`: small arrays whose moments are a vector as one vector, the others each as its own.

    `update(x, grad, m, v, step, ...)` changes the vectors x, m and v in place.
    """
    update, lists = update or adam_in_blocks, (params, grads, exp_avgs, exp_avg_sqs, steps)
    alone = [i for i, m in enumerate(exp_avgs) if m.size >= BLOCK]
    small = lists
    if alone:
        together = [i for i in range(len(params)) if exp_avgs[i].size < BLOCK]
        small = [[of[i] for i in together] for of in lists]
    if not update_together(*small, update, options):
        alone = range(len(params))
    for i in alone:
        arrays = params[i], grads[i].astype(params[i].dtype, copy=False), exp_avgs[i], exp_avg_sqs[i]
        vectors = [np.ascontiguousarray(a).reshape(-1) for a in arrays]
        update_and_flush(update, *vectors, steps[i], options)
        x, _, m, v = zip(arrays, vectors)
        for array, vector in (x, m, v):  # the gradient, which may be a NumPy scalar, is only read
            if not np.may_share_memory(array, vector):
                array[...] = vector.reshape(array.shape)


def update_together(params, grads, exp_avgs, exp_avg_sqs, steps, update, options):
    "Update all as one vector, and return True, if both lists of moments are parts of one, in order, of equal step."
    home, other = (homes.get(id(of[0].base)) if of else None for of in (exp_avgs, exp_avg_sqs))
    if home is None or other is None or steps.count(steps[0]) < len(steps) \
            or home.parts != list(map(id, exp_avgs)) or other.parts != list(map(id, exp_avg_sqs)) \
            or len({id(p if p.base is None else p.base) for p in params}) < len(params):  # one moves what another reads
        return not params
    x = np.concatenate(params, axis=None, out=home.values)
    grad = np.concatenate(grads, axis=None, out=home.grads)
    update_and_flush(update, x, grad, exp_avgs[0].base, exp_avg_sqs[0].base, steps[0], options)
    for array, view in zip(params, home.views):
        array[...] = view
    return True


def update_and_flush(update, x, grad, m, v, step, options):
    update(x, grad, m, v, step, **options)
    if step % FLUSH_EVERY == 0:
        flush_denormals(m, v)


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
