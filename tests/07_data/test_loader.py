"""The loader: every example once an epoch, in batches, in an order that a seed repeats."""
import json

import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor
from tinytorch.data import DataLoader, Dataset, Subset, TensorDataset


def numbers(n):
    return TensorDataset(np.arange(n), np.arange(n) * 0.5)


def order(loader):
    return [i for batch in loader for i in batch[0].tolist()]


@pytest.mark.parametrize("n, batch_size, drop_last, sizes", [
    (10, 4, False, [4, 4, 2]),
    (10, 4, True, [4, 4]),
    (8, 4, False, [4, 4]),
    (8, 4, True, [4, 4]),
    (3, 5, False, [3]),
    (3, 5, True, []),
    (3, 1, False, [1, 1, 1]),
    (0, 2, False, []),
])
@pytest.mark.parametrize("shuffle", [False, True])
def test_batches(n, batch_size, drop_last, sizes, shuffle):
    loader = DataLoader(numbers(n), batch_size, shuffle=shuffle, drop_last=drop_last)
    batches = list(loader)
    assert len(loader) == len(batches) == len(sizes)
    assert [x.shape for x, _ in batches] == [(size,) for size in sizes]
    seen = sorted(i for x, _ in batches for i in x.tolist())
    assert len(set(seen)) == len(seen) and (drop_last or seen == list(range(n)))
    for x, y in batches:
        assert isinstance(x, Tensor) and np.array_equal(y.data, x.data * 0.5), "inputs and targets stay together"


def test_without_shuffling_the_order_is_that_of_the_dataset():
    loader = DataLoader(numbers(7), 3)
    assert order(loader) == order(loader) == list(range(7))


def test_every_epoch_has_a_new_order():
    loader = DataLoader(numbers(50), 8, shuffle=True)
    epochs = [order(loader) for _ in range(3)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] and list(range(50)) not in epochs


@pytest.mark.parametrize("seed", [0, 1])
def test_manual_seed_repeats_the_order(seed):
    def epochs():
        tinytorch.manual_seed(seed)
        loader = DataLoader(numbers(30), 4, shuffle=True)
        return [order(loader), order(loader)]
    assert epochs() == epochs()


def test_a_generator_of_its_own_leaves_the_library_s_alone():
    def epoch(generator, seed):
        tinytorch.manual_seed(seed)
        result = order(DataLoader(numbers(30), 4, shuffle=True, generator=generator))
        return result, tinytorch.randn(2).tolist()
    assert epoch(5, 0)[0] == epoch(np.random.default_rng(5), 1)[0] != epoch(6, 0)[0]
    tinytorch.manual_seed(0)
    assert epoch(5, 0)[1] == epoch(6, 0)[1]
    loader = DataLoader(numbers(30), 4, shuffle=True, generator=5)
    assert order(loader) != order(loader), "a seed starts the generator once, not at every epoch"


def test_the_order_is_drawn_when_a_pass_begins():
    loader = DataLoader(numbers(30), 30, shuffle=True)
    tinytorch.manual_seed(0)
    first, second = iter(loader), iter(loader)
    late = next(second)[0].tolist(), next(first)[0].tolist()
    tinytorch.manual_seed(0)
    assert (order(loader), order(loader)) == late[::-1]


def test_a_dataset_is_asked_for_whole_batches():
    calls = []

    class Windows(Dataset):
        "tokens[i:i + 3], a whole batch with one indexing"
        tokens = np.arange(20) * 10

        def __len__(self):
            return 18

        def batch(self, indices):
            calls.append(len(indices))
            return (Tensor(self.tokens[indices[:, None] + np.arange(3)]),)

    batches = list(DataLoader(Subset(Windows(), range(10, 18)), 5))
    assert calls == [5, 3] and batches[0][0].shape == (5, 3)
    assert batches[1][0].tolist()[-1] == [170, 180, 190]


def test_a_tensor_dataset_is_indexed_once_a_batch():
    class Counted(Tensor):
        calls = 0

        def __getitem__(self, key):
            Counted.calls += 1
            return super().__getitem__(key)

    batches = list(DataLoader(TensorDataset(Counted(np.arange(20)), np.arange(20)), 8))
    assert len(batches) == Counted.calls == 3


