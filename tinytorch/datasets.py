"""Texts to learn from, fetched once and checked; and token files larger than memory as datasets.

`load(name)` gives a corpus with a held-out part. "python", the source of the standard library, is on every machine;
the others are looked for in the folder TINYTORCH_DATA, then in a cache, then downloaded with pooch (the extra `data`).
"""
import hashlib
import os
import sys
import sysconfig
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinytorch.data import Dataset, as_generator
from tinytorch.tensor import Tensor


class DatasetError(RuntimeError):
    "A text that is not there, or is not what it should be; the message says which file to put where."


class Corpus(NamedTuple):
    "A text to train on, one never to train on, and where both come from."
    train: str
    held_out: str
    source: str


class Source(NamedTuple):
    "Where a text comes from. `sha256` None: unknown here, so it is recorded at the first download."
    filename: str
    url: str
    sha256: str | None
    separator: str = ""  # between documents: a split goes through one of these
    others: tuple = ()  # (filename, sha256) of files that a local folder may have instead


STORIES = "https://huggingface.co/datasets/roneneldan/TinyStories/resolve/main/"
SOURCES = {
    "tinyshakespeare": Source(
        "tinyshakespeare.txt", "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"),
    "tinystories": Source(
        "TinyStories-valid.txt", STORIES + "TinyStories-valid.txt", None, "<|endoftext|>",
        (("tinystories-900.txt", "12befdb6184aa225cfa6fb412702830ca2017903d583a580d79c99c4e282c25b"),)),
    "tinystories-train": Source(
        "TinyStories-train.txt", STORIES + "TinyStories-train.txt", None, "<|endoftext|>"),
}


def load(name, held_out=0.1):
    """The `Corpus` "tinyshakespeare", "tinystories" (Eldan and Li 2023), or "python".

    About the share `held_out` is for measuring only: the end of the text; of "python", whole files here and there.
    Errors: ValueError for another name or share; DatasetError where the text cannot be had, or is damaged.
    """
    if not 0 < held_out < 1:
        raise ValueError(f"load: held_out is a share between 0 and 1, got {held_out}")
    if name == "python":
        return python_source(held_out)
    path = fetch(name)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: expected UTF-8 text ({error}); replace the file") from None
    return Corpus(*split_text(text, held_out, SOURCES[name].separator, path), str(path))


def split_text(text, held_out=0.1, separator="", name="text"):
    "(beginning, end) of a text, the end about the share `held_out`, cut behind a `separator`. ValueError if too short."
    cut = int(len(text) * (1 - held_out))
    if separator:
        found = text.find(separator, cut)
        cut = len(text) if found < 0 else found + len(separator)
    if not text[:cut].strip() or not text[cut:].strip():
        raise ValueError(f"{name}: {len(text)} characters are too few to hold {held_out:.0%} out"
                         f"{f', cut behind a {separator!r}' if separator else ''}; take a longer text")
    return text[:cut], text[cut:]


# ---- files

def fetch(name, progress=True):
    """The path of a text of `SOURCES`: in the folder TINYTORCH_DATA, in the cache (TINYTORCH_CACHE), or downloaded.

    Errors: ValueError for another name; DatasetError where it cannot be had, or is damaged.
    """
    if name not in SOURCES:
        raise ValueError(f"load: got {name!r}, expected one of {', '.join(map(repr, ['python', *SOURCES]))}")
    return local_file(SOURCES[name]) or downloaded(name, SOURCES[name], progress)


def local_file(source):
    "The path in TINYTORCH_DATA, or None. DatasetError where a known file has other bytes than it should."
    folder = os.environ.get("TINYTORCH_DATA")
    for filename, sha256 in [(source.filename, source.sha256), *source.others] if folder else []:
        path = Path(folder).expanduser() / filename
        if path.is_file():
            if sha256 not in (None, digest(path)):
                raise DatasetError(f"{path}: sha256 {digest(path)[:16]}..., expected {sha256[:16]}...; the file is "
                                   f"damaged or another one: download {source.url}, or rename what is there")
            return path
    return None


