"""The state of a thread: is a graph recorded, the dtype of new floats, the random generator, the observer.

Each thread has its own, with the same values at the start: `no_grad` in one does not reach another.
"""
import functools
import inspect
import threading
import types
from contextlib import contextmanager

import numpy as np


class ThreadState(threading.local):
    "The four switches of the running thread; `thread` is the only instance."
    def __init__(self):
        self.recording = True
        self.default_dtype = np.dtype(np.float32)
        self.generator = np.random.default_rng()
        self.observer = None


thread = ThreadState()


class no_grad:
    """Record no graph: `with no_grad():` for what is inside, `@no_grad()` for what a function does.
    A generator or an async function keeps the switch to itself: it is set only while its own lines run."""
    recording = False

    def __enter__(self):
        self.before = thread.recording
        thread.recording = self.recording
        return self

    def __exit__(self, *_):
        thread.recording = self.before

    def __call__(self, function):
        if inspect.isgeneratorfunction(function):
            def call(*args, **kwargs):
                return (yield from self._steps(function(*args, **kwargs)))
        elif inspect.iscoroutinefunction(function):
            async def call(*args, **kwargs):
                return await types.coroutine(self._steps)(function(*args, **kwargs))
        else:
            def call(*args, **kwargs):
                with type(self)():
                    return function(*args, **kwargs)
        return functools.wraps(function)(call)

    def _steps(self, body):
        "Run a generator or coroutine from stop to stop, with the switch set only while it runs."
        step, given = body.send, None
        while True:
            try:
                with type(self)():
                    item = step(given)
            except StopIteration as end:
                return end.value
            try:
                step, given = body.send, (yield item)
            except GeneratorExit:
                with type(self)():
                    body.close()
                raise
            except BaseException as error:
                step, given = body.throw, error


class enable_grad(no_grad):
    "Record again, inside of a `no_grad`."
    recording = True


def is_grad_enabled():
    "Return whether operations are being recorded in this thread."
    return thread.recording


@contextmanager
def observed_by(observer):
    """Inside, call `observer(half, *arrays)` in place of each half(*arrays); it returns the half's result.
    `half` is the bound `forward` or `backward` of a Function, which is half.__self__; half.__name__ says which."""
    before, thread.observer = thread.observer, observer
    try:
        yield observer
    finally:
        thread.observer = before


def manual_seed(seed):
    "Restart this thread's generator, behind initialisation, dropout, shuffling and sampling, from `seed`; return it."
    thread.generator = np.random.default_rng(seed)
    return thread.generator


def default_generator():
    "Return the `np.random.Generator` that initialisation, dropout, shuffling and sampling draw from."
    return thread.generator


def set_default_dtype(dtype):
    "Set the dtype of Python floats and new random tensors, at first np.float32. Raises: TypeError for no float dtype."
    if np.dtype(dtype).kind != "f":
        raise TypeError(f"set_default_dtype: expected a float dtype such as np.float32, got {np.dtype(dtype)}")
    thread.default_dtype = np.dtype(dtype)


def get_default_dtype():
    "Return the dtype that Python floats and new random tensors get."
    return thread.default_dtype