def test_a_subclass_that_changes_its_examples_is_asked_for_each():
    class Flipped(TensorDataset):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            return x.flip(0), y

    x, _ = next(iter(DataLoader(Flipped(np.arange(6).reshape(3, 2), np.arange(3)), 3)))
    assert x.tolist() == [[1, 0], [3, 2], [5, 4]]


def test_plain_lists_work():
    x, y = next(iter(DataLoader([(1.0, 0), (2.0, 1), (3.0, 0)], batch_size=2)))
    assert x.tolist() == [1, 2] and y.tolist() == [0, 1]


def test_your_own_collate_pads():
    def pad(examples):
        longest = max(len(e) for e in examples)
        return (Tensor([e + [0] * (longest - len(e)) for e in examples]),)
    batches = list(DataLoader([[1], [2, 3], [4, 5, 6]], batch_size=2, collate_fn=pad))
    assert [b.tolist() for b, in batches] == [[[1, 0], [2, 3]], [[4, 5, 6]]]


@pytest.mark.parametrize("batch_size", [0, -3])
def test_batch_size_must_be_positive(batch_size):
    with pytest.raises(ValueError, match=f"batch_size.*{batch_size}"):
        DataLoader(numbers(4), batch_size)


def test_batches_do_not_share_memory_with_the_data():
    dataset = numbers(4)
    for shuffle in (False, True):
        x, _ = next(iter(DataLoader(dataset, 4, shuffle=shuffle)))
        x.data += 100
    assert dataset.tensors[0].tolist() == [0, 1, 2, 3]


# ---- in the middle of an epoch

@pytest.mark.parametrize("dealt", [0, 1, 3, 4])
@pytest.mark.parametrize("settings", [
    {}, {"shuffle": True}, {"shuffle": True, "generator": 5}, {"shuffle": True, "generator": 5, "drop_last": True},
])
def test_a_pass_goes_on_where_it_was_and_so_do_the_next_epochs(settings, dealt):
    def make():
        return DataLoader(numbers(14), 4, **settings)

    loader = make()
    order(loader)  # an epoch before
    batches = iter(loader)
    for _ in range(min(dealt, len(loader))):
        next(batches)
    place, state = batches.state_dict(), tinytorch.default_generator().bit_generator.state
    expected = [[i for x, _ in batches for i in x.tolist()], order(loader), order(loader), tinytorch.rand(1).item()]

    tinytorch.manual_seed(99)
    again = make()
    again.load_state_dict(json.loads(json.dumps(place)))
    tinytorch.default_generator().bit_generator.state = state
    assert [order(again), order(again), order(again), tinytorch.rand(1).item()] == expected
    assert len(expected[0]) == max(0, (12 if settings.get("drop_last") else 14) - 4 * dealt)


def test_two_passes_over_one_loader_know_their_own_places():
    loader = DataLoader(numbers(12), 4, shuffle=True, generator=1)
    first, second = iter(loader), iter(loader)
    next(first), next(first), next(second)
    assert (first.state_dict()["dealt"], second.state_dict()["dealt"]) == (2, 1)
    other = DataLoader(numbers(12), 4, shuffle=True, generator=2)
    other.load_state_dict(first.state_dict())
    assert order(other) == [i for x, _ in first for i in x.tolist()]


@pytest.mark.parametrize("change, message", [
    ({"examples": 15}, "examples.*15"),
    ({"batch_size": 5}, "batch_size.*5"),
    ({"shuffle": False}, "shuffle"),
    ({"drop_last": True}, "drop_last"),
    ({"dealt": 5}, "5"),
    ({"dealt": -1}, "-1"),
    ({"dealt": 1.0}, "1.0"),
    ({"generator": None}, "generator"),
    ({"began": {"bit_generator": "MT19937"}}, "PCG64"),
    ({"began": None}, "None"),
    ({"generator": {"bit_generator": "PCG64"}}, "PCG64"),
    ({"generator": {}}, "PCG64"),
])
def test_a_place_in_other_data_is_refused(change, message):
    loader = DataLoader(numbers(14), 4, shuffle=True, generator=1)
    place = iter(loader).state_dict()
    expected = order(DataLoader(numbers(14), 4, shuffle=True, generator=2))
    other = DataLoader(numbers(14), 4, shuffle=True, generator=2)
    with pytest.raises(ValueError, match=message):
        other.load_state_dict(place | change)
    assert order(other) == expected, "nothing has changed"
