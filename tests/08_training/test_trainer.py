"""The Trainer: evaluation, the best and the last, early stopping, callbacks, and going on as if nothing was."""
import json
import os
import platform
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from platforms import needs_processes

import tinytorch
from tinytorch import Tensor, nn
from tinytorch.checkpoint import CheckpointError
from tinytorch.data import DataLoader, Subset, TensorDataset
from tinytorch.nn import functional as F
from tinytorch.optim import SGD, Adam, AdamW, LambdaLR, decay_groups, linear_warmup
from tinytorch.training import Trainer, evaluate

OPTIMIZERS = {
    "sgd": lambda model: SGD(model.parameters(), lr=0.1),
    "momentum": lambda model: SGD(model.parameters(), lr=0.1, momentum=0.9),
    "nesterov": lambda model: SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda model: Adam(model.parameters(), lr=0.02),
    "adamw": lambda model: AdamW(decay_groups(model, weight_decay=0.1), lr=0.02),
}


def loss_fn(model, x, y):
    return F.cross_entropy(model(x), y)


def dataset(n=22):
    generator = np.random.default_rng(1)
    return TensorDataset(generator.standard_normal((n, 3)).astype(np.float32), generator.integers(0, 4, n))


def make(optimizer="adamw", seed=0, loader=None, generator=None, **settings):
    tinytorch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 4))
    optimizer = OPTIMIZERS[optimizer](model)
    loader = DataLoader(dataset(), 4, shuffle=True, generator=generator) if loader is None else loader
    settings = {"schedule": LambdaLR(optimizer, linear_warmup(5)), "show": False, "save_every": 50, **settings}
    if "steps" not in settings and "epochs" not in settings:
        settings["steps"] = 20
    return Trainer(model, loader, loss_fn, optimizer, **settings)


def weights(trainer):
    return np.concatenate([p.data.ravel() for p in trainer.model.parameters()])


def stop_at(step):
    return lambda record: "enough" if record["step"] == step else None


def without_time(history):
    return [{name: value for name, value in record.items() if name != "seconds"} for record in history]


# ---- going on

