"""Train a model: one optimizer step, evaluation, and a run that survives being killed."""
__all__ = ["accumulate_gradients", "train_step", "evaluating", "evaluate", "accuracy", "TrainingLoop", "Trainer",
           "train"]

import math
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tinytorch.anomaly import first_nonfinite
from tinytorch.checkpoint import load_checkpoint, save_checkpoint
from tinytorch.data import generator_at
from tinytorch.optim import clip_grad_norm_
from tinytorch.runs import read_config, read_metrics, watching, write_status
from tinytorch.state import default_generator, no_grad


def _tuple(batch):
    return tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)


def accumulate_gradients(model, batches, loss_fn):
    examples = [len(batch[0]) for batch in batches]
    mean = 0.0
    for batch, count in zip(batches, examples):
        share, loss = count / sum(examples), loss_fn(model, *batch)
        if not math.isfinite(value := loss.item()):
            raise FloatingPointError(f"the loss is {value}")
        loss.backward(np.full(loss.shape, share, loss.dtype))
        mean += share * value
    return mean


def train_step(model, batches, loss_fn, optimizer, max_norm=None):
    optimizer.zero_grad()
    loss = accumulate_gradients(model, batches, loss_fn)
    norm = clip_grad_norm_(model.parameters(), math.inf if max_norm is None else max_norm)
    if not math.isfinite(norm):
        raise FloatingPointError(f"the gradients have the norm {norm}")
    optimizer.step()
    return {"loss": loss, "norm": norm}


@contextmanager
def evaluating(model):
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def evaluate(model, loader, loss_fn):
    losses, counts = [], []
    with evaluating(model):
        for batch in map(_tuple, loader):
            losses.append(loss_fn(model, *batch).item())
            counts.append(len(batch[0]))
    if not counts:
        raise ValueError("evaluate: the loader gives no batches")
    return float(np.average(losses, weights=counts))


def accuracy(model, loader, ignore_index=-100):
    verdicts = []
    with evaluating(model):
        for *inputs, targets in loader:
            scores = model(*inputs)
            if scores.shape[:-1] != targets.shape:
                raise ValueError(f"accuracy: scores {scores.shape} are not (..., classes) for targets {targets.shape}")
            asked = targets.data[targets.data != ignore_index]
            verdicts.append(scores.data.argmax(axis=-1)[targets.data != ignore_index] == asked)
    if not sum(map(len, verdicts)):
        raise ValueError("accuracy: there are no targets to count")
    return float(np.concatenate(verdicts).mean())


