"""What another hand wrote, from the docstrings of the open form alone, in the place of the chapters' own files.

Their suites must pass on it: one that does not looks at how a thing was written, not at what it does. And two models
must learn with it. `python tests/tito/automated_student.py --solutions tests/another_hand` puts it into notebooks.
"""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tito.course import chapters
from tito.overlay import EXPORTED, MARKER, VARIABLE, Overlay

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WRITTEN = sorted(path for path in HERE.rglob("*.py") if not path.name.startswith("test_"))
FILES = [path.relative_to(HERE).as_posix() for path in WRITTEN]
MILESTONES = ROOT / "milestones"
SUITES = [f"tests/{chapter.name}" for chapter in chapters() if set(chapter.files) & set(FILES)]
# Runs a script as python does, and prints which of tinytorch's files it imported.
RUN = """
import atexit, runpy, sys
from pathlib import Path

@atexit.register
def show():
    for name, module in sys.modules.items():
        if name.startswith("tinytorch."):
            print("used", module.__file__)

del sys.argv[0]
sys.path.insert(0, str(Path(sys.argv[0]).parent))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    "A workspace whose exported files are all those of the other hand."
    folder = tmp_path_factory.mktemp("another_hand")
    for path, name in zip(WRITTEN, FILES):
        target = folder / EXPORTED / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    (folder / MARKER).parent.mkdir()
    (folder / MARKER).write_text("{}", encoding="utf-8")
    return folder


def python(workspace, *arguments, cwd=ROOT):
    environment = os.environ | {VARIABLE: str(workspace), "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1",
                                "TINYTORCH_FAST": "plain"}
    return subprocess.run([sys.executable, *map(str, arguments)], cwd=cwd, env=environment, capture_output=True,
                          text=True)


def test_every_file_is_a_chapters_and_none_is_a_stub(workspace):
    exported = {file for chapter in chapters() for file in chapter.files}
    assert set(FILES) <= exported and Overlay(workspace).open == {}


def test_the_suites_of_all_its_chapters_pass(workspace):
    done = python(workspace, "-m", "pytest", "-p", "no:cacheprovider", "--tb=short", *SUITES)
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr
    (yours,) = (line for line in done.stdout.splitlines() if line.startswith("yours: "))
    assert yours.partition(";")[0] == f"yours: {', '.join(FILES)}"


def used_by(workspace, folder, script, *options):
    "Run a milestone in `folder`; it must pass. Return which of the other hand's files it imported, and none of ours."
    done = python(workspace, "-c", RUN, script, *options, cwd=folder)
    assert done.returncode == 0, done.stdout[-5_000:] + done.stderr
    used = {line.removeprefix("used ") for line in done.stdout.splitlines() if line.startswith("used ")}
    theirs, ours = ({file for file in FILES if str(package / file) in used}
                    for package in (workspace / EXPORTED, ROOT / "tinytorch"))
    assert not ours
    return theirs


@pytest.mark.parametrize("script, options", [("reversal.py", ["--epochs", "3"]), ("copilot.py", ["--quick"])])
def test_models_learn_with_it(script, options, workspace, tmp_path):
    used = used_by(workspace, tmp_path, MILESTONES / "05_2017_transformer" / script, *options)
    assert used >= {"ops/elementwise.py", "tensor.py", "nn/layers.py", "optim/optimizers.py"}


@pytest.mark.slow
def test_published_models_run_in_it(workspace):
    "What `transformers` wrote says the same in another hand's attention, norms, tokenizer and generation."
    done = python(workspace, "-m", "pytest", "-p", "no:cacheprovider", "--tb=short", "tests/19_pretrained")
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr
    assert "nn/transformer.py" in done.stdout and " passed" in done.stdout


@pytest.mark.slow
def test_smollm2_runs_in_it(workspace, tmp_path):
    used = used_by(workspace, tmp_path, MILESTONES / "06_2025_smollm" / "chat.py")
    assert used >= {"ops/elementwise.py", "nn/layers.py", "nn/transformer.py", "generation.py"}
