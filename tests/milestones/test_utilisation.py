"""Counting the milestones: the formula holds, and a count that forgets something does not."""
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "milestones" / "08_efficiency" / "utilisation.py"


def run(*arguments, folder):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], cwd=folder, capture_output=True, text=True)


def test_every_milestone_is_counted_and_drawn(tmp_path):
    done = run("--repeats", 1, folder=tmp_path)
    assert done.returncode == 0 and "LEARNED: every criterion is met" in done.stdout, done.stdout + done.stderr
    folder = tmp_path / "runs" / "utilisation-001"
    table = json.loads((folder / "results.json").read_text())["table"]
    assert set(table) == {"mlp", "cnn", "copilot", "shakespeare", "tinystories", "tinystories, large"}
    assert all(0 < column["utilisation, %"] < 200 and column["FLOPs a byte"] > 1 for column in table.values())
    assert (folder / "roofline.png").stat().st_size > 10_000 and (folder / "report.html").exists()


@pytest.mark.parametrize("broken", ["forward", pytest.param("lookups", marks=pytest.mark.slow)])
def test_a_broken_count_fails(broken, tmp_path):
    done = run("--repeats", 1, "--broken", broken, folder=tmp_path)
    assert done.returncode == 1 and "off the closed formula" in done.stdout.split("NOT LEARNED: ")[1]


def test_arguments_that_make_no_sense(tmp_path):
    done = run("--repeats", 0, folder=tmp_path)
    assert done.returncode == 2 and "expected" in done.stderr and not list(tmp_path.iterdir())
