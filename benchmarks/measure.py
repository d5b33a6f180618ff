"""Fair timing of processes that would disturb each other: short bursts in turn, and only those left alone count.

The BLAS threads of NumPy and of PyTorch spin for a while after each call. In one process, or side by side, each
slows the other up to a hundredfold. So each variant is a process, one runs while the others sleep, a burst starts
only when every thread of the last one has gone to sleep, and a round in which one had to wait is repeated.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from select import select

ROOT = Path(__file__).parents[1]
BURST = 0.1  # seconds that a burst should take
PATIENCE = 20  # seconds for each round wanted; after that, disturbed ones count too
MOST_WAITING = 0.02  # of a burst's time, over all threads; more, and something else wanted the processors
TIME_LIMIT = 60  # seconds for an answer
START_LIMIT = 180  # and for the first: torch.compile takes its time
BEFORE = "TINYTORCH_BEFORE"  # the environment variable: the folder of version 0.1, for variants "before"


class WorkerError(Exception):
    """A worker ended, or did not answer in time."""


class Worker:
    """A variant of a task in its own process, asleep except in `burst`.

    The variants "before" and "before+fast" run in version 0.1, which has other names for them.
    """

    def __init__(self, task: dict):
        variant, folder = task.get("variant", ""), ROOT
        if variant.startswith("before"):
            folder = os.environ[BEFORE]
            name = "ours fast" if task["section"] == "generation" else variant.replace("before", "ours")
            task = {**task, "variant": name}
        command = [sys.executable, "-m", "benchmarks.worker", json.dumps(task)]
        environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
        environment["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # no pool of compilers left behind
        environment["PYTHONPATH"] = str(folder)
        environment["TINYTORCH_FAST"] = variant.partition(" ")[0] if folder == ROOT else str(int("+" in variant))
        pipe, self.complaints = subprocess.PIPE, tempfile.TemporaryFile("w+")
        options = {"stdin": pipe, "stdout": pipe, "stderr": self.complaints, "text": True, "env": environment}
        self.process = subprocess.Popen(command, cwd=folder, **options)
        try:
            self.first = self.answer(START_LIMIT)
        except WorkerError:
            self.close()
            raise
        self.steps = 1

    def fit(self) -> None:
        """Choose how many steps make a burst."""
        self.steps = max(1, round(BURST / min(self.seconds(3) / 3 for _ in range(3))))

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

    def answer(self, limit: float = TIME_LIMIT):
        if not select([self.process.stdout], [], [], limit)[0]:
            raise WorkerError(f"took more than {limit} s")
        line = self.process.stdout.readline()
        if not line:
            self.complaints.seek(0)
            last_line = self.complaints.read().strip().rpartition("\n")[2]
            raise WorkerError(last_line or f"ended with status {self.process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.complaints.close()


def take_turns(workers: dict[str, Worker], rounds: int, patience: float = PATIENCE) -> dict:
    """`milliseconds` a step of each worker, A B A B ..., in `rounds` undisturbed rounds; how many were `rejected`.

    Where these are not had in `rounds * patience` seconds, the rest is filled with rounds as they come, and
    `disturbed` says how many of those were.
    """
    for worker in workers.values():
        worker.fit()
    times = {name: [] for name in workers}
    kept = turn = disturbed_rounds = 0
    deadline = time.monotonic() + rounds * patience
    while kept < rounds:
        turn += 1
        patient = time.monotonic() < deadline
        found, disturbed = {}, False
        for name in list(workers)[:: 1 if turn % 2 else -1]:  # nobody always follows the same one
            found[name], waiting = workers[name].burst()
            disturbed |= waiting
            if disturbed and patient:
                time.sleep(BURST)
                break
        else:
            kept += 1
            disturbed_rounds += disturbed
            for name, milliseconds in found.items():
                times[name].append(milliseconds)
    return {"milliseconds": times, "rejected": turn - kept, "disturbed": disturbed_rounds}


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
