"""PyTorch's schedules, step by step beside PyTorch's own."""
import pytest

from tinytorch import Tensor, optim
from tinytorch.optim import lr_scheduler

MAKERS = {
    "step": lambda s, o: s.StepLR(o, step_size=3, gamma=0.5),
    "multi_step": lambda s, o: s.MultiStepLR(o, milestones=[5, 2, 2], gamma=0.3),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.9),
    "linear": lambda s, o: s.LinearLR(o, 0.2, 0.8, 6),
    "constant": lambda s, o: s.ConstantLR(o, factor=0.5, total_iters=4),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, 5, eta_min=0.01),
    "lambda": lambda s, o: s.LambdaLR(o, lambda step: 1 / (1 + step)),
    "lambdas": lambda s, o: s.LambdaLR(o, [lambda step: 1 / (1 + step), lambda step: 0.5 ** step]),
    "one_cycle": lambda s, o: s.OneCycleLR(o, 0.7, total_steps=12),
    "one_cycle_linear": lambda s, o: s.OneCycleLR(o, [0.7, 0.3], epochs=4, steps_per_epoch=3, pct_start=0.5,
                                                  anneal_strategy="linear"),
    "sequential": lambda s, o: s.SequentialLR(
        o, [s.ConstantLR(o, 0.1, 3), s.CosineAnnealingLR(o, 4), s.ExponentialLR(o, 0.5)], [3, 7]),
}


def history(optim, leaf, schedules, make, metrics=None):
    "Return lr and first beta of both groups before each of 11 steps."
    optimizer = optim.Adam([{"params": [leaf()], "lr": 0.5}, {"params": [leaf()], "lr": 0.1}])
    schedule = make(schedules, optimizer)
    seen = []
    for metric in metrics or [None] * 11:
        seen += [number for group in optimizer.param_groups for number in (group["lr"], group["betas"][0])]
        assert schedule.get_last_lr() == [group["lr"] for group in optimizer.param_groups]
        optimizer.step()
        schedule.step(*[] if metric is None else [metric])
    return seen


def ours():
    return Tensor([1.0], requires_grad=True)


@pytest.mark.parametrize("name", MAKERS)
def test_rates_are_those_of_pytorch(torch, name):
    def theirs():
        return torch.ones(1, requires_grad=True)
    expected = history(torch.optim, theirs, torch.optim.lr_scheduler, MAKERS[name])
    assert history(optim, ours, lr_scheduler, MAKERS[name]) == pytest.approx(expected, rel=1e-6)


PLATEAUS = {
    "min": {"patience": 1}, "max": {"mode": "max", "patience": 2, "factor": 0.5}, "abs": {
        "threshold_mode": "abs", "threshold": 0.3, "patience": 0}, "cooldown": {"patience": 0, "cooldown": 2},
    "least": {"patience": 0, "min_lr": 0.2, "factor": 0.9},
}


@pytest.mark.parametrize("name", PLATEAUS)
def test_plateaus_are_those_of_pytorch(torch, name):
    def make(schedules, optimizer):
        return schedules.ReduceLROnPlateau(optimizer, **PLATEAUS[name])
    def theirs():
        return torch.ones(1, requires_grad=True)
    metrics = [1.0, 0.9, 0.9, 0.95, 0.8, 0.8, 0.8, 0.81, 0.7, 0.2, 0.21, 0.2, 0.3]
    expected = history(torch.optim, theirs, torch.optim.lr_scheduler, make, metrics)
    assert history(optim, ours, lr_scheduler, make, metrics) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "sequential"])
def test_a_schedule_goes_on_from_its_state(name):
    optimizer = optim.Adam([{"params": [ours()], "lr": 0.5}, {"params": [ours()], "lr": 0.1}])
    schedule = MAKERS[name](lr_scheduler, optimizer)
    for _ in range(4):
        schedule.step()
    saved, rates = schedule.state_dict(), schedule.get_last_lr()
    schedule.step()
    later = schedule.get_last_lr()
    again = optim.Adam([{"params": [ours()], "lr": 0.5}, {"params": [ours()], "lr": 0.1}])
    resumed = MAKERS[name](lr_scheduler, again)
    resumed.load_state_dict(saved)
    assert resumed.get_last_lr() == rates
    resumed.step()
    assert resumed.get_last_lr() == later


REFUSED = {
    "functions": (lambda o: lr_scheduler.LambdaLR(o, [len, len]), "2 functions for 1"),
    "steps": (lambda o: lr_scheduler.OneCycleLR(o, 1.0), "total_steps"),
    "strategy": (lambda o: lr_scheduler.OneCycleLR(o, 1.0, 5, anneal_strategy="up"), "'up'"),
    "momentum": (lambda o: lr_scheduler.OneCycleLR(o, 1.0, 5), "cycle_momentum=False"),
    "milestones": (lambda o: lr_scheduler.SequentialLR(o, [], [1]), "milestones"),
    "mode": (lambda o: lr_scheduler.ReduceLROnPlateau(o, "lowest"), "'lowest'"),
    "factor": (lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=2.0), "factor"),
    "last": (lambda o: lr_scheduler.StepLR(o, 2, last_epoch=5), "state_dict"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_schedule_is_refused(name):
    make, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        make(optim.SGD([ours()], lr=0.1) if name != "momentum" else OnlyRate([ours()], lr=0.1))


class OnlyRate(optim.Optimizer):
    "An optimizer without momentum."


def test_a_cycle_has_an_end():
    schedule = lr_scheduler.OneCycleLR(optim.Adam([ours()]), 1.0, 3)
    schedule.step()
    schedule.step()
    with pytest.raises(ValueError, match="step 3 of 3"):
        schedule.step()
