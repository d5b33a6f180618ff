"""Texts to learn from, with an end that is never trained on: Shakespeare, little stories, Python's own source."""
import hashlib
import os
import sysconfig
from pathlib import Path
from typing import NamedTuple

from sources import DatasetError, Source, fetch


class Corpus(NamedTuple):
    "A text to train on, one never to train on, and where both come from."
    train: str
    held_out: str
    source: str


STORIES = "https://huggingface.co/datasets/roneneldan/TinyStories/resolve/main/"
SOURCES = {
    "tinyshakespeare": Source(
        "tinyshakespeare.txt", "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"),
    "tinystories": Source(
        "TinyStories-valid.txt", STORIES + "TinyStories-valid.txt", None, "<|endoftext|>",
        (("tinystories-900.txt", "12befdb6184aa225cfa6fb412702830ca2017903d583a580d79c99c4e282c25b"),)),
    "tinystories-train": Source("TinyStories-train.txt", STORIES + "TinyStories-train.txt", None, "<|endoftext|>"),
}


def load(name, held_out=0.1):
    """Return the `Corpus` "tinyshakespeare", "tinystories" (Eldan and Li 2023), or "python".
    About the share `held_out` is for measuring only: the end of the text; of "python", whole files here and there.
    Raises: ValueError for another name or share; DatasetError where the text cannot be had, or is damaged."""
    if not 0 < held_out < 1:
        raise ValueError(f"load: held_out is a share between 0 and 1, got {held_out}")
    if name == "python":
        return python_source(held_out)
    if name not in SOURCES:
        raise ValueError(f"load: got {name!r}, expected one of {', '.join(map(repr, ['python', *SOURCES]))}")
    path = fetch(name, SOURCES[name])
    try:
        return Corpus(*split_text(path.read_text("utf-8-sig"), held_out, SOURCES[name].separator, path), str(path))
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: expected UTF-8 text ({error}); replace the file") from None


def split_text(text, held_out=0.1, separator="", name="text"):
    "Return (beginning, end), the end about the share `held_out`, cut behind a `separator`. Raises: ValueError."
    cut = int(len(text) * (1 - held_out))
    if separator:
        found = text.find(separator, cut)
        cut = len(text) if found < 0 else found + len(separator)
    if not text[:cut].strip() or not text[cut:].strip():
        raise ValueError(f"{name}: {len(text)} characters are too few to hold {held_out:.0%} out; take a longer text")
    return text[:cut], text[cut:]


# ---- Python's own source
LEFT_OUT = {"test", "tests", "idle_test", "idlelib", "lib2to3", "turtledemo", "site-packages", "dist-packages",
            "__pycache__", "encodings", "pydoc_data"}  # other people's packages, tests, and tables of numbers


def python_source(held_out=0.1, characters=4_000_000):
    """Return the `Corpus` of whole files of the standard library, plain ASCII, with about that many characters.
    A hash of their paths decides which come first and which are held out: the same for each version of Python."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    names = []
    for path, subfolders, files in os.walk(folder):
        subfolders[:] = [name for name in subfolders if name not in LEFT_OUT]
        names += [Path(path, name).relative_to(folder).as_posix() for name in files if name.endswith(".py")]
    ranked = sorted((hashlib.sha256(name.encode()).hexdigest(), name) for name in names)
    train, kept_out, total = [], [], 0
    for rank, name in ranked:
        text = (folder / name).read_bytes().decode("latin-1")
        if total < characters and len(text) > 500 and all("\n" == c or " " <= c <= "~" for c in set(text)):
            (kept_out if int(rank[-8:], 16) < held_out * 2**32 else train).append(text)
            total += len(text)
    if not train or not kept_out:
        raise DatasetError(f"python: {folder} holds the source of {len(train) + len(kept_out)} modules; take another")
    return Corpus("\n".join(train), "\n".join(kept_out), f"{folder}: {len(train)} files, {len(kept_out)} held out")
