"""Whose files run: a student's take the reference's place, one by one, wherever Python is started in the workspace."""
import json
import os
import subprocess
import sys

import pytest

from tito import __version__, overlay

WHERE = "import tinytorch.data as d, tinytorch.training as o; print(d.__file__); print(o.__file__)"
REFERENCE = overlay.PACKAGE_FOLDER


def make(folder, **files):
    "A workspace with exported files: optim='source'."
    for name, source in files.items():
        path = folder / "exported" / "tinytorch" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    (folder / ".tito").mkdir(parents=True, exist_ok=True)
    (folder / ".tito" / "workspace.json").write_text(json.dumps({"version": __version__}))
    return folder


def mine(name, **changes):
    "The reference's file, with a line of the student's at its end."
    source = (REFERENCE / f"{name}.py").read_text(encoding="utf-8")
    return source + "".join(f"\n{key} = {value!r}\n" for key, value in changes.items())


def python(*arguments, cwd, status=0, **environment):
    outer = {name: value for name, value in os.environ.items() if name != "TINYTORCH_WORKSPACE"}
    done = subprocess.run([sys.executable, *map(str, arguments)], cwd=cwd, env=outer | environment,
                          capture_output=True, encoding="utf-8")
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path):
    return make(tmp_path / "a réseau", data=mine("data", WHOSE="mine"))


def test_a_file_of_the_student_replaces_one_of_the_reference(folder):
    assert python("-c", WHERE, cwd=folder).split("\n")[:2] == [
        str(folder / "exported" / "tinytorch" / "data.py"), str(REFERENCE / "training.py")]
    assert python("-c", "import tinytorch; print(tinytorch.data.WHOSE)", cwd=folder) == "mine\n"


def test_no_workspace_no_overlay(tmp_path, folder):
    assert str(folder) not in python("-c", WHERE, cwd=tmp_path)
    assert "''" in python("-c", "import tinytorch, tito.overlay as w; print(repr(w.described()))", cwd=tmp_path)


