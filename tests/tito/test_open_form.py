"""The open form: signature and docstring of all that a chapter exports; stubs that import; the way there and back."""
import ast
import json
import subprocess
import sys

import pytest
from small_course import write

from tito import open_form
from tito.course import chapters
from tito.open_form import NOT_YET, functions, given_names, open_source
from tito.strip import exporting, read_notebook, source_of

SOURCE = '''\
#| export
"""A module."""
from dataclasses import dataclass

import numpy as np

LIMIT = 3


# what helps
def _help(x):
    return x


@dataclass
class Config:
    "Options."
    width: int = 2

    def twice(self):
        return 2 * self.width


class Box:
    """What holds x.

    In two paragraphs.
    """
    dims, __slots__ = 1, ("x",)

    def __init__(self, x):  # a comment
        # the solution begins
        self.x = x
        # and ends

    # ---- arithmetic

    def __add__(self, other): return Box(self.x + other)
    def named(self, other,
              more=LIMIT): "A docstring."; return other

    @property
    def both(self):
        "x and x"

        def inner(): return self.x
        return inner(), inner()

    def _secret(self):
        return 1

    def forward(self, x):
        raise NotImplementedError(f"{type(self).__name__}.forward")


def causal(T):
    @np.vectorize
    def f(x):
        return x
    return f
'''
OPEN = f'''\
#| export
"""A module."""
from dataclasses import dataclass

import numpy as np

LIMIT = 3


@dataclass
class Config:
    "Options."
    width: int = 2

    def twice(self):
        {NOT_YET.format("Config.twice")}


class Box:
    """What holds x.

    In two paragraphs.
    """
    dims, __slots__ = 1, ("x",)

    def __init__(self, x):  # a comment
        {NOT_YET.format("Box.__init__")}

    # ---- arithmetic

    def __add__(self, other):
        {NOT_YET.format("Box.__add__")}
    def named(self, other,
              more=LIMIT):
        'A docstring.'
        {NOT_YET.format("Box.named")}

    @property
    def both(self):
        "x and x"
        {NOT_YET.format("Box.both")}


    def forward(self, x):
        raise NotImplementedError(f"{{type(self).__name__}}.forward")


def causal(T):
    {NOT_YET.format("causal")}'''


def test_signatures_docstrings_and_declarations_are_left():
    opened = open_source(SOURCE, set())
    assert opened.text == OPEN
    # two bodies of one line, the secret, the help with its comment, ...
    assert opened.removed == 3 + 1 + 3 + 1 + 1 + 3 + 2 + 4


def test_what_is_given_stays_and_an_empty_cell_is_dropped():
    assert "return x\n" in open_source(SOURCE, {"_help"}).text and "return 2 * self.width" in open_source(
        SOURCE, {"Config"}).text
    assert open_source("#| export\ndef _f(x):\n    return x\n\n# more\n_g = 2", set()).text == ""
    assert open_source("class A:\n    def _f(self):\n        return 1", set()).text == "class A:\n    pass"
    assert open_source("#| export", set()).text == "#| export"


def test_functions_by_name():
    found = functions("@property\ndef f(x): pass\n\nclass A:\n    @property\n    def g(self): return 1\n"
                      "    @g.setter\n    def g(self, x): pass\n")
    assert found == {"f": "@property\ndef f(x): pass",
                     "A.g": "    @property\n    def g(self): return 1\n\n    @g.setter\n    def g(self, x): pass"}


