"""One variant of one task in a process of its own: `python -m benchmarks.worker TASK`, a dict as JSON.

Keeps its first results in the file task["proof"] and prints a line; then, for every line "untimed timed" that it
reads, takes that many steps and prints the seconds that the timed ones took.
"""

import json
import resource
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np

from benchmarks.workloads import Workload

COMPARED_STEPS = 8
SMALLEST = Workload("smallest", "whatever a step loads, it loads with this one", 4, 8, 1, 1, 4, 1)


def prepare(variant: str, section: str, workload=None, weights: str = "", operation: str = ""):
    """A step, and a function that gives the arrays that must be the same in every variant."""
    side = side_of(variant)
    if section == "operations":
        step = side.operation(operation, variant)
        return step, step
    workload = Workload(**workload)
    if section == "generation":
        text = np.random.default_rng(0).integers(workload.vocabulary, size=(1, workload.context))
        read = side.generation(workload, weights, variant)
        return (lambda: read(text)), (lambda: [read(text)])
    step = side.training(workload, weights, variant)
    return step, lambda: [np.array([step() for _ in range(COMPARED_STEPS)])]


def side_of(variant: str):
    """The module that builds a variant. Raises RuntimeError where its level is not installed."""
    level = variant.partition(" ")[0]
    if level not in ("plain", "numpy", "compiled", "mkl"):
        return import_module("benchmarks.reference")
    running = import_module("tinytorch.fast").status()["level"]
    if running != level:
        raise RuntimeError(f"{level} is not installed, {running} is")
    return import_module("benchmarks.ours")


def memory(variant: str, workload: dict, weights: str, smallest: str, **_) -> float:
    """Megabytes that training holds at its peak, above those of a process that has trained the smallest model."""
    side = side_of(variant)
    for w, path in [(SMALLEST, smallest), (Workload(**workload), weights)]:
        before = peak_megabytes()
        step = side.training(w, path, variant)
        for _ in range(3):
            step()
    return peak_megabytes() - before


def peak_megabytes() -> float:
    """Resident memory at its highest. `ru_maxrss` also counts the parent's before exec, so Linux is asked itself."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    task = json.loads(sys.argv[1])
    if task["section"] == "memory":
        print(memory(**task), flush=True)
        return
    path = task.pop("proof")
    step, proof = prepare(**task)
    np.savez(path, *proof())
    print("true", flush=True)
    for line in sys.stdin:
        untimed, timed = map(int, line.split())
        for _ in range(untimed):  # wakes its threads, and brings its arrays back into the caches
            step()
        started = time.perf_counter()
        for _ in range(timed):
            step()
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
