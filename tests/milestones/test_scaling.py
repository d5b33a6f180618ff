"""The scaling milestone: --quick predicts its run, goes on where it was, and broken sweeps fail."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "milestones" / "08_efficiency" / "scaling.py"


@pytest.fixture(scope="module", autouse=True)
def data():
    "Skips where the text is not on this machine; in CI that is a failure."
    folder = Path(os.environ.get("TINYTORCH_DATA") or "/nowhere")
    if not list(folder.glob("tinystories-*.txt")):
        text = "needs tinystories-900.txt in the folder TINYTORCH_DATA"
        pytest.fail(text) if os.environ.get("CI") else pytest.skip(text)


def run(*arguments, folder):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], cwd=folder, capture_output=True, text=True)


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    "(folder of a run of --quick, what it printed)"
    folder = tmp_path_factory.mktemp("quick")
    done = run("--quick", "--workers", 1, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "runs" / "scaling-001", done.stdout


def test_quick_predicts_its_run(finished):
    folder, printed = finished
    assert "LEARNED: every criterion is met" in printed
    numbers = json.loads((folder / "results.json").read_text())["numbers"]
    assert 0.1 < numbers["exponent of the size"] < 0.9 and numbers["trials"] == 18
    for name in ("report.html", "isoflops.png", "trials.jsonl"):
        assert (folder / name).stat().st_size > 100, name


def test_what_is_finished_is_not_trained_again(finished):
    "half of the trials are there, the last line cut off, as by a kill"
    folder, printed = finished
    path = folder / "trials.jsonl"
    before, results = path.read_text(), json.loads((folder / "results.json").read_text())
    lines = before.splitlines()
    path.write_text("\n".join(lines[:-2]) + "\n" + lines[-2][:20])
    done = run("--resume", folder, "--workers", 1, folder=folder)
    assert done.returncode == 0 and done.stdout.count("FLOPs  width") == 2, done.stdout + done.stderr
    again = json.loads((folder / "results.json").read_text())
    assert again["criteria"] == results["criteria"] and again["table"] == results["table"]


def test_losses_of_other_sizes_fail(finished):
    folder, _ = finished
    config = json.loads((folder / "config.json").read_text())
    config["config"]["broken"] = "sizes"
    (folder / "config.json").write_text(json.dumps(config))
    done = run("--resume", folder, folder=folder)
    assert done.returncode == 1 and "NOT LEARNED" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
def test_models_that_ignore_the_budget_fail(tmp_path):
    done = run("--quick", "--broken", "tokens", folder=tmp_path)
    assert done.returncode == 1 and "budgets without a minimum" in done.stdout.split("NOT LEARNED: ")[1], done.stdout


@pytest.mark.parametrize("arguments", [["--seed", "-1"], ["--broken", "all"], ["--workers", "0"]])
def test_arguments_that_make_no_sense(arguments, tmp_path):
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 2 and not list(tmp_path.iterdir()), done.stderr
