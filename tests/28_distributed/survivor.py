"""Trains a small model on all ranks in a folder, from its last checkpoint if there is one; tests kill it.

    mpiexec -n 2 python survivor.py FOLDER [--steps N] [--fault KIND RANK STEP] [--shard] [--differ WHAT RANK]
"""
import argparse
import hashlib
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

import tinytorch
from tinytorch import distributed as dist
from tinytorch import nn
from tinytorch.data import DataLoader, TensorDataset
from tinytorch.distributed_training import DistributedTrainer
from tinytorch.nn import functional as F
from tinytorch.optim import AdamW, LambdaLR, warmup_cosine
from tinytorch.training import evaluate


def build(folder=None, steps=40, shard=False, dropout=0.0, differ=None, dtype=np.float64, **settings):
    "A trainer with shuffling from the library's numbers, odd batches, accumulation, a schedule and an evaluation."
    tinytorch.manual_seed(8 if differ == "seed" else 7)
    model = nn.Sequential(nn.Linear(6, 24), nn.Tanh(), nn.Dropout(dropout), nn.Linear(24, 5)).to(dtype)
    generator = np.random.default_rng(4 if differ == "data" else 3)
    points = generator.standard_normal((53, 6)).astype(dtype)
    data = TensorDataset(points, generator.integers(0, 5, 53))
    optimizer = AdamW(model.parameters(), lr=0.01)
    settings = {"max_norm": 0.5 if differ == "settings" else 1.0, "accumulate": 2, "save_every": 5, "show": False,
                **settings}

    def loss_fn(model, x, y):
        return F.cross_entropy(model(x), y)

    return DistributedTrainer(
        model, DataLoader(data, 5, shuffle=True), loss_fn, optimizer,
        steps=steps, schedule=LambdaLR(optimizer, warmup_cosine(5, 100)), folder=folder, shard_optimizer=shard,
        evaluate=lambda: {"loss of all": evaluate(model, DataLoader(data, 20), loss_fn)},
        evaluate_every=10, **settings)


def digest(model):
    return hashlib.sha256(b"".join(p.data.tobytes() for p in model.parameters())).hexdigest()


def strike(kind, model):
    "What happens to one rank in the middle of a step."
    match kind:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "raise":
            raise ValueError("boom")
        case "exit":
            sys.exit(0)
        case "hang":
            time.sleep(1000)
        case "nan":
            next(model.parameters()).data[0, 0] = np.nan
        case "interrupt":
            os.kill(os.getpid(), signal.SIGINT)


def faulty(trainer, kind, rank, step):
    usual = trainer.loss_fn

    def loss_fn(model, *batch):
        if (dist.get_rank(), trainer.step + 1) == (rank, step) and len(trainer.struck) == 0:
            trainer.struck.append(kind)
            strike(kind, model)
        return usual(model, *batch)

    trainer.struck, trainer.loss_fn = [], loss_fn


def die_after(trainer, step, calls):
    "Kill this process when so many functions have been called or have returned since that step began."
    usual = trainer.loss_fn

    def count_down(*_):
        nonlocal calls
        calls -= 1
        if calls < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def loss_fn(model, *batch):
        if trainer.step + 1 == step:
            sys.setprofile(count_down)
        return usual(model, *batch)

    trainer.loss_fn = loss_fn


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--fault", nargs=3)
    parser.add_argument("--differ", nargs=2)
    parser.add_argument("--die-after", nargs=3, type=int, metavar=("RANK", "STEP", "CALLS"))
    parser.add_argument("--shard", action="store_true")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--timeout", type=float, default=60)
    args = parser.parse_args()
    dist.init_process_group(timeout=args.timeout)
    what, rank = args.differ or (None, -1)
    trainer = build(args.folder, args.steps, args.shard, args.dropout, what if dist.get_rank() == int(rank) else None)
    if (args.folder / "last.safetensors").exists():
        trainer.resume()
    if args.fault:
        faulty(trainer, args.fault[0], int(args.fault[1]), int(args.fault[2]))
    if args.die_after and dist.get_rank() == args.die_after[0]:
        die_after(trainer, *args.die_after[1:])
    trainer.fit()
    if dist.get_rank() == 0:
        print(digest(trainer.model), trainer.history[-1]["loss"])


if __name__ == "__main__":
    main()
