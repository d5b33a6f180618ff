"""Set-ups that strangers ask about, rebuilt small: each has one fault, or is healthy although it looks odd.

The kinds are those of public questions (forums, issue threads, lists of common mistakes); code and words are our own. A
case is a function of a seed's generator that returns the keyword arguments of `diagnose`. What may be named first was
written down before any check was changed. `half_of` splits the corpus: thresholds may be chosen on one half only. Later
a third part was written, "fresh", and then a fourth, "habits", each before a check was changed again.
"""

import importlib
import zlib
from dataclasses import dataclass
from collections.abc import Callable

import numpy as np

CASES = {}


@dataclass(frozen=True)
class Case:
    "One set-up: `accepted` are the names of findings that are right as the first; none for what is healthy."

    name: str
    build: Callable
    accepted: tuple
    trained: bool = False

    @property
    def half(self):
        module = self.build.__module__.rpartition(".")[2]
        return module if module == "habits" else "fresh" if module.startswith("fresh_") else half_of(self.name)

    @property
    def told(self):
        return self.build.__doc__


def half_of(name):
    'Return "tune" or "unseen", by the checksum of the name: nobody chooses.'
    return "unseen" if zlib.crc32(name.encode()) % 2 else "tune"


def fault(*accepted):
    def register(build):
        CASES[build.__name__] = Case(build.__name__, build, accepted)
        return build

    return register


def healthy(build=None, trained=False):
    if build is None:
        return lambda build: healthy(build, trained)
    CASES[build.__name__] = Case(build.__name__, build, (), trained)
    return build


def load_cases(half="all"):
    "Return the cases of a half, or of all parts, by name."
    for part in ("faulty", "sound", "fresh_faulty", "fresh_sound", "habits"):
        importlib.import_module(f"tests.diagnosis_corpus.{part}")
    return {name: case for name, case in CASES.items() if half in ("all", case.half)}


def build(case, seed):
    from tests.diagnosis_corpus.framework import torch

    torch.manual_seed(seed)
    return case.build(np.random.default_rng(seed))