@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("accumulate, cut", [(1, 1), (1, 6), (1, 9), (2, 2), (3, 7)])
def test_resumed_is_as_straight(optimizer, accumulate, cut, tmp_path):
    "6 batches an epoch: the cuts are in the middle and at the end of an epoch."
    straight = make(optimizer, accumulate=accumulate, folder=tmp_path / "a")
    history = straight.fit()
    first = make(optimizer, accumulate=accumulate, folder=tmp_path / "b", callbacks=[stop_at(cut)])
    first.fit()
    assert first.step == cut and first.stopped == "enough"
    again = make(optimizer, seed=99, accumulate=accumulate, folder=tmp_path / "b").resume()
    assert again.step == cut and not np.array_equal(weights(again), weights(straight))
    again.stopped = None
    assert without_time(again.fit()) == without_time(history)
    np.testing.assert_array_equal(weights(again), weights(straight))
    lines = (tmp_path / "b" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == again.history


class FromTheLibrary:
    "A loader without any state of its own, whose batches come from the library's random numbers; it has no end."
    def __iter__(self):
        generator = tinytorch.default_generator()
        order = generator.permutation(22)
        while True:
            yield tuple(Tensor(t.data[order[generator.integers(0, 22, 5)]]) for t in dataset().tensors)


@pytest.mark.parametrize("loader", [
    lambda: DataLoader(dataset(), 4),
    lambda: DataLoader(dataset(), 4, shuffle=True, generator=3, drop_last=True),
    lambda: list(DataLoader(dataset(), 4)),
    FromTheLibrary,
])
def test_every_kind_of_loader_goes_on_where_it_was(loader, tmp_path):
    straight = make(loader=loader())
    straight.fit()
    make(loader=loader(), folder=tmp_path, callbacks=[stop_at(8)]).fit()
    again = make(loader=loader(), seed=5, folder=tmp_path).resume()
    again.stopped = None
    again.fit()
    np.testing.assert_array_equal(weights(again), weights(straight))


def test_a_loader_that_is_also_used_for_evaluation_keeps_its_place(tmp_path):
    def with_evaluation(**settings):
        trainer = make(evaluate_every=4, evaluate=lambda: {"loss on train": evaluate(trainer.model, trainer.loader,
                                                                                     loss_fn)}, **settings)
        return trainer
    straight = with_evaluation()
    straight.fit()
    with_evaluation(folder=tmp_path, callbacks=[stop_at(8)]).fit()
    again = with_evaluation(folder=tmp_path, seed=5).resume()
    again.stopped = None
    again.fit()
    np.testing.assert_array_equal(weights(again), weights(straight))


def test_fit_goes_on_in_the_middle_of_an_epoch_also_without_a_file():
    straight = make()
    straight.fit()
    parts = make(callbacks=[stop_at(8)])
    parts.fit()
    parts.callbacks, parts.stopped = [], None
    parts.fit()
    np.testing.assert_array_equal(weights(parts), weights(straight))


def test_more_steps_can_be_asked_for_later(tmp_path):
    straight = make(steps=20)
    straight.fit()
    make(steps=8, folder=tmp_path).fit()
    again = make(steps=20, folder=tmp_path).resume()
    again.fit()
    np.testing.assert_array_equal(weights(again), weights(straight))


def test_it_can_be_saved_at_any_time(tmp_path):
    straight = make()
    straight.fit()
    trainer = make(folder=tmp_path)
    trainer.save("first")
    again = make(folder=tmp_path, seed=5).resume("first")
    again.fit()
    np.testing.assert_array_equal(weights(again), weights(straight))
    again.save("after")
    assert make(folder=tmp_path).resume("after").step == 20


def test_a_finished_run_is_not_trained_again(tmp_path):
    trainer = make(folder=tmp_path)
    trainer.fit()
    again = make(folder=tmp_path).resume()
    assert again.fit() == trainer.history
    np.testing.assert_array_equal(weights(again), weights(trainer))


def test_the_settings_of_the_folder_are_in_the_checkpoint(tmp_path):
    from safetensors import safe_open

    from tinytorch.runs import new_run
    folder = new_run(tmp_path, "x", {"lr": 0.02})
    make(folder=folder, steps=2).fit()
    with safe_open(folder / "last.safetensors", "np") as file:
        assert json.loads(file.metadata()["state"])["config"] == {"lr": 0.02}


def test_numpy_s_numbers_may_come_from_everywhere(tmp_path):
    trainer = make(steps=2, folder=tmp_path, evaluate_every=1, evaluate=lambda: {"val": np.float32(0.5)},
                   callbacks=[lambda record: record.update(seen=np.int64(3))])
    trainer.fit()
    assert trainer.best["value"] == 0.5
    assert [(r["val"], r["seen"]) for r in make(steps=2, folder=tmp_path).resume().history] == [(0.5, 3), (0.5, 3)]


@pytest.mark.skipif(not hasattr(os, "kill") or os.name != "posix", reason="sends itself a signal")
def test_ctrl_c_waits_for_the_end_of_the_step_and_a_second_one_does_not(tmp_path):
    straight = make()
    straight.fit()
    before = signal.getsignal(signal.SIGINT)

    def ctrl_c(times):
        return lambda record: record["step"] == 7 and [os.kill(os.getpid(), signal.SIGINT) for _ in range(times)]

    trainer = make(callbacks=[ctrl_c(1)])
    with pytest.raises(KeyboardInterrupt, match="step 7"):
        trainer.fit()
    assert signal.getsignal(signal.SIGINT) is before
    trainer.callbacks = []
    trainer.fit()
    np.testing.assert_array_equal(weights(trainer), weights(straight))

    with pytest.raises(KeyboardInterrupt):
        make(folder=tmp_path, callbacks=[ctrl_c(2)]).fit()
    assert not (tmp_path / "last.safetensors").exists(), "stopped at once"
    assert signal.getsignal(signal.SIGINT) is before


# ---- nothing is lost

def test_a_folder_with_a_run_is_not_trained_over(tmp_path):
    make(folder=tmp_path, steps=2).fit()
    before = (tmp_path / "last.safetensors").read_bytes(), (tmp_path / "metrics.jsonl").read_bytes()
    with pytest.raises(FileExistsError, match=str(tmp_path)):
        make(folder=tmp_path).fit()
    assert before == ((tmp_path / "last.safetensors").read_bytes(), (tmp_path / "metrics.jsonl").read_bytes())


@pytest.mark.parametrize("change, message", [
    (lambda: {"optimizer": "sgd"}, "optimizer"),
    (lambda: {"loader": DataLoader(dataset(), 5, shuffle=True)}, "batch_size"),
    (lambda: {"loader": DataLoader(dataset(23), 4, shuffle=True)}, "examples"),
    (lambda: {"generator": 3}, "generator"),
    (lambda: {"schedule": None}, "schedule"),
])
def test_a_run_of_other_parts_is_refused_and_nothing_changes(change, message, tmp_path):
    make(folder=tmp_path, callbacks=[stop_at(3)]).fit()
    other = make(folder=tmp_path, seed=1, **change())
    before, random = weights(other), tinytorch.default_generator().bit_generator.state
    with pytest.raises(CheckpointError, match=message):
        other.resume()
    np.testing.assert_array_equal(weights(other), before)
    assert tinytorch.default_generator().bit_generator.state == random
    assert (other.step, other.epoch, other.history, other.best, other.stopped) == (0, 1, [], None, None)
    assert other.loader.saved is None, "the loader begins a new epoch"


@pytest.mark.parametrize("state", [
    {"step": "x"}, {"best": 3}, {"began": {}}, {"seconds": None}, {"stopped": []}, {"step": -1}, {"dealt": -2},
    {"best": {}}, {"best": {"metric": "val", "value": 1.0}}, {"best": {"metric": 1, "value": 1.0, "step": 1}},
    {"best": {"metric": "val", "value": "1", "step": 1}}, {"best": {"metric": "val", "value": 1.0, "step": None}}])
def test_a_forged_state_of_the_trainer_is_refused(state, tmp_path):
    class Forger(Trainer):
        def state_dict(self):
            return super().state_dict() | state

    forger = make(folder=tmp_path, steps=2)
    forger.__class__ = Forger
    forger.fit()
    other = make(folder=tmp_path, seed=1)
    before = weights(other)
    with pytest.raises(CheckpointError):
        other.resume()
    np.testing.assert_array_equal(weights(other), before)
    assert other.step == 0


def test_what_a_killed_run_left_aside_is_cleared_away(tmp_path):
    make(folder=tmp_path, steps=3).fit()
    (tmp_path / "last.safetensors.123.new").write_bytes(b"half")
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    again = make(folder=tmp_path, steps=5).resume()
    assert [record["step"] for record in again.history] == [1, 2, 3]
    again.fit()
    assert sorted(os.listdir(tmp_path)) == ["last.safetensors", "metrics.jsonl", "status.json"]
    assert [json.loads(line)["step"] for line in open(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4, 5]


# ---- evaluation, the best, and when to stop

def scripted(*values):
    values = iter(values)
    return lambda: {"score": next(values), "other": 1.0}


@pytest.mark.parametrize("better, values, best, steps", [
    (min, [5, 4, 3, 2, 1, 0], 6, 6),
    (min, [5, 3, 4, 3, 3, 9], 2, 5),
    (min, [3, float("nan"), 4, 2, float("nan"), 3], 4, 6),
    (min, [float("nan"), float("inf"), 2, 3, 3, 1], 6, 6),
    (max, [1, 3, 2, 4, 4, 4], 4, 6),
    (max, [5, 4, 3, 2, 1, 0], 1, 4),
])
def test_best_and_patience(better, values, best, steps, tmp_path):
    trainer = make(steps=6, evaluate=scripted(*values), evaluate_every=1, better=better, patience=3, folder=tmp_path)
    trainer.fit()
    assert (trainer.best["step"], trainer.step) == (best, steps)
    assert trainer.best == {"metric": "score", "value": values[best - 1], "step": best}
    assert (trainer.stopped is None) == (steps == 6)
    reached = make(steps=6, folder=tmp_path).resume("best")
    assert reached.step == best and len(reached.history) == best


def test_patience_counts_on_after_a_resume(tmp_path):
    values = [3, 2, 4, 4, 4, 1]
    make(steps=6, evaluate=scripted(*values), evaluate_every=1, patience=3, folder=tmp_path,
         callbacks=[stop_at(3)]).fit()
    again = make(steps=6, evaluate=scripted(*values[3:]), evaluate_every=1, patience=3, folder=tmp_path).resume()
    again.stopped = None
    again.fit()
    assert again.step == 5 and "score" in again.stopped and "step 2" in again.stopped
    assert json.loads((tmp_path / "status.json").read_text())["status"] == again.stopped


@pytest.mark.parametrize("settings, evaluated", [
    ({"steps": 10, "evaluate_every": 4}, [4, 8, 10]),
    ({"steps": 14}, [6, 12, 14]),
    ({"epochs": 2}, [6, 12]),
    ({"epochs": 2, "accumulate": 4}, [2, 4]),
])
def test_when_it_evaluates(settings, evaluated):
    history = make(evaluate=lambda: {"val": 1.0}, **settings).fit()
    assert [record["step"] for record in history if "val" in record] == evaluated


def test_the_model_is_in_training_mode_and_evaluation_leaves_it_there():
    trainer = make(steps=4, evaluate_every=2, callbacks=[lambda record: modes.append(trainer.model.training)],
                   evaluate=lambda: {"val": evaluate(trainer.model, DataLoader(dataset(), 22), loss_fn)})
    modes = []
    trainer.model.eval()
    trainer.fit()
    assert modes == [True] * 4


def test_callbacks_see_every_record_and_a_text_stops():
    seen = []
    trainer = make(callbacks=[lambda record: seen.append(record) or True, stop_at(5)])
    assert trainer.fit() == seen and len(seen) == 5
    assert {"step", "epoch", "lr", "loss", "norm", "seconds"} == set(seen[0])


def test_status_says_how_it_ended(tmp_path):
    def status(folder):
        return json.loads((folder / "status.json").read_text())
    make(folder=tmp_path / "a", steps=4, evaluate=scripted(2, 1), evaluate_every=2).fit()
    found = status(tmp_path / "a")
    assert "Tanh" in found.pop("model") and len(found.pop("data")) == 64  # what a resumed run is compared with
    assert found | {"seconds": 0, "threads": None} == {
        "status": "finished", "step": 4, "steps": 4, "seconds": 0, "threads": None,
        "best": {"metric": "score", "value": 1, "step": 4}}
    make(folder=tmp_path / "b", steps=4, callbacks=[stop_at(2)]).fit()
    assert status(tmp_path / "b")["status"] == "enough"
    with pytest.raises(ZeroDivisionError):
        make(folder=tmp_path / "c", save_every=1, callbacks=[lambda record: 1 / (3 - record["step"])]).fit()
    assert status(tmp_path / "c")["status"] == "unfinished"


@pytest.mark.parametrize("made, wanted", [({"steps": 5}, {"steps": 3}), ({"epochs": 3}, {"epochs": 2}),
                                          ({"steps": 9}, {"epochs": 1}), ({"epochs": 2}, {"steps": 4})])
def test_a_resumed_run_that_wants_less_than_was_made_ends(made, wanted, tmp_path):
    history = make(folder=tmp_path, **made).fit()
    again = make(folder=tmp_path, **wanted, callbacks=[lambda record: 1 / 0]).resume()
    assert again.fit() == history and again.step == len(history)


# ---- one run, one process


def test_a_folder_in_use_is_refused_by_the_process_that_uses_it(tmp_path):
    def disturb(record):
        with pytest.raises(FileExistsError, match=rf"run.*{os.getpid()}"):
            make(folder=tmp_path / "run", steps=1).fit()
        seen.append((tmp_path / "run" / "lock").read_text())

    seen = []
    make(folder=tmp_path / "run", steps=2, callbacks=[disturb]).fit()
    assert seen == [f"process {os.getpid()} on {platform.node()}"] * 2
    assert not (tmp_path / "run" / "lock").exists()


@needs_processes
def test_another_process_is_refused_until_the_first_is_killed(tmp_path):
    script = Path(__file__).with_name("survivor.py")
    code = f"import sys; sys.path.insert(0, {str(script.parent)!r}); import survivor, time\n" + (
        "def wait(record): print('trains', flush=True); time.sleep(600)\n"
        f"survivor.build({str(tmp_path)!r}, 'sgd', callbacks=[wait]).fit()")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout.readline() == "trains\n"
            with pytest.raises(FileExistsError, match=f"{other.pid}"):
                make(folder=tmp_path).fit()
        finally:
            other.kill()
    assert (tmp_path / "lock").exists()  # it had no time to clean up
    assert len(make(folder=tmp_path, steps=2).fit()) == 2


# ---- what a resumed run is made of


def test_a_resumed_run_with_another_model_or_other_data_says_so(tmp_path):
    make(folder=tmp_path, steps=3).fit()
    other = TensorDataset(*(t.data[::-1].copy() for t in dataset().tensors))
    for change, words in [({"loader": DataLoader(other, 4, shuffle=True)}, "data"), ({}, "other model.*p=0.3.*p=0.9")]:
        again = make(folder=tmp_path, steps=3, **change).resume()
        again.model[2].p = 0.3 if change else 0.9
        with pytest.warns(UserWarning, match=words):
            again.fit()
        make(folder=tmp_path, steps=3).resume().save()
    with warnings.catch_warnings(action="error"):
        make(folder=tmp_path, steps=5).resume().fit()


def test_data_of_every_kind_can_be_trained_on_and_resumed(tmp_path):
    class Odd:
        tokens, indices, tensors = object(), "text", (1, None, np.array(3), np.array([None]), np.zeros((0, 2)))

        def __len__(self):
            return 8

        def __getitem__(self, index):
            return dataset()[index]

    kinds = {"odd": Odd(), "subset": Subset(Odd(), [3, 1, 2, 0]), "list": [dataset()[i] for i in range(9)]}
    for name, data in kinds.items():
        make(folder=tmp_path / name, loader=DataLoader(data, 2), steps=1).fit()
        with warnings.catch_warnings(action="error"):
            make(folder=tmp_path / name, loader=DataLoader(data, 2), steps=2).resume().fit()


@pytest.mark.parametrize("status", ["", "[]", "[" * 100_000, '{"model": 3, "data": null}', '{"model": "\\n"}'])
def test_a_status_that_is_none_of_ours_is_no_obstacle(status, tmp_path):
    make(folder=tmp_path, steps=1).fit()
    (tmp_path / "status.json").write_text(status)
    with warnings.catch_warnings(action="ignore"):
        assert len(make(folder=tmp_path, steps=2).resume().fit()) == 2


@pytest.mark.parametrize("content", ['{"config": {"lr"', "[]", "{}", "[" * 100_000])
def test_a_damaged_config_is_named_before_anything_is_trained(content, tmp_path):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match="config.json: expected what new_run wrote"):
        make(folder=tmp_path, callbacks=[lambda record: 1 / 0]).fit()


# ---- when numbers run away

class Exploding(nn.Module):
    "Fine until its sixth batch, whose scores it divides by zero."
    def __init__(self):
        self.linear, self.calls = nn.Linear(3, 4), 0

    def forward(self, x):
        self.calls += 1
        return self.linear(x) / (0.0 if 6 <= self.calls <= 7 else 1.0)


def test_a_loss_of_nan_names_the_operation_and_keeps_the_last_checkpoint(tmp_path):
    model = Exploding()
    trainer = Trainer(model, DataLoader(dataset(), 4), loss_fn, SGD(model.parameters(), lr=0.1), steps=20,
                      folder=tmp_path, save_every=2, show=False)
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError) as caught:
        trainer.fit()
    text = str(caught.value)
    for fact in ("nan", "step 6", "epoch 1", "lr 0.1", "Div.forward at test_trainer.py:"):
        assert fact in text, f"{fact} is missing in: {text}"
    assert any(str(tmp_path) in note for note in caught.value.__notes__), "where the last checkpoint is"
    again = Trainer(Exploding(), DataLoader(dataset(), 4), loss_fn, trainer.optimizer, steps=4, folder=tmp_path)
    assert again.resume().step == 4


