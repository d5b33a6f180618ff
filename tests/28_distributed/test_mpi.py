"""The same checks on processes: `mpiexec` starts them, MPI carries their messages."""
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
pytestmark = pytest.mark.skipif(MPIEXEC is None or importlib.util.find_spec("mpi4py") is None,
                                reason="ranks as processes: install mpi4py and mpich")


@pytest.mark.parametrize("size", [2, 3])
def test_all_checks(size):
    program = [sys.executable, "-m", "mpi4py", str(Path(__file__).with_name("checks.py"))]
    found = subprocess.run([MPIEXEC, "-n", str(size), *program], capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stdout + found.stderr
    assert f"checks on {size} ranks" in found.stdout
