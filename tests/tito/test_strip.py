"""What a student starts with: no solutions, no hidden tests, no outputs; all else as it is in the course."""
import ast
import json
import re
from pathlib import Path

import pytest

from tito.project import TitoError
from tito.strip import (
    STILL_OPEN,
    STUB,
    exercises,
    exported_files,
    grading,
    named_twice,
    open_exercises,
    read_notebook,
    stripped,
    unheard_directive,
    without_regions,
)

MODULES = sorted((Path(__file__).parents[2] / "modules").glob("*.ipynb"))


def test_regions_are_replaced_at_their_indentation():
    source = "def f(x):\n    a = 1\n    ### BEGIN SOLUTION\n    a = 2\n\n    b = 3\n    ### END SOLUTION\n    return a"
    assert without_regions(source, "here") == f"def f(x):\n    a = 1\n    {STUB}\n    return a"


def test_several_regions_and_hidden_tests():
    source = "### BEGIN SOLUTION\n1\n### END SOLUTION\nx\n### BEGIN HIDDEN TESTS\nassert 0\n### END HIDDEN TESTS\ny\n"
    assert without_regions(source, "here") == f"{STUB}\nx\ny"


@pytest.mark.parametrize("source", [
    "### BEGIN SOLUTION\nx",
    "x\n### END SOLUTION",
    "### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION",
    "### END HIDDEN TESTS\n### BEGIN HIDDEN TESTS",
])
def test_markers_that_do_not_pair(source):
    with pytest.raises(TitoError, match="notebook.ipynb, cell 3: ### (BEGIN|END) .* without its partner"):
        without_regions(source, "notebook.ipynb, cell 3")


def test_everything_but_sources_and_outputs_stays(course):
    path = course / "modules" / "01_double.ipynb"
    before, after = read_notebook(path), stripped(path)
    assert [cell["id"] for cell in after["cells"]] == [cell["id"] for cell in before["cells"]]
    assert [cell["metadata"] for cell in after["cells"]] == [cell["metadata"] for cell in before["cells"]]
    assert after["metadata"] == before["metadata"]
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in after["cells"])
    assert after["cells"][:5] == before["cells"][:5]
    assert "".join(after["cells"][-1]["source"]) == "print(twice(2))\nassert twice(2) == 4"
    assert "BEGIN" not in json.dumps(after)


def test_open_exercises_are_those_with_the_stub(course):
    notebook = stripped(course / "modules" / "01_double.ipynb")
    assert open_exercises(notebook) == list(exercises(notebook)) == ["twice"]
    assert STILL_OPEN.format("twice") in "".join(source for source in exercises(notebook).values())
    assert open_exercises(read_notebook(course / "modules" / "01_double.ipynb")) == []


def test_a_message_in_an_error_is_not_an_open_exercise(course):
    notebook = stripped(course / "modules" / "01_double.ipynb")
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        cell["source"] = source.replace(STILL_OPEN.format("twice"), 'raise NotImplementedError("subclasses say it")')
    assert open_exercises(notebook) == []


def test_exported_files_and_where_there_is_something_to_write(course):
    assert exported_files(read_notebook(course / "modules" / "02_pair.ipynb")) == {"pair.py": True, "third.py": False}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_the_chapters_of_the_course(path):
    reference, notebook = read_notebook(path), stripped(path)
    text = json.dumps(notebook)
    assert not re.search("(BEGIN|END) (SOLUTION|HIDDEN TESTS)", text)
    assert '"output_type"' not in text
    assert exercises(notebook), "a chapter without an exercise"
    assert open_exercises(notebook) == list(exercises(reference))
    assert [cell["id"] for cell in notebook["cells"]] == [cell["id"] for cell in reference["cells"]]
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and not re.search(r"^[%!]", source, re.MULTILINE):
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.ClassDef | ast.Module):
                    assert not any(isinstance(child, ast.Raise) for child in node.body), (
                        "a solution at the top level of a cell or a class: its stub could not be imported")


CELL = {"cell_type": "code", "source": "x = 1", "metadata": {}, "outputs": [], "execution_count": None}


@pytest.mark.parametrize("content, words", [
    (b"", "expected JSON in UTF-8"), (b"\xff\xfe{}", "expected JSON in UTF-8"),
    (b"[" * 100_000, "expected JSON in UTF-8"),
    (b"[]", "expected JSON with a list of cells"), (b'{"cells": 3}', "expected JSON with a list of cells"),
    (b'{"nbformat": 3, "worksheets": [{"cells": []}]}', "its format is 3, expected 4.*nbconvert"),
    (b'{"cells": [{}]}', "cell 1 lacks source, type or metadata"),
    (json.dumps({"cells": [CELL, CELL | {"metadata": 3}]}).encode(), "cell 2 lacks"),
    (json.dumps({"cells": [CELL, CELL | {"metadata": {"nbgrader": 3}}]}).encode(), "cell 2 lacks"),
    (json.dumps({"cells": [CELL, CELL, CELL | {"source": "x = '\ud83d'"}]}).encode(),
     r"cell 3 holds half a character, '\\ud83d': delete it")])
def test_what_is_wrong_with_a_notebook_is_said(content, words, tmp_path):
    (tmp_path / "a.ipynb").write_bytes(content)
    with pytest.raises(TitoError, match=f"a.ipynb: .*{words}"):
        read_notebook(tmp_path / "a.ipynb")


def test_a_byte_order_mark_and_cells_without_metadata_are_put_right(tmp_path):
    bare = {name: value for name, value in CELL.items() if name != "metadata"}
    content = json.dumps({"cells": [bare, CELL | {"metadata": None}]}).encode()
    (tmp_path / "a.ipynb").write_bytes(b"\xef\xbb\xbf" + content)
    assert [cell["metadata"] for cell in read_notebook(tmp_path / "a.ipynb")["cells"]] == [{}, {}]


@pytest.mark.parametrize("source, line", [
    ("#| export\nx = 1", ""), ("\n  #|export nn.init\n", ""), ("#| hide\n\n# | export\nx", ""),
    ("# export the model\nx", ""), ("# a comment\n#| export\nx", "#| export"), ("import a\n#| exporti", "#| exporti"),
    ("x\n# | export nn", "# | export nn"),
    ("#export\nx", "#export"), ("# export\nx", "# export"), ("# a comment\n#export nn.init\nx", "#export nn.init"),
    ("#default_exp nn", "#default_exp nn"), ("x = 1\n# export\n", ""), ("", "")])
def test_lines_that_were_meant_to_export_a_cell(source, line):
    assert unheard_directive(source) == line


def test_both_halves_of_a_split_cell_are_the_exercise(course):
    notebook = stripped(course / "modules" / "01_double.ipynb")
    place, cell = next((i, c) for i, c in enumerate(notebook["cells"], 1) if grading(c).get("solution"))
    lines = "".join(cell["source"]).split("\n")
    notebook["cells"].insert(place, cell | {"source": lines[-1]})
    cell["source"] = "\n".join(lines[:-1])
    assert exercises(notebook) == {"twice": "\n".join(lines)} and open_exercises(notebook) == ["twice"]
    assert named_twice(notebook) == {"twice": [place, place + 1]}
