"""The student's loop over a small course: start, export, test, status, help, milestones, and what is never lost."""
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from small_course import write

from tito.install import how_to_install
from tito.strip import STILL_OPEN, grading
from tito.suite import Outcome, summary

SOLVED = "    return x + x\n"


def row(text, name):
    "The line of a table about `name`."
    return next(line for line in text.split("\n") if line.startswith(name))


# ---- the loop


def test_from_a_new_workspace_to_a_green_chapter(tito):
    status = tito("status")
    assert row(status, "01_double").split() == ["01_double", "not", "started", "0.5"], "half an hour to expect"
    assert "hours: to expect" in status
    said = tito("start", "1")
    assert "wrote modules/01_double.ipynb\nwrote exported/tinytorch/double.py\n" in said
    assert "raise NotImplementedError" in tito.exported().read_text()

    said = tito("test", "01", status=1)
    assert "yours: double.py (1 open exercise); the reference: all the rest" in said
    assert "4 checks: 0 passed, 4 failed" in said
    assert "not written yet (`raise NotImplementedError`), and the checks that stopped there:" in said
    assert row(said, "    twice").split(maxsplit=1)[1] == "01_double.ipynb, cell 7, line 4    4 checks"
    status = tito("status")
    assert "in progress" in row(status, "01_double") and "1 of 1 exercises open; 4 of 4 checks failed" in status
    assert "locked" in row(status, "doubling")

    tito.solve()
    assert "changed since the last export" in row(tito("status"), "01_double")
    assert "exported modules/01_double.ipynb: double.py" in tito("export", "01")
    assert "changed since the last test" in row(tito("status"), "01_double")
    assert "4 checks: 4 passed, 0 failed\n\n01_double is green" in tito("test", "01")
    status = tito("status")
    assert "green" in row(status, "01_double") and "4 checks passed, 20" in status
    assert "ready" in row(status, "doubling")


def test_check_exports_and_tests_all_that_was_begun(tito):
    tito("start", "01")
    tito("start", "02_pair")
    tito.solve()
    said = tito("check", status=1)
    assert "01_double is green" in said and "02_pair is not green yet" in said
    assert "third.py" in said
    tito.solve("02_pair", "swap", "    return pair[::-1]\n")
    assert tito("check", "2").count("is green") == 1


def test_any_chapter_can_be_the_first(tito):
    tito("start", "02")
    assert tito.exported("pair.py").exists() and not tito.exported().exists()


def test_a_stub_counts_for_the_tests_of_its_own_chapter_only(tito, course):
    from tito.course import chapter, chapters
    from tito.workspace import Workspace

    pair = course / "modules" / "02_pair.ipynb"
    pair.write_text(pair.read_text().replace("from tinytorch.double import twice", "import math"))
    chapters.cache_clear()
    tito("start", "02")
    tito.solve("02_pair", "swap", "    return pair[::-1]\n")
    tito("check", "02")
    tito("start", "01")
    assert row(tito("status"), "02_pair").split()[1] == "green"
    head = "yours: pair.py, third.py; the reference: all the rest, and double.py as long as exercises there are open"
    assert head in tito("test", "02")
    assert "yours: double.py (1 open exercise), pair.py, third.py; the" in tito("test", "01", status=1)
    written = Workspace(tito.folder).written
    assert (written(chapter("01")), written(chapter("02"))) == (False, True)
    tito.solve(body="    return 3 * x\n")
    tito("export", "01")
    assert written(chapter("01")) and row(tito("status"), "02_pair").split()[1] == "in"
    assert "yours: double.py, pair.py, third.py; the" in tito("test", "02")


def test_a_wrong_solution_is_told_with_got_expected_and_where(tito):
    tito("start", "01")
    tito.solve(body="    return x * x\n")
    said = tito("check", "01", status=1)
    assert "4 checks: 1 passed, 3 failed" not in said  # 0 and 2 are their own doubles: it is right by luck
    assert "4 checks: 2 passed, 2 failed" in said
    assert "twice is the sum with itself [-3]   tests/01_double/test_double.py:7" in said
    where = "look at   notebook 01_double.ipynb, cell 7, line 2 (exercise twice)"
    assert f"checked   assert twice(x) == x + x\n    got       9\n    expected  -6\n    {where}" in said
    assert "look at   notebook 01_double.ipynb, cell 7, line 6 (exercise twice)" in said  # four_times
    assert row(tito("status"), "01_double").split()[1:3] == ["in", "progress"]


OPERATION = """\
#| export
class Half:
    "x / 2"
    def forward(self, x):
        return x / 2
    def backward(self, grad):
        return {}
"""


def with_an_operation(course, gradient, *tests):
    "Give the small course an exercise with two methods, and these tests."
    path = course / "modules" / "01_double.ipynb"
    content = json.loads(path.read_text())
    like = next(cell for cell in content["cells"] if cell["id"] == "twice")
    meta = like["metadata"] | {"nbgrader": like["metadata"]["nbgrader"] | {"grade_id": "half"}}
    content["cells"].append(like | {"id": "half", "metadata": meta, "source": OPERATION.format(gradient)})
    path.write_text(json.dumps(content))
    (course / "tests" / "01_double" / "test_double.py").write_text(
        "from tinytorch.double import Half, twice\n\n" + "\n\n".join(tests) + "\n")


def test_of_a_class_the_method_is_named(tito, course):
    with_an_operation(course, "grad", "def check(kind): return False",
                      "def test_it(): assert check(Half), 'gradient of x'")
    tito("start", "01")
    assert "cell 9, line 6 (exercise half)" in tito("check", "01", status=1)
    assert "cell 9, line 4" not in tito("test", "01", status=1)