def downloaded(name, source, progress):
    "The path in the cache, downloaded if it is not there or damaged."
    by_hand = f"download {source.url} as {source.filename} into a folder, and set TINYTORCH_DATA to that folder"
    try:
        import pooch
    except ImportError:
        raise DatasetError(f"{name} is not on this machine; {by_hand}; or pip install 'tinytorch[data]', which "
                           "downloads it") from None
    cache = Path(os.environ.get("TINYTORCH_CACHE") or pooch.os_cache("tinytorch"))
    record = cache / f"{source.filename}.sha256"
    expected = source.sha256 or (record.read_text().strip() if record.exists() else None)
    pooch.get_logger().setLevel("WARNING")
    try:
        path = Path(pooch.retrieve(source.url, expected, source.filename, cache, progressbar=progress))
    except ValueError as error:
        hint = f"; if a new version was published, delete {record}" if source.sha256 is None else ""
        raise DatasetError(f"{name}: {source.url} sends another sha256 than expected{hint} ({error})") from error
    except OSError as error:
        there = cache / source.filename
        state = f"{there} is damaged and cannot be downloaded again" if there.exists() else "it cannot be downloaded"
        raise DatasetError(f"{name}: {state} ({type(error).__name__}); {by_hand}") from error
    if expected is None:
        record.write_text(digest(path) + "\n")
        print(f"{name}: no sha256 of {source.url} is known here; that of this first download was recorded in {record}",
              file=sys.stderr)
    return path


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ---- Python's own source

PYTHON_CHARACTERS = 4_000_000
LEFT_OUT = {"test", "tests", "idle_test", "idlelib", "lib2to3", "turtledemo", "site-packages", "dist-packages",
            "__pycache__", "encodings", "pydoc_data"}  # other people's packages, tests, and tables of numbers


def python_source(held_out=0.1, characters=PYTHON_CHARACTERS):
    """Whole files of the standard library, plain ASCII, until they have about that many characters.

    A hash of their paths decides which come first and which are held out: the same on every machine with this version
    of Python.
    """
    folder = Path(sysconfig.get_paths()["stdlib"])
    ranked = sorted((hashlib.sha256(name.encode()).hexdigest(), name) for name in python_files(folder))
    train, kept_out, total = [], [], 0
    for rank, name in ranked:
        text = (folder / name).read_bytes().decode("latin-1")
        if total < characters and len(text) > 500 and all("\n" == c or " " <= c <= "~" for c in set(text)):
            (kept_out if int(rank[-8:], 16) < held_out * 2**32 else train).append(text)
            total += len(text)
    if not train or not kept_out:
        raise DatasetError(f"python: {folder} holds the source of {len(train) + len(kept_out)} modules, too few; use a "
                           "Python whose standard library comes as .py files, or another text")
    return Corpus("\n".join(train), "\n".join(kept_out), f"{folder}: {len(train)} files, {len(kept_out)} held out")


def python_files(folder):
    "The names, relative to `folder`, of all .py files in it that are not LEFT_OUT."
    for path, subfolders, files in os.walk(folder):
        subfolders[:] = [name for name in subfolders if name not in LEFT_OUT]
        yield from (Path(path, name).relative_to(folder).as_posix() for name in files if name.endswith(".py"))


# ---- tokens on disk

def write_tokens(path, ids, dtype=np.uint16, chunk=1 << 20):
    """Write `ids`, any iterable of integers such as `tokenizer.encode_iterable(file)`, to a file; returns how many.

    The file holds nothing but the numbers, and appears only when all are written. Memory: one chunk.
    Error: ValueError for an id that `dtype` cannot hold, or no ids at all.
    """
    unfinished, ids, count = Path(f"{path}.unfinished"), iter(ids), 0
    try:
        with open(unfinished, "wb") as file:
            while (part := np.fromiter(islice(ids, chunk), np.int64)).size:
                if part.min() < 0 or part.max() > np.iinfo(dtype).max:
                    raise ValueError(f"write_tokens: ids from {part.min()} to {part.max()} do not fit into "
                                     f"{np.dtype(dtype)}; use dtype=np.uint32, here and in TokenDataset")
                part.astype(dtype).tofile(file)
                count += len(part)
        if not count:
            raise ValueError(f"write_tokens: no ids to write to {path}; is the text empty?")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


