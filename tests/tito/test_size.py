"""The course stays small, and much of it is the student's: the limits are in tito/lines.py."""
import json
from pathlib import Path

import pytest
from small_course import code, write

from tito import lines

ROOT = Path(__file__).parents[2]


def test_the_limits_hold():
    course = lines.of_course(lines.counts(ROOT))
    assert course.lines <= lines.MOST_LINES
    assert course.guided / course.lines >= lines.LEAST_GUIDED
    assert lines.package_lines(ROOT) <= lines.MOST_IN_PACKAGE
    assert all(0 < count <= lines.ROOMS[room] for room, count in lines.room_lines(ROOT).items())
    assert lines.vocabulary_lines(ROOT) <= lines.MOST_IN_VOCABULARY


@pytest.fixture
def repository(tmp_path):
    cells = [
        code("a", "#| default_exp a"),
        code("b", '#| export\n"""A."""\n\nLIMIT = 3'),
        code("c", "#| export\ndef f(x):\n    'x'\n    ### BEGIN SOLUTION\n    y = x\n    return y\n"
                  "    ### END SOLUTION\n    # more\n\ndef _g(): pass\n", solution=True, grade_id="f"),
        code("d", "f(1)"),
    ]
    for name in ("01_a", "15_b"):
        content = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        write(tmp_path / "modules" / f"{name}.ipynb", json.dumps(content))
    write(tmp_path / "tinytorch" / "a.py", "x = 1\ny = 2\n")
    write(tmp_path / "tinytorch" / "fast" / "b.py", "x = 1\n")
    write(tmp_path / "tinytorch" / "nn" / "more_layers.py", "x = 1\n")
    write(tmp_path / "tinytorch" / "nn" / "lora.py", "x = 1\n" * 3)
    return tmp_path


def test_every_line_of_an_exported_cell_counts_but_markers(repository):
    found = lines.counts(repository)
    assert found == [lines.Count("01_a", 12, 2, 4), lines.Count("15_b", 12, 2, 4)]
    assert lines.of_course(found) == lines.Count("01 to 14", 12, 2, 4)
    assert lines.package_lines(repository) == 2


def test_the_table_says_numbers_shares_and_limits(repository):
    said = lines.report(repository).split("\n")
    assert said[1].split() == ["01_a", "12", "2", "16.7%", "4", "33.3%"]
    assert said[3].split()[:4] == ["01", "to", "14", "12"]
    assert "at most 4,000 lines, guided at least 30%" in said[4]
    assert said[5] == "tinytorch/ without fast, diagnosis, rooms and vocabulary: 2 lines, at most 5,500"
    assert said[6] == f"PyTorch's further vocabulary: 1 lines, at most {lines.MOST_IN_VOCABULARY:,}"
    assert f"nn/lora.py: 3 lines, at most {lines.ROOMS['nn/lora.py']}" in said[7:]