def test_scripts_in_subfolders_modules_and_threads_of_pytest(folder):
    script = folder / "milestones" / "deep" / "er" / "script.py"
    script.parent.mkdir(parents=True)
    script.write_text(WHERE)
    assert str(folder) in python("script.py", cwd=script.parent)
    assert str(folder) in python(script, cwd=folder)
    test = folder / "tests" / "test_whose.py"
    test.parent.mkdir()
    test.write_text("from tinytorch import data\ndef test_whose(): assert data.WHOSE == 'mine'\n")
    python("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=folder)


def test_the_environment_variable_comes_first_and_switches_off(folder, tmp_path):
    other = make(tmp_path / "b", data=mine("data", WHOSE="the other's"))
    show = "import tinytorch; print(getattr(tinytorch.data, 'WHOSE', 'reference'))"
    assert python("-c", show, cwd=tmp_path, TINYTORCH_WORKSPACE=str(other)) == "the other's\n"
    assert python("-c", show, cwd=folder, TINYTORCH_WORKSPACE=str(other)) == "the other's\n"
    assert python("-c", show, cwd=folder, TINYTORCH_WORKSPACE="") == "reference\n"
    said = python("-c", show, cwd=folder, status=1, TINYTORCH_WORKSPACE=str(tmp_path))
    assert "expected a folder made by `tito new`" in said


def test_two_workspaces_at_once(folder, tmp_path):
    other = make(tmp_path / "b", data=mine("data", WHOSE="the other's"))
    show = "import time, tinytorch; time.sleep(0.3); print(tinytorch.data.WHOSE)"
    both = [subprocess.Popen([sys.executable, "-c", show], cwd=cwd, stdout=subprocess.PIPE, text=True)
            for cwd in (folder, other)]
    assert [process.communicate()[0] for process in both] == ["mine\n", "the other's\n"]


def test_a_deleted_current_folder(tmp_path):
    code = ("import os, shutil, tempfile; f = tempfile.mkdtemp(); os.chdir(f); shutil.rmtree(f); "
            "import tinytorch, tito.overlay as w; print(w.find_workspace())")
    assert python("-c", code, cwd=tmp_path) == "None\n"


def test_old_bytecode_never_runs(folder):
    show = "import tinytorch; print(tinytorch.data.WHOSE)"
    python("-c", show, cwd=folder, PYTHONDONTWRITEBYTECODE="")  # write it, whatever the environment says
    path = folder / "exported" / "tinytorch" / "data.py"
    stamp = path.stat()
    path.write_text(mine("data", WHOSE="same"))  # of the same size, in the same second
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert python("-c", show, cwd=folder) == "same\n"


STUB = "\n\ndef mine():\n    raise NotImplementedError  # your code here\n"


def test_a_notebook_has_the_reference_in_the_place_of_a_file_that_is_open(folder):
    path = folder / "exported" / "tinytorch" / "data.py"
    in_kernel = "import sys, types; sys.modules['ipykernel'] = types.ModuleType('ipykernel')\n"
    show = "import tinytorch; print(getattr(tinytorch.data, 'WHOSE', 'reference'))"
    said = python("-c", in_kernel + show, cwd=folder)
    assert said.endswith("mine\n") and "yours: data.py; the reference: all the rest" in said
    path.write_text(mine("data", WHOSE="mine") + STUB)
    said = python("-c", in_kernel + show, cwd=folder)
    assert said.endswith("reference\n") and "and data.py as long as exercises there are open" in said
    assert python("-c", show, cwd=folder) == "mine\n"  # tests and milestones see the stub: they are red
    described = python("-c", "import tinytorch, tito.overlay as w; print(w.described())", cwd=folder)
    assert described == "yours: data.py (1 open exercise); the reference: all the rest\n"


def test_only_the_stubs_that_are_named_count(folder):
    for name in ("data", "training"):
        (folder / "exported" / "tinytorch" / f"{name}.py").write_text(mine(name, WHOSE="mine") + STUB)
    show = ("import tinytorch; print([hasattr(m, 'WHOSE') for m in (tinytorch.data, tinytorch.training)]);"
            "import tinytorch, tito.overlay as w; print(w.described())")
    assert python("-c", show, cwd=folder).startswith("[True, True]\n")
    said = python("-c", show, cwd=folder, TINYTORCH_STUBS="data.py,nn/layers.py")
    assert said == ("[True, False]\nyours: data.py (1 open exercise); the reference: all the rest, "
                    "and training.py as long as exercises there are open\n")
    assert python("-c", show, cwd=folder, TINYTORCH_STUBS="").startswith("[False, False]\nyours: no file yet;")


NOTEBOOK = """{"cells": [
 {"cell_type": "markdown", "metadata": {}, "source": ["# Data\\n"]},
 {"cell_type": "code", "metadata": {}, "source": ["#| export\\n", "import math\\n", "\\n", "def f():\\n",
  "    return 1"]},
 {"cell_type": "code", "metadata": {"nbgrader": {"grade_id": "second", "solution": true}}, "source": ["#| export\\n",
  "def g():\\n", "    ### BEGIN SOLUTION\\n", "    x = 1\\n", "    ### END SOLUTION\\n", "    return 1\\n", "%s"]}]}"""
EXPORTED = """# AUTOGENERATED! DO NOT EDIT! File to edit: ../../modules/07_data.ipynb.

import math


def f():
    return 1


def g():
    x = 1
    return 1


%s
"""


@pytest.mark.parametrize("line, error", [("G = = g()", "SyntaxError"), ("G = unheard_of()", "NameError")])
def test_an_error_names_the_cell_and_never_disables_tito(tmp_path, line, error):
    folder = make(tmp_path / "w", data=EXPORTED % line)
    (folder / "modules").mkdir()
    (folder / "modules" / "07_data.ipynb").write_text(NOTEBOOK % line)
    said = python("-c", "import tinytorch", cwd=folder, status=1)
    assert error in said
    assert "notebook 07_data.ipynb, cell 3, line 7 (exercise second)" in said
    python("-m", "tito", "status", cwd=folder)
    python("-m", "tito", "doctor", cwd=folder, status=1)


def test_the_cell_is_found_by_what_stands_around_a_line(tmp_path):
    folder = make(tmp_path / "w", data=EXPORTED % "last = 1")
    (folder / "modules").mkdir()
    (folder / "modules" / "07_data.ipynb").write_text(NOTEBOOK % "last = 1")
    file = folder / "exported" / "tinytorch" / "data.py"
    lines = file.read_text().split("\n")
    first, second = (row for row, line in enumerate(lines, 1) if line == "    return 1")
    places = [overlay.cell_of(file, row) for row in (first, second, lines.index("    x = 1") + 1)]
    assert [(place["cell"], place["line"]) for place in places] == [(2, 5), (3, 6), (3, 4)]
    assert overlay.cell_of(file, 999) is None
    notebook = folder / "modules" / "07_data.ipynb"
    notebook.write_bytes(b"\xef\xbb\xbf" + notebook.read_bytes())
    assert overlay.cell_of(file, first)["cell"] == 2, "a byte order mark is no obstacle"
    (folder / "modules" / "07_data.ipynb").unlink()
    assert overlay.cell_of(file, first) is None


def test_what_is_not_written_says_so_by_name(tmp_path):
    stubs = "\n\nclass A:\n    def f(self):\n        raise NotImplementedError()  # todo\n"
    folder = make(tmp_path / "w", data=mine("data") + stubs + STUB)
    show = ("import tinytorch\nfor f in (tinytorch.data.A().f, tinytorch.data.mine):\n"
            "    try: f()\n    except NotImplementedError as error: print(error)")
    assert python("-c", show, cwd=folder) == ("not written yet: data.py, A.f (chapter 07_data)\n"
                                              "not written yet: data.py, mine (chapter 07_data)\n")
    said = python("-c", "import tinytorch; tinytorch.data.Dataset()[0]", cwd=folder, status=1)
    assert "NotImplementedError: Dataset.__getitem__" in said, "a message of the code's own stays"


def test_stubs_of_all_chapters_at_once_can_be_imported(tmp_path):
    from tito.course import chapters
    from tito.student import fresh

    files = {}
    for chapter in chapters():
        files |= {module.path.removesuffix(".py").replace("/", "__"): module.text for module in fresh(chapter)[1]}
    folder = make(tmp_path / "w", **files)
    said = python("-c", "import tinytorch, tito.overlay as w; print(w.described())", cwd=folder)
    assert f"tensor.py ({overlay.open_exercises(files['tensor'])} open exercises)" in said


def test_it_needs_nothing_but_the_standard_library():
    subprocess.run([sys.executable, "-I", "-S", overlay.__file__], check=True)
