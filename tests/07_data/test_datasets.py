"""Datasets, how examples become a batch, and splits."""

import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor
from tinytorch.data import (
    DataLoader,
    Dataset,
    Subset,
    TensorDataset,
    as_generator,
    collate,
    generator_at,
    get_batch,
    random_split,
)


class Pairs(Dataset):
    "(a float array of shape (2,), the int label i)"
    def __init__(self, n=10):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        return np.array([index, index + 0.5], np.float32), index


def test_a_tensor_dataset_pairs_up_rows():
    x, y = Tensor(np.arange(12.0).reshape(6, 2)), np.arange(6, dtype=np.int64)
    dataset = TensorDataset(x, y)
    assert len(dataset) == 6
    row, label = dataset[4]
    assert row.tolist() == [8, 9] and label.item() == 4 and label.shape == ()
    rows, labels = dataset[np.array([5, 0, 5])]
    assert rows.tolist() == [[10, 11], [0, 1], [10, 11]] and labels.tolist() == [5, 0, 5]
    assert rows.dtype == np.float64 and labels.dtype == np.int64
    assert len(list(dataset)) == 6 and dataset[-1][1].item() == 5


@pytest.mark.parametrize("tensors", [(), (np.ones(3), np.ones(4)), (np.ones(3), np.array(1.0))])
def test_rows_must_pair_up(tensors):
    with pytest.raises(ValueError) as raised:
        TensorDataset(*tensors)
    assert [t.shape for t in tensors if str(t.shape) not in str(raised.value)] == []


def test_beyond_the_end():
    with pytest.raises(IndexError):
        TensorDataset(np.ones(3))[3]


def test_a_dataset_of_your_own_needs_length_and_items():
    x, y = Pairs().batch(np.array([3, 1]))
    assert x.tolist() == [[3, 3.5], [1, 1.5]] and y.tolist() == [3, 1]
    assert (x.dtype, y.dtype) == (np.float32, np.int64)
    assert [label for _, label in Pairs(3)] == [0, 1, 2], "iterating ends at the length"
    with pytest.raises(NotImplementedError, match="Pairless.__getitem__"):
        type("Pairless", (Dataset,), {})()[0]


# ---- collate

@pytest.mark.parametrize("examples, shapes, dtypes", [
    ([1.5, 2.5, 3.5], [(3,)], [np.float32]),
    ([1, 2], [(2,)], [np.int64]),
    ([True, False], [(2,)], [np.bool_]),
    ([(1, 2.0), (3, 4.0)], [(2,), (2,)], [np.int64, np.float32]),
    ([[1, 2.0], [3, 4.0]], [(2,), (2,)], [np.int64, np.float32]),
    ([np.float64(1.0), np.float64(2.0)], [(2,)], [np.float32]),
    ([np.ones((2, 3)), np.ones((2, 3))], [(2, 2, 3)], [np.float64]),
    ([(Tensor([1.0, 2.0]), np.int64(1))] * 4, [(4, 2), (4,)], [np.float32, np.int64]),
])
def test_collate(examples, shapes, dtypes):
    batch = collate(examples)
    assert isinstance(batch, tuple) and all(isinstance(t, Tensor) for t in batch)
    assert [t.shape for t in batch] == shapes and [t.dtype for t in batch] == dtypes


def test_collate_keeps_values_and_gradients():
    x = Tensor([1.0, 2.0], requires_grad=True)
    batch, = collate([x, x * 3])
    assert batch.tolist() == [[1, 2], [3, 6]]
    batch.sum().backward()
    assert x.grad.tolist() == [4, 4]


def test_collate_of_unequal_examples():
    with pytest.raises(ValueError) as raised:
        collate([np.ones(2), np.ones(3)])
    assert "(2,)" in str(raised.value) and "(3,)" in str(raised.value)
    for examples in ([(1, 2), (1,)], [(1, np.ones(3)), (np.ones(3), 1)], []):
        with pytest.raises(ValueError):
            collate(examples)
    for examples in (["ab", "cd"], [(1, "ab"), (2, "cd")], [None, None]):
        with pytest.raises(TypeError):
            collate(examples)


# ---- subsets and splits

def test_a_subset_is_a_view_in_its_own_order():
    subset = Subset(TensorDataset(np.arange(10) * 10), [7, 2, -1])
    assert len(subset) == 3 and [x.item() for x, in subset] == [70, 20, 90]
    assert subset.batch(np.array([2, 0]))[0].tolist() == [90, 70]
    nested = Subset(subset, [1])
    assert nested[0][0].item() == 20 and nested.batch(np.array([0]))[0].tolist() == [20]
    assert Subset(list("abc"), [2])[0] == "c", "of anything with a length and items"


