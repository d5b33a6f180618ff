"""The finetuning milestone: --quick learns with adapters and without, broken models fail its check."""
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "milestones" / "07_finetune" / "finetune.py"
LOWER, NEAR = "nats below a model from scratch, the worst seed", "adapters: nats above full finetuning, the worst seed"


pytestmark = pytest.mark.usefixtures("both_texts")


def run(*arguments, folder):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], cwd=folder, capture_output=True, text=True)


def got(folder):
    return {each["name"]: each["got"] for each in json.loads((folder / "results.json").read_text())["criteria"]}


@pytest.fixture(scope="module")
def finished(both_texts, tmp_path_factory):
    "(folder of a run of --quick --lora 2, what it printed)"
    folder = tmp_path_factory.mktemp("quick")
    done = run("--quick", "--lora", 2, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "runs" / "finetune-001", done.stdout


def test_quick_learns_and_leaves_everything(finished):
    folder, printed = finished
    assert "LEARNED: every criterion is met" in printed
    found = got(folder)
    assert found[LOWER] > 0.1 and found["adapters: share of the model's parameters"] < 0.05
    assert found["adapters, merged: relative difference"] < 1e-5
    for name in ("report.html", "samples.txt", "loss.png", "pretrained/config.json", "finetuned/model.safetensors"):
        assert (folder / name).stat().st_size > 100, name
    adapters, whole = (folder / name for name in ("lora-0/adapters.safetensors", "pretrained/model.safetensors"))
    assert adapters.stat().st_size < whole.stat().st_size / 10


def test_the_finetuned_model_continues_a_prompt(finished):
    folder, _ = finished
    asked = ["--sample", "ROMEO:", "--length", 40]
    once, again = (run("--resume", folder, *asked, folder=folder.parents[1]) for _ in range(2))
    assert once.returncode == 0 and once.stdout == again.stdout and once.stdout.startswith("ROMEO:"), once.stderr
    assert run(*asked, folder=folder.parents[1]).stdout == once.stdout  # the newest run


def test_a_finished_run_that_goes_on_has_the_same_numbers(finished):
    folder, _ = finished
    before = got(folder)
    done = run("--resume", folder, folder=folder.parents[1])
    assert done.returncode == 0 and got(folder) == before, done.stdout + done.stderr


def settings_that(*arguments, monkeypatch):
    "The settings of a new run with these arguments."
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    spec = importlib.util.spec_from_file_location("finetune", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    args = script.parser.parse_args(arguments)
    settings, _ = script.settings_of(args, script.parser, "finetune", script.SIZES, lora=script.rank_of(args))
    return settings


@pytest.mark.parametrize("broken, missed", [("forgotten", LOWER), ("random", NEAR), ("frozen", NEAR)])
def test_broken_models_fail(broken, missed, finished, tmp_path, monkeypatch):
    "As `--quick --broken` does, but for what no broken model changes, which is there already: the stories."
    settings = settings_that("--quick", "--broken", broken, monkeypatch=monkeypatch)
    folder = shutil.copytree(finished[0], tmp_path / "runs" / finished[0].name)
    whole = json.loads((folder / "config.json").read_text())
    assert settings["broken"] == broken and settings.items() <= (whole["config"] | {"broken": broken,
                                                                 "lora": settings["lora"]}).items()
    whole["config"] |= settings
    (folder / "config.json").write_text(json.dumps(whole))
    for name in ("lora-0", *(["full-0"] if broken == "forgotten" else [])):
        shutil.rmtree(folder / name)
    done = run("--resume", folder, folder=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert missed in done.stdout.split("NOT LEARNED: ")[1].split("Does the")[0]


@pytest.mark.parametrize("arguments", [["--lora", "0"], ["--lora", "99", "--quick"], ["--seed", "-1"]])
def test_arguments_that_make_no_sense(arguments, tmp_path):
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 2 and "expected" in done.stderr and not list(tmp_path.iterdir())