class TokenDataset(Dataset):
    """Windows of a long row of tokens: example i is (inputs, targets), `context` ids each, targets one place later.

    tokens: an array or list, or the path of a file of `write_tokens`, which stays on disk: only windows that are
    asked for are read. stride: from the start of one window to that of the next; 1 for training, `context` for
    measuring, where each token then counts once. Errors: ValueError for fewer than context + 1 tokens, or a file
    that is no row of `dtype`.
    """
    def __init__(self, tokens, context, stride=1, dtype=np.uint16):
        if context < 1 or stride < 1:
            raise ValueError(f"TokenDataset: context and stride must be at least 1, got {context} and {stride}")
        on_disk = isinstance(tokens, (str, os.PathLike))
        self.tokens = token_file(tokens, dtype) if on_disk else np.asarray(tokens)
        if self.tokens.ndim != 1 or len(self.tokens) <= context:
            raise ValueError(f"TokenDataset: got tokens of shape {self.tokens.shape}, expected one row of at least "
                             f"context + 1 = {context + 1}; take a longer text or a shorter context")
        self.context, self.stride = context, stride

    def __len__(self):
        return (len(self.tokens) - self.context - 1) // self.stride + 1

    def __getitem__(self, index):
        if not -len(self) <= index < len(self):
            raise IndexError(f"TokenDataset: window {index} of {len(self)}")
        inputs, targets = self.batch(np.array([index % len(self)]))
        return inputs[0], targets[0]

    def batch(self, indices):
        "Windows (B, context) and the same one token later."
        starts = np.asarray(indices)[:, None] * self.stride
        windows = self.tokens[starts + np.arange(self.context + 1)].astype(np.int64)
        return Tensor.wrap(windows[:, :-1]), Tensor.wrap(windows[:, 1:])


def token_file(path, dtype):
    "The tokens in a file, mapped and not read. ValueError for a file of another kind."
    size, width = Path(path).stat().st_size, np.dtype(dtype).itemsize
    if size == 0 or size % width:
        raise ValueError(f"{path}: {size} bytes are no row of {np.dtype(dtype)}; write it again with write_tokens")
    return np.memmap(path, dtype, mode="r")


class RandomBatches:
    """`batches` batches an epoch of examples drawn with replacement: a loader for datasets too long to shuffle.

    generator: np.random.Generator or a seed; None is the library's. Like a DataLoader's, a pass can be continued.
    """
    def __init__(self, dataset, batch_size, batches, generator=None):
        if batch_size < 1 or batches < 1:
            raise ValueError(f"RandomBatches: batch_size and batches must be at least 1, got {batch_size}, {batches}")
        self.dataset, self.batch_size, self.batches = dataset, batch_size, batches
        self.generator, self.dealt = None if generator is None else as_generator(generator), 0

    def __len__(self):
        return self.batches

    def __iter__(self):
        dealt, self.dealt = self.dealt, 0
        return RandomPass(self, dealt)

    def load_state_dict(self, saved):
        "The next `for` over this loader is the rest of the pass that gave `saved`. ValueError if it does not fit."
        if (saved["generator"] is None) != (self.generator is None) or not 0 <= saved["dealt"] <= self.batches:
            raise ValueError(f"RandomBatches.load_state_dict: {saved} is no state of {self.batches} batches with"
                             f"{'out' if self.generator is None else ''} a generator of its own")
        if self.generator is not None:
            self.generator.bit_generator.state = saved["generator"]
        self.dealt = saved["dealt"]


class RandomPass:
    "One pass over RandomBatches, which knows where it is."
    def __init__(self, loader, dealt):
        self.loader, self.dealt = loader, dealt

    def __iter__(self):
        return self

    def __next__(self):
        if self.dealt == self.loader.batches:
            raise StopIteration
        self.dealt += 1
        indices = as_generator(self.loader.generator).integers(0, len(self.loader.dataset), self.loader.batch_size)
        return self.loader.dataset.batch(indices)

    def state_dict(self):
        own = self.loader.generator
        return {"dealt": self.dealt, "generator": None if own is None else own.bit_generator.state}
