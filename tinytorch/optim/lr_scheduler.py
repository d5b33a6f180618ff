"""PyTorch's learning-rate schedules: each a formula for the rate after a number of steps."""
import bisect
import math

from tinytorch.vocabulary.options import checked


class LRScheduler:
    """Set the lr of each of the optimizer's groups to `rate(its first lr)`; call `step()` after each optimizer step.
    The first lr is kept in the group as "initial_lr"; `last_epoch` counts the steps. Subclasses say what `rate` is."""
    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        cls.__init__ = checked(cls.__init__) if cls.__module__ == __name__ else cls.__init__

    def __init__(self, optimizer, last_epoch=-1):
        if last_epoch != -1:
            raise ValueError("last_epoch: load the state_dict of the schedule in place of a number of steps")
        self.optimizer, self.last_epoch = optimizer, 0
        self.base_lrs = [group.setdefault("initial_lr", group["lr"]) for group in optimizer.param_groups]
        self._set()

    def rate(self, lr):
        "Return the rate at `last_epoch` of a group whose first one is `lr`."
        raise NotImplementedError(f"{type(self).__name__}.rate")

    def _set(self):
        for group, lr in zip(self.optimizer.param_groups, self.base_lrs):
            group["lr"] = float(self.rate(lr))

    def step(self):
        self.last_epoch += 1
        self._set()

    def get_last_lr(self):
        "Return the lr of each group, as the next optimizer step will use it."
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self):
        "Return plain values, from which `load_state_dict` goes on."
        return {name: value for name, value in vars(self).items() if isinstance(value, (int, float, str, list))}

    def load_state_dict(self, state_dict):
        vars(self).update({name: value for name, value in state_dict.items() if name in self.state_dict()})
        self._set()


class LambdaLR(LRScheduler):
    "The first lr times `lr_lambda(steps)`; a list of functions has one for each group."
    def __init__(self, optimizer, lr_lambda, last_epoch=-1):
        several = isinstance(lr_lambda, (list, tuple))
        self.lr_lambdas = tuple(lr_lambda) if several else (lr_lambda,) * len(optimizer.param_groups)
        if len(self.lr_lambdas) != len(optimizer.param_groups):
            raise ValueError(f"LambdaLR: got {len(lr_lambda)} functions for {len(optimizer.param_groups)} groups")
        super().__init__(optimizer, last_epoch)

    def _set(self):
        for group, lr, factor in zip(self.optimizer.param_groups, self.base_lrs, self.lr_lambdas):
            group["lr"] = float(lr * factor(self.last_epoch))


class StepLR(LRScheduler):
    "The lr times `gamma`, after every `step_size` steps."
    def __init__(self, optimizer, step_size, gamma=0.1, last_epoch=-1):
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, lr):
        return lr * self.gamma ** (self.last_epoch // self.step_size)


class MultiStepLR(LRScheduler):
    "The lr times `gamma`, at each of the numbers of steps in `milestones`."
    def __init__(self, optimizer, milestones, gamma=0.1, last_epoch=-1):
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, lr):
        return lr * self.gamma ** bisect.bisect_right(self.milestones, self.last_epoch)


class ExponentialLR(LRScheduler):
    "The lr times `gamma`, after every step."
    def __init__(self, optimizer, gamma, last_epoch=-1):
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, lr):
        return lr * self.gamma ** self.last_epoch


class LinearLR(LRScheduler):
    "The lr times a factor that goes from `start_factor` to `end_factor` in `total_iters` steps, and stays there."
    def __init__(self, optimizer, start_factor=1 / 3, end_factor=1.0, total_iters=5, last_epoch=-1):
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def rate(self, lr):
        progress = min(self.last_epoch, self.total_iters) / max(self.total_iters, 1)
        return lr * (self.start_factor + (self.end_factor - self.start_factor) * progress)


class ConstantLR(LinearLR):
    "The lr times `factor` for `total_iters` steps, then as it was."
    def __init__(self, optimizer, factor=1 / 3, total_iters=5, last_epoch=-1):
        super().__init__(optimizer, factor, 1.0, total_iters, last_epoch)

    def rate(self, lr):
        return lr * (self.start_factor if self.last_epoch < self.total_iters else 1.0)


