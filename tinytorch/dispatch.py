"""Decide which form of an operation runs: the plain one, or a faster one that stands in for it.

The plain forms are the library. `tinytorch.fast` fills `chosen`; while it is empty, everything is plain.
"""
import functools
import threading
from contextlib import contextmanager

chosen = {}  # a plain class or function: the form that is made, or called, in its place
_lock, _set_aside = threading.Lock(), []  # for each `plain_forms` that is open, what it took out of `chosen`


def replaceable(function):
    "Mark a plain function that may have a faster form; `function.__wrapped__` is always the plain one."
    @functools.wraps(function)
    def call(*args, **kwargs):
        return chosen.get(call, function)(*args, **kwargs)
    return call


@contextmanager
def plain_forms():
    "Run only plain forms inside, in all threads, for what looks into operations; afterwards, those that ran before."
    with _lock:
        _set_aside.append(dict(chosen))
        chosen.clear()
    try:
        yield
    finally:
        with _lock:
            forms = _set_aside.pop()  # of blocks that overlap, the last to end puts back what the first found
            if not _set_aside:
                chosen.clear()
                chosen.update(forms)
