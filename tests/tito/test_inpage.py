"""In a page, where no process starts: the same words as in a terminal, the same modules, and nothing left behind."""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tito import export as exporting
from tito.course import chapters
from tito.inpage import run_here
from tito.student import fresh

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("TINYTORCH_WORK", "TITO"))}


def say(folder, *words, page):
    "(exit status, output) of `tito WORDS`, in a process of its own or as in a page."
    environment = ENVIRONMENT | ({"TITO_IN_PAGE": "1"} if page else {})
    code = "import sys; from tito.magic import tito_here; sys.exit(tito_here(sys.argv[1:]))"
    command = [sys.executable, *(["-c", code] if page else ["-m", "tito"]), *words]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(command, cwd=folder, env=environment, **options)
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page") / "work"
    assert say(folder.parent, "new", folder, page=True)[0] == 0
    assert say(folder, "start", "12", page=True)[0] == 0
    return folder


def solve(folder, number):
    from automated_student import solve as put_solutions

    (notebook,) = (folder / "modules").glob(f"{number}_*.ipynb")
    put_solutions(notebook, ROOT / "modules" / notebook.name)


def test_the_words_are_those_of_a_terminal(work):
    sys.path.insert(0, str(Path(__file__).parent))
    for words in (["check", "12", "-k", "by_hand"], ["diff", "12", "nothing", "--anyway"]):
        in_page = say(work, *words, page=True)
        assert in_page == say(work, *words, page=False) and in_page[0]
    solve(work, "12")
    status, said = say(work, "check", "12", page=True)
    assert status == 0 and "12_normalization is green" in said
    assert "12_normalization     green" in say(work, "status", page=False)[1], "on the same files, by the same suite"


@pytest.mark.parametrize("depth", ["guided", "open", "solved"])
def test_without_nbdev_every_chapter_exports_the_same(depth, tmp_path, monkeypatch):
    for chapter in chapters():
        notebook = tmp_path / chapter.notebook.name
        notebook.write_bytes(chapter.notebook.read_bytes() if depth == "solved" else fresh(chapter, depth)[0])
        by_nbdev = exporting.export(notebook)
        with monkeypatch.context() as patch:
            patch.setenv("TITO_IN_PAGE", "1")
            assert exporting.export(notebook) == by_nbdev, chapter.name


@pytest.mark.parametrize("cells", [
    ["#| default_exp a", "# | export\n\nX = 1", "#|export b.c\nY = 1", "#| exporti\n_z = 1", "#| exports\nW = 1"],
    ["#| default_exp a\n#| export\nX = 1\n\n", "#| export\n\n#| hide\nX = 1\n#| export\nY = 2"],
    ["\n#| default_exp a", "#| export\n", "#| export\nX = '''\n#| export\n'''"],
    ["#| default_exp a", "#| export: b\nX = 1\n    \n"], ["#| default_exp a", "%%time\n#| export\nX = 1"],
    ["#| default_exp", "#| export\nX = 1"], ["#| default_exp a b", "#| export\nX = 1"], ["#| export\nX = 1"],
    ["#| default_exp a", "#| export b c\nX = 1"], ["#| default_exp a", "#| export a\nX = 1", "#| export\nY = 1"],
], ids=range(10))
def test_without_nbdev_odd_directives_are_heard_in_the_same_way(cells, tmp_path, monkeypatch):
    notebook = tmp_path / "01_odd.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), notebook)

    def outcome():
        try:
            return [(module.path, module.text) for module in exporting.export(notebook)]
        except exporting.TitoError as error:
            return re.sub(r"\(.*\)$", "", str(error))

    by_nbdev = outcome()
    monkeypatch.setenv("TITO_IN_PAGE", "1")
    assert outcome() == by_nbdev


def test_nothing_is_left_behind(work, tmp_path):
    (tmp_path / "mine.py").write_text("")
    state = dict(os.environ), Path.cwd(), list(sys.path), list(sys.argv), list(sys.meta_path), set(sys.modules)

    def job():
        import tinytorch

        os.environ["LEFT"] = "1"
        os.chdir(tmp_path)
        sys.path.append("left")
        raise SystemExit(tinytorch.tensor(3).item())

    import tinytorch

    assert run_here(job, tmp_path, dict(os.environ), ["job"]) == 3
    assert (dict(os.environ), Path.cwd(), sys.path, sys.argv, sys.meta_path) == state[:5]
    assert sys.modules["tinytorch"] is tinytorch and not set(sys.modules) - state[5] - {"mine"}
    assert run_here(lambda: "words", tmp_path, dict(os.environ), ["job"], Path(os.devnull).open("w")) == 1


def test_in_a_notebook_the_magic_checks_and_the_notebook_goes_on(work):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in (
        "import sys, tinytorch\nx = tinytorch.tensor([1.0], requires_grad=True)",
        "%reload_ext tito\n%tito check 12 -k by_hand", "%tito check 99",
        "assert sys.modules['tinytorch'] is tinytorch\n(x * 2).backward()\nprint(x.grad)",
    )])  # fmt: skip
    client = NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(work / "modules")}})
    client.execute(env=ENVIRONMENT | {"TITO_IN_PAGE": "1", "PYTHONPATH": str(ROOT)})
    said = ["".join(output.get("text", "") for output in cell.outputs) for cell in notebook.cells]
    assert "0 failed" in said[1] and "no chapter '99'" in said[2] and "tensor([2.])" in said[3]


def test_a_page_without_a_workspace_gets_one_around_its_notebooks(tmp_path):
    (tmp_path / "modules").mkdir()
    chapter = next(made for made in chapters() if made.number == "12")
    content = fresh(chapter)[0]
    (tmp_path / "modules" / chapter.notebook.name).write_bytes(content)
    status, said = say(tmp_path / "modules", "check", "12", "-k", "by_hand", page=True)
    assert status == 1 and "not written yet" in said
    assert (tmp_path / "modules" / chapter.notebook.name).read_bytes() == content
    assert json.loads((tmp_path / ".tito" / "workspace.json").read_text())["version"]
