"""Stage loss, and what is reported where a function of the user's raises."""
import numpy as np
import pytest

import tinytorch.nn as nn
import tinytorch.nn.functional as F
from tinytorch import Tensor
from tinytorch.diagnosis import Case, diagnose, examine_loss
from tinytorch.optim import SGD, Adam


def numbers(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((32, 6)).astype(np.float32)
    return Tensor(x), Tensor(np.sin(x[:, :1]))


def labels(seed=0):
    x, _ = numbers(seed)
    return x, Tensor((x.data[:, 0] > 0) + 2 * (x.data[:, 1] > 0))


def line(outputs=1, *last):
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, outputs), *last)


def found(model, batch, loss_fn):
    return [(f.fault, f.severity) for f in examine_loss(Case(model, batch, loss_fn))]


@pytest.mark.parametrize("loss, expected", [
    (lambda model, x, y: F.mse_loss(model(x), y), []),
    (lambda model, x, y: F.smooth_l1_loss(model(x), y), []),
    (lambda model, x, y: ((model(x) - y.squeeze(1)) ** 2).mean(), [("examples-mixed", "severe")]),
    (lambda model, x, y: (model(x) - y).mean() ** 2, [("loss-misses-target", "severe")]),
    (lambda model, x, y: -F.mse_loss(model(x), y), [("loss-sign", "severe"), ("loss-sign", "warning")]),
    (lambda model, x, y: F.mse_loss(model(x), x[:, :1]), [("loss-misses-target", "warning")]),
])
def test_losses_of_numbers(loss, expected):
    assert found(line(), numbers(), loss) == expected


def test_a_column_against_a_row_is_severe():
    x, y = numbers()
    report = examine_loss(Case(line(), (x, y.squeeze(1)), lambda model, x, y: ((model(x) - y) ** 2).mean()))
    assert [(f.fault, f.severity) for f in report] == [("examples-mixed", "severe")]
    assert "(32, 1)" in report[0].what and "(32,)" in report[0].what


def picked(model, x, labels):
    return model(x)[np.arange(len(labels)), labels].mean()


@pytest.mark.parametrize("loss, expected", [
    (lambda model, x, y: F.cross_entropy(model(x), y), []),
    (lambda model, x, y: F.nll_loss(model(x).log_softmax(-1), y), []),
    (lambda model, x, y: F.nll_loss(model(x), y), [("not-log-probabilities", "severe"), ("loss-sign", "warning")]),
    (lambda model, x, y: F.nll_loss(model(x).softmax(-1), y), [("not-log-probabilities", "warning")]),
    (lambda model, x, y: F.cross_entropy(model(x).softmax(-1), y), [("softmax-twice", "severe")]),
    (lambda model, x, y: F.nll_loss(model(x).log_softmax(0), y), [("examples-mixed", "warning")]),
    (lambda model, x, y: F.cross_entropy(model(x), y, ignore_index=2), [("class-ignored", "warning")]),
])
def test_losses_of_classes(loss, expected):
    assert found(line(4), labels(), loss) == expected


def test_outputs_that_cannot_reach_the_targets():
    for last, expected in ((nn.Sigmoid(), ["target-range"]), (nn.ReLU(), ["target-range"]), (nn.Tanh(), []),
                           (nn.Identity(), [])):  # targets are sines
        model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1), last)
        case = Case(model, numbers(), lambda model, x, y: F.mse_loss(model(x), y))
        assert [f.fault for f in examine_loss(case)] == expected


def test_a_softmax_that_is_part_of_the_model():
    for last, expected in ((nn.Softmax(dim=-1), ["softmax-twice"]), (nn.Identity(), [])):
        case = Case(line(4, last), labels(), lambda model, x, y: F.cross_entropy(model(x), y))
        assert [f.fault for f in examine_loss(case)] == expected


@pytest.mark.parametrize("where", ["step", "generate", "held_out"])
def test_whatever_raises_is_reported_with_its_line(where):
    def boom(*_):
        raise KeyError("no such thing")

    model, (x, y) = line(4), labels()
    change = {"step": {"step": boom}, "generate": {"generate": boom}, "held_out": {"held_out": (x[:, :2], y)}}[where]
    before = {name: p.data.copy() for name, p in model.named_parameters()}
    report = diagnose(model, (x, y), lambda model, x, y: F.cross_entropy(model(x), y),
                      Adam(model.parameters(), lr=1e-2), **change)
    finding = next(f for f in report.findings if f.fault == "raises")
    assert finding.severity == "severe" and "test_loss.py:" in finding.what
    assert where == "held_out" or "boom" in finding.what and "no such thing" in finding.what
    assert all((p.data == before[name]).all() for name, p in model.named_parameters())


@pytest.mark.parametrize("sign, expected", [(1, ["uphill"]), (-1, []), (0, ["no-update"])])
def test_a_step_without_an_optimizer(sign, expected):
    def step(model, batch, loss_fn, optimizer):
        for p in model.parameters():
            p.grad = None
        loss_fn(model, *batch).backward()
        for p in model.parameters():
            p.data = p.data + sign * 0.05 * p.grad.data

    report = diagnose(line(), numbers(), lambda model, x, y: F.mse_loss(model(x), y), step=step)
    assert [f.fault for f in report.severe()] == expected


def test_a_group_keeps_its_own_rate():
    model = line()
    first, *rest = model.parameters()
    optimizer = SGD([{"params": [first], "lr": 0.1}, {"params": rest, "lr": 0.0}], lr=0.1)
    report = diagnose(model, numbers(), lambda model, x, y: F.mse_loss(model(x), y), optimizer)
    assert [f.fault for f in report.severe()] == ["no-update"] and "3 of 4" in report.findings[0].what
