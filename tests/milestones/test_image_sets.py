"""Images: what is in the files of MNIST and CIFAR-10, what an error says, and images changed a little.

The files here are small, and written in the real formats; the real ones are read where TINYTORCH_DATA has them.
"""
import gzip
import hashlib
import io
import os
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "milestones"))

import image_sets  # noqa: E402
from augmentation import flipped, shifted, warped  # noqa: E402
from image_sets import IMAGE_SOURCES, load_images  # noqa: E402
from sources import DatasetError, local_file  # noqa: E402

GIVEN = os.environ.get("TINYTORCH_DATA")
RNG = np.random.default_rng(0)
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@pytest.fixture
def folder(monkeypatch, tmp_path):
    "An empty folder, with TINYTORCH_DATA pointing at it, and an empty cache; any content is accepted."
    monkeypatch.setenv("TINYTORCH_DATA", str(tmp_path))
    monkeypatch.setenv("TINYTORCH_CACHE", str(tmp_path / "cache"))
    for name, source in list(IMAGE_SOURCES.items()):
        monkeypatch.setitem(IMAGE_SOURCES, name, source._replace(sha256=None, url="http://127.0.0.1:9/none"))
    return tmp_path


def idx_bytes(array):
    "the format of yann.lecun.com/exdb/mnist: 0, 0, type 8 = unsigned byte, dims, sizes (big-endian), numbers"
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes()


def write_mnist(folder, packed=True, counts=(12, 5)):
    arrays = {}
    for prefix, count in zip(("train", "t10k"), counts):
        for name, array in ((f"{prefix}-images-idx3-ubyte", RNG.integers(0, 256, (count, 28, 28), np.uint8)),
                            (f"{prefix}-labels-idx1-ubyte", RNG.integers(0, 10, count, np.uint8))):
            content = idx_bytes(array)
            (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(content) if packed else content)
            arrays[name] = array
    return arrays


def write_cifar(folder, rows=4):
    "the binary version: rows of a label and 3072 bytes, in a tar.gz"
    files = {f"data_batch_{i}.bin": RNG.integers(0, 256, (rows, 3073), np.uint8) for i in range(1, 6)}
    files["test_batch.bin"] = RNG.integers(0, 256, (rows, 3073), np.uint8)
    for array in files.values():
        array[:, 0] %= 10
    contents = {name: array.tobytes() for name, array in files.items()}
    contents["batches.meta.txt"] = ("\n".join(CLASSES) + "\n\n").encode()
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return files


# ---- digits


def test_digits_need_no_download():
    pytest.importorskip("sklearn", reason="the digits need the extra: pip install -e '.[vision]'")
    data = load_images("digits", seed=3)
    (images, labels), (test_images, test_labels) = data.train, data.test
    assert images.shape == (1437, 1, 8, 8) and test_images.shape == (360, 1, 8, 8)
    assert images.dtype == np.float32 and labels.dtype == np.int64 and images.min() == 0 and images.max() == 1
    assert set(labels) == set(range(10)) == set(test_labels) and data.classes == tuple("0123456789")
    again, other = load_images("digits", seed=3), load_images("digits", seed=4)
    np.testing.assert_array_equal(again.test[0], test_images)
    assert not np.array_equal(other.test[1], test_labels)
    rows = {image.tobytes() for image in images}
    assert sum(image.tobytes() in rows for image in test_images) == 0, "no held-out image is trained on"


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DatasetError, match=r"pip install scikit-learn"):
        load_images("digits")


# ---- files in their formats


@pytest.mark.parametrize("packed", [True, False])
def test_mnist_is_read(folder, packed):
    arrays = write_mnist(folder, packed)
    data = load_images("mnist")
    (images, labels), (test_images, test_labels) = data.train, data.test
    assert images.shape == (12, 1, 28, 28) and test_images.shape == (5, 1, 28, 28) and images.dtype == np.float32
    np.testing.assert_allclose(images[:, 0] * 255, arrays["train-images-idx3-ubyte"], atol=1e-4)
    np.testing.assert_array_equal(labels, arrays["train-labels-idx1-ubyte"])
    np.testing.assert_array_equal(test_labels, arrays["t10k-labels-idx1-ubyte"])
    assert labels.dtype == np.int64 and data.source == str(folder)


def test_cifar10_is_read(folder):
    files = write_cifar(folder)
    data = load_images("cifar10")
    images, labels = data.train
    assert images.shape == (20, 3, 32, 32) and data.test[0].shape == (4, 3, 32, 32) and data.classes == CLASSES
    second = files["data_batch_2.bin"]
    np.testing.assert_array_equal(labels[4:8], second[:, 0])
    np.testing.assert_allclose(images[5, 1, 2, 3] * 255, second[1, 1 + 1024 + 2 * 32 + 3], atol=1e-4)  # green, row 2
    np.testing.assert_array_equal(data.test[1], files["test_batch.bin"][:, 0])


DAMAGES = {
    "not idx": lambda content: b"hello" + content,
    "cut off": lambda content: content[:-1],
    "too long": lambda content: content + b"x",
    "empty": lambda content: b"",
    "head only": lambda content: content[:5],
    "another type": lambda content: content[:2] + b"\x0d" + content[3:],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("packed", [True, False])
def test_a_damaged_idx_file_is_named(folder, damage, packed):
    write_mnist(folder, packed)
    path = folder / ("t10k-images-idx3-ubyte.gz" if packed else "t10k-images-idx3-ubyte")
    content = path.read_bytes()
    path.write_bytes(gzip.compress(damage(gzip.decompress(content))) if packed else damage(content))
    with pytest.raises(DatasetError, match="t10k-images-idx3-ubyte.*expected an idx file of unsigned bytes; replace"):
        load_images("mnist")


def test_a_damaged_archive_is_named(folder):
    write_mnist(folder)
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DatasetError, match="train-images-idx3-ubyte.gz: damaged.*replace the file"):
        load_images("mnist")
    write_cifar(folder)
    path = folder / "cifar-10-binary.tar.gz"
    for content in (path.read_bytes()[:-400], b"", b"no archive"):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match="cifar-10-binary.tar.gz: expected CIFAR-10's binary version"):
            load_images("cifar10")