def test_weights_that_the_optimizer_drove_to_infinity_are_not_saved(tmp_path):
    trainer = make("sgd", folder=tmp_path, callbacks=[lambda record: record["step"] == 3 and spoil()], schedule=None,
                   save_every=1)

    def spoil():
        next(trainer.model.parameters()).data[0, 0] = np.inf
    with pytest.raises(FloatingPointError, match="step 3.*0.weight"):
        trainer.fit()
    again = make("sgd", folder=tmp_path, schedule=None).resume()
    assert again.step == 2 and np.isfinite(weights(again)).all()


def test_the_second_run_of_a_batch_sees_the_same_dropout():
    "The loss is nan only if dropout keeps the first number: the explanation must find it every time."
    model = nn.Sequential(nn.Dropout(0.5))
    weight = nn.Parameter(np.ones(3, np.float32))
    model.weight = weight

    def unlucky(model, x, y):
        kept = model[0](x)[:, :1] * model.weight[0]  # 0 or 2
        return (kept * 1e38 * 100 - kept * 1e38 * 100).mean()
    trainer = Trainer(model, [(Tensor(np.ones((1, 3), np.float32)), Tensor([0]))], unlucky, SGD([weight], lr=0.1),
                      steps=50, show=False)
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="Mul.forward.*then Sub.forward"):
        trainer.fit()


# ---- settings

@pytest.mark.parametrize("settings, message", [
    ({}, "(?=.*epochs).*steps"),
    ({"steps": 1, "epochs": 1}, "(?=.*epochs).*steps"),
    ({"steps": 1, "accumulate": 0}, "accumulate.*0"),
    ({"steps": 1, "evaluate": lambda: {}}, "evaluate_every"),
])
def test_bad_settings(settings, message):
    model = nn.Linear(3, 4)
    with pytest.raises(ValueError, match=message):
        Trainer(model, FromTheLibrary(), loss_fn, SGD(model.parameters(), lr=0.1), **settings)
