"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import os
from unittest import mock

import numpy as np
import pytest
from by_hand import expect

import tinytorch
from tinytorch import nn
from tinytorch.anomaly import Call, path_to_origin
from tinytorch.checkpoint import CheckpointError, differences, write_whole
from tinytorch.training import Trainer, accumulate_gradients, accuracy, evaluate


class Weight(nn.Module):
    "x times one number."

    def __init__(self):
        self.weight = nn.Parameter(np.array([1.0]))

    def forward(self, x):
        return x * self.weight


class Echo(nn.Module):
    "Its input, as scores."

    def forward(self, x):
        return x


def batch(*numbers):
    return (tinytorch.tensor(np.array(numbers)),)


def mean_output(model, x):
    return model(x).mean()


def test_pieces_of_different_sizes():
    model = Weight()
    loss = accumulate_gradients(model, [batch(1.0, 2.0, 3.0), batch(10.0)], mean_output)
    wrong = {
        "every piece counts alike: each has the weight of its number of examples": [6.0],
        "the pieces are summed: each has the weight of its share of the examples": [12.0],
    }
    expect("loss of 1, 2, 3 and of 10", [loss], [4.0], wrong)
    expect(
        "gradient of 1, 2, 3 and of 10",
        model.weight.grad,
        [4.0],
        wrong | {"gradients were cleared between the pieces: they must add up": [2.5]},
    )


def test_a_mean_over_examples_is_no_mean_of_means():
    got = evaluate(Weight(), [batch(1.0, 2.0, 3.0), batch(10.0)], mean_output)
    expect(
        "evaluate on 1, 2, 3 and on 10",
        [got],
        [4.0],
        {
            "a mean of means: each batch counts with its number of examples": [6.0],
            "the sum was not divided by the number of examples": [16.0],
        },
    )


def test_accuracy():
    scores = tinytorch.tensor([[0.0, 1.0], [2.0, 0.0], [0.0, 3.0], [5.0, 1.0]])
    targets = tinytorch.tensor([1, 1, 1, -100])
    expect(
        "accuracy",
        [accuracy(Echo(), [(scores, targets)])],
        [2 / 3],
        {
            "padding counts: targets that are ignore_index must not": [0.5],
            "hits are where argmax is the target": [1 / 3],
        },
    )


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "weights"
    write_whole(path, b"old")
    assert path.exists(), "the file has to get its name at the end: os.replace(aside, path)"
    full = mock.patch.object(os, "fsync", side_effect=OSError(28, "No space left on device"))
    with full, pytest.raises(CheckpointError):
        write_whole(path, b"new, and longer")
    assert path.read_bytes() == b"old", (
        "the old file was touched before the new one was safe: write aside, fsync, and only then rename"
    )


def test_where_the_trouble_began():
    a, b = np.array([np.inf]), np.array([np.nan])
    first, second = Call(None, "forward", [], [a], ""), Call(None, "forward", [a], [b], "")
    other = Call(None, "forward", [], [np.array([np.inf])], "")
    path = path_to_origin([first, other, second])
    assert path[0] is second, "the path begins with the last call"
    assert any(call is first for call in path), "the path ends too early: follow the input that another call made"
    assert not any(call is other for call in path), (
        "a call that has no part in it is on the path: only inputs lead back"
    )


def test_arrays_that_differ():
    found, expected = {"a": ("F32", [2]), "c": ("F32", [1])}, {"a": ("F64", [2]), "b": ("F32", [1])}
    text = "\n".join(differences(found, expected))
    for name, what in (("a", "of another kind"), ("b", "missing"), ("c", "unexpected")):
        assert name in [line.split(":")[0].strip("'\"") for line in text.split("\n")], (
            f"{name} is {what}, and not named"
        )
    assert differences(expected, expected) == [], "what is equal is no difference"


def test_patience():
    model = Weight()
    trainer = Trainer(
        model,
        [batch(1.0)],
        mean_output,
        tinytorch.optim.SGD(model.parameters(), lr=0.1),
        steps=9,
        patience=2,
        show=False,
    )
    stops = []
    for value in (3.0, 2.0, 2.5):
        trainer.judge("loss", value)
        stops.append(trainer.stopped)
    assert trainer.stale == 1, f"one evaluation since the best: expected stale = 1, got {trainer.stale}"
    assert stops == [None] * 3, "stopped too early: patience counts evaluations that are not the best"
    trainer.judge("loss", 2.2)
    assert trainer.stopped, "after `patience` evaluations that are not the best it stops: compare with >="
