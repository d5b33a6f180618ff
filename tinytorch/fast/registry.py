"""The forms of an operation, and the switch between them."""
import importlib.util
import os
import sys
from importlib import metadata

import numpy as np

from tinytorch.dispatch import chosen
from tinytorch.threads import blas

LEVELS = ("plain", "numpy", "compiled", "mkl")
SWITCH = "TINYTORCH_FAST"  # the environment variable: the level at the start
OVER_STUDENT = "TINYTORCH_FAST_STUDENT"  # 1: fast forms also stand in for what a student exported

registry = {}  # {plain class or function: {level: form}}
current = {"level": "plain"}


def implements(operation, level):
    """Register a class, or a function, as the form of `operation` at `level`, one of `LEVELS` but "plain".

    A class must be a subclass that overrides `forward` and `backward` together.
    Raises: ValueError for another level, TypeError for a class that is no subclass or overrides only one half.
    """
    if level not in LEVELS[1:]:
        raise ValueError(f"implements: level is {level!r}, expected one of {LEVELS[1:]}")

    def register(form):
        if isinstance(operation, type):
            if not (isinstance(form, type) and issubclass(form, operation)):
                raise TypeError(f"implements: expected a subclass of {operation.__name__}, got {form!r}")
            if definer(form, "forward") is not definer(form, "backward"):
                raise TypeError(f"implements: {form.__name__} must override both halves, forward and backward")
            form.plain = operation
        registry.setdefault(operation, {})[level] = form
        return form
    return register


def definer(form, half):
    "Return the class that defines a half of `form`."
    return next(base for base in form.__mro__ if half in vars(base))


def missing(level):
    "Return what to install for `level`, in words; None where it is there."
    if level in ("compiled", "mkl") and importlib.util.find_spec("numba") is None:
        return "numba; pip install numba"
    if level == "mkl":
        from tinytorch.fast import mkl  # which imports this module
        return None if mkl.path() else "MKL; pip install mkl (x86-64, Linux or Windows; about 1 GB)"
    return None


def best_level(asked=None):
    """Return the fastest level that is installed, of those up to `asked`. Unasked, MKL is taken on processors of its
    maker alone: on others it is slower than what NumPy has."""
    from tinytorch.fast import mkl
    levels = LEVELS[:LEVELS.index(asked) + 1] if asked else LEVELS if mkl.path() and mkl.is_home() else LEVELS[:-1]
    return next(level for level in levels[::-1] if missing(level) is None)


class use:
    """Switch to the forms of `level`: "plain", "numpy", "compiled" or "mkl", each with those before where it has none.

    As a call, `use("plain")`, from now on; as `with use("plain"):`, until the block ends. For the whole process.
    Raises: ValueError for another level, ImportError for "compiled" without numba, for "mkl" without that or MKL.
    """
    def __init__(self, level):
        if level not in LEVELS:
            raise ValueError(f"fast.use: level is {level!r}, expected one of {LEVELS}")
        if missing(level):
            raise ImportError(f'fast.use: "{level}" needs {missing(level)}, or use "{best_level(level)}"')
        self.before = current["level"]
        switch(level)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        switch(self.before)


def switch(level):
    if level == "mkl":
        from tinytorch.fast import mkl
        mkl.sgemm()  # loaded now, so that its threads are limited from the first step on
    current["level"] = level
    chosen.clear()
    for operation, forms in registry.items():
        allowed = [forms[name] for name in LEVELS[1:LEVELS.index(level) + 1] if name in forms]
        if allowed and not is_students(operation):
            chosen[operation] = allowed[-1]


def is_students(operation):
    "Return whether `operation` comes from a file that a student exported, which nothing replaces unasked."
    spec = getattr(sys.modules.get(operation.__module__), "__spec__", None)
    return getattr(spec and spec.loader, "of_student", False) and os.environ.get(OVER_STUDENT) != "1"


def start():
    "Switch to the level that the environment asks for, if it is installed, or else to the best that is."
    asked = os.environ.get(SWITCH) or None
    use(best_level(asked) if asked in (None, "compiled", "mkl") else asked)


def status():
    """Return what runs, as a dict.

    `level`; `installed`, the best level there is; `forms`, the name of each operation that is replaced with that of its
    form; `numba`, its version or None; `problem`, why it does not work, or None; `cache`, the folder of the machine
    code or None; `loading`, seconds for importing numba, or None; `compiling`, seconds for each loop not in the cache;
    `blas`, the libraries of matrix products and their threads, as threadpoolctl finds them, or why it does not.
    """
    from tinytorch.fast.compiling import Numba, cache_folder  # which imports this module
    forms = {operation.__name__: form.__name__ for operation, form in chosen.items()}
    compiled = current["level"] in ("compiled", "mkl")
    return {"level": current["level"], "installed": best_level(), "forms": dict(sorted(forms.items())),
            "numba": metadata.version("numba") if missing("compiled") is None else None, "problem": Numba.problem,
            "cache": cache_folder() if compiled else None, "loading": Numba.loading,
            "compiling": dict(Numba.compiling), "blas": found_blas()}


def found_blas():
    "Return in words which libraries of matrix products there are, and how many threads each has."
    if blas() is None:
        return "unknown: threadpoolctl is not installed, so its threads cannot be limited, and no threads share a step"
    found = [f"{library.internal_api} {library.version or ''}, threads: {library.num_threads}"
             for library in blas().lib_controllers]
    return "; ".join(found) or f"{numpys_blas()}, whose threads cannot be limited"


def numpys_blas():
    "Return the name of NumPy's own library of products, such as accelerate."
    return np.show_config(mode="dicts")["Build Dependencies"]["blas"].get("name", "unknown")