PARTS = ["""\
#| export
class Reflected:
    def __init__(self):
        self.grad = 1
    ### BEGIN SOLUTION
    def __rsub__(self, x):
        return x + 2
    def backward(self):
        return twice(self.grad)
    ### END SOLUTION
""", """\
#| export
class Number(Reflected):
    "its parts, put together"
"""]


@pytest.mark.parametrize("check, places", [
    ("1 - number == -1", ["cell 9, line 5 (exercise half)"]),  # the method that Python calls
    ("number.grad == 5, 'another gradient'", ["cell 9, line 7 (exercise half)", "cell 7, line 2 (exercise twice)"]),
], ids=["an operator", "a gradient"])
def test_of_a_class_made_of_parts_the_part_is_named(tito, course, check, places):
    with_an_operation(course, "grad", f"def test_it():\n    number = Number()\n    assert {check}")
    path = course / "modules" / "01_double.ipynb"
    content = json.loads(path.read_text())
    content["cells"][-1]["source"] = PARTS[0]
    content["cells"].append({"cell_type": "code", "id": "whole", "metadata": {}, "source": PARTS[1],
                             "execution_count": None, "outputs": []})  # fmt: skip
    path.write_text(json.dumps(content))
    suite = course / "tests" / "01_double" / "test_double.py"
    suite.write_text(suite.read_text().replace("import Half, twice", "import Number"))
    tito("start", "01")
    tito.notebook().write_text(json.dumps(json.loads(tito.notebook().read_text()) | {"cells": [
        cell | {"source": PARTS[0].replace("    ### BEGIN SOLUTION\n", "").replace("    ### END SOLUTION\n", "")}
        if cell["id"] == "half" else cell for cell in json.loads(tito.notebook().read_text())["cells"]]}))
    tito.solve()
    assert re.findall("01_double.ipynb, (cell .*)", tito("check", "01", status=1)) == places


def test_the_exercise_under_test_comes_before_the_helper_that_failed(tito, course):
    with_an_operation(course, "twice(grad)[0]", "def test_it(): assert Half().backward(2.0) == 1")
    tito("start", "01")
    tito.solve(body="    return x.nothing\n")
    rows = [line for line in tito("check", "01", status=1).split("\n") if "notebook 01_double.ipynb" in line]
    assert "exercise half" in rows[0] and "look at" in rows[0] and "exercise twice" in rows[1] and "where" in rows[1]


def test_what_is_right_so_far_is_said(tito, course):
    with_an_operation(course, "grad / 2", "def test_it(): assert Half().backward(2.0) == 1",
                      "def test_twice(): assert twice(1) == 2")
    tito("start", "01")
    assert "right so far: half\n" in tito("check", "01", status=1)
    tito.solve(body="    return x\n")
    assert "right so far: half\n" in tito("check", "01", status=1)
    tito("reset", "01")
    tito.solve()
    assert "right so far" not in tito("check", "01")


def test_broken_json_is_shown_with_its_line_and_a_way_out(tito):
    tito("start", "01")
    path = tito.notebook()
    lines = path.read_text().split("\n")
    row = next(row for row, line in enumerate(lines) if "def twice" in line)
    path.write_text("\n".join([*lines[:row], "<<<<<<< mine", *lines[row:]]))
    said = tito("check", "01", status=2)
    assert f"line {row + 1}, column" in said and "<<<<<<< mine" in said and ".ipynb_checkpoints" in said
    assert "\\n" not in row_of_status(tito) and f"line {row + 1}" in row_of_status(tito)
    assert "is as at its start" in tito("reset", "01")


def row_of_status(tito):
    return next(line for line in tito("status").split("\n") if line.startswith("01_double"))


def test_an_error_that_a_test_explains_is_where_it_came_from(tito, course):
    test = course / "tests" / "01_double" / "test_double.py"
    test.write_text("""\
def test_twice():
    from tinytorch.double import twice
    try:
        twice(1)
    except TypeError as error:
        raise AssertionError("this is probably why") from error
""")
    tito("start", "01")
    tito.solve(body="    return x + 'x'\n")
    said = tito("check", "01", status=1)
    assert "message   this is probably why\n    where     notebook 01_double.ipynb, cell 7, line 4" in said


def test_an_error_inside_the_solution_names_its_line(tito):
    tito("start", "01")
    tito.solve(body="    return x + undefined\n")
    said = tito("check", "01", status=1)
    assert "NameError: name 'undefined' is not defined" in said
    assert "cell 7, line 4 (exercise twice)" in said and "return x + undefined" in said


def test_only_some_checks_are_run_and_nothing_is_recorded(tito):
    tito("start", "01")
    tito.solve(body="    return x * x\n")
    assert "1 check: 1 passed" in tito("check", "01", "--only", "itself and 2")
    assert "not tested" in row(tito("status"), "01_double")
    assert "no check was chosen" in tito("test", "01", "-k", "nothing_like_it", status=1)


def test_an_endless_loop_is_stopped_and_named(tito):
    tito("start", "01")
    tito.solve(body="    while x == 0:\n        pass\n    return x + x\n")
    said = tito("check", "01", "--timeout", "3", status=1)
    assert "stopped after 3 s: a loop that does not end?" in said and "4 checks: 3 passed, 1 failed" in said
    assert "01_double.ipynb, cell 7, line 5" in said or "01_double.ipynb, cell 7, line 4" in said
    assert "01_double" in row(tito("status"), "01_double")


def test_a_suite_of_endless_loops_comes_to_its_end(tito):
    tito("start", "01")
    tito.solve(body="    while True:\n        try:\n            pass\n        except ValueError:\n            pass\n")
    said = tito("check", "01", "--timeout", "1", status=1)
    assert "4 checks: 0 passed, 4 failed" in said and "stopped after 1 s" in said and "stopped after 60" not in said


