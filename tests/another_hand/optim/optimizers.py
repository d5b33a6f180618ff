"""Optimizers, clipping and schedules, by another hand."""

__all__ = [
    "new_moments", "Optimizer", "sgd_update", "SGD", "adam_step", "adam_update", "Adam", "AdamW",
    "decay_groups", "total_norm", "clip_grad_norm_", "constant", "linear_warmup", "warmup_cosine",
    "LambdaLR",
]

import math

import numpy as np

from tinytorch.dispatch import replaceable
from tinytorch.tensor import Tensor

BESIDE_SETTINGS = "params", "name", "initial_lr"


@replaceable
def new_moments(arrays):
    return [np.array(array) for array in arrays]


class Optimizer:
    name = property(lambda self: type(self).__name__)

    def __init__(self, params, **defaults):
        self.defaults, self.param_groups, self.state = defaults, [], {}
        if isinstance(params, Tensor | dict):
            raise TypeError(f"{self.name} is given a list, not one {type(params).__name__}")
        params = list(params)
        if not params:
            raise ValueError(f"{self.name} has no parameters")
        grouped = all(isinstance(entry, dict) for entry in params)
        for group in params if grouped else [{"params": params}]:
            self.add_param_group(group)

    def add_param_group(self, group):
        given = group["params"]
        params = [given] if isinstance(given, Tensor) else list(given)
        if not params:
            raise ValueError(f"{self.name}: a group without parameters")
        known = {id(p) for p in self.numbers()}
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(f"{self.name}: a parameter is a Tensor, not {type(p).__name__}")
            if id(p) in known:
                raise ValueError(f"{self.name}: the parameter of shape {p.shape} is given twice")
            if not (p.requires_grad and p.is_leaf):
                raise ValueError(f"{self.name}: the tensor of shape {p.shape} is no leaf that requires a gradient")
            known.add(id(p))
        group = {**self.defaults, **group, "params": params}
        self.check_settings(group)
        self.param_groups.append(group)

    def check_settings(self, group):
        for setting, value in group.items():
            if setting in BESIDE_SETTINGS:
                continue
            if setting not in self.defaults:
                raise ValueError(f"{self.name} has no setting {setting!r}; there are {', '.join(self.defaults)}")
            wrong = setting in ("lr", "momentum", "weight_decay", "eps") and not value >= 0
            if wrong or (setting == "betas" and not all(0 <= beta < 1 for beta in value)):
                raise ValueError(f"{self.name}: {setting} is out of range: {value}")

    def numbers(self):
        params = [p for group in self.param_groups for p in group["params"]]
        return dict(zip(params, range(len(params))))

    def zero_grad(self, set_to_none=True):
        for p in self.numbers():
            if set_to_none:
                p.grad = None
            elif p.grad is not None:
                p.grad.data[...] = 0

    def step(self):
        ready = [[p for p in group["params"] if p.grad is not None] for group in self.param_groups]
        for p in sum(ready, []):
            if np.shape(p.grad) != p.shape:
                raise ValueError(f"{self.name}: a parameter of shape {p.shape} has a gradient of {np.shape(p.grad)}")
        for group, params in zip(self.param_groups, ready):
            names = self.moment_names(group)
            states = [self.state.get(p) or self._first(p, names) for p in params]
            settings = {setting: group[setting] for setting in self.defaults}
            self.update([p.data for p in params], [p.grad.data for p in params],
                        [[state[name] for state in states] for name in names],
                        [state["step"] + 1 for state in states], **settings)
            for p, state in zip(params, states):
                self.state[p] = {**state, "step": state["step"] + 1}

    def _first(self, p, names):
        return {"step": 0, **dict(zip(names, new_moments([np.zeros_like(p.data) for _ in names])))}

    def moment_names(self, group):
        raise NotImplementedError(f"{self.name}.moment_names")

    def update(self, params, grads, moments, steps, **settings):
        raise NotImplementedError(f"{self.name}.update")

    def state_dict(self):
        numbers = self.numbers()
        state = {number: {name: value if name == "step" else np.array(value) for name, value in self.state[p].items()}
                 for p, number in numbers.items() if p in self.state}
        groups = [{**group, "params": [numbers[p] for p in group["params"]]} for group in self.param_groups]
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, saved):
        sizes = [len(group["params"]) for group in self.param_groups]
        there = [len(group["params"]) for group in saved["param_groups"]]
        if sizes != there:
            raise ValueError(f"{self.name}: the saved groups have {there} parameters, these {sizes}")
        state, groups = {}, []
        for group, other in zip(self.param_groups, saved["param_groups"]):
            kept = {name: value for name, value in other.items() if name in self.defaults or name in BESIDE_SETTINGS}
            groups.append({**group, **kept, "params": group["params"]})
            self.check_settings(groups[-1])
            names = self.moment_names(groups[-1])
            for p, number in zip(group["params"], other["params"]):
                if number in saved["state"]:
                    state[p] = self._loaded(p, saved["state"][number], names)
        self.param_groups[:] = groups
        self.state = state

    def _loaded(self, p, entry, names):
        lacking = [name for name in ("step", *names) if name not in entry]
        if lacking:
            raise ValueError(f"{self.name}: the saved state lacks {lacking[0]} of a parameter of shape {p.shape}")
        arrays = [np.asarray(entry[name], p.dtype) for name in names]
        for name, array in zip(names, arrays):
            if array.shape != p.shape:
                raise ValueError(f"{self.name}: saved {name} of shape {array.shape} for a parameter of shape {p.shape}")
        return {"step": int(entry["step"]), **dict(zip(names, new_moments(arrays)))}


