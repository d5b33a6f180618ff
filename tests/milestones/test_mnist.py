"""The photographs of MNIST, for minutes: `python -m pytest --slow tests/milestones/test_mnist.py`."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MILESTONES = Path(__file__).parents[2] / "milestones"


@pytest.mark.slow
@pytest.mark.parametrize("script, bar", [("03_1986_mlp/mlp.py", 0.98), ("04_1998_cnn/cnn.py", 0.99)])
def test_digits_that_people_wrote_are_read(script, bar, tmp_path):
    environment = os.environ | {"TINYTORCH_FAST": "compiled"}
    done = subprocess.run([sys.executable, MILESTONES / script, "--data", "mnist"], cwd=tmp_path, env=environment,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr  # without the files it says where they belong
    (folder,) = (tmp_path / "runs").iterdir()
    (criterion,) = json.loads((folder / "results.json").read_text())["criteria"]
    assert criterion["wanted"] == f"at least {100 * bar:.0f} %" and criterion["got"] >= bar
    print(f"{Path(script).name}: {criterion['got']:.2%} of 10,000 held-out digits are right")
