"""Texts and images to learn from, fetched once and checked; and token files larger than memory as datasets.

What is not on every machine is looked for in the folder TINYTORCH_DATA, then in a cache, then downloaded with pooch.
"""
import gzip
import hashlib
import os
import sys
import sysconfig
import tarfile
import zlib
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinytorch.data import DataLoader, Dataset, as_generator, get_batch
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
    path = fetch(name)
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


# ---- files
def fetch(name, progress=True):
    """Return the path of a file of the sources: in TINYTORCH_DATA, in the cache (TINYTORCH_CACHE), or downloaded.
    Raises: KeyError for another name; DatasetError where it cannot be had, or is damaged."""
    source = SOURCES.get(name) or IMAGE_SOURCES[name]
    return local_file(source) or downloaded(name, source, progress)


def local_file(source):
    "Return the path in TINYTORCH_DATA, or None. Raises: DatasetError where a file has other bytes than it should."
    folder = os.environ.get("TINYTORCH_DATA")
    for filename, sha256 in [(source.filename, source.sha256), *source.others] if folder else []:
        path = Path(folder).expanduser() / filename
        if path.is_file():
            if sha256 not in (None, digest(path)):
                raise DatasetError(f"{path}: sha256 {digest(path)[:16]}..., expected {sha256[:16]}...; the file is "
                                   f"damaged or another one: download {source.url}")
            return path
    return None


def downloaded(name, source, progress):
    "Return the path in the cache, after a download if it is not there or damaged. Raises: DatasetError."
    by_hand = f"download {source.url} as {source.filename} into a folder, and set TINYTORCH_DATA to that folder"
    try:
        import pooch
    except ImportError:
        raise DatasetError(f"{name} is not here; {by_hand}; or pip install pooch tqdm, and it is downloaded") from None
    cache = Path(os.environ.get("TINYTORCH_CACHE") or pooch.os_cache("tinytorch"))
    record = cache / f"{source.filename}.sha256"
    expected = source.sha256 or (record.read_text().strip() if record.exists() else None)
    path, hint = cache / source.filename, "" if source.sha256 else f"; if a new version was published, delete {record}"
    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(source.url, expected, source.filename, cache, progressbar=progress)
    except ValueError as error:
        raise DatasetError(f"{name}: {source.url} sends another sha256 than expected{hint} ({error})") from error
    except OSError as error:
        state = f"{path} is damaged and cannot be downloaded again" if path.exists() else "it cannot be downloaded"
        raise DatasetError(f"{name}: {state} ({type(error).__name__}); {by_hand}") from error
    if expected is None:
        record.write_text(digest(path) + "\n")
        print(f"{name}: no sha256 is known here; that of this first download is recorded in {record}", file=sys.stderr)
    return path


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


