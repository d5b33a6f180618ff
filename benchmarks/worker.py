"""One variant of one workload in a process of its own: `python -m benchmarks.worker VARIANT WORKLOAD WEIGHTS`.

Prints its first losses; then, for every line "untimed timed" that it reads, trains that many steps and prints
the seconds that the timed ones took.
"""

import json
import sys
import time

from benchmarks.workloads import WORKLOADS

COMPARED_STEPS = 8


def training(variant: str, workload: str, weights: str):
    if variant == "ours":
        from benchmarks.ours import training

        return training(WORKLOADS[workload], weights)
    from benchmarks.reference import training

    return training(WORKLOADS[workload], weights, fused=variant == "fused")


def main() -> None:
    step = training(*sys.argv[1:])
    print(json.dumps([step() for _ in range(COMPARED_STEPS)]), flush=True)
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