def test_memory_has_an_end_too(tito, monkeypatch):
    monkeypatch.setattr("tito.suite.MOST_BYTES", 1 << 30)
    tito("start", "01")
    tito.solve(body="    kept = bytearray(1 << 31)\n    return x + x\n")
    said = tito("check", "01", status=1)
    assert "MemoryError" in said and "kept = bytearray(1 << 31)" in said and "4 checks: 0 passed, 4 failed" in said


def test_a_process_that_dies_is_not_green(tito):
    tito("start", "01")
    tito.solve(body="    import os; os._exit(42)\n")
    assert "the process of the tests died (status 42) in tests/01_double" in tito("check", "01", status=1)
    tito.notebook().write_text(tito.notebook().read_text().replace("_exit(42)", "_exit(0)"))
    said = tito("check", "01", status=1)
    assert "01_double is not green yet" in said


def test_a_broken_import_is_status_1_and_names_the_cell(tito, course):
    write(course / "tests" / "conftest.py", "import tinytorch.double\n")
    tito("start", "01")
    tito.solve(body="    return x + x\n\nLOST = unknown\n")
    said = tito("check", "01", status=1)
    assert "NameError: name 'unknown' is not defined" in said and "cell 7" in said


def test_what_was_lost_from_the_notebook_is_remarked(tito):
    tito("start", "02")
    text = tito.notebook("02_pair").read_text()
    assert "assert swap" in text
    tito.notebook("02_pair").write_text(text.replace("assert swap((1, 2)) == (2, 1)", "assert True"))
    assert "note: the check check-swap was changed: the suite decides anyway" in tito("export", "02")


def test_green_is_lost_with_the_bytes_that_earned_it(tito):
    tito("start", "01")
    tito("start", "02")
    tito.solve()
    tito.solve("02_pair", "swap", "    return pair[::-1]\n")
    tito("check")

    def states():
        return [row(tito("status"), name).split()[1] for name in ("01_double", "02_pair")]

    assert states() == ["green", "green"]
    good = tito.exported().read_bytes()
    tito.exported().write_bytes(good + b"# by hand\n")
    assert states() == ["in", "in"]  # the second chapter builds on the first
    tito.exported().write_bytes(good)
    assert states() == ["green", "green"]
    tito.exported("pair.py").write_text("# by hand\n")
    assert states() == ["green", "in"]
    assert "backed up exported/tinytorch/pair.py" in tito("export", "02")
    assert states() == ["green", "green"]


def test_what_was_exported_is_tested_while_the_notebook_is_broken(tito):
    tito("start", "01")
    tito.solve()
    tito("export", "01")
    text = tito.notebook().read_text()
    tito.notebook().write_text(text.replace("return x + x", "return = x"))
    said = tito("test", "01")
    assert "note: what was exported last is tested" in said and "cell 7 (exercise twice)" in said
    assert "in progress" in row(tito("status"), "01_double")


# ---- nothing is lost


def test_reset_backs_up_and_undo_takes_it_back(tito):
    tito("start", "01")
    tito.solve()
    tito("export", "01")
    mine = tito.notebook().read_bytes(), tito.exported().read_bytes()
    said = tito("reset", "01")
    assert "backed up modules/01_double.ipynb, exported/tinytorch/double.py to .tito/backups/" in said
    folder = tito.folder / said.split(" to ")[1].split("\n")[0]
    assert (folder / "files" / "modules" / "01_double.ipynb").read_bytes() == mine[0]
    assert "raise NotImplementedError" in tito.notebook().read_text()
    assert "took back `tito reset 01`" in tito("undo")
    assert (tito.notebook().read_bytes(), tito.exported().read_bytes()) == mine
    assert "nothing is in the way" in tito("doctor"), "what undo brings back was not edited by hand"
    assert "nothing to undo" in tito("undo", status=2)


def test_undo_goes_back_step_by_step(tito):
    tito("start", "01")
    versions = []
    for number in range(3):
        tito.notebook().write_text(tito.notebook().read_text().replace("# 01 Double", f"# {number} 01 Double"))
        versions.append(tito.notebook().read_text())
        tito("reset", "01")
    for text in reversed(versions):
        tito("undo")
        assert tito.notebook().read_text() == text


def test_what_an_undo_replaces_is_kept(tito):
    tito("start", "01")
    tito.solve()
    tito("reset", "01")
    tito.solve(body="    return 2 * x  # newer\n")
    said = tito("undo")
    backup = tito.folder / said.split(" to ")[1].split("\n")[0]
    assert "# newer" in (backup / "files" / "modules" / "01_double.ipynb").read_text()


def test_export_over_a_file_edited_by_hand(tito):
    tito("start", "01")
    tito.exported().write_text("# precious\n")
    assert "backed up exported/tinytorch/double.py" in tito("export", "01")
    tito("undo")
    assert tito.exported().read_text() == "# precious\n"


def test_start_again_touches_nothing(tito):
    tito("start", "01")
    assert "is begun already, and untouched" in tito("start", "01")
    tito.solve()
    before = tito.files()
    assert "is there already: go on with it, or `tito reset 01`" in tito("start", "01", status=2)
    assert tito.files() == before


def test_start_puts_back_a_stub_that_is_missing(tito):
    tito("start", "01")
    tito.exported().unlink()
    tito("start", "01")
    assert tito.exported().exists()


# ---- the course's own files


def test_an_edited_suite_proves_nothing(tito):
    tito("start", "01")
    tito.solve()
    path = tito.folder / "tests" / "01_double" / "test_double.py"
    original = path.read_text()
    path.write_text("def test_nothing(): pass\n")
    before = tito.files()
    said = tito("test", "01", status=2)
    assert "tests/01_double/test_double.py differs from the course's: an edited suite proves nothing" in said
    assert tito.files() == before
    assert "backed up tests/01_double/test_double.py" in tito("reset", "tests")
    assert path.read_text() == original
    tito("check", "01")


