"""A handful of examples; a failure names the mistake that would give what it got."""

import numpy as np
from by_hand import likely

from tinytorch import Tensor
from tinytorch.data import DataLoader, Dataset, Subset, TensorDataset, collate, random_split

NUMBERS = TensorDataset(np.arange(10), np.arange(10) * 10)


def dealt(loader):
    return [batch[0].tolist() for batch in loader]


def test_an_example_is_a_tuple_of_rows():
    with likely("index each tensor with the number, and make a tuple of the rows"):
        example = NUMBERS[3]
    assert isinstance(example, tuple), f"expected a tuple of rows, got {type(example).__name__}"
    assert [t.item() for t in example] == [3, 30], f"row 3 of each tensor, all of them: got {example}"


def test_a_batch_from_examples():
    with likely("put an example that is no tuple into a tuple of one, and stack position by position"):
        batch = collate([(1.5, 0), (2.5, 1), (3.5, 0)])
        assert len(collate([1.5, 2.5])) == 1, "an example that is no tuple makes a batch of one Tensor"
    assert [t.tolist() for t in batch] == [[1.5, 2.5, 3.5], [0, 1, 0]], (
        f"all first entries, then all second entries (`zip(*rows)`): got {[t.tolist() for t in batch]}"
    )
    weight = Tensor([1.0, 2.0], requires_grad=True)
    batch = collate([weight, weight * 3])[0]
    assert batch.requires_grad, "gradients are lost: Tensors are stacked by `stack`, not by NumPy"


def test_a_dataset_of_ones_own():
    class Halves(Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return index, index / 2

    assert list(Halves()) == [(0, 0.0), (1, 0.5), (2, 1.0), (3, 1.5)], f"all examples in order: got {list(Halves())}"
    batch = [t.tolist() for t in Halves().batch(np.array([3, 1]))]
    assert batch == [[3, 1], [1.5, 0.5]], f"examples 3 and 1, in this order: got {batch}"


def test_a_subset_looks_numbers_up():
    subset = Subset(NUMBERS, [7, 2])
    assert len(subset) == 2, f"as long as its indices, not as the dataset: got {len(subset)}"
    assert subset[0][0].item() == 7, f"example 0 of the subset is example 7 of the dataset, got {subset[0][0].item()}"
    batch = subset.batch(np.array([1, 0, 1]))[0].tolist()
    assert batch != [1, 0, 1], "a batch of the subset looks its numbers up in self.indices as well"
    assert batch == [2, 7, 2], f"examples 2, 7 and 2 of the dataset, got {batch}"


def test_fractions_that_do_not_come_out_even():
    sizes = [len(part) for part in random_split(range(11), [0.8, 0.2])]
    assert sum(sizes) == 11, f"examples are lost: hand out what rounding down leaves over, got {sizes} of 11"
    assert sizes == [9, 2], f"the example that is left over goes to the first part: got {sizes}"
    assert [len(part) for part in random_split(range(100), [0.29, 0.71])] == [29, 71], "add 1e-9 before rounding down"


def test_parts_of_a_split():
    parts = [part.indices.tolist() for part in random_split(NUMBERS, [6, 4], generator=0)]
    assert [len(part) for part in parts] == [6, 4], f"sizes 6 and 4 were asked for, got {parts}"
    shared = set(parts[0]) & set(parts[1])
    assert not shared, f"{sorted(shared)} are in two parts: each part begins where the one before it ends"
    assert parts[0] + parts[1] != list(range(10)), (
        "the parts are not shuffled: cut `order`, not the numbers 0, 1, 2, ..."
    )
    assert sorted(parts[0] + parts[1]) == list(range(10)), f"every example belongs to one part, got {parts}"


def test_how_many_batches():
    assert len(DataLoader(NUMBERS, 5)) == 2, "10 examples in batches of 5: two, there is no rest"
    assert len(DataLoader(NUMBERS, 4)) == 3, "10 examples in batches of 4: the smaller last batch counts as well"
    assert len(DataLoader(NUMBERS, 4, drop_last=True)) == 2, "drop_last leaves the smaller last batch out"


def test_batches_follow_each_other():
    batches = dealt(DataLoader(NUMBERS, 4))
    assert batches[0] == [0, 1, 2, 3], f"the first batch begins at the front: got {batches[0]}"
    assert batches[1] != batches[0], "the same batch comes again: every example once in an epoch, count self.dealt"
    assert batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]], (
        f"pieces of the order, one after the other: got {batches}"
    )


def test_every_epoch_has_every_example_once_in_a_new_order():
    loader = DataLoader(NUMBERS, 3, shuffle=True, generator=0)
    first, second = (sum(dealt(loader), []) for _ in range(2))
    assert sorted(first) == list(range(10)), f"every example once: got {sorted(first)}"
    assert first != second and first != sorted(first), (
        "take the batches from self.order, which is new in every epoch"
    )


def test_examples_become_a_batch_by_collate_fn():
    loader = DataLoader([1, 10, 100], 2, collate_fn=sum)
    assert list(loader) == [11, 100], f"collate_fn makes the batch from a list of examples: got {list(loader)}"


def test_a_pass_is_resumed():
    loader = DataLoader(NUMBERS, 3, shuffle=True, generator=0)
    batches = iter(loader)
    next(batches)
    place = batches.state_dict()
    rest, later = [batch[0].tolist() for batch in batches], dealt(loader)
    other = DataLoader(NUMBERS, 3, shuffle=True, generator=1)
    other.load_state_dict(place)
    resumed = dealt(other)
    assert len(resumed) == 3, f"one of four batches had been dealt, three are left: got {len(resumed)}"
    assert resumed == rest, f"the order follows from the state `began`: expected {rest}, got {resumed}"
    assert dealt(other) == later, "the loader's own generator goes on from the saved state: the next epoch is the same"
