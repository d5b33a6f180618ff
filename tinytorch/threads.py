"""Threads that share a step: each computes the gradient of its rows of the batch, on the same weights."""
import copy
import functools
import hashlib
import json
import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext

import numpy as np

from tinytorch.nn.module import Module, Parameter
from tinytorch.platforms import require_threads
from tinytorch.state import thread
from tinytorch.tensor import Tensor


def state_text(generator):
    "Return the state of a Generator as text."
    return json.dumps(generator.bit_generator.state, default=lambda array: array.tolist())


def generator_of_part(shared, part):
    "Return a new Generator for part number `part` of a step, derived from the state of the one that all share."
    seed = int(hashlib.sha256(state_text(shared).encode()).hexdigest()[:16], 16)
    return np.random.default_rng([seed, part])


def rows_of(batch, part, parts):
    "Return the rows of one of `parts` equal parts of a batch, a tuple of Tensors or arrays, cut along their first dim."
    place = np.array_split(np.arange(len(batch[0])), parts)[part]
    return tuple(array[place[0]:place[-1] + 1] if len(place) else array[:0] for array in batch)


def twin_of(model):
    """Return a model with parameters of its own (their gradients are), on the same arrays, and with copies of buffers.
    Modules in lists, tuples and dictionaries are followed; what else its modules hold is shared."""
    made = {}

    def twin(value):
        if id(value) in made:
            return made[id(value)]
        if isinstance(value, Module):
            made[id(value)] = new = object.__new__(type(value))
            vars(new).update({name: twin(part) for name, part in vars(value).items()})
            return new
        if isinstance(value, Tensor):
            made[id(value)] = new = copy.copy(value)
            new._grad, new.hooks = None, ()
            new.data = value.data if isinstance(value, Parameter) else value.data.copy()
            return new
        if isinstance(value, dict):
            return type(value)({name: twin(part) for name, part in value.items()}) if type(value) is dict else value
        return type(value)(map(twin, value)) if type(value) in (list, tuple) else value

    return twin(model)


@functools.cache
def helpers(count):
    "Return a pool of so many threads."
    return ThreadPoolExecutor(count, "share of a step")


@functools.cache
def blas():
    "Return what governs the threads of BLAS, or None without threadpoolctl (an extra: fast)."
    try:
        from threadpoolctl import ThreadpoolController
    except ModuleNotFoundError:
        return None
    return ThreadpoolController().select(user_api="blas")


def one_blas_thread():
    "Inside, a product uses one thread: several that spin beside ours cost more than they give."
    return blas().limit(limits=1) if blas() else nullcontext()


@contextmanager
def set_aside(params):
    "Take the gradients off inside; afterwards they are added to the new ones, after an error they are all there is."
    before = [(p, p._grad) for p in params]
    for p in params:
        p._grad = None
    try:
        yield
    except BaseException:
        for p, gradient in before:
            p._grad = gradient
        raise
    for p, gradient in before:
        if gradient is not None:
            gradient.data += 0 if p._grad is None else p._grad.data
            p._grad = gradient


def shared_gradients(accumulate, model, batches, loss_fn, threads):
    """Do what `accumulate(model, batches, loss_fn)`, `accumulate_gradients`, does, with the rows of each batch cut into
    as many parts as there are `threads`; gradients are added in the order of the parts. `loss_fn` must reach the model
    by its argument. Dropout draws other masks than with one thread; running averages are those of the first part.
    Raises: as `accumulate`."""
    require_threads(f"{threads} threads for a step")
    params, batches, shared, dtype = list(model.parameters()), list(batches), thread.generator, thread.default_dtype
    counted = functools.partial(count_and_run, accumulate, batches, loss_fn, threads, shared, dtype)
    with set_aside(params), one_blas_thread():
        models = [model, *(twin_of(model) for _ in range(threads - 1))]
        others = [helpers(threads - 1).submit(counted, one, part) for part, one in enumerate(models) if part]
        try:
            found = [counted(model, 0)]
        finally:
            thread.generator = shared
            waited = [other.exception() for other in others]
        if any(waited):
            raise next(error for error in waited if error)
        found += [other.result() for other in others]
        if any(drew for *_, drew in found):
            shared.random()
        total = sum(count for _, count, _ in found)
        if not total:
            raise FloatingPointError("the loss is nan")
        add_gradients(params, models, [count / total for _, count, _ in found])
    return math.fsum(loss * count for loss, count, _ in found) / total


def count_and_run(accumulate, batches, loss_fn, threads, shared, dtype, model, part):
    "Return (mean loss, count that it is over, whether it drew random numbers) of one part; gradients go to `model`."
    from tinytorch.training import loss_and_count  # which lies above
    counts = []

    def counting(model, *batch):
        loss, count = loss_and_count(loss_fn, model, batch)
        counts.append(count)
        return loss, count

    thread.generator, thread.default_dtype = generator_of_part(shared, part), dtype
    first, parts = state_text(thread.generator), [rows_of(batch, part, threads) for batch in batches]
    try:
        loss = accumulate(model, [rows for rows in parts if len(rows[0])], counting)
    except FloatingPointError:
        if sum(counts):
            raise
        loss = 0.0  # nothing counts in this part
    return loss, sum(counts), state_text(thread.generator) != first


def add_gradients(params, models, weights):
    "Leave in each of `params` the sum of the models' gradients, times their weights, in their order."
    for same in zip(params, *(model.parameters() for model in models)):
        parts = [(p._grad.data, weight) for p, weight in zip(same[1:], weights) if p._grad is not None]
        if parts:
            total, weight = parts[0]
            total *= weight
            for gradient, weight in parts[1:]:
                gradient *= weight
                total += gradient
            same[0]._grad = Tensor.wrap(total)