def test_labels_that_belong_to_other_images(folder):
    write_mnist(folder)
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(np.zeros(7, np.uint8))))
    with pytest.raises(DatasetError, match=r"as many labels of 0 to 9, got \(12, 28, 28\) and \(7,\)"):
        load_images("mnist")


def test_nothing_is_unpickled():
    with open(image_sets.__file__, encoding="utf-8") as file:
        assert "import pickle" not in file.read()


# ---- where they are looked for


def test_a_known_hash_is_checked(folder, monkeypatch):
    write_cifar(folder)
    sha256 = hashlib.sha256((folder / "cifar-10-binary.tar.gz").read_bytes()).hexdigest()
    monkeypatch.setitem(IMAGE_SOURCES, "cifar10", IMAGE_SOURCES["cifar10"]._replace(sha256=sha256))
    assert load_images("cifar10").train[0].shape == (20, 3, 32, 32)
    monkeypatch.setitem(IMAGE_SOURCES, "cifar10", IMAGE_SOURCES["cifar10"]._replace(sha256="0" * 64))
    with pytest.raises(DatasetError, match="sha256 .* expected 0000000000000000"):
        load_images("cifar10")


@pytest.mark.parametrize("name, file", [("mnist", "train-images-idx3-ubyte.gz"), ("cifar10", "cifar-10-binary.tar.gz")])
def test_without_network_one_line_says_which_file_to_put_where(folder, name, file):
    with pytest.raises(DatasetError) as error:
        load_images(name)
    message = str(error.value)
    assert f"as {file} into a folder, and set TINYTORCH_DATA to that folder" in message and "\n" not in message


def test_sources_are_well_formed():
    assert len(IMAGE_SOURCES) == 5
    for source in IMAGE_SOURCES.values():
        assert source.url.startswith("https://") and len(source.sha256) == 64


def test_unknown_names():
    with pytest.raises(ValueError, match="got 'imagenet', expected one of 'digits', 'mnist', 'cifar10'"):
        load_images("imagenet")


@pytest.mark.skipif(not GIVEN, reason="the tests were started without TINYTORCH_DATA")
@pytest.mark.parametrize("name, shape", [("mnist", (60_000, 1, 28, 28)), ("cifar10", (50_000, 3, 32, 32))])
def test_the_real_files_of_a_local_folder(name, shape):
    wanted = [s for key, s in IMAGE_SOURCES.items() if key.startswith(name)]
    if not all(local_file(source) for source in wanted):
        pytest.skip(f"TINYTORCH_DATA has no {name}")
    data = load_images(name)
    assert data.train[0].shape == shape and len(data.test[0]) == 10_000 and set(data.train[1]) == set(range(10))


# ---- changed a little


def test_shifted_images_are_whole_windows_of_a_padded_one():
    images = RNG.random((200, 2, 6, 7), np.float32) + 1
    moved, seen = shifted(images, 1, np.random.default_rng(0)), set()
    padded = np.pad(images, [(0, 0), (0, 0), (1, 1), (1, 1)])
    for i in range(200):
        places = [(y, x) for y in range(3) for x in range(3)
                  if np.array_equal(moved[i], padded[i, :, y:y + 6, x:x + 7])]
        assert len(places) == 1
        seen.add(places[0])
    assert len(seen) == 9 and moved.dtype == np.float32


def test_about_half_are_flipped():
    images = RNG.random((400, 3, 4, 5), np.float32)
    out = flipped(images, np.random.default_rng(0))
    same, mirrored = ((out == images).all((1, 2, 3)), (out == images[..., ::-1]).all((1, 2, 3)))
    assert (same ^ mirrored).all() and 150 < mirrored.sum() < 250


def test_warping_by_nothing_changes_nothing():
    images = RNG.random((5, 2, 6, 7), np.float32)
    out = warped(images, np.random.default_rng(0), shift=0, turn=0, stretch=0, shear=0)
    np.testing.assert_allclose(out, images, atol=1e-6)
    assert out.dtype == np.float32 and out.shape == images.shape


def test_warping_moves_between_pixels_and_brings_zeros_in():
    images = np.ones((50, 1, 8, 8), np.float32)
    images[:, :, :, 4:] = 0
    out = warped(images, np.random.default_rng(0), shift=1.0, turn=0, stretch=0, shear=0)
    ink = out[:, 0, 3:5].mean((1, 2))  # what a row holds: 4 pixels, moved by up to 1
    assert 0.3 < ink.min() and ink.max() <= 0.5 + 1e-6 and len(np.unique(ink.round(4))) > 20
    assert out.min() >= 0 and out.max() <= 1 + 1e-6


def test_warping_turns_around_the_middle():
    images = np.zeros((1, 1, 9, 9), np.float32)
    images[0, 0, 4, 1:8] = 1  # a horizontal line through the middle
    out = warped(images, FixedDraws(), shift=0, turn=90, stretch=0, shear=0)
    np.testing.assert_allclose(out[0, 0], images[0, 0].T, atol=1e-6)


class FixedDraws:
    "A generator that always draws the upper end."
    def uniform(self, low, high, size):
        return np.full(size, float(high))
