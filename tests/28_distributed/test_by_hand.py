"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import numpy as np
from by_hand import expect

from tinytorch.distributed import CopyToRanks, SumOverRanks, buckets_of, owners_of, ring_all_reduce
from tinytorch.ranks import RankError, run_threads, world


class Counted:
    "A group that notes what it sends."
    def __init__(self, group):
        self.group, self.rank, self.size, self.sent = group, group.rank, group.size, []
        group.timeout = 20.0  # what never comes is found out soon

    def isend(self, array, dst):
        self.sent.append((dst, np.array(array)))
        return self.group.isend(array, dst)

    def recv(self, array, src):
        self.group.recv(array, src)


def reduced(arrays):
    "[(array, messages sent) of each rank] of arrays, one a rank"
    def run():
        group, array = Counted(world.group), np.array(arrays[world.group.rank])
        ring_all_reduce(array, group)
        return array, group.sent
    return run_threads(len(arrays), run)


def test_two_ranks():
    (first, sent), (second, _) = reduced([[1.0, 2, 3], [10.0, 20, 30]])
    wrong = {"only added up: hand the parts that are complete round": [1, 2, 33],
             "what arrives takes the place of the part: add it": [1, 2, 30], "nothing was exchanged": [1, 2, 3]}
    expect("the sum on rank 0", first, [11, 22, 33], wrong)
    expect("the sum on rank 1", second, [11, 22, 33], {"only added up": [11, 22, 30], "not its own": [10, 20, 30]})
    assert [array.tolist() for _, array in sent] == [[1, 2], [33]], (
        f"rank 0 sends its part [1, 2], then the sum [33]: each rank sends parts of 1/n, got {sent}")


def test_three_ranks():
    found = reduced([[1.0, 2, 3, 4], [10.0, 20, 30, 40], [100.0, 200, 300, 400]])
    for rank, (array, sent) in enumerate(found):
        expect(f"the sum on rank {rank}", array, [111, 222, 333, 444])
        assert {dst for dst, _ in sent} == {(rank + 1) % 3}, f"rank {rank} sends to its right neighbour only"
        assert len(sent) == 4, f"2 (n - 1) = 4 messages, rank {rank} sent {len(sent)}"


def test_fewer_numbers_than_ranks_and_one_rank():
    for array, _ in reduced([[1.0], [2.0], [4.0]]):
        expect("three ranks and one number: some parts are empty", array, [7])
    (array, sent), = reduced([[1.0, 2.0]])
    expect("one rank has the sum already", array, [1, 2])
    assert not sent, "and sends nothing"


def test_buckets():
    arrays = [np.zeros(n, np.uint8) for n in (40, 30, 20, 50)]
    got = buckets_of(arrays, 60)
    hint = {"from the first to the last: backward finishes the last layers first": [[0], [1, 2], [3]],
            "50 and 20 are more than 60, too full: count the array that comes": [[3, 2], [1, 0]],
            "the second bucket is too full": [[3], [2, 1, 0]], "a bucket for each": [[3], [2], [1], [0]],
            "room is left: 20 and 30 fit together": [[3], [2], [1], [0]]}
    said = next((what for what, wrong in hint.items() if got == wrong), f"got {got}")
    assert got == [[3], [2, 1], [0]], f"buckets of 50, 20 + 30 and 40 bytes: {said}"
    assert buckets_of(arrays[:1], 10) == [[0]], "one that is too large goes alone; no bucket is empty"
    assert buckets_of(arrays, 50) == [[3], [2, 1], [0]], "20 + 30 are exactly 50: they fit"
    mixed = [np.zeros(1, np.float32), np.zeros(1, np.float64)]
    assert buckets_of(mixed, 100) == [[1], [0]], "another dtype begins another bucket"


def test_owners():
    got = owners_of([5, 9, 4, 2], 2)
    hint = {(0, 1, 0, 1): "in turn, whatever their size", (0, 1, 0, 0): "the largest must come first",
            (1, 0, 1, 1): "2 goes to the lowest of two ranks that have 9 each"}
    assert got == [1, 0, 1, 0], f"9 | 5 + 4, then 2: {hint.get(tuple(got), f'got {got}')}"
    assert owners_of([3, 3, 3], 2) == [0, 1, 0], "of equal ones the first comes first, to the lowest rank"


def test_the_two_operations_of_a_split_layer():
    def halves(kind):
        def run():
            made = kind()
            x, gradient = np.array([world.group.rank + 2.0]), np.array([world.group.rank + 1.0])
            return made.forward(x), made.backward(gradient)[0]
        try:
            return run_threads(2, run)
        except RankError as error:
            raise AssertionError(f"{kind.__name__}: only one of the ranks adds up ({error})") from None

    (first, gradient), (second, _) = halves(CopyToRanks)
    expect("CopyToRanks forward, rank 0", first, [2], {"all ranks have the same x: nothing to add": [5]})
    expect("CopyToRanks forward, rank 1", second, [3])
    expect("CopyToRanks backward", gradient, [3], {"each rank has only its own part of the gradient": [1]})
    (first, gradient), _ = halves(SumOverRanks)
    expect("SumOverRanks forward", first, [5], {"each rank has only its own part of the sum": [2]})
    expect("SumOverRanks backward", gradient, [1], {"all ranks have the same gradient: nothing to add": [3]})