@pytest.mark.parametrize("place", ["", "tests/01_double/", "tests/"])
def test_a_conftest_that_makes_every_check_pass_is_refused(tito, course, place):
    (course / "tests" / "conftest.py").unlink()
    (tito.folder / "tests" / "conftest.py").unlink()
    tito("start", "01")
    cheat = tito.folder / place / "conftest.py"
    cheat.write_text("import pytest\n@pytest.hookimpl(tryfirst=True)\ndef pytest_pyfunc_call(): return True\n")
    assert f"{place}conftest.py is not the course's" in tito("test", "01", status=2)
    assert f"{place}conftest.py is not the course's" in tito("doctor", status=1)
    cheat.unlink()
    tito("test", "01", status=1)


def test_files_of_ones_own_are_no_part_of_a_suite(tito):
    tito("start", "01")
    tito.solve()
    write(tito.folder / "tests" / "01_double" / "test_mine.py", "def test_mine(): assert False\n")
    for name in ("random", "json", "numpy"):
        write(tito.folder / f"{name}.py", "raise RuntimeError('not this one')\n")
    assert "4 checks: 4 passed" in tito("check", "01")


def test_copies_follow_the_course_but_not_over_an_edit(tito, course):
    test = course / "tests" / "01_double" / "test_double.py"
    test.write_text(test.read_text() + "\n\ndef test_more():\n    pass\n")
    tito("start", "01")
    assert "test_more" in (tito.folder / "tests" / "01_double" / "test_double.py").read_text()
    milestone = tito.folder / "milestones" / "01_1900" / "doubling.py"
    milestone.write_text("# my own knobs\n")
    (course / "milestones" / "01_1900" / "doubling.py").write_text("# a newer one\n")
    tito("start", "02")
    assert milestone.read_text() == "# my own knobs\n"


def test_a_suite_with_more_checks_must_be_run_again(tito, course):
    from tito.course import chapters

    tito("start", "01")
    tito.solve()
    tito("check", "01")
    test = course / "tests" / "01_double" / "test_double.py"
    test.write_text(test.read_text() + "\n\ndef test_more():\n    assert False\n")
    chapters.cache_clear()
    tito("start", "02")  # brings the copies up to date
    assert "changed since the last test" in row(tito("status"), "01_double")


# ---- help


def test_hints_come_one_by_one(tito):
    tito("start", "01")
    assert "hint 1 of 2\n\nHow often do you see $x$?" in tito("hint", "01")
    said = tito("hint", "01")
    assert "hint 2 of 2\n\nAdd it to itself." in said and "tito diff 01 twice --anyway" in said
    assert "hint 2 of 2" in tito("hint", "01", "twice")
    assert "no hint for swap" in tito("hint", "02", "swap", status=2)
    assert "no exercise 'swop': expected one of swap" in tito("hint", "02", "swop", status=2)


def test_diff_waits_until_the_chapter_is_green(tito):
    tito("start", "01")
    assert "--anyway" in tito("diff", "01", status=2)
    stub = '-    raise NotImplementedError("exercise twice is still open: replace this line")'
    assert f"{stub}\n+    return x + x" in tito("diff", "01", "--anyway")
    tito.solve(body="    return 2 * x\n")
    tito("check", "01")
    assert "--- mine\n+++ reference" in tito("diff", "01")
    assert "-    return 2 * x\n+    return x + x" in tito("diff", "01", "twice")
    tito("reset", "01")
    tito.solve()
    tito("check", "01")
    assert tito("diff", "01") == "the same as the reference\n"


def test_lines_stand_beside_each_other():
    from tito.diff import beside

    mine, reference = ["def f(x):", "    y = x", "    # mine", "    return y"], ["def f(x):", "    return x", "# end"]
    assert beside(mine, mine) == [(line, " ", line) for line in mine]
    assert beside(mine, reference) == [
        ("def f(x):", " ", "def f(x):"), ("    y = x", "|", "    return x"), ("    # mine", "|", "# end"),
        ("    return y", "<", "")]
    assert beside([], ["a"]) == [("", ">", "a")]


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo terminal")
@pytest.mark.parametrize("columns, beside", [(140, True), (90, False)])
def test_a_wide_terminal_shows_both_side_by_side(columns, beside):
    code = "from tito.diff import show; show('twice', ['    return 2 * x'], ['    return x + x'])"
    text = in_terminal("-c", code, columns=columns)
    lines = [line.rstrip() for line in text.split("\r\n")]
    if beside:
        assert any(line.split() == ["return", "2", "*", "x", "|", "return", "x", "+", "x"] for line in lines), text
        assert max(map(len, lines)) <= columns
    else:
        assert "-    return 2 * x" in lines and "+    return x + x" in lines


def in_terminal(*arguments, columns, **options):
    "What Python prints into a terminal of so many columns, without colours."
    import pty

    master, slave = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": str(columns)}
    process = subprocess.Popen([sys.executable, *arguments], stdout=slave, env=environment, **options)
    os.close(slave)
    out = b""
    try:
        while chunk := os.read(master, 4096):
            out += chunk
    except OSError:  # the other end is closed
        pass
    os.close(master)
    assert process.wait() == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", out.decode())


def test_a_function_that_was_renamed_is_named(tito, monkeypatch):
    monkeypatch.setattr("tito.student.public_names", lambda path: {"twice", "four_times"})  # of the reference
    tito("start", "01")
    tito.solve()
    tito.notebook().write_text(tito.notebook().read_text().replace("four_times(x)", "fourtimes(x)"))
    said = tito("check", "01", status=1)
    renamed = "double.py has no four_times, but fourtimes, which the course does not know: call it four_times again"
    assert f"note: {renamed}\n" in said and renamed in said.split("checks: ")[1]
    assert "#| export" not in said


# ---- milestones


