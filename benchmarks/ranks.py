"""One of the ranks that scaling.py measures: prints, on rank 0, {"ring": [[bytes, seconds]], "steps": {name: seconds}}.

    mpiexec -n 2 python -m mpi4py -m benchmarks.ranks ROUNDS W1,W3
"""

import json
import sys
import time
from itertools import cycle

import numpy as np

import tinytorch
import tinytorch.nn.functional as F
from benchmarks.ours import build
from benchmarks.workloads import LEARNING_RATE, WORKLOADS, batches
from tinytorch import Tensor
from tinytorch import distributed as dist
from tinytorch.optim import AdamW
from tinytorch.ranks import world

SIZES = (8, 1 << 10, 1 << 14, 1 << 17, 1 << 20, 1 << 22, 1 << 24)  # bytes


def fastest(run, rounds: int) -> float:
    """Seconds of the fastest of `rounds`, on the rank that took longest."""
    best = np.inf
    for _ in range(rounds):
        dist.barrier()
        started = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - started)
    return max(dist.all_gathered(best))


def ring(size: int, rounds: int) -> float:
    array = np.ones(size // 4, np.float32)
    return fastest(lambda: dist.ring_all_reduce(array, world.group), rounds)


def step_of(name: str):
    """A step of a workload, each rank with a whole batch of its own."""
    tinytorch.manual_seed(0)
    model = build(WORKLOADS[name])
    parallel = dist.DistributedDataParallel(model) if dist.get_world_size() > 1 else model
    optimizer = AdamW(model.parameters(), lr=LEARNING_RATE)
    data = cycle([(Tensor(x), Tensor(y)) for x, y in batches(WORKLOADS[name], 8)])

    def step():
        inputs, targets = next(data)
        loss = F.cross_entropy(parallel(inputs).flatten(0, 1), targets.flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def main() -> None:
    rounds, names = int(sys.argv[1]), sys.argv[2].split(",")
    found = {"ring": [[size, ring(size, 5 * rounds)] for size in SIZES] if dist.get_world_size() > 1 else [],
             "steps": {name: fastest(step_of(name), rounds) for name in names}}
    if dist.get_rank() == 0:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