class TrainingLoop:
    def __init__(self, model, loader, loss_fn, optimizer, *, steps=None, epochs=None, schedule=None, accumulate=1,
                 max_norm=None, evaluate=None, evaluate_every=None, better=min, patience=None):
        if (steps is None) == (epochs is None):
            raise ValueError(f"training: give either steps or epochs, got steps={steps} and epochs={epochs}")
        if accumulate < 1:
            raise ValueError(f"training: a step takes one batch or more, got accumulate={accumulate}")
        self.model, self.loader, self.loss_fn, self.optimizer = model, loader, loss_fn, optimizer
        self.steps, self.epochs, self.schedule, self.accumulate = steps, epochs, schedule, accumulate
        self.max_norm, self.evaluate, self.better, self.patience = max_norm, evaluate, better, patience
        an_epoch = -(-len(loader) // accumulate) if hasattr(loader, "__len__") else None
        if evaluate and not (evaluate_every or an_epoch):
            raise ValueError("training: a loader without a length needs evaluate_every")
        self.evaluate_every = evaluate_every or an_epoch
        self.total = steps if steps is not None else epochs * an_epoch if an_epoch else None
        self.step, self.epoch, self.dealt, self.stale, self.best, self.stopped = 0, 1, 0, 0, None, None
        self.batches, self.began = None, {}

    def open_epoch(self):
        if self.batches is not None:
            return
        continued = bool(self.began)  # an epoch that another process began
        if not continued:
            self.began = default_generator().bit_generator.state
        if not continued or hasattr(self.loader, "load_state_dict"):
            self.batches = iter(self.loader)
            return
        now = default_generator().bit_generator.state
        default_generator().bit_generator.state = self.began
        self.batches = iter(self.loader)
        for _ in range(self.dealt):
            next(self.batches)
        default_generator().bit_generator.state = now

    def next_batches(self):
        while self.epochs is None or self.epoch <= self.epochs:
            self.open_epoch()
            found = [_tuple(batch) for _, batch in zip(range(self.accumulate), self.batches)]
            if found:
                self.dealt += len(found)
                return found
            if not self.dealt:
                raise ValueError(f"training: the loader has no batches in epoch {self.epoch}")
            if self.epoch == self.epochs:
                break
            self.epoch, self.dealt, self.batches, self.began = self.epoch + 1, 0, None, {}
        return []

    def make_step(self, batches):
        return train_step(self.model, batches, self.loss_fn, self.optimizer, self.max_norm)

    def advance(self, batches):
        rate = self.optimizer.param_groups[0]["lr"]
        made = self.make_step(batches)
        self.step += 1
        record = {"step": self.step, "epoch": self.epoch, "lr": rate} | made
        if self.schedule is not None:
            self.schedule.step()
        if self.evaluate and (self.step % self.evaluate_every == 0 or self.step == self.total):
            found = self.evaluate()
            record |= found
            for metric in list(found)[:1]:
                self.judge(metric, found[metric])
        return record

    def judge(self, metric, value):
        value = float(value)
        leader = self.best["value"] if self.best else None
        if math.isfinite(value) and (leader is None or (value != leader and self.better(leader, value) == value)):
            self.best, self.stale = {"metric": metric, "value": value, "step": self.step}, 0
            return
        self.stale += 1
        if self.patience is not None and self.stale >= self.patience:
            since = f"since step {self.best['step']}" if self.best else "at all"
            self.stopped = f"{metric} has not been better {since}, for {self.stale} evaluations"


class Trainer(TrainingLoop):
    kept = {"step": int, "epoch": int, "dealt": int, "stale": int, "seconds": float, "began": dict,
            "best": (dict, type(None)), "stopped": (str, type(None))}

    def __init__(self, *parts, callbacks=(), folder=None, save_every=100, show=True, **settings):
        super().__init__(*parts, **settings)
        self.callbacks, self.folder = callbacks, folder if folder is None else Path(folder)
        self.save_every, self.show, self.history, self.seconds, self.metrics = save_every, show, [], 0.0, None

    def make_step(self, batches):
        before = default_generator().bit_generator.state
        try:
            return super().make_step(batches)
        except FloatingPointError as error:
            default_generator().bit_generator.state = before  # the same dropout once more
            story = first_nonfinite(lambda: accumulate_gradients(self.model, batches, self.loss_fn),
                                    dict(self.model.named_parameters()))
            rate = self.optimizer.param_groups[0]["lr"]
            raise FloatingPointError(f"{error} in step {self.step + 1}, epoch {self.epoch}, with lr {rate:.6g}; "
                                     f"its origin: {story or 'not found in a second run'}") from None

    def fit(self):
        with watching(self) as (callbacks, pressed):
            self.model.train()
            going = True
            while going and not self.stopped and not pressed and (self.total is None or self.step < self.total):
                going = self._one_step(callbacks)
            if self.folder:
                self.save("last", self.stopped or ("unfinished" if pressed and going else "finished"))
        return self.history

    def _one_step(self, callbacks):
        begun = time.perf_counter()
        if not (batches := self.next_batches()):
            return False
        record = self.advance(batches)
        self.seconds += time.perf_counter() - begun
        record["seconds"] = self.seconds
        self.history.append(record)
        for callback in callbacks:
            if isinstance(answer := callback(record), str):
                self.stopped = answer
        if self.folder:
            if self.best and self.best["step"] == self.step:
                self.save("best")
            if self.step % self.save_every == 0:
                self.save()
        return True

    def save(self, name="last", status="unfinished"):
        for path, parameter in self.model.named_parameters():
            if not np.isfinite(parameter.data).all():
                raise FloatingPointError(f"Trainer: not saved after step {self.step}: inf or nan in {path}")
        self.open_epoch()
        if self.metrics is not None:
            self.metrics.sync()
        self.folder.mkdir(parents=True, exist_ok=True)
        save_checkpoint(self.folder / f"{name}.safetensors", self.model, self.optimizer, read_config(self.folder),
                        **self.parts(self.batches, "state_dict"))
        write_status(self, status)

    def resume(self, name="last"):
        load_checkpoint(self.folder / f"{name}.safetensors", self.model, self.optimizer,
                        **self.parts(self.loader, "load_state_dict"))
        self.history = [record for record in read_metrics(self.folder) if record["step"] <= self.step]
        self.batches = None
        self.open_epoch()
        return self

    def parts(self, loader, method):
        candidates = {"trainer": self, "schedule": self.schedule, "loader": loader}
        return {name: part for name, part in candidates.items() if hasattr(part, method)}

    def state_dict(self):
        return {name: getattr(self, name) for name in self.kept}

    def load_state_dict(self, saved):
        for name, kind in self.kept.items():
            if not isinstance(saved.get(name, ...), kind):
                raise ValueError(f"Trainer: {name} cannot be {str(saved.get(name)):.100}")
        best = {} if saved["best"] is None else saved["best"]
        kinds = [(name, type(best[name])) for name in sorted(best)]
        if best is saved["best"] and kinds != [("metric", str), ("step", int), ("value", float)]:
            raise ValueError(f"Trainer: the best cannot be {str(best):.100}")
        if any(saved[name] < 0 for name in ("step", "epoch", "dealt", "stale")):
            raise ValueError("Trainer: a count is below 0")
        generator_at(default_generator(), saved["began"])
        for name in self.kept:
            setattr(self, name, saved[name])


def train(model, loader, loss_fn, optimizer, *, on_step=None, **settings):
    callbacks = [] if on_step is None else [on_step]
    return Trainer(model, loader, loss_fn, optimizer, callbacks=callbacks, show=False, **settings).fit()