@pytest.mark.parametrize("indices, outside", [([0, 10], "10"), ([-11], "-11")])
def test_a_subset_lies_inside(indices, outside):
    with pytest.raises(IndexError, match=outside):
        Subset(Pairs(10), indices)


def test_an_empty_subset():
    assert len(Subset(Pairs(10), [])) == 0 and list(Subset([], [])) == []


class Once:
    "A mixin: an example is twice as large, and is asked for alone."
    def __getitem__(self, index):
        assert isinstance(index, int), f"one example at a time, not {index!r}"
        return tuple(2 * x for x in super().__getitem__(index))


class Rows(TensorDataset):
    def __getitem__(self, index):
        assert isinstance(index, int), f"one example at a time, not {index!r}"
        return tuple(2 * x for x in super().__getitem__(index))


class Part(Once, Subset):
    pass


class Labelled(Rows):
    "A subclass of a subclass, with a `batch` again."
    def batch(self, indices):
        return (*super().batch(indices), "labels")


@pytest.mark.parametrize("dataset", [Rows(np.arange(5)), Part(TensorDataset(np.arange(5)), range(5)),
                                     Labelled(np.arange(5))])
def test_a_getitem_of_ones_own_makes_the_batches(dataset):
    for batch in (dataset.batch(np.array([3, 1])), next(iter(DataLoader(Subset(dataset, [3, 1]), 2)))):
        assert batch[0].data.ravel().tolist() == [6, 2]
        assert isinstance(batch[-1], str) == isinstance(dataset, Labelled)


def test_a_batch_of_any_dataset():
    class Words(Dataset):
        def __getitem__(self, index):
            return "abc"[index]

        def batch(self, indices):
            return "".join(self[i] for i in indices)

    assert get_batch(Words(), np.array([2, 0])) == "ca", "its own `batch` comes first"
    x, y = get_batch([(1, 2.5), (3, 4.5)], np.array([1, 1]))
    assert x.tolist() == [3, 3] and y.tolist() == [4.5, 4.5]


@pytest.mark.parametrize("n, lengths, sizes", [
    (10, [7, 3], [7, 3]),
    (10, [0.7, 0.3], [7, 3]),
    (11, [0.8, 0.2], [9, 2]),
    (10, [1 / 3, 1 / 3, 1 / 3], [4, 3, 3]),
    (3, [0.9, 0.1], [3, 0]),
    (10, [10], [10]),
    (5, [1.0], [5]),
    (100, [0.29, 0.71], [29, 71]),
])
def test_split_sizes(n, lengths, sizes):
    parts = random_split(Pairs(n), lengths)
    assert [len(part) for part in parts] == sizes
    assert sorted(np.concatenate([part.indices for part in parts])) == list(range(n)), "each example once"


def test_split_sizes_are_pytorchs(torch):
    for n, lengths in ((11, [0.8, 0.2]), (17, [0.25, 0.25, 0.5]), (100, [0.5, 0.3, 0.2]), (7, [0.1, 0.1, 0.8])):
        theirs = torch.utils.data.random_split(list(range(n)), lengths)
        assert [len(p) for p in random_split(Pairs(n), lengths)] == [len(p) for p in theirs]


def test_a_split_is_random_and_reproducible():
    def split(generator=None, seed=0):
        tinytorch.manual_seed(seed)
        return random_split(Pairs(50), [40, 10], generator)[1].indices.tolist()
    assert split() == split() != split(seed=1)
    assert split(generator=3) == split(generator=np.random.default_rng(3), seed=1) != split()
    assert split() != list(range(40, 50))


@pytest.mark.parametrize("lengths, facts", [
    ([7, 4], ["10", "[7, 4]"]),
    ([0.5, 0.4], ["1", "[0.5, 0.4]"]),
    ([11, -1], ["[11, -1]"]),
    ([1.5, -0.5], ["[1.5, -0.5]"]),
])
def test_bad_splits(lengths, facts):
    with pytest.raises(ValueError) as raised:
        random_split(Pairs(10), lengths)
    assert [fact for fact in facts if fact not in str(raised.value)] == []


# ---- generators

def test_what_a_generator_may_be():
    own = np.random.default_rng(3)
    assert as_generator(own) is own and as_generator(None) is tinytorch.default_generator()
    assert as_generator(3).random() == as_generator(3).random() == own.random()


def test_a_generator_in_a_saved_state():
    generator = np.random.default_rng(3)
    state, drawn = generator.bit_generator.state, generator.random(5).tolist()
    now = generator.bit_generator.state
    assert generator_at(generator, state).random(5).tolist() == drawn and generator.bit_generator.state == now
    other = np.random.Generator(np.random.MT19937(1))
    with pytest.raises(ValueError, match="MT19937"):
        generator_at(other, state)
    for damaged in (None, {}, {"bit_generator": "PCG64"}):
        with pytest.raises(ValueError, match="PCG64"):
            generator_at(generator, damaged)
