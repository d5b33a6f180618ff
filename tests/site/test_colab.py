"""A chapter in Colab: its notebook begins with the line that installs the package, and runs in a fresh environment.

The line is taken from the notebook; what it installs there is the wheel of this repository.
"""
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tito.course import chapters
from tito.site.colab import colab_notebook, install_line
from tito.strip import grading, source_of, without_markers

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 600  # seconds of a cell; the first one downloads
EVERY = {made.name: made for made in chapters()}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    "(wheel, kernels): a wheel of this repository, and a kernel in a new environment that has a kernel, and no more."
    folder = tmp_path_factory.mktemp("colab")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, ROOT]
    subprocess.run(build, check=True)
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "ipykernel"], check=True)
    command = [str(python), "-m", "ipykernel_launcher", "--log-level=ERROR", "-f", "{connection_file}"]
    (folder / "kernels" / "fresh").mkdir(parents=True)
    (folder / "kernels" / "fresh" / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "fresh"}))
    return next(folder.glob("*.whl")), folder / "kernels"


def executed(cells, kernels, folder):
    "Run cells in the fresh environment; (the cells, what the first failing one raised or "")."
    cells = [cell | {"source": source_of(cell)} for cell in cells]
    notebook = nbformat.from_dict({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    spec = KernelSpecManager(kernel_dirs=[str(kernels)])
    client = NotebookClient(notebook, km=AsyncKernelManager(kernel_name="fresh", kernel_spec_manager=spec),
                            timeout=LONGEST, resources={"metadata": {"path": str(folder)}})
    ours = ("PYTHONPATH", "TINYTORCH_WORKSPACE", "TINYTORCH_FAST")
    try:
        client.execute(env={name: value for name, value in os.environ.items() if name not in ours})
    except CellExecutionError as error:
        return notebook.cells, str(error)
    return notebook.cells, ""


def check(name, fresh, folder):
    "The notebook runs to its first exercise and stops there; with the solutions in, to its end."
    wheel, kernels = fresh
    made = EVERY[name]
    cells = json.loads(colab_notebook(made.notebook, str(wheel)))["cells"]
    assert source_of(cells[0]) == install_line(name, str(wheel)) and "BEGIN SOLUTION" not in json.dumps(cells)
    where = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "id": "where",
             "source": "import tinytorch; print(tinytorch.__file__)"}  # fmt: skip
    solved = {cell["id"]: without_markers(source_of(cell)) for cell in made.content["cells"]}
    exercises = [number for number, cell in enumerate(cells) if grading(cell).get("solution")]

    ran, error = executed([*cells[:1], where, *cells[1:]], kernels, folder)
    assert str(kernels.parent) in ran[1]["outputs"][0]["text"]
    if exercises:
        assert "is still open" in error and "NotImplementedError" in error
        stopped = max(number for number, cell in enumerate(ran) if cell.get("outputs") or cell.get("execution_count"))
        assert stopped - 1 >= exercises[0]
    solution = [cell | {"source": solved.get(cell["id"], source_of(cell))} for cell in cells[1:]]
    assert executed(solution, kernels, folder)[1] == ""


def test_a_chapter_runs_in_a_fresh_environment(fresh, tmp_path):
    check("12_normalization", fresh, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_every_chapter_runs_in_a_fresh_environment(fresh, tmp_path, name):
    check(name, fresh, tmp_path)


def test_the_line_installs_a_wheel_or_what_is_at_an_address(tmp_path):
    wheel = tmp_path / "a b.whl"
    assert install_line("03_tensor", str(wheel)) == f'%pip install -q "tinytorch-course[page] @ {wheel.as_uri()}"'
    assert "[page,fast] @ git+https://x/y" in install_line("18_compiled_kernels", "git+https://x/y")
