"""The course as it is installed: from a wheel that nobody may write to, in a folder with a space and an accent.

These chapters stand for all; `python tests/tito/automated_student.py --fresh` goes through every one, and with
`--first 11` through those from there on.
"""
import importlib.util
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("automated_student", Path(__file__).with_name("automated_student.py"))
automated_student = sys.modules["automated_student"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(automated_student)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    "The folder with a wheel that is unpacked and cannot be written, and who works with it."
    folder = tmp_path_factory.mktemp("un élève appliqué")
    python, environment = automated_student.unpacked(folder)
    set_writable(folder / "installed", False)
    yield folder, python, environment | {"PYTHONDONTWRITEBYTECODE": "1"}
    set_writable(folder / "installed", True)


@pytest.fixture
def student(installed, request):
    "Somebody with a workspace of their own."
    folder, python, environment = installed
    student = automated_student.Student(folder / f"mon travail {request.node.name[:30]}", python, environment)
    student.installed = folder / "installed"
    student.tito("new", student.workspace, cwd=folder)
    return student


def set_writable(folder, writable):
    for path in [folder, *folder.rglob("*")]:
        path.chmod(path.stat().st_mode | stat.S_IWUSR if writable else path.stat().st_mode & ~0o222)


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_course_is_the_one_in_the_wheel(student):
    assert student.course_folder() == student.installed / "tito" / "course"
    said = student.tito("doctor")
    assert str(student.installed / "tinytorch") in said
    names = {path.relative_to(student.installed).as_posix() for path in student.installed.rglob("*") if path.is_file()}
    notebooks = {f"tito/course/modules/{path.name}" for path in (automated_student.ROOT / "modules").glob("*.ipynb")}
    assert notebooks <= names
    assert "tito/course/tests/conftest.py" in names
    assert "tito/course/milestones/05_2017_transformer/reversal.py" in names
    assert not [name for name in names if "test_suite_catches" in name or name.startswith(("tests/", "modules/"))]


def pip(*arguments):
    return subprocess.run([sys.executable, "-m", "pip", *map(str, arguments)], capture_output=True, text=True)


def test_an_older_python_is_refused_by_name(installed, tmp_path):
    (wheel,) = installed[0].glob("*.whl")
    offline = ["--no-deps", "--no-index", "--only-binary=:all:", "-d", tmp_path, wheel]
    assert pip("download", "--python-version", "3.11", *offline).returncode == 0
    refused = pip("download", "--python-version", "3.10", *offline)
    assert refused.returncode and "requires a different Python: 3.10.0 not in '>=3.11'" in refused.stderr


def test_what_is_missing_is_asked_of_the_wheel_that_was_installed(installed, tmp_path):
    (wheel,) = installed[0].glob("*.whl")
    assert pip("install", "--no-deps", "--no-index", "--target", tmp_path, wheel).returncode == 0
    code = "from tito.install import how_to_install; print(how_to_install('lab'))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=tmp_path,
                          env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert done.stdout == f'pip install "tinytorch-course[lab] @ {wheel.as_uri()}"\n', done.stderr


def test_a_chapter_of_three_files_from_red_to_green(student):
    before = contents(student.installed)
    student.chapter("04", student.course_folder())
    mine = "nn/activations.py, nn/init.py, nn/layers.py, nn/module.py"
    assert f"yours: {mine}; the reference" in student.tito("test", "04")
    assert contents(student.installed) == before


def test_from_chapter_11_on_to_the_milestone(student):
    before = contents(student.installed)
    student.chapter("11", student.course_folder(), again=False)
    said = student.tito("milestone", "run", "reversal", "--length", "3", "--epochs", "2")  # chapter 11 opens it
    assert "yours: nn/attention.py; the reference: all the rest" in said and "LEARNED" in said
    assert "reversal: passed (--length 3): " in said and said.rstrip().endswith("with your 11")
    student.written_before("12", student.course_folder())  # from red to green it goes below
    assert "green" in student.tito("test", "12")
    student.chapter("13", student.course_folder(), again=False)
    student.tito("start", "05")  # a chapter that is only begun breaks nothing, and earns nothing
    said = student.tito("milestone", "run", "reversal")
    assert "yours: nn/attention.py, nn/normalization.py, nn/transformer.py; the reference: all the rest, and" in said
    assert "LEARNED" in said and "reversal: passed: " in said and "with your 11, 12, 13" in said
    assert "passed" in next(line for line in student.tito("status").split("\n") if line.startswith("reversal"))
    assert contents(student.installed) == before
    assert not os.path.exists(student.workspace / "modules" / "runs")


@pytest.fixture
def another_hand(tmp_path):
    "A folder with a module of another hand's: the reference's, written a little differently."
    text = (automated_student.ROOT / "tinytorch" / "nn" / "normalization.py").read_text(encoding="utf-8")
    path = tmp_path / "hand" / "nn" / "normalization.py"
    path.parent.mkdir(parents=True)
    path.write_text(text.replace("class LayerNorm(", "class _Mine: pass\n\n\nclass LayerNorm(", 1), encoding="utf-8")
    return tmp_path / "hand"


def test_the_open_form_from_red_to_green_by_two_hands(student, another_hand):
    before, course = contents(student.installed), student.course_folder()
    notebook, _ = student.begin("12", "open")
    begun = notebook.read_bytes()
    student.finish(notebook, course, again=False, depth="open")
    assert "open" in next(line for line in student.tito("status").split("\n") if line.startswith("12_normalization"))
    notebook.write_bytes(begun)
    student.finish(notebook, course, depth="open", solutions=another_hand)
    assert "class _Mine" in (student.workspace / "exported" / "tinytorch" / "nn" / "normalization.py").read_text()
    assert "green" in student.tito("check", "12")
    student.tito("start", "12", "--guided")
    assert "exercises open" in student.tito("status")
    assert contents(student.installed) == before


def test_suites_over_what_another_hand_wrote(another_hand):
    assert automated_student.run_suites(another_hand, options=["-q", "-x", "-k", "layer_norm"]) == 0
    path = another_hand / "nn" / "normalization.py"
    path.write_text(path.read_text() + "\n\ndef layer_norm(x, *_, **__):\n    return x\n")
    assert automated_student.run_suites(another_hand, options=["-q", "-x", "-k", "layer_norm"]) == 1
