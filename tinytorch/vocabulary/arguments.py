"""Arguments of the wrong kind are named."""
import functools
import inspect

import numpy as np

from tinytorch.vocabulary.methods import Vocabulary


def looking(function):
    "Return `function`, which names its first argument if that is no Tensor (or array, or list of indices)."
    name = next(iter(inspect.signature(function).parameters))
    taken = (Vocabulary, np.ndarray, list) if function.__name__ == "embedding" else (Vocabulary, np.ndarray)

    @functools.wraps(function)
    def call(*args, **options):
        if args and not isinstance(args[0], taken):
            raise TypeError(f"{function.__name__}: {name}: expected a Tensor, got {type(args[0]).__name__}")
        return function(*args, **options)
    return call
