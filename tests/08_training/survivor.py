"""Trains a small model in a folder, from its last checkpoint if there is one: the tests kill it as they like.

    python survivor.py FOLDER OPTIMIZER [--die-at CALL NUMBER] [--die-in STEP] [--die-after STEP CALLS]
    python survivor.py --serve    # forks a process for each line of such arguments, a JSON list, on its input

It prints the number of each step when the step is done, before it is saved, and at the end a digest of the weights.
`--die-at os.fsync 5`: it kills itself (-9) when it enters the fifth call of a function that writing a checkpoint uses;
`file.write`: after half of the bytes. `--die-in 7`: in the middle of step 7, with some of the parameters updated.
`--die-after 7 900`: when 900 functions have been called or have returned since step 7.
"""
import argparse
import builtins
import hashlib
import io
import json
import os
import signal
import sys
import traceback
from pathlib import Path

import numpy as np

import tinytorch
from tinytorch import nn
from tinytorch.data import DataLoader, TensorDataset
from tinytorch.nn import functional as F
from tinytorch.optim import SGD, Adam, AdamW, LambdaLR, decay_groups, warmup_cosine
from tinytorch.training import Trainer, evaluate

STEPS, SAVE_EVERY = 60, 3

OPTIMIZERS = {
    "sgd": lambda model: SGD(model.parameters(), lr=0.1),
    "momentum": lambda model: SGD(model.parameters(), lr=0.05, momentum=0.9, dampening=0.1, weight_decay=0.01),
    "nesterov": lambda model: SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True),
    "adam": lambda model: Adam(model.parameters(), lr=0.01, weight_decay=0.01),
    "adamw": lambda model: AdamW(decay_groups(model, weight_decay=0.1), lr=0.01),
}


def loss_fn(model, inputs, targets):
    return F.cross_entropy(model(inputs), targets)


def build(folder, optimizer, **settings):
    "A Trainer with all that is random: dropout, shuffling (from the library's numbers), accumulation over odd batches."
    tinytorch.manual_seed(7)
    model = nn.Sequential(nn.Linear(6, 24), nn.Tanh(), nn.Dropout(0.3), nn.Linear(24, 5))
    generator = np.random.default_rng(3)
    points = generator.standard_normal((53, 6)).astype(np.float32)
    data = TensorDataset(points, generator.integers(0, 5, 53))
    loader = DataLoader(data, batch_size=5, shuffle=True, generator=11 if optimizer == "adam" else None)
    optimizer = OPTIMIZERS[optimizer](model)
    settings = {"steps": STEPS, "save_every": SAVE_EVERY, "show": False, **settings}
    return Trainer(model, loader, loss_fn, optimizer, accumulate=2, max_norm=1.0, folder=folder,
                   schedule=LambdaLR(optimizer, warmup_cosine(5, STEPS)), evaluate_every=10,
                   evaluate=lambda: {"val_loss": evaluate(model, DataLoader(data, 20), loss_fn)}, **settings)


def digest(model):
    return hashlib.sha256(b"".join(p.data.tobytes() for p in model.parameters())).hexdigest()


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(name, number):
    calls = 0

    def count_down():
        nonlocal calls
        calls += 1
        return calls == number

    def deadly(function):
        return lambda *args, **kwargs: die() if count_down() else function(*args, **kwargs)

    if name == "file.write":
        usual_open = open

        def open_to_die(path, mode="r", *args, **kwargs):
            file = usual_open(path, mode, *args, **kwargs)
            if mode == "wb" and count_down():
                class Half:
                    __enter__, __exit__ = (lambda self: self), (lambda self, *error: None)

                    def write(self, data):
                        file.write(data[: len(data) // 2])
                        file.flush()
                        die()
                return Half()
            return file

        builtins.open = io.open = open_to_die  # Path.open asks io
    else:
        function = name.removeprefix("os.")
        setattr(os, function, deadly(getattr(os, function)))


def die_in(trainer, step):
    "In the middle of the optimizer's update of that step: one of the parameters is new, the others old."
    usual = trainer.optimizer.step

    def half_a_step():
        if trainer.step + 1 == step:
            next(trainer.model.parameters()).data[...] += 1000
            die()
        usual()

    trainer.optimizer.step = half_a_step


def die_after(step, calls):
    "A callback after which this process kills itself, wherever it is then, some time after that step."
    left = calls

    def count_down(*_):
        nonlocal left
        left -= 1
        if left < 0:
            die()

    return lambda record: record["step"] >= step and sys.setprofile(count_down)


def serve():
    "Processes that need not import everything again: each tells its number first, and at the end its exit status."
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            print("pid", os.getpid(), flush=True)
            status = 1
            try:
                main(json.loads(line))
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(status)
        print("exit", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def main(arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("optimizer", choices=OPTIMIZERS)
    parser.add_argument("--die-at", nargs=2, metavar=("CALL", "NUMBER"))
    parser.add_argument("--die-in", type=int)
    parser.add_argument("--die-after", nargs=2, type=int, metavar=("STEP", "CALLS"))
    args = parser.parse_args(arguments)
    callbacks = [lambda record: print(record["step"], flush=True)]
    callbacks += [die_after(*args.die_after)] if args.die_after else []
    trainer = build(args.folder, args.optimizer, callbacks=callbacks)
    if (args.folder / "last.safetensors").exists():
        trainer.resume()
    if args.die_at:
        die_at(args.die_at[0], int(args.die_at[1]))
    if args.die_in:
        die_in(trainer, args.die_in)
    trainer.fit()
    print(digest(trainer.model))


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["--serve"] else main(sys.argv[1:])
