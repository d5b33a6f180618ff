"""Fair timing of processes that would disturb each other: short bursts in turn, and only those left alone count.

The BLAS threads of NumPy and of PyTorch spin for a while after each call. In one process, or side by side, each
slows the other up to a hundredfold. So each variant is a process, one runs while the others sleep, a burst starts
only when every thread of the last one has gone to sleep, and a round in which one had to wait is repeated.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

BURST = 0.1  # seconds that a burst should take
PATIENCE = 600  # seconds for the rounds of one workload
MOST_WAITING = 0.02  # of a burst's time, over all threads; more, and something else wanted the processors


class Worker:
    """A variant of a workload in its own process, asleep except in `burst`."""

    def __init__(self, variant: str, workload: str, weights: str):
        command = [sys.executable, "-m", "benchmarks.worker", variant, workload, weights]
        environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
        self.losses = self.answer()
        self.steps = max(1, round(BURST / min(self.seconds(3) / 3 for _ in range(5))))

    def burst(self) -> tuple[float, bool]:
        """Milliseconds a step, over about `BURST` seconds, and whether its threads had to wait for a processor."""
        before = waited(self.process.pid)
        seconds = self.seconds(self.steps)
        return 1e3 * seconds / self.steps, waited(self.process.pid) - before > MOST_WAITING * seconds

    def seconds(self, steps: int) -> float:
        self.process.stdin.write(f"{1 + steps // 10} {steps}\n")
        self.process.stdin.flush()
        answer = self.answer()
        fall_asleep(self.process.pid)
        return answer

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(self.process.args)}: ended with status {self.process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def take_turns(workers: dict[str, Worker], rounds: int) -> tuple[dict[str, list[float]], int]:
    """Milliseconds a step of each worker, A B A B ..., in `rounds` undisturbed rounds, and how many were rejected.

    Raises RuntimeError where these are not had in `PATIENCE` seconds.
    """
    times = {name: [] for name in workers}
    kept, turn, deadline = 0, 0, time.monotonic() + PATIENCE
    while kept < rounds:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the machine is busy: {kept} of {turn} rounds undisturbed, {rounds} needed; try later")
        turn += 1
        found = {}
        for name in list(workers)[:: 1 if turn % 2 else -1]:  # nobody always follows the same one
            found[name], disturbed = workers[name].burst()
            if disturbed:
                time.sleep(BURST)
                break
        else:
            kept += 1
            for name, milliseconds in found.items():
                times[name].append(milliseconds)
    return times, turn - kept


def waited(pid: int) -> float:
    """Seconds that its threads were ready but had no processor, since they began. Elsewhere than on Linux: 0."""
    return sum(int(text.split()[1]) for text in of_threads(pid, "schedstat")) / 1e9


def fall_asleep(pid: int) -> None:
    """Return when no thread of it runs; elsewhere than on Linux, after a time in which spinning has ended."""
    if not Path("/proc/self/task").exists():
        time.sleep(0.3)
    while any(text.rpartition(")")[2].split()[0] == "R" for text in of_threads(pid, "stat")):
        time.sleep(0.005)


def of_threads(pid: int, file: str) -> list[str]:
    return [path.read_text() for path in Path(f"/proc/{pid}/task").glob(f"*/{file}")]
