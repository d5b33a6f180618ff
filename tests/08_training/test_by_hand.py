"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import json
import os
from unittest import mock

import numpy as np
import pytest
from by_hand import expect

import tinytorch
from tinytorch import nn
from tinytorch.anomaly import Call, first_nonfinite, path_to_origin, watched
from tinytorch.checkpoint import (
    CheckpointError,
    differences,
    digest,
    load_checkpoint,
    save_checkpoint,
    write_whole,
)
from tinytorch.optim import SGD, LambdaLR
from tinytorch.training import (
    Trainer,
    TrainingLoop,
    accumulate_gradients,
    accuracy,
    evaluate,
    evaluating,
    train_step,
)


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
        model.weight.grad.data,
        [4.0],
        wrong | {"gradients were cleared between the pieces: they must add up": [2.5]},
    )


def test_a_step():
    model = Weight()
    optimizer = SGD(model.parameters(), lr=0.1)
    records = [train_step(model, [batch(3.0)], mean_output, optimizer, max_norm=2.0) for _ in range(2)]
    expect("norm of the gradients", [records[0]["norm"]], [3.0],
           {"it is the norm before clipping that is asked for": [2.0]})  # fmt: skip
    expect("norm in the second step", [records[1]["norm"]], [3.0],
           {"old gradients are still there: a step begins by clearing them": [5.0]})  # fmt: skip
    expect("weight after two steps", model.weight.data, [0.6], {"nothing was clipped": [0.4]})
    before = model.weight.data.copy()
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError):
        train_step(model, [batch(0.0)], lambda model, x: (model(x) ** 0.5).sum(), optimizer)
    assert np.array_equal(model.weight.data, before), (
        "a gradient that is no number moved the parameters: look at the norm before the optimizer steps"
    )


def test_modes_come_back():
    model = tinytorch.nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.5))
    model[1].eval()
    with evaluating(model):
        assert not any(module.training for module in model.modules()), "inside, every module is in eval mode"
    modes = [module.training for module in model.modules()]
    assert modes == [True, True, False], f"every module gets its own mode back, got {modes}"
    with pytest.raises(KeyError), evaluating(model):
        raise KeyError
    assert model.training, "the modes come back after an error too: try and finally"


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
    found = {"query": ("F32", [2]), "value": ("F32", [1]), "bias": ("F32", [1])}
    expected = {"query": ("F64", [2]), "key": ("F32", [1]), "bias": ("F32", [1])}
    texts = differences(found, expected)
    for name, what in (("query", "of another kind"), ("key", "missing"), ("value", "unexpected")):
        assert any(name in text for text in texts), f"{name} is {what}, and not named"
    assert len(texts) == 3, f"a text for each of the three names that differ, and for no other, got {texts}"
    assert differences(expected, expected) == [], "what is equal is no difference"


def test_what_a_digest_sees():
    a, b = np.array([1.0, 2.0]), np.array([3.0])
    first = digest({"a": a, "b": b}, "text")
    assert digest({"b": b, "a": a}, "text") == first, "the order of the names must not count: sort them"
    for what, other in {
        "the text": digest({"a": a, "b": b}, "another"),
        "the names": digest({"a": a, "c": b}, "text"),
        "the shapes": digest({"a": a.reshape(2, 1), "b": b}, "text"),
        "the dtypes": digest({"a": a.view(np.int64), "b": b}, "text"),
        "the values": digest({"a": -a, "b": b}, "text"),
    }.items():
        assert other != first, f"the digest does not see {what}"


class Part:
    "Something with a state of one number."

    def __init__(self, value):
        self.value = value

    def state_dict(self):
        return {"value": self.value}

    def load_state_dict(self, saved):
        if saved["value"] < 0:
            raise ValueError("negative")
        self.value = saved["value"]


def test_a_checkpoint_goes_on_with_the_same_numbers(tmp_path):
    models = [Weight(), Weight()]
    optimizers = [SGD(model.parameters(), lr=0.1, momentum=0.5) for model in models]
    train_step(models[0], [batch(1.0)], mean_output, optimizers[0])
    save_checkpoint(tmp_path / "c", models[0], optimizers[0])
    drawn = tinytorch.default_generator().random(3)
    load_checkpoint(tmp_path / "c", models[1], optimizers[1])
    assert np.array_equal(tinytorch.default_generator().random(3), drawn), "the random generator is not put back"
    train_step(models[1], [batch(1.0)], mean_output, optimizers[1])
    expect("weight after the second step", models[1].weight.data, [0.75],
           {"the moments of the optimizer were lost": [0.8]})  # fmt: skip