@pytest.mark.parametrize("source, given", [
    ("def f(): return g()\ndef g(): return 1\nX = f()", {"f", "g"}),
    ("def f(): return 1\nX = {'f': f}", set()),
    ("def _f(): return f()\ndef f(): return 1\nX = {'f': _f}", {"_f"}),
    ("def _f(): return 1\nX = lambda: _f()", {"_f"}),
    ("def f(): return 1\nX = lambda: f()", set()),
    ("def mark(f): return f\n@mark\ndef f(): return 1", {"mark"}),
    ("_missing = object()\ndef f(x=_missing): return x", {"_missing"}),
    ("def size(): return 3\nclass A:\n    width = size()\n    def f(self): return size()", {"size"}),
    ("class A:\n    def __init_subclass__(cls): note(cls)\ndef note(cls): pass\nclass B(A): pass", {"note"}),
    ("class _A:\n    def f(self): return g()\ndef g(): pass\nclass B(_A): pass", {"_A"}),
    ("class A:\n    @classmethod\n    def of(cls): return cls()\nX = A.of()", {"A"}),
    ("from tinytorch.other import made\nX = made()", set()),
])
def test_what_runs_at_import_stays(source, given):
    other = "def made(): return helper()\ndef helper(): return 1\ndef free(): return 2"
    found = given_names({"file.py": source, "other.py": other})
    assert found["file.py"] == given
    assert found["other.py"] == ({"made", "helper"} if "made" in source else set())


def test_a_private_name_that_another_file_imports_stays():
    found = given_names({"a.py": "from tinytorch.b import _f", "b.py": "def _f(): return g()\ndef g(): return 1"})
    assert found["b.py"] == {"_f"}


# ---- the course


@pytest.fixture(scope="module")
def opened():
    "(chapter, its notebook in open form) for all chapters."
    from tito.student import in_open_form

    chapters.cache_clear()
    return [(chapter, in_open_form(chapter)) for chapter in chapters()]


def test_all_chapters_in_open_form_at_once_can_be_imported(opened, tmp_path):
    from tito.student import fresh

    write(tmp_path / ".tito" / "workspace.json", "{}")
    for chapter, _ in opened:
        for module in fresh(chapter, "open")[1]:
            write(tmp_path / "exported" / "tinytorch" / module.path, module.text)
    names = [path.removesuffix(".py").replace("/", ".") for chapter, _ in opened for path in chapter.files]
    code = f"import importlib, tinytorch\nfor name in {names}: importlib.import_module(f'tinytorch.{{name}}')\n"
    code += "import tinytorch, tito.overlay as w; print(w.described())\ntinytorch.tensor([1.0])"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert "yours: " in done.stdout and "tensor.py (" in done.stdout, done.stderr
    assert "NotImplementedError: not written yet: creation.py, tensor (chapter 03_tensor)" in done.stderr


def test_nothing_but_what_runs_at_import_is_given_away(opened):
    for chapter, notebook in opened:
        for cell, path in exporting(notebook):
            for node in ast.walk(ast.parse(source_of(cell))):
                if isinstance(node, ast.FunctionDef) and not open_form.something_to_write(node):
                    assert not node.name.startswith("_") or node.name.startswith("__"), (path, node.name)
        exported = {cell["id"] for cell, _ in exporting(notebook)}
        for cell, after in zip(notebook["cells"], notebook["cells"][1:]):
            assert after["id"] not in exported or not source_of(cell).startswith("**Hints**")
        assert "BEGIN" not in json.dumps([cell["source"] for cell in notebook["cells"]])
        have = {cell["id"] for cell in notebook["cells"]}
        left_out = [cell for cell in read_notebook(chapter.notebook)["cells"] if cell["id"] not in have]
        assert all(source_of(cell).startswith(("**Hints**", "#|")) for cell in left_out), "prose and checks stay"


# ---- a student


def row(text, name):
    return next(line for line in text.split("\n") if line.startswith(name))


def test_open_from_red_to_green(tito):
    said = tito("start", "01", "--open")
    assert "wrote modules/01_double.ipynb\nwrote exported/tinytorch/double.py\n" in said
    assert "write the functions, save, `tito check 01`" in said
    assert tito.exported().read_text().count("raise NotImplementedError") == 2
    assert "**Hints**" not in tito.notebook().read_text() and "HIDDEN" not in tito.notebook().read_text()
    assert row(tito("status"), "01_double").split(maxsplit=5)[2:] == [
        "progress", "open", "0.5", "2 of 2 functions not written yet; not tested"]
    said = tito("test", "01", status=1)
    assert row(said, "    double.py, twice ").split(maxsplit=2)[2] == "01_double.ipynb, cell 7, line 4    3 checks"
    assert "    double.py, four_times " in said and "4 checks: 0 passed, 4 failed" in said
    assert "**Exercise.** Return twice `x`." in tito("hint", "01")
    assert tito("hint", "01", "four_times").count("def four_times(x):") == 1
    assert "no function 'five': expected one of twice, four_times" in tito("hint", "01", "five", status=2)
    write_functions(tito)
    assert "01_double is green" in tito("check", "01")
    assert row(tito("status"), "01_double").split()[1:3] == ["green", "open"]
    assert tito("diff", "01").startswith(
        "four_times\n--- mine\n+++ reference\n def four_times(x):\n-    return 4 * x\n+    return twice(twice(x))")
    assert "twice\n--- mine" not in tito("diff", "01", "four_times")
    assert "ready" in row(tito("status"), "doubling")


