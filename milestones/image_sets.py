"""Images to learn from, with a test set that is never trained on: digits of scikit-learn, MNIST, CIFAR-10."""
import gzip
import tarfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sources import DatasetError, Source, fetch

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


def image_file(name): return fetch(name, IMAGE_SOURCES[name])


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
        path = image_file(f"mnist {part} images")
        images, labels = idx(path), idx(image_file(f"mnist {part} labels"))
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
    path = image_file("cifar10")
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
