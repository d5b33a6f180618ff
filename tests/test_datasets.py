"""Rows of tokens as datasets, also on disk; and batches drawn with replacement."""
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import tinytorch
from tinytorch.data import DataLoader
from tinytorch.datasets import RandomBatches, TokenDataset, write_tokens


@pytest.fixture
def tokens(tmp_path):
    "(path, array) of 1000 tokens on disk"
    array = np.random.default_rng(0).integers(0, 2**16, 1000)
    write_tokens(tmp_path / "tokens.bin", array, chunk=64)
    return tmp_path / "tokens.bin", array


def test_what_is_written(tokens, tmp_path):
    path, array = tokens
    np.testing.assert_array_equal(np.fromfile(path, np.uint16), array)
    assert path.stat().st_size == 2000
    assert write_tokens(path, (i % 7 for i in range(100)), chunk=9) == 100
    np.testing.assert_array_equal(np.fromfile(path, np.uint16), np.arange(100) % 7)
    assert [file.name for file in tmp_path.iterdir()] == ["tokens.bin"]


@pytest.mark.parametrize("ids, says", [([1, 2, 65536], "ids from 1 to 65536 do not fit into uint16.*uint32"),
                                       ([5, -1], "from -1 to 5"), ([], "no ids")])
def test_what_cannot_be_written_leaves_the_old_file(tokens, tmp_path, ids, says):
    with pytest.raises(ValueError, match=says):
        write_tokens(tokens[0], ids)
    assert tokens[0].stat().st_size == 2000 and len(list(tmp_path.iterdir())) == 1


