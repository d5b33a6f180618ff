"""Whoever is graded is not trusted: what attacks earns nothing, and changes nothing for the neighbour."""
import json
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import psutil
import pytest
from attacks import ASSIGNMENT, CHECKS, HEAD, IMPORTS, IN_PYTHON, ON_THE_MACHINE, SOLUTIONS, TOOLS

from tito.grading.prepared import code_cells, prepare
from tito.grading.sandbox import Limits, why_no_sandbox
from tito.grading.submission import gradable
from tito.instructor import autograde, gradebook, nbgrader, release
from tito.project import TitoError

NOTHING = dict.fromkeys(CHECKS, 0)
ALL = dict.fromkeys(CHECKS, 1)

if reason := why_no_sandbox():
    pytest.skip(f"no sandbox here: {reason}", allow_module_level=True)


def notebook(cells):
    return {"cells": cells, "nbformat": 4, "nbformat_minor": 5,
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}}


def code(id, source, **nbgrader):
    known = {"nbgrader": {"schema_version": 3, "task": False, "grade_id": id, **nbgrader}} if nbgrader else {}
    return {"cell_type": "code", "id": id, "metadata": known, "source": source, "outputs": [], "execution_count": None}


def source_notebook():
    cells = [code("default", HEAD), code("imports", IMPORTS), code("tools", TOOLS)]
    for (name, solution), (check, source) in zip(SOLUTIONS.items(), CHECKS.items()):
        cells += [code(name, solution, grade=False, locked=False, solution=True),
                  code(check, source, grade=True, locked=True, solution=False, points=1)]
    return notebook(cells)


def answered(released, answers):
    """The released notebook with `answers` in the cells of the exercises; where there is none, with nothing."""
    def cell_with(cell):
        name = cell["metadata"].get("nbgrader", {}).get("grade_id")
        return cell | {"source": answers.get(name, "")} if name in SOLUTIONS else cell

    return released | {"cells": [cell_with(cell) for cell in released["cells"]]}


def attacking(released, attack):
    return answered(released, {"double": attack})


def hand_in(course, student, content):
    path = course / "submitted" / student / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course with the assignment, and Ann's submission, which is right."""
    source = tmp_path_factory.mktemp("source") / f"{ASSIGNMENT}.ipynb"
    source.write_text(json.dumps(source_notebook()), encoding="utf-8")
    folder = tmp_path_factory.mktemp("course")
    release(source, folder)
    config = folder / "nbgrader_config.py"
    config.write_text(config.read_text().replace("timeout = 120", "timeout = 4"))
    hand_in(folder, "ann", answered(released(folder), SOLUTIONS))
    return folder


