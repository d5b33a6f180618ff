"""The memory of a deep model: less than half, the same gradients; and dropout that is another the second time fails."""
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "milestones" / "08_efficiency" / "checkpointing.py"


def run(*arguments, folder):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], cwd=folder, capture_output=True, text=True)


def test_half_of_the_memory_and_the_same_gradients(tmp_path):
    done = run("--quick", folder=tmp_path)
    assert done.returncode == 0 and "LEARNED: every criterion is met" in done.stdout, done.stdout + done.stderr
    table = json.loads((tmp_path / "runs" / "checkpointing-001" / "results.json").read_text())["table"]
    peaks = [column["MB at the peak"] for column in table.values()]
    assert peaks[0] > 1.5 * peaks[1] > 2 * peaks[2], "kept, every second block, every block"


@pytest.mark.slow
def test_dropout_that_is_another_the_second_time_fails(tmp_path):
    done = run("--quick", "--broken", "dropout", folder=tmp_path)
    assert done.returncode == 1 and "gradients that differ" in done.stdout.split("NOT LEARNED: ")[1], done.stdout


def test_arguments_that_make_no_sense(tmp_path):
    done = run("--seeds", 0, folder=tmp_path)
    assert done.returncode == 2 and "expected" in done.stderr and not list(tmp_path.iterdir())