@pytest.fixture
def ready(tito):
    tito("start", "01")
    tito.solve()
    tito("check", "01")
    return tito


def test_a_milestone_passes_with_the_number_reached(ready):
    assert "ready" in row(ready("milestone", "list"), "doubling")
    said = ready("milestone", "run", "doubling")
    assert "1900, doubling: learn to count\nyours: double.py; the reference: all the rest" in said
    assert "doubling: passed: 100 % of sums right, sum 42, with your 01" in said
    assert "passed" in row(ready("status"), "doubling") and "sum 42, with your 01" in ready("status")


def test_a_chapter_before_the_last_may_open_a_milestone(ready, course):
    script = course / "milestones" / "01_1900" / "doubling.py"
    text = script.read_text().replace('NEEDS = ("01",)', 'NEEDS = ("01", "02")')
    script.write_text(text)
    assert "02_pair opens it" in row(ready("status"), "doubling")
    assert "locked: 02_pair is not started" in ready("milestone", "run", "doubling", status=2)
    script.write_text(text.replace("NEEDS", 'OPENED_BY = "01"\nNEEDS'))
    assert "ready" in row(ready("status"), "doubling")
    assert "passed: 100 % of sums right, sum 42, with your 01" in ready("milestone", "run", "doubling")


def test_a_milestone_that_fails_is_not_recorded(ready):
    assert "not passed (exit status 1)" in ready("milestone", "run", "doubling", "--fail", status=1)
    assert "ready" in row(ready("status"), "doubling")


def test_only_a_verdict_is_recorded(ready):
    assert "nothing was judged in runs/" in ready("milestone", "run", "doubling", "--sample")
    ready("milestone", "run", "doubling", "--fail", status=1)
    assert "nothing was judged in runs/" in ready("milestone", "run", "doubling", "--sample")
    assert "although it was broken (sum); not recorded" in ready("milestone", "run", "doubling", "--broken", "sum")
    assert "ready" in row(ready("status"), "doubling")


def test_a_weaker_pass_does_not_replace_a_stronger_one(ready):
    assert "doubling: passed (--quick): 100 %" in ready("milestone", "run", "doubling", "--quick")
    assert "with your 01, run with --quick" in ready("status")
    assert "keeps" not in ready("milestone", "run", "doubling", "--fast")
    assert "--quick" not in ready("status")
    assert "with your 01, with fast operations in place of yours" in ready("status")
    assert "keeps" not in ready("milestone", "run", "doubling")
    for option in ("--quick", "--fast"):
        assert "the record keeps the stronger pass of" in ready("milestone", "run", "doubling", option)
        assert option not in row(ready("status"), "doubling") and "in place of yours" not in ready("status")


def test_what_was_resumed_says_that_it_is_quick(ready, course):
    script = course / "milestones" / "01_1900" / "doubling.py"
    script.write_text(script.read_text().replace('if "--quick" in sys.argv', 'if "--resume" in sys.argv'))
    ready("milestone", "run", "doubling", "--resume", "runs/doubling-001")
    assert "run with --resume runs/doubling-001, only --quick" in ready("status")


def test_a_milestone_says_what_it_needs(tito, course):
    script = course / "milestones" / "01_1900" / "doubling.py"
    script.write_text(script.read_text().replace('NEEDS = ("01",)', ""))
    assert "doubling.py does not say which chapters it needs" in tito("milestone", "list", status=2)


def test_options_are_recorded_with_the_pass(ready):
    ready("milestone", "run", "doubling", "--easy", "2")
    assert "with your 01, run with --easy 2" in ready("status")


def test_operations_of_the_student_are_replaced_only_where_that_is_asked_for(ready, monkeypatch):
    monkeypatch.setenv("TINYTORCH_FAST_STUDENT", "1")
    real, seen = subprocess.run, []

    def run(command, **options):
        seen.append(options["env"].get("TINYTORCH_FAST_STUDENT"))
        return real(command, **options)

    monkeypatch.setattr("tito.progress.subprocess.run", run)
    config = ready.folder / "runs" / "doubling-001" / "config.json"
    assert "--fast" not in ready("milestone", "run", "doubling") and set(seen) == {None}
    assert json.loads(config.read_text())["fast"] is False and "in place of yours" not in ready("status")
    assert "own operations" in (ready.folder / ready("report", "doubling-001").strip()).read_text()
    said = ready("milestone", "run", "doubling", "--fast", "--easy")
    assert "rest\n--fast: faster operations take the place of yours where there are any\n\n" in said
    assert json.loads(config.read_text())["fast"] is True
    assert "the record keeps the stronger pass" in said and "in place of yours" not in ready("status")
    assert "fast operations in place of the student" in (
        ready.folder / ready("report", "doubling-001").strip()).read_text()
    assert seen[-1] == "1"


def test_a_locked_milestone_wants_anyway_and_nothing_of_ones_own_is_no_pass(tito):
    assert "doubling is locked: 01_double is not started; --anyway" in tito("milestone", "run", "doubling", status=2)
    fake = tito.folder / "exported" / "tinytorch" / "double.py"
    write(fake, "def twice(x): return x + x\n")
    tito("milestone", "run", "doubling", "--anyway")
    assert "locked" not in row(tito("status"), "doubling")
    (tito.folder / ".tito" / "state.json").unlink()
    fake.rename(fake.with_name("elsewhere.py"))
    write(tito.folder / "tinytorch_path.py", "")
    assert tito("milestone", "run", "doubling", "--anyway", status=1)


def test_an_edited_milestone_runs_but_is_not_recorded(ready):
    script = ready.folder / "milestones" / "01_1900" / "doubling.py"
    script.write_text(script.read_text().replace("twice(21) == 42 and", ""))
    said = ready("milestone", "run", "doubling")
    assert "not recorded, for milestones/01_1900/doubling.py is not the course's" in said
    assert "passed" not in row(ready("status"), "doubling")