# ---- images
DIGITS = tuple("0123456789")
MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
IMAGE_SOURCES = {
    f"mnist {part}": Source(f"{filename}.gz", f"{MNIST}{filename}.gz", sha256, others=((filename, None),))
    for part, filename, sha256 in [
        ("train images", "train-images-idx3-ubyte", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        ("train labels", "train-labels-idx1-ubyte", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        ("test images", "t10k-images-idx3-ubyte", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        ("test labels", "t10k-labels-idx1-ubyte", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ]} | {
    "cifar10": Source(
        "cifar-10-binary.tar.gz", "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd")}


class Images(NamedTuple):
    "Images (N, C, H, W) of float32 from 0 to 1 with labels (N,) of int64; `test` is never to be trained on."
    train: tuple
    test: tuple
    classes: tuple  # the name of each label
    source: str


def load_images(name, seed=0):
    """Return the `Images` "digits" (1,797 of 8 x 8), "mnist" (70,000 of 28 x 28) or "cifar10" (60,000 of 32 x 32).
    MNIST (LeCun et al. 1998) and CIFAR-10 (Krizhevsky 2009) have test sets of 10,000; of "digits", `seed` decides which
    fifth is held out. Raises: ValueError for another name; DatasetError where they cannot be had."""
    loaders = {"digits": digits, "mnist": mnist, "cifar10": cifar10}
    if name not in loaders:
        raise ValueError(f"load_images: got {name!r}, expected one of {', '.join(map(repr, loaders))}")
    return loaders[name](seed)


def digits(seed):
    "Return the handwritten digits (Alpaydin and Kaynak 1998) of scikit-learn: nothing is downloaded."
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise DatasetError("digits: they come with scikit-learn; pip install scikit-learn") from None
    found = load_digits()
    images = (found.images / 16).astype(np.float32)[:, None]  # (1797, 1, 8, 8)
    order = np.random.default_rng(seed).permutation(len(images))
    test, train = np.split(order, [len(order) // 5 + 1])  # 360 and 1437
    return Images((images[train], found.target[train]), (images[test], found.target[test]), DIGITS, "scikit-learn")


def mnist(_):
    "Read four files in the idx format."
    pairs = []
    for part in ("train", "test"):
        path = fetch(f"mnist {part} images")
        images, labels = idx(path), idx(fetch(f"mnist {part} labels"))
        if images.ndim != 3 or labels.shape != images.shape[:1] or labels.max(initial=0) > 9:
            raise DatasetError(f"{path}: expected images (N, H, W) and as many labels of 0 to 9, "
                               f"got {images.shape} and {labels.shape}; replace both files")
        pairs.append(labelled(images[:, None], labels))
    return Images(*pairs, DIGITS, str(path.parent))


def idx(path):
    "Return the array in an idx file, gzipped or not: 0, 0, 8 (unsigned bytes), how many dims, their sizes, all."
    content = path.read_bytes()
    try:
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path}: damaged ({error}); replace the file") from None
    start = 4 + 4 * content[3] if len(content) > 3 else 4
    sizes = np.frombuffer(content[4:start], ">u4") if len(content) >= start else []
    if content[:3] != b"\0\0\x08" or len(content) - start != np.prod(sizes, dtype=np.int64):
        raise DatasetError(f"{path}: expected an idx file of unsigned bytes; replace the file")
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes)


def cifar10(_):
    "Read the binary version (pickles could run whatever they hold): rows of a label and 3 x 32 x 32 bytes."
    path = fetch("cifar10")
    try:
        with tarfile.open(path) as archive:
            files = {Path(file.name).name: archive.extractfile(file).read() for file in archive if file.isfile()}
        batches = [np.frombuffer(files[f"{name}.bin"], np.uint8).reshape(-1, 3073)
                   for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")]
        names = tuple(files["batches.meta.txt"].decode().split())
    except (tarfile.TarError, OSError, EOFError, zlib.error, KeyError, ValueError) as error:
        raise DatasetError(f"{path}: expected CIFAR-10's binary version ({error}); replace the file") from None
    train, test = np.concatenate(batches[:5]), batches[5]
    pairs = [labelled(rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0]) for rows in (train, test)]
    return Images(*pairs, names, str(path))


def labelled(images, labels):
    "Return the pair with bytes from 0 to 255 as float32 from 0 to 1, and labels as int64."
    return np.multiply(images, 1 / 255, dtype=np.float32), labels.astype(np.int64)


# ---- tokens on disk
def write_tokens(path, ids, dtype=np.uint16, chunk=1 << 20):
    """Write `ids`, any iterable of integers such as `tokenizer.encode_iterable(file)`, to a file; return how many.
    The file holds nothing but the numbers, and appears only when all are written. Memory: one chunk.
    Raises: ValueError for an id that `dtype` cannot hold, or no ids at all."""
    unfinished, ids, count = Path(f"{path}.unfinished"), iter(ids), 0
    try:
        with open(unfinished, "wb") as file:
            while (part := np.fromiter(islice(ids, chunk), np.int64)).size:
                if part.min() < 0 or part.max() > np.iinfo(dtype).max:
                    raise ValueError(f"write_tokens: ids from {part.min()} to {part.max()} do not fit into "
                                     f"{np.dtype(dtype)}; use dtype=np.uint32, here and in TokenDataset")
                file.write(part.astype(dtype))  # where `tofile` loses the error of a full disk
                count += len(part)
        if not count:
            raise ValueError(f"write_tokens: no ids to write to {path}; is the text empty?")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


class TokenDataset(Dataset):
    """Cut a long row of tokens into windows: example i is (inputs, targets), `context` ids each, the targets one later.
    tokens: an array or list, or the path of a file of `write_tokens`, which stays on disk: only windows that are asked
    for are read. stride: from one window to the next; 1 for training, `context` for measuring, where each token then
    counts once. Raises: ValueError for fewer than context + 1 tokens, or a file that is no row of `dtype`."""
    def __init__(self, tokens, context, stride=1, dtype=np.uint16):
        if context < 1 or stride < 1:
            raise ValueError(f"TokenDataset: context and stride must be at least 1, got {context} and {stride}")
        if isinstance(tokens, (str, os.PathLike)):
            size = os.path.getsize(tokens)
            if size == 0 or size % np.dtype(dtype).itemsize:
                raise ValueError(f"{tokens}: {size} bytes are no row of {np.dtype(dtype)}; write it with write_tokens")
            tokens = np.memmap(tokens, dtype, mode="r")
        self.tokens = np.asarray(tokens)
        if self.tokens.ndim != 1 or len(self.tokens) <= context:
            raise ValueError(f"TokenDataset: got tokens of shape {self.tokens.shape}, expected one row of at least "
                             f"context + 1 = {context + 1}; take a longer text or a shorter context")
        self.context, self.stride = context, stride
    def __len__(self): return (len(self.tokens) - self.context - 1) // self.stride + 1
    def __getitem__(self, index):
        if not -len(self) <= index < len(self):
            raise IndexError(f"TokenDataset: window {index} of {len(self)}")
        inputs, targets = self._windows(np.array([index % len(self)]))
        return inputs[0], targets[0]
    def batch(self, indices):
        "Return windows (B, context) and the same one token later; a subclass's own `__getitem__` is asked for each."
        if type(self).__getitem__ is not TokenDataset.__getitem__:
            return super().batch(indices)
        return self._windows(indices)
    def _windows(self, indices):
        starts = np.asarray(indices)[:, None] * self.stride
        windows = self.tokens[starts + np.arange(self.context + 1)].astype(np.int64)
        return Tensor.wrap(windows[:, :-1]), Tensor.wrap(windows[:, 1:])


class RandomExamples(Dataset):
    "Stand for `count` examples of `dataset`, drawn from `generator` with replacement whenever a batch is asked for."
    def __init__(self, dataset, count, generator):
        if count < 1:
            raise ValueError("RandomBatches: batch_size and batches must be at least 1")
        self.dataset, self.count, self.generator = dataset, count, generator
    def __len__(self): return self.count
    def batch(self, indices):
        return get_batch(self.dataset, as_generator(self.generator).integers(0, len(self.dataset), len(indices)))


class RandomBatches(DataLoader):
    """Draw `batches` batches an epoch, of examples with replacement: a loader for datasets too long to shuffle.
    generator: np.random.Generator or a seed; None is the library's. A pass can be continued, as a DataLoader's."""
    def __init__(self, dataset, batch_size, batches, generator=None):
        generator = None if generator is None else as_generator(generator)
        super().__init__(RandomExamples(dataset, batch_size * batches, generator), batch_size, generator=generator)
