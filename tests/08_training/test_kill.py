"""Killed at any moment and resumed, a run ends with the weights of one that was never touched, bit for bit."""
import json
import os
import random
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes as POSIX systems do")

SCRIPT = Path(__file__).with_name("survivor.py")
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adam", "adamw")
STEPS, KILLS = 60, 10  # kills of each optimizer: 50 in all


class Lives:
    "Runs of survivor.py, one after the other: forked from one process, so that they start at once."
    def __init__(self):
        self.server = subprocess.Popen([sys.executable, str(SCRIPT), "--serve"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True)
        self.status = 0

    def start(self, folder, optimizer, *options):
        if self.status is None:  # a test has failed in the middle of a life: see it out
            deque(self.lines(), maxlen=0)
        print(json.dumps([str(folder), optimizer, *map(str, options)]), file=self.server.stdin, flush=True)
        word, pid = self.server.stdout.readline().split()
        assert word == "pid"
        self.pid, self.status = int(pid), None

    def lines(self):
        "What it prints, until its end."
        for line in self.server.stdout:
            if line.startswith("exit "):
                self.status = int(line.split()[1])
                return
            yield line.strip()

    def finish(self, folder, optimizer):
        "The digest of the weights that a run ends with; it goes on from what is in `folder`."
        self.start(folder, optimizer)
        *_, digest = self.lines()
        assert self.status == 0, "the survivor failed: its error is above"
        return digest

    def dies(self, folder, optimizer, *options):
        self.start(folder, optimizer, *options)
        deque(self.lines(), maxlen=0)
        return self.status == -signal.SIGKILL


@pytest.fixture(scope="module")
def lives():
    lives = Lives()
    yield lives
    lives.server.stdin.close()
    assert lives.server.wait() == 0


@pytest.fixture(scope="module")
def untouched(lives, tmp_path_factory):
    "The digest that each optimizer comes to without any kill."
    digests = {name: lives.finish(tmp_path_factory.mktemp(name), name) for name in OPTIMIZERS}
    assert {len(digest) for digest in digests.values()} == {64} and len(set(digests.values())) == len(OPTIMIZERS)
    return digests


def is_whole(folder):
    "One line for each step, in order; no file left aside."
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return steps == list(range(1, STEPS + 1)) and not list(folder.glob("*.new"))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_kills_at_random_moments(optimizer, lives, untouched, tmp_path):
    moments = random.Random(optimizer)
    for k in range(KILLS):
        step = int((k + moments.random()) * (STEPS - 5) / KILLS) + 1
        calls = moments.randrange(8000)  # into what follows on that step, such as a save, or some steps on
        assert lives.dies(tmp_path, optimizer, "--die-after", step, calls), "it was done before it was killed"
    assert lives.finish(tmp_path, optimizer) == untouched[optimizer]
    assert is_whole(tmp_path)


# The first call of each kind writes an empty metrics.jsonl. Then every save is: metrics synced; checkpoint written,
# synced, renamed, folder synced; status.json the same way. Steps 3, 6 and 9 save "last", step 10 saves "best".
@pytest.mark.parametrize("call, number", [
    *[("file.write", n) for n in (1, 2, 3, 4, 8)],  # metrics, last and its status, last over another, best
    *[("os.fsync", n) for n in (3, 4, 5, 6, 9, 18, 19, 20)],  # metrics, last, its folder, status, last again; best
    *[("os.replace", n) for n in (2, 3, 4, 8)],
])
def test_kills_inside_the_write_of_a_checkpoint(call, number, lives, untouched, tmp_path):
    assert lives.dies(tmp_path, "momentum", "--die-at", call, number)
    assert lives.finish(tmp_path, "momentum") == untouched["momentum"]
    assert is_whole(tmp_path)


@pytest.mark.parametrize("optimizer, step", [("adamw", 20), ("sgd", 2)])
def test_a_kill_in_the_middle_of_an_update(optimizer, step, lives, untouched, tmp_path):
    assert lives.dies(tmp_path, optimizer, "--die-in", step)
    assert lives.finish(tmp_path, optimizer) == untouched[optimizer]


def test_ctrl_c_saves_and_says_how_to_continue(lives, untouched, tmp_path):
    command = [sys.executable, str(SCRIPT), str(tmp_path), "adamw"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if int(line) == 10:
            process.send_signal(signal.SIGINT)
            break
    _, errors = process.communicate()
    assert process.returncode not in (0, -signal.SIGKILL)
    last = errors.strip().splitlines()[-1]
    assert last.startswith("KeyboardInterrupt: stopped after step 1") and "last.safetensors" in last
    assert ".resume().fit()" in last and str(tmp_path) in last
    assert json.loads((tmp_path / "status.json").read_text())["status"] == "unfinished"
    assert lives.finish(tmp_path, "adamw") == untouched["adamw"]