def write_functions(tito):
    text = tito.notebook().read_text()
    for name, body in (("twice", "return x + x"), ("four_times", "return 4 * x")):
        stub = json.dumps(NOT_YET.format(name))[1:-1]
        assert stub in text
        text = text.replace(stub, body)
    tito.notebook().write_text(text)


def test_what_a_table_of_tests_makes_is_not_written_yet_either(tito, course):
    test = course / "tests" / "01_double" / "test_double.py"
    test.write_text("from tinytorch.double import twice\nTABLE = [twice(1)]\ndef test_it(): pass\n")
    tito("start", "01", "--open")
    said = tito("test", "01", status=1)
    assert "    double.py, twice " in said and "can be imported" not in said and "pytest could not" not in said


def test_from_guided_to_open_and_back_loses_nothing(tito):
    tito("start", "01")
    tito.solve()
    tito("check", "01")
    mine = tito.notebook().read_bytes(), tito.exported().read_bytes()
    said = tito("start", "01", "--open")
    assert "backed up modules/01_double.ipynb" in said and "waits for `tito start 01 --guided`" in said
    write_functions(tito)
    tito("check", "01")
    text = tito.notebook().read_text().replace("return 4 * x", "return 4 * x  # unfinished")
    tito.notebook().write_text(text)
    opened = tito.notebook().read_bytes(), tito.exported().read_bytes()
    tito("start", "01", "--guided")
    assert (tito.notebook().read_bytes(), tito.exported().read_bytes()) == mine
    assert row(tito("status"), "01_double").split()[1:3] == ["green", "guided"]
    assert "edited by hand" not in tito("doctor")
    tito("start", "01", "--open")
    assert (tito.notebook().read_bytes(), tito.exported().read_bytes()) == opened
    assert "is there already: go on with it" in tito("start", "01", "--open", status=2)
    assert "is there already: go on with it" in tito("start", "01", status=2)
    tito("reset", "01")
    assert tito.notebook().read_text().count("is not written yet") == 2, "a reset keeps the depth"


def test_undo_of_a_change_keeps_what_was_written_since(tito):
    tito("start", "01")
    tito.solve()
    tito("start", "01", "--open")
    write_functions(tito)
    opened = tito.notebook().read_bytes()
    assert "took back `tito start 01 --open`" in tito("undo")
    assert "return x + x" in tito.notebook().read_text()
    tito("start", "01", "--open")
    assert tito.notebook().read_bytes() == opened


def test_a_file_of_ones_own_goes_with_its_depth(tito):
    tito("start", "01")
    content = json.loads(tito.notebook().read_text())
    content["cells"].append({"cell_type": "code", "id": "own", "metadata": {}, "outputs": [], "execution_count": None,
                             "source": "#| export own\n\"\"\"Mine.\"\"\"\ndef mine(): return 1"})
    tito.notebook().write_text(json.dumps(content))
    tito("export", "01")
    assert tito.exported("own.py").exists()
    tito("start", "01", "--open")
    assert not tito.exported("own.py").exists()
    tito("start", "01", "--guided")
    assert tito.exported("own.py").exists()


def test_a_broken_notebook_is_set_aside_as_it_is(tito):
    tito("start", "01")
    tito.notebook().write_text("{ broken")
    tito("start", "01", "--open")
    tito("start", "01", "--guided")
    assert tito.notebook().read_text() == "{ broken"