class CosineAnnealingLR(LRScheduler):
    "Half a cosine from the lr to `eta_min` in `T_max` steps, and back (Loshchilov & Hutter 2017, without restarts)."
    def __init__(self, optimizer, T_max, eta_min=0.0, last_epoch=-1):
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def rate(self, lr):
        return self.eta_min + (lr - self.eta_min) * (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2


class OneCycleLR(LRScheduler):
    """Up from max_lr / div_factor to `max_lr` in the share `pct_start` of all steps, and down to a final_div_factor-th
    of the start; momentum, or Adam's first beta, goes the other way if `cycle_momentum` (Smith & Topin 2018).
    Raises: ValueError for cycle_momentum with neither, and for a step beyond the last."""
    def __init__(self, optimizer, max_lr, total_steps=None, epochs=None, steps_per_epoch=None, pct_start=0.3,
                 anneal_strategy="cos", cycle_momentum=True, base_momentum=0.85, max_momentum=0.95, div_factor=25.0,
                 final_div_factor=1e4, last_epoch=-1):
        total_steps = total_steps or (epochs or 0) * (steps_per_epoch or 0)
        if total_steps < 1:
            raise ValueError("OneCycleLR: expected total_steps, or epochs and steps_per_epoch")
        if cycle_momentum and not any(name in optimizer.defaults for name in ("momentum", "betas")):
            raise ValueError("OneCycleLR: the optimizer has no momentum; pass cycle_momentum=False")
        self.total_steps, self.peak, self.cosine = total_steps, pct_start * total_steps - 1, anneal_strategy == "cos"
        self.cycle_momentum, self.momenta = cycle_momentum, [max_momentum, base_momentum]
        self.div_factor, self.final_div_factor = div_factor, final_div_factor
        rates = max_lr if isinstance(max_lr, (list, tuple)) else [max_lr] * len(optimizer.param_groups)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["initial_lr"] = rate / div_factor
        super().__init__(optimizer, last_epoch)

    def between(self, low, high, end):
        "Return the value that starts at `low`, is `high` at the peak, and `end` at the last step."
        start, stop, at, length = low, high, self.last_epoch, self.peak
        if self.last_epoch > self.peak:
            start, stop, at, length = high, end, self.last_epoch - self.peak, self.total_steps - 1 - self.peak
        progress = at / length if length else 1.0
        return stop + (start - stop) * ((1 + math.cos(math.pi * progress)) / 2 if self.cosine else 1 - progress)

    def rate(self, lr):
        if self.last_epoch >= self.total_steps:
            raise ValueError(f"OneCycleLR: step {self.last_epoch} of {self.total_steps}")
        return self.between(lr, lr * self.div_factor, lr / self.final_div_factor)

    def _set(self):
        super()._set()
        momentum = self.between(*self.momenta, self.momenta[0])
        for group in self.optimizer.param_groups if self.cycle_momentum else ():
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum


class SequentialLR(LRScheduler):
    "One of `schedulers` after the other; the next begins, at its own step 0, at each number of steps in `milestones`."
    def __init__(self, optimizer, schedulers, milestones, last_epoch=-1):
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(f"SequentialLR: {len(schedulers)} schedules need {len(schedulers) - 1} milestones")
        self.schedulers, self.milestones = tuple(schedulers), list(milestones)
        super().__init__(optimizer, last_epoch)

    def _set(self):
        number = bisect.bisect_right(self.milestones, self.last_epoch)
        now = self.schedulers[number]
        now.last_epoch = self.last_epoch - [0, *self.milestones][number]
        now._set()


class ReduceLROnPlateau:
    """The lr times `factor` once the `metric` given to `step` has not become better for more than `patience` steps:
    by the share `threshold` (threshold_mode="rel"), or by that much ("abs"). mode: is it better if lower, "min"?"""
    @checked
    def __init__(self, optimizer, mode="min", factor=0.1, patience=10, threshold=1e-4, threshold_mode="rel",
                 cooldown=0, min_lr=0.0, eps=1e-8):
        if factor >= 1:
            raise ValueError(f"ReduceLROnPlateau: factor must be below 1, got {factor}")
        self.optimizer, self.mode, self.factor, self.patience = optimizer, mode, factor, patience
        self.threshold, self.threshold_mode, self.cooldown = threshold, threshold_mode, cooldown
        self.min_lr, self.eps = min_lr, eps
        self.best, self.num_bad_epochs, self.cooldown_counter, self.last_epoch = None, 0, 0, 0

    def is_better(self, metric):
        if self.best is None:
            return True
        margin = self.threshold if self.mode == "max" else -self.threshold
        bound = self.best * (1 + margin) if self.threshold_mode == "rel" else self.best + margin
        return metric > bound if self.mode == "max" else metric < bound

    def step(self, metrics):
        metric, self.last_epoch = float(metrics), self.last_epoch + 1
        if self.is_better(metric):
            self.best, self.num_bad_epochs = metric, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown_counter - 1, 0
        if self.num_bad_epochs > self.patience:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
            for group in self.optimizer.param_groups:
                lr = max(group["lr"] * self.factor, self.min_lr)
                group["lr"] = lr if group["lr"] - lr > self.eps else group["lr"]

    get_last_lr = LRScheduler.get_last_lr

    def state_dict(self):
        "Return plain values, from which `load_state_dict` goes on."
        return {name: value for name, value in vars(self).items() if name != "optimizer"}

    def load_state_dict(self, state_dict):
        vars(self).update({name: value for name, value in state_dict.items() if name in self.state_dict()})
