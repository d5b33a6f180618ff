"""The quantization milestone: --quick holds its bars, broken quantizers fail them."""
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "milestones" / "08_efficiency" / "quantize.py"
EIGHT = "of perplexity for 8 bits, the worst seed"


pytestmark = pytest.mark.usefixtures("both_texts")


def run(*arguments, folder):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], cwd=folder, capture_output=True, text=True)


def got(folder):
    return {each["name"]: each["got"] for each in json.loads((folder / "results.json").read_text())["criteria"]}


@pytest.fixture(scope="module")
def finished(both_texts, tmp_path_factory):
    "(folder of a run of --quick, what it printed)"
    folder = tmp_path_factory.mktemp("quick")
    done = run("--quick", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "runs" / "quantize-001", done.stdout


def test_quick_holds_its_bars_and_leaves_everything(finished):
    folder, printed = finished
    assert "LEARNED: every criterion is met" in printed
    assert got(folder)[EIGHT] < 0.01 and 0.2 < got(folder)["of the size for 8 bits"] < 0.35
    for name in ("report.html", "loss.png", "quantized.safetensors", "results.json"):
        assert (folder / name).stat().st_size > 100, name


@pytest.mark.parametrize("broken", ["scales", pytest.param("signs", marks=pytest.mark.slow)])
def test_broken_quantizers_fail_on_the_models_of_a_run(broken, finished):
    "the run's own models, trained already, are quantized again, in a broken way"
    folder, _ = finished
    config = json.loads((folder / "config.json").read_text())
    config["config"]["broken"] = broken
    (folder / "config.json").write_text(json.dumps(config))
    done = run("--resume", folder, folder=folder.parents[1])
    assert done.returncode == 1 and EIGHT in done.stdout.split("NOT LEARNED: ")[1], done.stdout + done.stderr


@pytest.mark.slow
def test_a_finished_run_that_goes_on_has_the_same_numbers(tmp_path):
    done = run("--quick", folder=tmp_path)
    folder = tmp_path / "runs" / "quantize-001"
    before = got(folder)
    done = run("--resume", folder, folder=tmp_path)
    assert done.returncode == 0 and got(folder) == before, done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [["--seed", "-1"], ["--quick", "--size", "small"], ["--broken", "all"]])
def test_arguments_that_make_no_sense(arguments, tmp_path):
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 2 and not list(tmp_path.iterdir()), done.stderr