def test_a_stream_that_breaks_leaves_the_old_file(tokens, tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_tokens(tokens[0], (1 // (50 - i) for i in range(100)), chunk=10)
    assert tokens[0].stat().st_size == 2000 and len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tokens):
    code = ("import resource, sys\nfrom tinytorch.datasets import write_tokens\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
            "write_tokens(sys.argv[1], range(60_000), chunk=99)")
    done = subprocess.run([sys.executable, "-c", code, tokens[0]], capture_output=True, text=True)
    assert done.returncode == 1 and "OSError" in done.stderr
    assert tokens[0].stat().st_size == 2000 and os.listdir(tokens[0].parent) == [tokens[0].name]


@pytest.mark.parametrize("stride", [1, 3, 8, 50])
@pytest.mark.parametrize("on_disk", [True, False])
def test_windows_and_their_targets(tokens, stride, on_disk):
    path, array = tokens
    dataset = TokenDataset(path if on_disk else array, context=8, stride=stride)
    starts = [start for start in range(0, 1000, stride) if start + 9 <= 1000]
    assert len(dataset) == len(starts)
    inputs, targets = dataset.batch(np.arange(len(dataset)))
    assert inputs.dtype == targets.dtype == np.int64 and inputs.shape == targets.shape == (len(starts), 8)
    np.testing.assert_array_equal(inputs.data, [array[s:s + 8] for s in starts])
    np.testing.assert_array_equal(targets.data, [array[s + 1:s + 9] for s in starts])
    for index in (0, 1, -1):
        np.testing.assert_array_equal(dataset[index][0].data, inputs.data[index])
        np.testing.assert_array_equal(dataset[index][1].data, targets.data[index])
    for index in (len(dataset), -len(dataset) - 1):
        with pytest.raises(IndexError, match="window"):
            dataset[index]


def test_every_token_is_a_target_once_with_stride_context(tokens):
    dataset = TokenDataset(tokens[0], context=9, stride=9)
    targets = np.concatenate([target.data.reshape(-1) for _, target in DataLoader(dataset, batch_size=16)])
    np.testing.assert_array_equal(targets, tokens[1][1:1 + len(targets)])
    assert len(targets) > 990


def test_a_getitem_of_ones_own_makes_the_batches(tokens):
    class Backwards(TokenDataset):
        def __getitem__(self, index):
            return tuple(x.flip(0) for x in super().__getitem__(index))

    usual, turned = TokenDataset(tokens[0], context=8), Backwards(tokens[0], context=8)
    for ours, theirs in zip(turned.batch(np.array([7, 2])), usual.batch(np.array([7, 2]))):
        np.testing.assert_array_equal(ours.data, theirs.data[:, ::-1])


def test_in_a_loader(tokens):
    dataset = TokenDataset(tokens[0], context=8)
    batches = list(DataLoader(dataset, batch_size=32, shuffle=True, generator=0))
    assert sum(len(inputs) for inputs, _ in batches) == len(dataset) == 992
    np.testing.assert_array_equal(batches[0][0].data[:, 1:], batches[0][1].data[:, :-1])


def test_a_file_larger_than_what_is_read(tmp_path):
    import tracemalloc
    path = tmp_path / "large.bin"
    with open(path, "wb") as file:
        file.truncate(2 * 200_000_000)  # 200 million tokens that take no room on disk
    tracemalloc.start()
    dataset = TokenDataset(path, context=64)
    for inputs, _ in RandomBatches(dataset, 16, batches=50, generator=0):
        assert inputs.shape == (16, 64)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(dataset) == 200_000_000 - 64 and peak < 1_000_000


def test_wrong_files_and_sizes(tokens, tmp_path):
    (tmp_path / "odd.bin").write_bytes(b"123")
    (tmp_path / "empty.bin").write_bytes(b"")
    for name, size in (("odd.bin", 3), ("empty.bin", 0)):
        with pytest.raises(ValueError, match=f"{name}: {size} bytes are no row of uint16"):
            TokenDataset(tmp_path / name, 8)
    with pytest.raises(FileNotFoundError):
        TokenDataset(tmp_path / "none.bin", 8)
    with pytest.raises(ValueError, match=r"\(8,\), expected one row of at least context \+ 1 = 9"):
        TokenDataset(np.arange(8), 8)
    assert len(TokenDataset(np.arange(9), 8)) == 1
    for context, stride in ((0, 1), (8, 0)):
        with pytest.raises(ValueError, match="1.*got.* 0"):
            TokenDataset(tokens[0], context, stride)


# ---- random batches


def first_ids(loader):
    return [inputs.data[:, 0].tolist() for inputs, _ in loader]


def test_random_batches_follow_their_generator(tokens):
    dataset = TokenDataset(tokens[0], 8)
    once, again = (RandomBatches(dataset, 4, 10, generator=1) for _ in range(2))
    epoch = first_ids(once)
    assert epoch == first_ids(again) and len(epoch) == len(once) == 10
    assert first_ids(once) != epoch, "another epoch, other batches"
    tinytorch.manual_seed(3)
    ours = first_ids(RandomBatches(dataset, 4, 10))
    tinytorch.manual_seed(3)
    assert first_ids(RandomBatches(dataset, 4, 10)) == ours


def test_a_pass_is_continued(tokens):
    dataset = TokenDataset(tokens[0], 8)
    whole = RandomBatches(dataset, 4, 10, generator=1)
    expected = first_ids(whole) + first_ids(whole)
    first = RandomBatches(dataset, 4, 10, generator=1)
    batches = iter(first)
    seen = [next(batches)[0].data[:, 0].tolist() for _ in range(6)]
    saved = json.loads(json.dumps(batches.state_dict()))
    second = RandomBatches(dataset, 4, 10, generator=99)
    second.load_state_dict(saved)
    assert seen + first_ids(second) + first_ids(second) == expected
    for other in (RandomBatches(dataset, 4, 5, generator=1), RandomBatches(dataset, 4, 10)):
        with pytest.raises(ValueError, match="expected"):
            other.load_state_dict(saved)


def test_sizes_of_random_batches(tokens):
    for sizes in ((0, 5), (5, 0)):
        with pytest.raises(ValueError, match="1.*got.* 0"):
            RandomBatches(TokenDataset(tokens[0], 8), *sizes)
