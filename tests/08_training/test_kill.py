"""Killed at any moment and resumed, a run ends with the weights of one that was never touched, bit for bit."""
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("survivor.py")
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adam", "adamw")
STEPS, KILLS = 60, 10  # kills of each optimizer: 50 in all


def start(folder, optimizer, *options):
    command = [sys.executable, str(SCRIPT), str(folder), optimizer, *map(str, options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finished(folder, optimizer):
    "The digest of the weights that a run ends with; it starts from what is in `folder`."
    process = start(folder, optimizer)
    out = process.communicate()[0]
    assert process.returncode == 0, "the survivor failed: see its error above"
    return out.split()[-1]


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    "The digest that each optimizer comes to without any kill."
    digests = {name: finished(tmp_path_factory.mktemp(name), name) for name in OPTIMIZERS}
    assert {len(digest) for digest in digests.values()} == {64} and len(set(digests.values())) == len(OPTIMIZERS)
    return digests


def is_whole(folder):
    "One line for each step, in order; no file left aside."
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return steps == list(range(1, STEPS + 1)) and not list(folder.glob("*.new"))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_kills_at_random_moments(optimizer, untouched, tmp_path):
    moments = random.Random(optimizer)
    kills = 0
    for k in range(KILLS):
        process = start(tmp_path, optimizer)
        target = int((k + moments.random()) * (STEPS - 5) / KILLS) + 1
        for line in process.stdout:  # until that step is done, and then a little: a save, or the next steps
            if int(line) >= target:
                break
        time.sleep(moments.random() * 0.006)
        process.kill()
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
    assert kills == KILLS
    assert finished(tmp_path, optimizer) == untouched[optimizer]
    assert is_whole(tmp_path)


# A save writes the checkpoint and then status.json: each an open, a write, a sync of the file, a rename and a sync of
# the folder. The numbers below meet all of them, in the files last and best (step 30 writes both), and the metrics.
@pytest.mark.parametrize("call, number", [
    ("file.write", 2), ("file.write", 4), ("file.write", 9), ("file.write", 10), ("file.write", 11), ("os.fsync", 3),
    ("os.fsync", 9), ("os.fsync", 10), ("os.fsync", 11), ("os.fsync", 12), ("os.fsync", 13), ("os.fsync", 14),
    ("os.replace", 2), ("os.replace", 4), ("os.replace", 9), ("os.replace", 10), ("os.replace", 11),
])
def test_kills_inside_the_write_of_a_checkpoint(call, number, untouched, tmp_path):
    process = start(tmp_path, "momentum", "--die-at", call, number)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert finished(tmp_path, "momentum") == untouched["momentum"]
    assert is_whole(tmp_path)


@pytest.mark.parametrize("optimizer, step", [("adamw", 20), ("sgd", 2)])
def test_a_kill_in_the_middle_of_an_update(optimizer, step, untouched, tmp_path):
    process = start(tmp_path, optimizer, "--die-in", step)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert finished(tmp_path, optimizer) == untouched[optimizer]


def test_ctrl_c_saves_and_says_how_to_continue(untouched, tmp_path):
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
    assert finished(tmp_path, "adamw") == untouched["adamw"]
