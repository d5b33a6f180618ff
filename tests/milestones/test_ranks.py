"""Shakespeare on several processes: the numbers and the files of one."""
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "milestones" / "05_2017_transformer" / "shakespeare.py"
MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")


def losses(runs, size, *options):
    start = [MPIEXEC, "-n", str(size), sys.executable, "-m", "mpi4py"] if size > 1 else [sys.executable]
    found = subprocess.run([*start, str(SCRIPT), *options], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.count("LEARNED: every criterion is met.") == 1, "rank 0 alone prints"
    assert [folder.name for folder in runs.iterdir()] == ["shakespeare-001"], "rank 0 alone makes a folder"
    lines = (runs / "shakespeare-001" / "metrics.jsonl").read_text().splitlines()
    return np.array([json.loads(line)["loss"] for line in lines])


@pytest.mark.slow
@pytest.mark.skipif(MPIEXEC is None or importlib.util.find_spec("mpi4py") is None,
                    reason="ranks as processes: install mpi4py and mpich")
def test_shakespeare_on_four_processes_is_that_of_one(tmp_path):
    alone = losses(tmp_path / "alone", 1, "--quick", "--runs", str(tmp_path / "alone"))
    together = losses(tmp_path / "together", 4, "--quick", "--runs", str(tmp_path / "together"))
    assert abs(alone - together).max() < 1e-4