# ---- bad input: a clear line, status 2, nothing touched


def not_json(tito):
    tito.notebook().write_text("{ not json")


def not_a_notebook(tito):
    tito.notebook().write_text("[]")


def missing_marker(tito):
    text = tito.notebook().read_text()
    stub = json.dumps(STILL_OPEN.format("twice"))[1:-1]
    assert stub in text
    tito.notebook().write_text(text.replace(stub, "### BEGIN SOLUTION"))


def syntax_error(tito):
    tito.solve(body="    return = x\n")


def lost_export(tito):
    tito.notebook().write_text(tito.notebook().read_text().replace("#| default_exp double", "#| default_exp single"))


def taken_name(tito):
    text = tito.notebook().read_text()
    tito.notebook().write_text(text.replace('"source": "**Exercise.** Return twice `x`."',
                                            '"source": "#| export nn\\nx = 1", "outputs": [], "execution_count": null')
                               .replace('"cell_type": "markdown",\n   "id": "say"', '"cell_type": "code", "id": "say"'))


def changed_exercise(tito, change):
    content = json.loads(tito.notebook().read_text())
    place, cell = next((i, c) for i, c in enumerate(content["cells"], 1) if grading(c).get("solution"))
    change(cell, content["cells"], place)
    tito.notebook().write_text(json.dumps(content))
    return place


def comment_on_top(tito):
    changed_exercise(tito, lambda cell, *_: cell.update(source=["# mine\n", *cell["source"]]))


def old_directive(tito):
    def change(cell, *_):
        cell["source"] = "".join(cell["source"]).replace("#| export", "#export", 1)
    changed_exercise(tito, change)


def half_a_character(tito):
    changed_exercise(tito, lambda cell, *_: cell.update(source=[*cell["source"], "\n# \ud83d"]))


def old_format(tito):
    cells = json.loads(tito.notebook().read_text())["cells"]
    tito.notebook().write_text(json.dumps({"nbformat": 3, "metadata": {}, "worksheets": [{"cells": cells}]}))


def test_an_exercise_that_stands_there_twice_is_told_and_exported(tito):
    tito("start", "01")
    tito.solve()
    place = changed_exercise(tito, lambda cell, cells, place: cells.insert(place, dict(cell, id="copy")))
    said = tito("export", "01")
    assert f"cells {place} and {place + 1} are all named twice" in said


def test_a_notebook_with_a_byte_order_mark_and_bare_cells(tito):
    tito("start", "01")
    tito.solve()
    content = json.loads(tito.notebook().read_text())
    for cell in content["cells"]:
        if not cell["metadata"]:
            del cell["metadata"]
    tito.notebook().write_bytes(b"\xef\xbb\xbf" + json.dumps(content).encode())
    tito("check", "01")


@pytest.mark.parametrize("spoil, words", [
    (comment_on_top, "cell 7 (exercise twice) is not exported: `#| export` has to be its first line"),
    (old_directive, "cell 7 (exercise twice) is not exported: `#export` has to be its first line"),
    (half_a_character, "cell 7 holds half a character"),
    (old_format, "its format is 3, expected 4"),
    (not_json, "not a notebook"),
    (not_a_notebook, "not a notebook"),
    (missing_marker, "solution markers do not pair"),
    (syntax_error, "cell 7 (exercise twice), which is exported, is not Python"),
    (lost_export, "no cell exports double.py any more"),
    (taken_name, "exports nn.py, which tinytorch has already"),
])
def test_a_broken_notebook_exports_nothing(tito, spoil, words):
    tito("start", "01")
    tito("start", "02")
    spoil(tito)
    before = tito.files()
    said = tito("export", "01", status=2)
    assert words in said and said.startswith("tito: ") and "Traceback" not in said
    assert words in tito("check", "01", status=2)
    assert tito.files() == before
    assert "in progress" in row(tito("status"), "01_double")


def test_one_broken_notebook_keeps_all_from_being_exported(tito):
    tito("start", "01")
    tito("start", "02")
    tito.solve()
    tito.notebook("02_pair").write_text("{ not json")
    before = tito.files()
    assert "02_pair.ipynb: not a notebook" in tito("export", status=2) and tito.files() == before
    assert "02_pair.ipynb: not a notebook" in tito("check", status=2) and tito.files() == before


@pytest.mark.parametrize("command", [
    "start 99", "export 99", "test 99", "check nonsense", "hint 99", "diff 99", "reset 99", "lab 99", "start ''",
    "export 01", "test 01", "check 01", "diff 01", "lab 01", "undo", "milestone run nothing", "test", "hint 01 nothing",
    "reset", "milestone run", "start 01 02", "unheard-of",
])
def test_bad_words_change_nothing(tito, command):
    before = tito.files()
    said = tito(*[word.strip("'") for word in command.split()], status=2)
    assert said.strip() and "Traceback" not in said
    assert tito.files() == before


@pytest.mark.parametrize("command", ["start 01", "export", "test", "check", "status", "hint 01", "diff 01", "reset 01",
                                     "undo", "lab", "milestone list", "milestone run doubling"])
def test_outside_of_a_workspace(tito, tmp_path, monkeypatch, command):
    outside = tmp_path / "outside"
    outside.mkdir()
    monkeypatch.chdir(outside)
    assert "is in no workspace: make one with `tito new DIR`" in tito(*command.split(), status=2)
    monkeypatch.setenv("TINYTORCH_WORKSPACE", str(outside))
    assert "not a workspace, .tito/workspace.json is missing there" in tito(*command.split(), status=2)
    assert list(outside.iterdir()) == []


