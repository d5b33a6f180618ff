"""Decide which form of an operation runs: the plain one, or a faster one that stands in for it.

The plain forms are the library. `tinytorch.fast` fills `chosen`; while it is empty, everything is plain.
"""
import functools

chosen = {}  # a plain class or function: the form that is made, or called, in its place


def replaceable(function):
    "Mark a plain function that may have a faster form; `function.__wrapped__` is always the plain one."
    @functools.wraps(function)
    def call(*args, **kwargs):
        return chosen.get(call, function)(*args, **kwargs)
    return call