def released(course):
    return json.loads((course / "release" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb").read_text(encoding="utf-8"))


def points(course, student):
    return {row.check: row.points for row in gradebook(course, by_check=True) if row.student == student}


# ---- what submissions do to Python

@pytest.fixture(scope="module")
def prepared(course, tmp_path_factory):
    source = course / "source" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    return prepare(source, tmp_path_factory.mktemp("prepared"), Limits(seconds=4, memory=1536 << 20))


def earned(prepared, course, notebook):
    """{check: points} by what the sandbox says of a submission, in the frame that autograding gives it."""
    cells = code_cells(gradable(notebook, released(course))[0])
    outcomes = dict(zip((name for name, _ in cells), prepared.played(cells)))
    return {name: 0 if outcomes[name].error else 1 for name in CHECKS}


def test_right_answers_earn_all_points(prepared, course):
    assert earned(prepared, course, answered(released(course), SOLUTIONS)) == ALL


@pytest.mark.parametrize("right", SOLUTIONS)
def test_each_answer_earns_its_own(prepared, course, right):
    done = earned(prepared, course, answered(released(course), {right: SOLUTIONS[right]}))
    assert done == NOTHING | {f"check-{right}": 1}


def test_a_check_that_asserts_nothing_is_refused(course, tmp_path):
    notebook = source_notebook()
    notebook["cells"][4]["source"] = "print(double(3))"
    path = tmp_path / f"{ASSIGNMENT}.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    with pytest.raises(TitoError, match="check-double: nothing is asserted"):
        prepare(path, tmp_path, Limits())


@pytest.mark.parametrize("attack", IN_PYTHON)
def test_what_a_submission_does_to_python_earns_nothing(prepared, course, attack):
    assert earned(prepared, course, attacking(released(course), IN_PYTHON[attack])) == NOTHING


# ---- what submissions do to the machine

NAP = 987 + os.getpid() / 1e6  # seconds, by which what was left behind is found
WITH_NBGRADER = ["deletes another's submission", "writes to the gradebook", "leaves a process behind"]


@pytest.fixture(scope="module")
def attacked(prepared, course):
    """{attack: what it earned}, after which all that others have handed in was graded, by nbgrader."""
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET", "attacked by environment")
        server.settimeout(0.1)
        facts = {"COURSE": str(course), "PORT": str(server.getsockname()[1]), "sleep(987)": f"sleep({NAP})"}
        attacks = dict(ON_THE_MACHINE)
        for name, fact in facts.items():
            attacks = {attack: code.replace(name, fact) for attack, code in attacks.items()}
        for number, attack in enumerate(WITH_NBGRADER):
            hand_in(course, f"eve-{number}", attacking(released(course), attacks[attack]))
        hand_in(course, "zoe", answered(released(course), SOLUTIONS))
        before = everything(course)
        hasty = replace(prepared, limits=replace(prepared.limits, seconds=2))
        with ThreadPoolExecutor(4) as pool:  # most of them wait until they are stopped
            earnings = pool.map(lambda code: earned(hasty, course, attacking(released(course), code)), attacks.values())
            found = dict(zip(attacks, earnings))
        results = autograde(course, ASSIGNMENT, memory=1536)
        with pytest.raises(TimeoutError):
            server.accept()
    assert [result.trouble for result in results] == [""] * 5
    assert {path: content for path, content in everything(course).items() if path in before} == before
    return found


def everything(course):
    """What nobody but the instructor may change."""
    files = [path for part in ("source", "release", "submitted") for path in (course / part).rglob("*")]
    return {path: path.read_bytes() for path in files if path.is_file()}


@pytest.mark.parametrize("attack", ON_THE_MACHINE)
def test_what_a_submission_does_to_the_machine_earns_nothing(attacked, course, attack):
    assert attacked[attack] == NOTHING


def test_the_honest_keep_their_points_beside_attackers(attacked, course):
    assert [points(course, student) for student in ("ann", "eve-0", "eve-1", "eve-2", "zoe")] == [
        ALL, NOTHING, NOTHING, NOTHING, ALL]


def test_nbgrader_by_itself_grades_in_the_sandbox_as_well(attacked, course):
    hand_in(course, "ned", attacking(released(course), IN_PYTHON["transforms the input"]))
    for student in ("ann", "ned"):
        trouble = nbgrader(course, 300, "autograde", ASSIGNMENT, f"--student={student}", "--create", "--force")
        assert trouble == ""
    assert points(course, "ned") == NOTHING and points(course, "ann") == ALL


def test_nothing_is_left_behind(attacked, course):
    running = [process.info["cmdline"] for process in psutil.process_iter(["cmdline"])]
    assert not [line for line in running if line and f"time.sleep({NAP})" in " ".join(line)]
    assert not [path for path in course.rglob("*") if "attacked" in path.name]
    assert not any(os.path.exists(os.path.join(place, "attacked")) for place in ("/etc", "/usr/lib", "/var/tmp", "/"))
    assert not os.path.exists(os.path.join(os.path.dirname(np.__file__), "attacked.pth"))


# ---- what is handed in is no notebook, or none like the released one

def test_links_pipes_and_other_files_are_named(attacked, course, tmp_path):
    neighbour = course / "submitted" / "ann" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    makes = {"link": lambda path: path.symlink_to(neighbour), "pipe": os.mkfifo,
             "folder": lambda path: path.mkdir(), "device": lambda path: path.symlink_to("/dev/zero"),
             "deep": lambda path: path.write_text('{"cells": ' + "[" * 100_000 + "]" * 100_000 + "}"),
             "cells": lambda path: path.write_text('{"cells": [{"cell_type": 1}, 2]}'),
             "source": lambda path: path.write_text('{"cells": [{"cell_type": "code", "source": [1], "metadata": 3}]}')}
    for name, make in makes.items():
        path = course / "submitted" / name / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
        path.parent.mkdir(parents=True)
        make(path)
    (course / "submitted" / "linked").mkdir()
    (course / "submitted" / "linked" / ASSIGNMENT).symlink_to(neighbour.parent)
    results = autograde(course, ASSIGNMENT, students=[*makes, "linked"])
    assert all("link" in result.trouble or "not a notebook" in result.trouble for result in results)
    assert [row.status for row in gradebook(course) if row.student in (*makes, "linked")] == ["not graded"] * 8
    assert points(course, "ann") == ALL


def test_points_and_names_are_those_of_the_release(course):
    notebook = answered(released(course), {"total": SOLUTIONS["total"]})
    more = [code(name, "pass", grade=True, locked=False, solution=False, points=100)
            for name in ("check-mine", "check-double", "check-double")]
    for cell in notebook["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("grade"):
            cell["metadata"]["nbgrader"] |= {"points": 50, "grade": False, "solution": True}
            cell["source"] = "pass"
    cells = [*more, *notebook["cells"]]
    hand_in(course, "max", notebook | {"cells": cells, "metadata": {"kernelspec": {"name": "sh"}}})
    (result,) = autograde(course, ASSIGNMENT, students=["max"])
    twice = "two cells are named check-double: the first counts, the second runs"
    assert not result.trouble and result.remarks == [twice] * 2
    assert points(course, "max") == NOTHING | {"check-total": 1}


def test_a_split_and_a_deleted_exercise_cost_no_more_than_themselves(course):
    notebook = answered(released(course), SOLUTIONS)
    split = "#| export\ndef double(x):\n    return twice(x)"
    helper = code("helper", "def twice(x):\n    return 2 * np.asarray(x)", grade=False, locked=False, solution=True)
    helper["metadata"]["nbgrader"]["grade_id"] = "double"
    cells = []
    for cell in notebook["cells"]:
        name = cell["metadata"].get("nbgrader", {}).get("grade_id")
        if name == "double":
            cells += [cell | {"source": split}, helper]
        elif name != "refuse":
            cells.append(cell)
    hand_in(course, "sam", notebook | {"cells": cells})
    (result,) = autograde(course, ASSIGNMENT, students=["sam"])
    assert result.remarks == ["two cells are named double: the first counts, the second runs", "refuse is missing"]
    assert points(course, "sam") == ALL | {"check-refuse": 0}
