"""The distillation milestone: --quick holds its bars; pruning at random and a teacher that is ignored fail them."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "milestones" / "08_efficiency" / "distill.py"
BETTER, HALF = "nats better with the teacher", "nats for half of the weights"


@pytest.fixture(scope="module", autouse=True)
def data():
    "Skips where the text is not on this machine; in CI that is a failure."
    folder = Path(os.environ.get("TINYTORCH_DATA") or "/nowhere")
    if not list(folder.glob("tinystories-*.txt")):
        text = "needs tinystories-900.txt in the folder TINYTORCH_DATA"
        pytest.fail(text) if os.environ.get("CI") else pytest.skip(text)


def run(*arguments, folder):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], cwd=folder, capture_output=True, text=True)


def results(folder):
    return json.loads((folder / "runs" / "distill-001" / "results.json").read_text())


def test_quick_holds_its_bars_and_leaves_everything(tmp_path):
    done = run("--quick", folder=tmp_path)
    assert done.returncode == 0 and "LEARNED: every criterion is met" in done.stdout, done.stdout + done.stderr
    got = {each["name"]: each["got"] for each in results(tmp_path)["criteria"]}
    assert got[BETTER] > 0.05 and got[HALF] < 0.05
    column = results(tmp_path)["table"]["seed 0"]
    assert column["90% of weights pruned"] > column["50% of weights pruned"] + 0.1, "there is an end to it"
    for name in ("report.html", "loss.png", "pruning.png", "student.safetensors"):
        assert (tmp_path / "runs" / "distill-001" / name).stat().st_size > 100, name
    again = run("--resume", tmp_path / "runs" / "distill-001", folder=tmp_path)
    assert again.returncode == 0 and {e["name"]: e["got"] for e in results(tmp_path)["criteria"]} == got, again.stderr


@pytest.mark.slow
@pytest.mark.parametrize("broken, fails", [("ignored", BETTER), ("random", HALF)])
def test_what_cannot_work_fails(broken, fails, tmp_path):
    done = run("--quick", "--broken", broken, folder=tmp_path)
    assert done.returncode == 1 and fails in done.stdout.split("NOT LEARNED: ")[1], done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [["--seed", "-1"], ["--quick", "--size", "small"], ["--broken", "all"]])
def test_arguments_that_make_no_sense(arguments, tmp_path):
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 2 and not list(tmp_path.iterdir()), done.stderr
