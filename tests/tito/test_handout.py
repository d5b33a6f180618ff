"""What a student's notebook begins and ends with, and `%tito` in a cell."""
import json
import sys
from pathlib import Path

import nbformat
import pytest

import tito as package
from tito.course import chapters
from tito.handout import hours, minutes_for
from tito.magic import exported_names, is_unsaved
from tito.student import fresh

UNSAVED = "what you ran in this notebook is not what is saved"


@pytest.fixture(scope="module", params=["guided", "open"])
def handouts(request):
    return request.param, {chapter: nbformat.reads(fresh(chapter, request.param)[0], 4) for chapter in chapters()}


def test_every_notebook_has_its_kernel_a_way_to_work_and_a_check(handouts):
    depth, notebooks = handouts
    for chapter, notebook in notebooks.items():
        nbformat.validate(notebook)
        assert notebook.metadata.kernelspec.name == "python3"
        head = notebook.cells[1].source
        assert head.startswith("**How to work.**") and f"`tito hint {chapter.number}`" in head and "hour" in head
        assert ("exercises is a cell" in head) == (depth == "guided")
        assert notebook.cells[-1].source == f"%reload_ext tito\n%tito check {chapter.number}"


def test_the_expected_hours_are_those_of_its_words_and_gaps():
    def cell(source, **nbgrader):
        return {"cell_type": "code", "source": source, "metadata": {"nbgrader": nbgrader}}

    gaps = 'raise NotImplementedError("a")\n' * 3
    notebook = {"cells": [cell("word " * 1794 + gaps, solution=True)]}  # 1,800 words with the gaps: ten minutes
    assert minutes_for(notebook, "guided") == 10 + 6 + 3 * 2
    assert minutes_for(notebook, "open") == 10 + 3 * 12
    assert (hours(20), hours(50), hours(160)) == ("half an hour", "an hour", "2.5 hours")


def test_an_open_exercise_says_which_it_is(handouts):
    depth, notebooks = handouts
    said = [line.strip() for notebook in notebooks.values() for cell in notebook.cells
            for line in cell.source.split("\n") if line.strip().startswith("raise NotImplementedError(\"")]
    end = {"guided": "is still open: replace this line", "open": "is not written yet: replace this line"}[depth]
    assert sum(end in line for line in said) > 100 and not any("your code here" in line for line in said)
    name = {"guided": "exercise gradcheck", "open": "Gradients.backward"}[depth]
    assert f'raise NotImplementedError("{name} {end}")' in said


# ---- %tito

class Shell:
    "What the extension needs of IPython."
    def __init__(self):
        self.user_ns, self.magics = {"In": [""]}, {}

    def register_magic_function(self, function, magic_name):
        self.magics[magic_name] = function

    def tito(self, line, capsys):
        self.magics["tito"](line)
        return capsys.readouterr().out


@pytest.fixture
def shell():
    made = Shell()
    package.load_ipython_extension(made)
    return made


def test_a_cell_says_what_the_command_says(course, tito, shell, capsys, monkeypatch):
    small = "; ".join(["from pathlib import Path", "from tito import course", "from tito.commands import app",
                       f"course.course_folder = lambda: Path({str(course)!r})", "app()"])
    real = package.magic.subprocess.Popen
    monkeypatch.setattr("tito.magic.subprocess.Popen", lambda command, **options: real(
        [sys.executable, "-c", small, *command[3:]], **options))
    tito("start", "01")
    tito.solve()
    said = shell.tito("check 01", capsys)
    assert "01_double is green" in said and UNSAVED not in said
    assert "77" in shell.tito("check 77", capsys)


def test_what_was_run_and_not_saved_is_noticed(tito):
    tito("start", "01")
    saved = next(cell for cell in json.loads(tito.notebook().read_text())["cells"] if "twice" in "".join(cell["source"])
                 and "".join(cell["source"]).startswith("#| export"))
    source = "".join(saved["source"])
    assert not is_unsaved(["01"], ["", "x = 1", source]) and not is_unsaved(["01"], [])
    changed = source.replace("raise", "return 2 * x  # raise")
    assert changed != source and is_unsaved(["01"], ["", source, changed])
    assert not is_unsaved(["01"], ["", changed, source]), "the last run counts"
    tito.solve(body="    return 2 * x\n")
    assert is_unsaved(["01"], ["", source])


def test_outside_of_a_workspace_nothing_is_unsaved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not is_unsaved(["01"], ["#| export\ndef f(): pass"])


def test_names_of_a_cell():
    assert exported_names("#| export\ndef f(): pass\nLIMIT = 3") == {"f", "LIMIT"}
    assert exported_names("def f(): pass") == exported_names("#| export\ndef f(:") == frozenset()


def test_the_extension_is_found_in_a_kernel(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("%reload_ext tito\n%tito --help")])
    from nbclient import NotebookClient

    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert "check" in "".join(output.text for output in notebook.cells[0].outputs) and Path(tmp_path).is_dir()