def test_a_checkpoint_is_loaded_as_a_whole_or_not_at_all(tmp_path):
    model = Weight()
    optimizer = SGD(model.parameters(), lr=0.1)
    save_checkpoint(tmp_path / "c", model, optimizer, a=Part(5), b=Part(-1))
    optimizer.param_groups[0]["lr"], a = 0.7, Part(1)
    tinytorch.default_generator().random()
    before = tinytorch.default_generator().bit_generator.state["state"]
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "c", model, optimizer, a=a, b=Part(0))
    assert a.value == 1, "a part keeps what was loaded, although another was refused: put it back"
    assert optimizer.param_groups[0]["lr"] == 0.7, "the optimizer keeps what was loaded: put it back"
    now = tinytorch.default_generator().bit_generator.state["state"]
    assert now == before, "the generator keeps what was loaded: put it back"


def test_what_is_watched():
    x = tinytorch.tensor([0.0, 1.0], requires_grad=True)
    with np.errstate(all="ignore"), watched() as calls:
        x.sqrt().sum().backward()
    assert [call.half for call in calls] == ["backward"], (
        f"only the slope of the root is infinite, but got {[(call.half, call.outputs) for call in calls]}: record a "
        "call where its outputs are not finite"
    )
    with np.errstate(all="ignore"), watched() as calls:
        tinytorch.tensor([3e38, 3e38]).sum().exp()
    assert len(calls) == 2 and calls[1].inputs[0] is calls[0].outputs[0], (
        "the sum gave a NumPy scalar, and the next operation another array: np.asarray before it is recorded"
    )


def test_where_inf_became_nan():
    def run():
        huge = tinytorch.tensor([100.0, 1.0]).exp() * 1.0
        return (huge - huge).sum()

    with np.errstate(all="ignore"):
        text = first_nonfinite(run)
    assert text.startswith("Exp.forward"), f"the trouble began with exp, the origin of the path; got {text}"
    assert "then Sub.forward" in text, f"inf became nan in a difference, the first nan after the origin; got {text}"


def loop_of(cls=TrainingLoop, n=5, **settings):
    model = Weight()
    loader = [batch(float(i)) for i in range(n)]
    return cls(model, loader, mean_output, SGD(model.parameters(), lr=0.1), **settings)


def test_batches_of_an_epoch():
    loop, sizes = loop_of(epochs=2, accumulate=2), []
    while (batches := loop.next_batches()) and len(sizes) < 9:
        sizes.append((loop.epoch, len(batches)))
    assert sizes == [(1, 2), (1, 2), (1, 1), (2, 2), (2, 2), (2, 1)], (
        f"5 batches in twos are 2, 2 and 1, no list spans two epochs, after the last comes []; got (epoch, batches) "
        f"{sizes}"
    )


def test_a_record_has_the_rate_of_its_own_step():
    loop = loop_of(steps=3)
    loop.schedule = LambdaLR(loop.optimizer, lambda step: 1 / (step + 1))
    rates = [loop.advance(loop.next_batches())["lr"] for _ in range(3)]
    expect("learning rates", rates, [0.1, 0.05, 0.1 / 3], {
        "the schedule never steps": [0.1, 0.1, 0.1],
        "the rate after the schedule is that of the next step": [0.05, 0.1 / 3, 0.025],
    })  # fmt: skip


def test_when_it_evaluates():
    loop, steps = loop_of(steps=5, evaluate=lambda: {"score": 1.0}, evaluate_every=2), []
    for _ in range(5):
        record = loop.advance(loop.next_batches())
        steps += [record["step"]] if "score" in record else []
    assert steps == [2, 4, 5], f"every 2 steps and after the last, got {steps}"
    assert loop.best == {"metric": "score", "value": 1.0, "step": 2}, "what is equal is no better than the first"


def test_history_ends_where_the_checkpoint_was(tmp_path):
    def fails(record):
        if record["step"] == 4:
            raise RuntimeError

    run = {"cls": Trainer, "steps": 7, "save_every": 2, "show": False, "folder": tmp_path}
    with pytest.raises(RuntimeError):
        loop_of(**run, callbacks=[fails]).fit()
    with open(tmp_path / "metrics.jsonl", "a") as file:
        print(json.dumps({"step": 3}), json.dumps({"step": 4}), sep="\n", file=file)
    again = loop_of(**run).resume()
    assert again.step == 2, f"saved every 2 steps, and step 4 was not done: expected step 2, got {again.step}"
    assert [record["step"] for record in again.history] == [1, 2], (
        "records from after the checkpoint are still in the history: these steps will be made again"
    )
    seen = []
    again.callbacks = [lambda record: seen.append(record["loss"])]
    again.fit()
    expect("losses after resuming", seen, [1.8, 2.1, 1.6, 0.0, 0.0], {})
    assert [record["epoch"] for record in again.history] == [1, 1, 1, 1, 1, 2, 2], "the epoch goes on in its middle"


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
