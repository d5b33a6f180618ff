"""A handful of examples; a failure names the mistake that would give what it got."""

import numpy as np
from by_hand import likely

from tinytorch.data import DataLoader, TensorDataset, random_split

NUMBERS = TensorDataset(np.arange(10), np.arange(10) * 10)


def dealt(loader):
    return [batch[0].tolist() for batch in loader]


def test_an_example_is_a_tuple_of_rows():
    with likely("index each tensor with the number, and make a tuple of the rows"):
        example = NUMBERS[3]
    assert isinstance(example, tuple), f"expected a tuple of rows, got {type(example).__name__}"
    assert [t.item() for t in example] == [3, 30], f"row 3 of each tensor, all of them: got {example}"


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
