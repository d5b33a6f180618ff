"""A recipe: all that a capstone submission says of its model, as data. Nothing in it is code, so nothing of it runs."""

import json
import os
import stat
from pathlib import Path
from typing import NamedTuple

from tito.project import TitoError


class Limits(NamedTuple):
    """What a submission may use: CPU seconds of training, bytes of the model's file, of the text, and of memory."""

    seconds: float = 1200.0  # ten minutes on two cores
    model_bytes: int = 8_000_000
    text_bytes: int = 64_000_000
    memory: int = 4 << 30


USUAL = Limits()


class Range(NamedTuple):
    """Numbers that are allowed, of one type; `default` where the recipe says nothing, None if it has to."""

    kind: type
    low: float
    high: float
    default: float | None = None


class Words(NamedTuple):
    """Words that are allowed, the default first."""

    words: tuple


RECIPE = {
    "steps": Range(int, 1, 1_000_000), "batch": Range(int, 1, 1024, 16), "learning_rate": Range(float, 1e-6, 1.0, 3e-3),
    "weight_decay": Range(float, 0.0, 1.0, 0.1), "warmup": Range(int, 0, 100_000, 20),
    "seed": Range(int, 0, 2**31 - 1, 0), "bits": Words((32, 8, 4)), "d_model": Range(int, 4, 2048),
    "num_layers": Range(int, 1, 64), "num_heads": Range(int, 1, 64, 1), "context": Range(int, 8, 2048, 64),
    "dropout": Range(float, 0.0, 0.9, 0.0), "activation": Words(("gelu", "relu", "relu_squared", "swiglu")),
    "norm": Words(("layer_norm", "rms_norm")), "positions": Words(("learned", "sinusoidal", "rotary")),
}  # fmt: skip
MODEL = ("d_model", "num_layers", "num_heads", "context", "dropout", "activation", "norm", "positions")
LONGEST_NAME, LONGEST_RECIPE = 60, 10_000
WORDS = 8  # in a row that hardly stand in two texts by chance
REFERENCES = {  # the frontier: what a plain choice gets for little, some, more, and three quarters of the budget
    "reference: tiny": {"d_model": 32, "num_layers": 2, "num_heads": 2, "steps": 300, "learning_rate": 1e-2},
    "reference: small": {"d_model": 96, "num_layers": 3, "num_heads": 4, "steps": 600, "learning_rate": 5e-3},
    "reference: base": {"d_model": 160, "num_layers": 4, "num_heads": 4, "steps": 1500, "bits": 8},
    "reference: large": {
        "d_model": 192, "num_layers": 4, "num_heads": 6, "context": 128, "steps": 2300, "warmup": 100, "dropout": 0.1,
        "activation": "swiglu", "norm": "rms_norm", "positions": "rotary", "bits": 8,
    },
}


def reference(name: str, seed: int = 0) -> dict:
    """The recipe of one of REFERENCES, from a seed."""
    return checked({"name": name + f", seed {seed}" * bool(seed), "seed": seed} | REFERENCES[name])


def checked(given: dict, name: str = "recipe") -> dict:
    """The recipe with all its entries. Raises TitoError for an unknown entry, a wrong type, a number out of range."""
    if not isinstance(given, dict):
        raise TitoError(f"{name}: expected an object of names and values, got {type(given).__name__}")
    unknown = [key for key in given if key not in RECIPE and key != "name"]
    if unknown:
        raise TitoError(f"{name}: unknown entry {unknown[0]!r:.60}; a recipe may say {', '.join(['name', *RECIPE])}")
    label = given.get("name", "")
    if not isinstance(label, str) or not 1 <= len(label) <= LONGEST_NAME or not label.isprintable():
        raise TitoError(f"{name}: name: expected 1 to {LONGEST_NAME} printable characters, got {label!r:.80}")
    found = {"name": label} | {key: entry(name, key, given.get(key)) for key in RECIPE}
    if found["d_model"] % found["num_heads"]:
        raise TitoError(f"{name}: d_model {found['d_model']} is no multiple of num_heads {found['num_heads']}")
    return found


def entry(name: str, key: str, value):
    """The value of one entry, or its default. Raises TitoError."""
    allowed = RECIPE[key]
    if isinstance(allowed, Words):
        value = allowed.words[0] if value is None else value
        if value not in allowed.words or isinstance(value, bool):
            raise TitoError(f"{name}: {key}: expected one of {', '.join(map(str, allowed.words))}, got {value!r:.60}")
        return value
    value = allowed.default if value is None else value
    kinds = (int, float) if allowed.kind is float else (int,)
    if isinstance(value, bool) or not isinstance(value, kinds) or not allowed.low <= value <= allowed.high:
        raise TitoError(f"{name}: {key}: expected {'a number' if allowed.kind is float else 'a whole number'} from "
                        f"{allowed.low:g} to {allowed.high:g}, got {value!r:.60}")  # fmt: skip
    return allowed.kind(value)


def read_recipe(path: Path) -> dict:
    """The recipe in a file. Raises TitoError where it is none."""
    try:
        return checked(json.loads(own_bytes(path, LONGEST_RECIPE).decode()), path.name)
    except ValueError as error:
        raise TitoError(f"{path}: expected a recipe in JSON: {error}") from None


def own_bytes(path: Path, most: int) -> bytes:
    """The content of a regular file of at most so many bytes. Raises TitoError for a link, a folder, a larger one."""
    try:
        kind = os.lstat(path).st_mode
        content = open(path, "rb").read(most + 1) if stat.S_ISREG(kind) else None
    except OSError as error:
        raise TitoError(f"{path}: {error.strerror}") from None
    if content is None:
        raise TitoError(f"{path}: expected a file of its own, not a link, a folder or a device")
    if len(content) > most:
        raise TitoError(f"{path}: larger than the {most:,} bytes that are allowed")
    return content
