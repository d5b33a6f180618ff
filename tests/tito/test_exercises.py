"""`tito dev exercises`: nothing is missing in the course, and the report notices where something is."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tito.commands import app
from tito.exercises import exercises, problems
from tito.project import notebooks

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = {path.stem: path for path in notebooks(ROOT)}
ONE = "<details>\n<summary>Hint {}</summary>\n\n{}\n\n</details>"
HINTS = "\n\n".join(["**Hints**", ONE.format(1, "Add."), ONE.format(2, "Two numbers.")])
STATEMENT = "**Exercise.** Write `total` of shape `()`.\n\n**Example.** For 1 and 2 it is 3."
SOLUTION = (
    "def total(first, second):\n    ### BEGIN SOLUTION\n    return first + second\n    ### END SOLUTION"
)
CHECK = "assert total(1, 2) == 3\n### BEGIN HIDDEN TESTS\nassert total(3, 4) == 7\n### END HIDDEN TESTS"


def notebook(folder, statement=STATEMENT, hints=HINTS, solution=SOLUTION, check=CHECK, points=2):
    """A chapter with one exercise; what is None is left out."""
    graded = {"grade_id": "check-total", "grade": True, "solution": False, "points": points}
    cells = [
        ("markdown", statement, {}),
        ("markdown", hints, {}),
        ("code", solution, {"nbgrader": {"grade_id": "total", "grade": False, "solution": True}}),
        ("code", check, {"nbgrader": graded}),
    ]
    (folder / "modules").mkdir(exist_ok=True)
    path = folder / "modules" / "01_sums.ipynb"
    content = [{"cell_type": kind, "source": source, "metadata": metadata}
               for kind, source, metadata in cells if source is not None]  # fmt: skip
    path.write_text(json.dumps({"cells": content}))
    return path


@pytest.mark.parametrize("chapter", NOTEBOOKS)
def test_the_exercises_of_the_course_lack_nothing(chapter):
    assert problems(NOTEBOOKS[chapter]) == []


def test_what_belongs_to_an_exercise(tmp_path):
    (found,) = exercises(notebook(tmp_path))
    (check,) = found.checks
    assert (found.name, found.lines, check.name, check.points) == ("total", [1], "check-total", 2)
    assert found.hints == ["Add.", "Two numbers."]
    assert check.hidden.strip() == "assert total(3, 4) == 7"
    assert check.visible.strip() == "assert total(1, 2) == 3"
    assert problems(notebook(tmp_path)) == []


LONG = SOLUTION.replace("    return", "    first += 1\n" * 15 + "    return")
MISSING = {
    "no statement": {"statement": "Some words."},
    "no worked example": {"statement": "**Exercise.** Write `total`."},
    "0 hints": {"hints": None},
    "1 hints": {"hints": HINTS.partition("</details>")[0] + "</details>"},
    "no check": {"check": None},
    "check-total checks nothing that a student sees": {"check": CHECK.partition("\n")[2]},
    "check-total has no `### BEGIN HIDDEN TESTS`": {"check": "assert total(1, 2) == 3"},
    "check-total has no points": {"points": 0},
    "a solution of 16 lines, expected at most 15": {"solution": LONG},
    "no `### BEGIN SOLUTION`": {"solution": "def total(first, second): pass"},
    "the statement gives the answer away: return first + second": {
        "statement": STATEMENT + " `first+second`"
    },
    "hint 2 gives the answer away: return first + second": {
        "hints": HINTS.replace("Two numbers", "`first + second`")
    },
    "the stub gives the answer away: return first + second": {
        "solution": SOLUTION.replace("\n", '\n    "first + second"\n', 1)
    },
}


@pytest.mark.parametrize("words", MISSING)
def test_what_is_missing_is_named(tmp_path, words):
    found = problems(notebook(tmp_path, **MISSING[words]))
    assert len(found) == 1, found
    assert found[0].startswith("01_sums, total: ") and words in found[0]


def test_a_chapter_without_exercises(tmp_path):
    (found,) = problems(notebook(tmp_path, solution=None))
    assert found.startswith("01_sums: no exercise")


def run(root, *arguments):
    return CliRunner().invoke(
        app, ["dev", "exercises", *arguments, "--root", str(root)], catch_exceptions=False
    )


def test_the_command(tmp_path):
    notebook(tmp_path)
    good = run(tmp_path)
    assert good.exit_code == 0 and "1 exercises in 1 chapters, 2 points" in good.stdout
    assert good.stdout.splitlines()[1].split() == ["01_sums", "total", "1", "2", "1", "2", "check-total"]
    notebook(tmp_path, hints=None)
    bad = run(tmp_path)
    assert bad.exit_code == 1 and "01_sums, total: 0 hints" in bad.stderr
    assert run(tmp_path, "07").exit_code == 2
