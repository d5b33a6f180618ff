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
    open_exercises,
    read_notebook,
    stripped,
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
