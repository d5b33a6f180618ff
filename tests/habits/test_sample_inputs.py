"""PyTorch's own sample inputs, in numbers: how many are right, refused, wrong, or end in an unrelated error."""
import collections
import importlib
import warnings

import pytest


@pytest.fixture(scope="module")
def found(torch):
    "{dtype: Counter of kinds}, and the lines that say what was wrong."
    sample_inputs = importlib.import_module("habits.sample_inputs")
    counts, lines = collections.defaultdict(collections.Counter), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, dtype, kind, detail in sample_inputs.outcomes():
            counts[dtype][kind] += 1
            if kind in ("wrong", "crash"):
                lines.append(f"{name} {dtype}: {kind}: {detail}")
    return counts, lines


def test_nothing_is_wrong_and_every_refusal_is_an_error_of_ours(found):
    assert not found[1], "\n".join(found[1][:10])


def test_nearly_all_are_right(found, record_property):
    counts = found[0]
    total = sum(counts.values(), collections.Counter())
    record_property("samples", dict(total))
    assert total.total() > 4_000 and counts["float32"].total() > 2_000
    assert total["right"] / total.total() >= 0.97, counts
    assert counts["float32"]["right"] / counts["float32"].total() >= 0.97, counts
