"""Threads that share a step: each computes the gradient of its rows of the batch, on the same weights."""
import copy
import functools
import hashlib
import json
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import numpy as np

from tinytorch.nn.module import Module, Parameter
from tinytorch.platforms import THREADS, require_threads
from tinytorch.state import thread
from tinytorch.tensor import Tensor

WORTH_A_THREAD = 1e9  # operations of a step; about 10 ms. Python itself, which one thread at a time runs, takes 1 or 2
MOST_THREADS = 6  # which take turns in Python: eight were slower on 16 cores
ROUNDING = 1e-4  # of float32, over a whole gradient
_lock, _limits = threading.Lock(), []  # an entry for each `one_blas_thread` that is open

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


@contextmanager
def one_blas_thread():
    "Inside, a product uses one thread: several that spin beside ours cost more than they give. For the whole process."
    with _lock:
        _limits.append(_limits[0] if _limits else blas() and blas().limit(limits=1))
    try:
        yield
    finally:
        with _lock:
            limits = _limits.pop()  # of blocks that overlap, the last to end gives back what the first found
            if limits and not _limits:
                limits.restore_original_limits()


def blas_threads():
    "Return how many threads a product uses now; 1 where nothing is known that changes it."
    return max([library.num_threads for library in blas().lib_controllers], default=1) if THREADS and blas() else 1


def chosen_threads(trainer, model, batches, loss_fn):
    """Return `trainer.threads`: so many share a step, each with one thread of BLAS; None: one, with BLAS as it is.
    "auto" becomes at the first step what the sizes say, never a clock, so that a run can be repeated bit for bit: as
    many as BLAS has now, each with at least `WORTH_A_THREAD`; 1 for a smaller step, whose products would wait for a
    second thread longer than they take; None where the parts of a batch do not add up to the whole, and without
    threadpoolctl, which alone keeps BLAS to one thread."""
    if trainer.threads == "auto":
        trainer.threads = threads_for(model, batches, loss_fn)
    return trainer.threads


def keep_threads(trainer):
    "Let a resumed trainer that is to choose its threads go on with as many as its folder's status.json says."
    if trainer.step and getattr(trainer, "threads", None) == "auto":
        with suppress(OSError, ValueError, AttributeError, RecursionError):  # no status, or not ours
            threads = json.loads((trainer.folder / "status.json").read_text(encoding="utf-8-sig")).get("threads")
            trainer.threads = threads if threads == "auto" or type(threads) is int and threads > 0 else None


def threads_for(model, batches, loss_fn):
    if blas_threads() < 2 or not isinstance(model, Module) or not all(map(are_arrays, batches)):
        return None
    wanted = int(operations_of(model, batches) / WORTH_A_THREAD)
    if wanted < 2:
        return 1
    count = min(wanted, MOST_THREADS, blas_threads(), *(len(batch[0]) for batch in batches))
    return count if count > 1 and adds_up(model, batches, loss_fn, count) else None


def are_arrays(batch):
    return all(hasattr(array, "dtype") and len(array.shape) for array in batch)


def operations_of(model, batches):
    """Return about how many floating-point operations a step of these batches takes, forward and backward: 6 for each
    number of a matrix and each row that it is multiplied by (a target; for a convolution, a pixel)."""
    rows = pixels = 0
    for inputs, targets in ((batch[0], batch[-1]) for batch in batches):
        features = targets.shape[-1] if targets.dtype.kind == "f" and len(targets.shape) > 1 else 1
        rows += math.prod(targets.shape) // max(features, 1)
        pixels += len(inputs) * math.prod(inputs.shape[2:])
    return sum(6 * p.numel() * (pixels if p.ndim > 2 else rows) for p in model.parameters() if p.ndim > 1)


def adds_up(model, batches, loss_fn, threads):
    """Return whether so many threads leave the loss and gradients of one, up to rounding: not with batch norm, dropout,
    or a loss that is no mean over rows, or uses another model than its argument. Nothing is changed by asking."""
    from tinytorch.training import accumulate_gradients  # which lies above
    before, kept = thread.generator.bit_generator.state, [(p, p._grad) for p in model.parameters()]
    try:
        found = []
        for count in (None, threads):
            twin = twin_of(model)
            loss = accumulate_gradients(twin, batches, loss_fn, count)
            found.append([np.array([loss]), *(p._grad.data for p in twin.parameters() if p._grad is not None)])
        drew = thread.generator.bit_generator.state != before
    except Exception:  # what fails with some of the rows; what fails with all, fails again in the step
        return False
    finally:
        thread.generator.bit_generator.state = before
        for p, gradient in kept:
            p._grad = gradient
    return len(found[0]) > 1 and not drew and alike(*found)


def alike(some, others):
    "Return whether two lists of arrays have the same shapes and, all numbers together, differ by rounding alone."
    if [a.shape for a in some] != [b.shape for b in others]:
        return False
    off, size = (math.sqrt(sum(float(np.vdot(a, a)) for a in arrays))
                 for arrays in ([a - b for a, b in zip(some, others)], some))
    return off <= ROUNDING * size


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
    What hooks or an observer look at is not cut. Raises: as `accumulate`."""
    params, batches, shared, dtype = list(model.parameters()), list(batches), thread.generator, thread.default_dtype
    if threads == 1 or looked_at(model, params):
        with one_blas_thread():
            return accumulate(model, batches, loss_fn)
    require_threads(f"{threads} threads for a step")
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


def looked_at(model, params):
    "Return whether something is called with what the model computes, and expects to see all of it, in this thread."
    return thread.observer or any(p.hooks for p in params) or any(module._has_hooks for module in model.modules())


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
