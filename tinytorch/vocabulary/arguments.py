"""Arguments of the wrong kind are named."""
import functools
import inspect

import numpy as np


def shown(value):
    "Return in a few words what an argument is: dtype and shape of an array or a Tensor, else its type and itself."
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype} {tuple(value.shape)}"
    return f"{type(value).__name__} {value!r:.60}"


WHOLE = {"axes", "chunks", "diagonal", "dim", "dim0", "dim1", "dim2", "dims", "end_dim", "k", "n", "num_classes",
         "offset", "repeats", "shifts", "start_dim"}  # names of ints, in whose place True or False is a slip


def explained(function):
    """Return `function`, whose errors say with which arguments it was called. What breaks inside of it for want of an
    attribute or a key is a TypeError: an argument was of the wrong kind. So is a flag in the place of an int."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args, **options):
        if bool in map(type, args) or bool in map(type, options.values()):
            for name, value in (*zip(signature.parameters, args), *options.items()):
                if name in WHOLE and isinstance(value, bool):
                    raise TypeError(f"{function.__name__}: {name}: expected an int, got {value}")
        try:
            return function(*args, **options)
        except (AttributeError, KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            given = signature.bind_partial(*args, **options).arguments
            text = f"{function.__name__}: got " + ", ".join(f"{name} {shown(value)}" for name, value in given.items())
            if isinstance(error, (AttributeError, KeyError)):
                raise TypeError(f"{text}; one of them is of the wrong kind") from error
            error.add_note(text)
            raise
    return call


def methods_explained(cls):
    "Return the class, all of whose public methods are `explained`."
    for name, value in list(vars(cls).items()):
        if inspect.isfunction(value) and not name.startswith("_"):
            setattr(cls, name, explained(value))
    return cls


def looking(function):
    "Return `function`, `explained`, which names its first argument if that is no Tensor, or array, or list of indices."
    from tinytorch.vocabulary.methods import Vocabulary  # which imports this module
    name = next(iter(inspect.signature(function).parameters))
    taken = (Vocabulary, np.ndarray, list) if function.__name__ == "embedding" else (Vocabulary, np.ndarray)
    inner = explained(function)

    @functools.wraps(function)
    def call(*args, **options):
        if args and not isinstance(args[0], taken):
            raise TypeError(f"{function.__name__}: {name}: expected a Tensor, got {type(args[0]).__name__}")
        return inner(*args, **options)
    return call