def test_new_says_where_to_go_so_that_it_can_be_pasted(tito, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert 'next: cd "mes notes",' in tito("new", "mes notes") and "next: cd notes," in tito("new", "notes")


def test_new_wants_an_empty_folder_of_its_own(tito, tmp_path):
    before = tito.files()
    assert "is a workspace already" in tito("new", tito.folder, status=2)
    assert "is a workspace already" in tito("new", tito.folder / "deeper", status=2)
    write(tmp_path / "full" / "file.txt", "mine")
    assert "is not an empty folder" in tito("new", tmp_path / "full", status=2)
    assert "is not an empty folder" in tito("new", tmp_path / "full" / "file.txt", status=2)
    assert tito.files() == before and [path.name for path in (tmp_path / "full").iterdir()] == ["file.txt"]


def test_records_that_are_not_ours_are_not_overwritten(tito):
    tito("start", "01")
    state = tito.folder / ".tito" / "state.json"
    state.write_text("{ broken")
    assert "delete it to begin the records again" in tito("export", "01", status=2)
    assert state.read_text() == "{ broken"


def test_subfolders_are_as_good_as_the_workspace(tito, monkeypatch):
    monkeypatch.chdir(tito.folder / "modules")
    tito("start", "01")
    tito.solve()
    monkeypatch.chdir(tito.folder / "exported" / "tinytorch")
    assert "is green" in tito("check", "01")
    tito("milestone", "run", "doubling")
    assert row(tito("runs"), "doubling-001")
    assert "no run in elsewhere" in tito("runs", "--folder", "elsewhere", status=2)


def test_a_workspace_that_cannot_be_written(tito, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", str(tito.notebook()))

    monkeypatch.setattr("tito.files.os.replace", refuse)
    assert "01_double.ipynb: Permission denied" in tito("start", "01", status=2)


FAKE_LAB = """
import json, os, sys, time
with open("started.json.new", "w") as file:
    json.dump([os.getpid(), sys.argv[1:]], file)
os.rename("started.json.new", "started.json")
time.sleep(600)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_lab_hands_options_on_and_takes_its_server_with_it(tito, name):
    write(tito.folder / "jupyterlab" / "__main__.py", FAKE_LAB)
    write(tito.folder / "jupyterlab" / "__init__.py", "")
    started = tito.folder / "started.json"
    command = [sys.executable, "-m", "tito", "lab", "--no-browser", "--port", "9000"]
    with subprocess.Popen(command, cwd=tito.folder, stdout=subprocess.DEVNULL) as process:
        wait_until(started.exists)
        server, options = json.loads(started.read_text())
        process.send_signal(getattr(signal, name))
        assert process.wait(30) == 143 and options == ["--no-browser", "--port", "9000"]
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)


def wait_until(it_is, seconds=60):
    latest = time.monotonic() + seconds
    while not it_is():
        assert time.monotonic() < latest
        time.sleep(0.05)


def test_lab_starts_jupyterlab_with_the_notebook(tito, monkeypatch):
    tito("start", "01")
    started = []

    def run(command, workspace):
        started.append((command, workspace.folder))
        return 0

    monkeypatch.setattr("tito.student_commands.run_server", run)
    monkeypatch.setattr("tito.student_commands.find_spec", lambda name: True)
    monkeypatch.setattr("tito.student_commands.whose_files", lambda workspace: "yours: all")
    assert "yours: all" in tito("lab", "01")
    assert started == [([sys.executable, "-m", "jupyterlab", str(tito.notebook())], tito.folder)]
    monkeypatch.setattr("tito.student_commands.find_spec", lambda name: None)
    assert f"JupyterLab is missing: {how_to_install('lab')}\n" in tito("lab", "01", status=2)


def test_a_copy_of_a_notebook_is_not_taken_for_it(tito):
    tito("start", "01")
    copy = tito.notebook("01_double (1)")
    copy.write_bytes(tito.notebook().read_bytes())
    os.utime(tito.notebook(), (1, 1))
    name = "modules/01_double (1).ipynb"
    assert f"note: {name} was saved later than 01_double.ipynb, which counts" in tito("export", "01")
    assert f"{name} looks like 01_double.ipynb, and tito does not read it" in tito("doctor", status=1)
    os.utime(copy, (0, 0))
    assert "saved later" not in tito("export", "01")
    tito.notebook().unlink()
    assert f"not begun: `tito start 01`, or rename {name} to 01_double.ipynb" in tito("export", "01", status=2)


def test_doctor_says_where_it_may_not_write(tito, monkeypatch):
    tito("start", "01")
    real = os.access
    assert "may not be written by you" not in tito("doctor")
    monkeypatch.setattr("tito.doctor.os.access", lambda path, mode: real(path, mode) and path.name != "modules")
    assert f"{tito.folder / 'modules'} may not be written by you" in tito("doctor", status=1).replace("\n", "")


def test_doctor_says_what_is_whose(tito):
    tito("start", "01")
    said = tito("doctor")
    assert "yours: double.py (1 open exercise); the reference: all the rest" in said and "nothing is in the way" in said
    tito.exported().write_text("x = = 1\n")
    said = tito("doctor", status=1)
    assert "double.py was edited by hand" in said
    assert "double.py is not Python: invalid syntax in line 1; `tito export` writes it again" in said


def test_doctor_says_which_forms_of_operations_run(tito, monkeypatch):
    monkeypatch.setenv("TINYTORCH_FAST", "plain")
    assert "plain: 0 of the reference's have a faster form; installed: " in row(tito("doctor"), "operations")
    monkeypatch.delenv("TINYTORCH_FAST")
    assert re.search(r" (numpy|compiled|plain): \d+ of the reference's", row(tito("doctor"), "operations"))


def test_the_shell_completes_chapters_and_milestones(tito):
    from tito.student_commands import chapter_names, milestone_names

    assert chapter_names("0") == ["01", "01_double", "02", "02_pair"]
    assert milestone_names("d") == ["doubling"]
    from typer.testing import CliRunner

    from tito.commands import app

    for typed, offered in [("tito st", ["start", "status"]), ("tito hint 02 s", ["swap"]), ("tito hint 9 s", []),
                           ("tito reset te", ["tests"]), ("tito reset 02", ["02", "02_pair"])]:
        words = {"_TITO_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
        assert CliRunner().invoke(app, prog_name="tito", env=words).output.split() == offered


@pytest.mark.parametrize("name", ["2", "02", "pair", "02_pair", "02_pair.ipynb", "modules/02_pair.ipynb"])
def test_a_chapter_has_several_names(tito, name):
    assert "wrote modules/02_pair.ipynb" in tito("start", name)


# ---- what is said of a failure


def failed(check="a b", **more):
    return {"ends": "tests/t.py::test", "outcome": "failed", "check": check, "error": "AssertionError", **more}


def test_summary_counts_groups_and_shortens(course):
    from tito.course import chapter

    many = [failed(f"check {n}", message=f"reason {n}", ends=f"tests/t.py::test_{n}") for n in range(20)]
    skips = [{"ends": "x", "outcome": "skipped", "check": "c", "why": "needs torch"}] * 2
    text = summary(Outcome([*many, *skips, {"ends": "y", "outcome": "passed", "check": "d"}]), chapter("01"))
    assert text.startswith("23 checks: 1 passed, 20 failed, 2 skipped\n  skipped 2: needs torch")
    assert "and 12 more: `tito test 01 --all`" in text
    assert "reason 19" in summary(Outcome(many), chapter("01"), every=True)
    rows = [failed(f"check {n}", message=f"reason {n}", ends=f"tests/t.py::test_rows[{n}]") for n in range(3)]
    text = summary(Outcome(rows), chapter("01"))
    assert text.count("message") == 1 and "check 0   and 2 more" in text and "and 2 more: `tito test 01 --all`" in text
    text = summary(Outcome(rows), chapter("01"), every=True)
    assert text.count("message") == 3 and "--all" not in text
    assert not Outcome([]).green and not Outcome([{"outcome": "passed"}], "it died").green
    assert Outcome([{"outcome": "passed"}]).green


@pytest.mark.parametrize("text, got, expected", [
    ("False = <function allclose at 0x7f>(array([0., 2.]), 0)", "array([0., 2.])", "0"),
    ("False = <function allclose at 0x7f>(f(1, 2), array([[1, 2], [3, 4]]), rtol=0.1)\n + where 3 = f(1, 2)", "f(1, 2)",
     "array([[1, 2], [3, 4]])"),
])
def test_of_two_checks_in_a_line_the_one_that_failed_is_told(text, got, expected):
    from tito.recorder import got_and_expected

    text = f"assert (True and False)\n +  where True = <function allclose at 0x7f>(1, 1)\n +  and   {text}"
    said = got_and_expected({"error": "AssertionError", "message": text}, None)
    assert said == {"got": got, "expected": expected, "message": ""}


def test_what_a_test_is_about_is_found_behind_names_lambdas_and_attributes(tito, course):
    test = course / "tests" / "01_double" / "test_double.py"
    test.write_text("""\
import pytest
import tinytorch.double


@pytest.mark.parametrize("function", [lambda x: tinytorch.double.twice(x)])
def test_behind_a_lambda(function):
    assert function(1) == 2


def test_behind_an_attribute():
    assert tinytorch.double.four_times(1) == 4


def test_above_the_line_that_fails():
    number = tinytorch.double.four_times(1)
    other = 4
    assert number == other


TABLE = {
    "one": tinytorch.double.four_times, "two": lambda x:
        1 // (tinytorch.double.twice(x) - x),
}


def test_in_a_table():
    TABLE["two"](1)


def test_of_nothing():
    assert 1 == 2
""")
    tito("start", "01")
    tito.solve(body="    return x * x\n")
    said = tito("check", "01", status=1)
    places = [re.findall(r"look at .* cell 7, (line \d)", part) for part in said.split("\n\n") if "checked" in part]
    assert places == [["line 2"], ["line 6"], ["line 6"], ["line 2"], []], said


def test_behind_a_function_that_is_no_exercise_are_those_that_it_calls(tito, course):
    notebook = course / "modules" / "01_double.ipynb"
    content = json.loads(notebook.read_text())
    cell = {"cell_type": "code", "id": "after", "metadata": {}, "outputs": [], "execution_count": None,
            "source": "#| export\ndef thrice(x):\n    return twice(x) + x\n\ndef same(x):\n    return x"}
    notebook.write_text(json.dumps(content | {"cells": [*content["cells"], cell]}))
    test = course / "tests" / "01_double" / "test_double.py"
    test.write_text("from tinytorch.double import same, thrice\n\ndef test_thrice():\n    assert thrice(1) == 3\n\n"
                    "def test_same():\n    assert same(1) == 2\n")
    tito("start", "01")
    tito.solve(body="    return x * x\n")
    said = tito("check", "01", status=1)
    assert re.findall("look at .*, (cell .*)", said) == ["cell 7, line 2 (exercise twice)", "cell 9, line 5"], said


def test_a_gradient_error_is_not_in_what_reports_it(tito):
    from tito.recorder import place_of

    class GradientError(AssertionError):
        pass

    tito("start", "01")
    tito.solve(body="    raise x\n")
    tito("export", "01")
    file, space = tito.exported("gradcheck.py"), {}
    file.write_bytes(tito.exported().read_bytes())
    exec(compile(file.read_text(), file, "exec"), space)
    for error, cells in ((ValueError(), [7]), (GradientError(), [])):
        with pytest.raises(type(error)) as raised:
            space["twice"](error)
        assert [place[0]["cell"] for place in [place_of(raised.value)] if place] == cells