@replaceable
def sgd_update(params, grads, momentum_buffers, steps, *, lr, momentum, dampening, weight_decay, nesterov):
    for i, (x, grad) in enumerate(zip(params, grads)):
        d = grad + weight_decay * x if weight_decay else grad
        if momentum:
            buffer = momentum_buffers[i]
            buffer[...] = d if steps[i] == 1 else momentum * buffer + (1 - dampening) * d
            d = d + momentum * buffer if nesterov else buffer
        x -= lr * d


class SGD(Optimizer):
    def __init__(self, params, lr, momentum=0, dampening=0, weight_decay=0, nesterov=False):
        super().__init__(params, lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay,
                         nesterov=nesterov)

    def check_settings(self, group):
        super().check_settings(group)
        if group["nesterov"] and (not group["momentum"] or group["dampening"]):
            raise ValueError(f"{self.name}: nesterov goes with momentum and without dampening, not with "
                             f"{group['momentum']} and {group['dampening']}")

    def moment_names(self, group):
        return ["momentum_buffer"] * bool(group["momentum"])

    def update(self, params, grads, moments, steps, **settings):
        sgd_update(params, grads, sum(moments, []), steps, **settings)


def adam_step(x, grad, m, v, step, lr, betas, eps):
    for moment, beta, news in ((m, betas[0], grad), (v, betas[1], np.square(grad))):
        moment *= beta
        moment += (1 - beta) * news
    corrections = [1 - beta**step for beta in betas]
    x -= (lr / corrections[0]) * m / (np.sqrt(v / corrections[1]) + eps)


@replaceable
def adam_update(params, grads, exp_avgs, exp_avg_sqs, steps, *, lr, betas, eps, weight_decay, decoupled):
    for x, grad, m, v, step in zip(params, grads, exp_avgs, exp_avg_sqs, steps):
        if decoupled:
            x *= 1 - lr * weight_decay
        elif weight_decay:
            grad = grad + weight_decay * x
        adam_step(x, grad, m, v, step, lr, betas, eps)


class Adam(Optimizer):
    decoupled = False

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0):
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def moment_names(self, group):
        return ["exp_avg", "exp_avg_sq"]

    def update(self, params, grads, moments, steps, **settings):
        adam_update(params, grads, *moments, steps, decoupled=self.decoupled, **settings)


class AdamW(Adam):
    decoupled = True

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        super().__init__(params, lr, betas, eps, weight_decay)


def decay_groups(model, weight_decay):
    learned = [p for p in model.parameters() if p.requires_grad]
    groups = [{"params": [p for p in learned if (p.ndim >= 2) == matrices], "weight_decay": weight_decay * matrices}
              for matrices in (True, False)]
    return [group for group in groups if group["params"]]


def total_norm(arrays):
    return math.hypot(*(float(np.linalg.norm(np.ravel(array).astype(np.float64))) for array in arrays))


def clip_grad_norm_(parameters, max_norm):
    if not max_norm > 0:
        raise ValueError(f"max_norm is positive, not {max_norm}")
    tensors = [parameters] if isinstance(parameters, Tensor) else parameters
    grads = [p.grad.data for p in tensors if p.grad is not None]
    norm = total_norm(grads)
    if math.isfinite(norm) and max_norm < norm + 1e-6:
        for grad in grads:
            grad *= max_norm / (norm + 1e-6)
    return norm


def constant():
    return lambda step: 1.0


def linear_warmup(steps):
    return lambda step: min(step + 1, steps) / steps if steps else 1.0


def warmup_cosine(warmup, total, floor=0.0):
    if not 0 <= warmup < total:
        raise ValueError(f"the warmup of {warmup} steps is to end before the run of {total}")

    def multiplier(step):
        if step < warmup:
            return linear_warmup(warmup)(step)
        gone = min((step - warmup) / (total - warmup), 1)
        return floor + (1 - floor) * math.cos(math.pi * gone / 2) ** 2

    return multiplier


class LambdaLR:
    def __init__(self, optimizer, multiplier):
        self.optimizer, self.multiplier, self.steps = optimizer, multiplier, 0
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self._set()

    def _set(self):
        for group in self.optimizer.param_groups:
            group["lr"] = float(self.multiplier(self.steps) * group["initial_lr"])

    def step(self):
        self.steps += 1
        self._set()

    def get_last_lr(self):
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, saved):
        self.steps = saved["steps"]
        self._set()
