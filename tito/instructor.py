"""For instructors: a chapter as an nbgrader assignment, submissions graded in a sandbox, the gradebook as CSV.

The folder is an ordinary nbgrader course: `source/` holds the notebook with solutions, `release/` what students get,
`submitted/STUDENT/` what they hand in, `autograded/` and `gradebook.db` what nbgrader makes of it. Whatever nbgrader
can do with such a folder (feedback, formgrader, the exchange), it can do with this one.
"""

import csv
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass, field
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

from tito.course import HERE
from tito.files import read_file, write_whole
from tito.install import how_to_install
from tito.project import TitoError
from tito.strip import STUB, notebook_bytes, read_notebook

STEPS = ["tito.grading.nbgrader.RunInSandbox"]  # of grading; in place of nbgrader's own `Execute`
STEPS += [f"nbgrader.preprocessors.{name}" for name in (
    "IgnorePattern", "LimitOutput", "SaveAutoGrades", "AssignLatePenalties", "CheckCellMetadata")]  # fmt: skip
CONFIG = f'''c = get_config()  # noqa: F821

c.CourseDirectory.course_id = "tinytorch"
c.ClearSolutions.code_stub = {{"python": "{STUB}"}}
c.Execute.timeout = 120  # seconds that a cell may take; then it is interrupted, and its check gives no points
c.OverwriteCells.add_missing_cells = True  # a check that was deleted comes back
c.Autograde.autograde_preprocessors = {json.dumps(STEPS, indent=4)}
'''


@dataclass(frozen=True)
class Graded:
    """What came of grading one submission: `trouble` is empty where nbgrader went through the whole notebook."""

    student: str
    assignment: str
    trouble: str = ""
    remarks: list[str] = field(default_factory=list)  # of cells that are missing, or there twice


def release(notebook: Path, folder: Path, force: bool = False) -> Path:
    """Make an assignment of a chapter's notebook in the nbgrader course `folder`; returns the student's notebook.

    Raises TitoError where the course holds another version of the chapter already, unless `force`d.
    """
    name = notebook.stem
    source, content = folder / "source" / name / notebook.name, notebook.read_bytes()
    if not force and source.exists() and source.read_bytes() != content:
        raise TitoError(
            f"{source}: differs from the chapter as it is here; students may have this version already."
            " Release it again with --force, or keep it and run `nbgrader generate_assignment` yourself"
        )
    needs_nbgrader()
    if not (folder / "nbgrader_config.py").exists():
        write_whole(folder / "nbgrader_config.py", CONFIG.encode())
    write_whole(source, content)
    trouble = nbgrader(folder, 300, "generate_assignment", name, "--create", "--force")
    released = folder / "release" / name / notebook.name
    if trouble or not released.exists():
        raise TitoError(f"nbgrader could not make the assignment {name}: {trouble or 'it wrote no notebook'}")
    return released


def autograde(
    folder: Path, assignment: str, limit: float = 900, students: list[str] | None = None, trust: bool = False,
    memory: int = 4096,
) -> list[Graded]:
    """Grade what was submitted for an assignment, each submission in a sandbox of its own; see tito/grading.

    A cell has the seconds that nbgrader_config.py says, a whole submission `limit`, and `memory` MB. One that fails or
    does not end costs the others nothing. Raises TitoError where nothing was released or submitted, and where there is
    no sandbox, unless what was submitted is to be `trust`ed.
    """
    check_course(folder)
    if not (folder / "release" / assignment).is_dir():
        raise TitoError(f"{folder}: {assignment} was not released here; run `tito release` first")
    found = submissions(folder, assignment)
    unknown = sorted(set(students or []) - set(found))
    if unknown or not found:
        raise TitoError(
            f"no submission{' of ' + ', '.join(unknown) if unknown else ''}: expected"
            f" {folder / 'submitted' / (unknown[0] if unknown else 'STUDENT') / assignment / assignment}.ipynb"
        )
    needs_nbgrader()
    if sys.platform == "win32":
        raise TitoError("grading needs Linux, or macOS with --trust: on Windows, in its subsystem for Linux")
    from tito.grading.prepared import prepare
    from tito.grading.sandbox import Limits, why_no_sandbox

    if not trust and (reason := why_no_sandbox()):
        raise TitoError(f"{reason}. With --trust submissions run as you, with your rights: read each of them first")
    with tempfile.TemporaryDirectory(prefix="tito-") as aside:
        source, limits = folder / "source" / assignment / f"{assignment}.ipynb", Limits(memory=memory << 20)
        prepared = prepare(source, Path(aside), limits, trust)
        return [graded_alone(folder, assignment, student, limit, prepared.folder) for student in students or found]


def graded_alone(folder: Path, assignment: str, student: str, limit: float, prepared: Path) -> Graded:
    """Grade one submission, of which nbgrader sees no more than its text in the frame of the released notebook."""
    from tito.grading.prepared import FOLDER
    from tito.grading.submission import gradable, submitted_notebook

    name = f"{assignment}.ipynb"
    there = folder / "submitted" / student / assignment
    try:
        submitted = submitted_notebook(there / name)
    except TitoError as error:
        others = sorted(path.name for path in there.glob("*.ipynb") if path.name != name)
        hint = f"; is it {' or '.join(others)}? Rename it" if others else ""
        return Graded(student, assignment, f"{(there / name).relative_to(folder)} {error}{hint}")
    notebook, remarks = gradable(submitted, read_notebook(folder / "release" / assignment / name))
    with tempfile.TemporaryDirectory(prefix="tito-") as aside:
        copy = Path(aside, student, assignment)
        write_whole(copy / name, notebook_bytes(notebook))
        if (there / "timestamp.txt").is_file():
            write_whole(copy / "timestamp.txt", read_file(there / "timestamp.txt", most=1000))
        trouble = nbgrader(
            folder, limit, "autograde", assignment, f"--student={student}", "--create", "--force",
            f"--CourseDirectory.submitted_directory={aside}",
            *(f"--Autograde.autograde_preprocessors={step}" for step in STEPS), variables={FOLDER: str(prepared)},
        )  # fmt: skip
    done = (folder / "autograded" / student / assignment / name).exists()
    return Graded(student, assignment, trouble or ("" if done else "nbgrader could not grade it"), remarks)


FEEDBACK = ["nbgrader.preprocessors.GetGrades", "tito.grading.feedback.LeaveOutHiddenTests",
            "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor"]  # fmt: skip


def feedback(folder: Path, assignment: str, hidden_tests: bool = False) -> list[Path]:
    """Write a page for each graded submission, without the `hidden_tests` unless they are asked for.

    Returns the pages. Raises TitoError where nothing was graded.
    """
    check_course(folder)
    if not any((folder / "autograded").glob(f"*/{assignment}")):
        raise TitoError(f"{folder}: nothing of {assignment} is graded; run `tito autograde` first")
    needs_nbgrader()
    steps = [] if hidden_tests else [f"--GenerateFeedback.preprocessors={step}" for step in FEEDBACK]
    if trouble := nbgrader(folder, 600, "generate_feedback", assignment, "--force", *steps):
        raise TitoError(f"nbgrader could not write the feedback: {trouble}")
    return sorted((folder / "feedback").glob(f"*/{assignment}/*.html"))


def submissions(folder: Path, assignment: str = "*") -> list[str]:
    """The students who handed something in."""
    found = {path.parent.name for path in (folder / "submitted").glob(f"*/{assignment}")}
    return sorted(found)


@dataclass(frozen=True)
class Row:
    """A line of the gradebook: a student's points for an assignment, or for one check of it."""

    student: str
    assignment: str
    check: str
    points: float
    max_points: float
    status: str


def gradebook(folder: Path, by_check: bool = False) -> list[Row]:
    """Every student's points for every assignment, or for every check.

    Status: "graded"; "not submitted"; "not graded" where grading has not run, or failed. Raises TitoError where there
    is no gradebook.
    """
    check_course(folder)
    database = folder / "gradebook.db"
    if not database.exists():
        raise TitoError(f"{folder}: no gradebook.db; run `tito release`, then `tito autograde`")
    needs_nbgrader()
    from nbgrader.api import Gradebook

    rows = []
    with Gradebook(f"sqlite:///{database.resolve()}") as book:
        students = sorted({student.id for student in book.students} | set(submissions(folder)))
        for assignment in sorted(book.assignments, key=lambda one: one.name):
            most = {cell.name: cell.max_score for sheet in assignment.notebooks for cell in sheet.grade_cells}
            for student in students:
                status = status_of(folder, assignment.name, student)
                got = points_of(book, assignment.name, student) if status == "graded" else {}
                checks = [
                    Row(student, assignment.name, check, got.get(check) or 0.0, points, status)
                    for check, points in most.items()
                ]
                total = sum(check.points for check in checks)
                whole = Row(student, assignment.name, "", total, sum(most.values()), status)
                rows += checks if by_check else [whole]
    return rows


def status_of(folder: Path, assignment: str, student: str) -> str:
    if not (folder / "submitted" / student / assignment).is_dir():
        return "not submitted"
    return "graded" if (folder / "autograded" / student / assignment).is_dir() else "not graded"


def points_of(book, assignment: str, student: str) -> dict[str, float]:
    """By the name of the check: what nbgrader, or the instructor by hand, gave."""
    submission = book.find_submission(assignment, student)
    return {grade.name: grade.score for sheet in submission.notebooks for grade in sheet.grades}


def as_csv(rows: list[Row]) -> str:
    """Rows as the text of a CSV file. A name that a spreadsheet would take for a formula gets a quote in front."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    by_check = any(row.check for row in rows)
    writer.writerow(
        ["student", "assignment", *(["check"] if by_check else []), "points", "max_points", "status"]
    )
    for row in rows:
        check = [row.check] if by_check else []
        writer.writerow([harmless(row.student), row.assignment, *check, f"{row.points:g}", f"{row.max_points:g}",
                         row.status])  # fmt: skip
    return text.getvalue()


def harmless(name: str) -> str:
    return f"'{name}" if name[:1] in "=+-@\t" else name


def check_course(folder: Path) -> None:
    if not (folder / "nbgrader_config.py").is_file():
        raise TitoError(f"{folder}: not an nbgrader course (no nbgrader_config.py); `tito release` makes one")


def needs_nbgrader() -> None:
    if find_spec("nbgrader") is None:
        raise TitoError(f"grading needs nbgrader: {how_to_install('instructor')}")


def nbgrader(folder: Path, limit: float, *arguments: str, variables: dict[str, str] | None = None) -> str:
    """Run nbgrader in `folder`, in a process of its own; returns what went wrong as a line, "" for nothing.

    After `limit` seconds it ends, together with all that it has started.
    """
    from tito.grading.session import end

    scripts = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])  # nbgrader calls `alembic`
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "nbgrader", *arguments], cwd=folder, stdin=subprocess.DEVNULL,
        env=os.environ | {"PATH": scripts, "PYTHONPATH": str(HERE.parent)} | (variables or {}),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, encoding="utf-8", errors="replace",
    )  # fmt: skip
    try:
        _, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        return f"did not end within {limit:g} s"
    finally:
        end(process)
    if process.returncode:
        lines = [line for line in errors.strip().split("\n") if "ERROR" in line or "Error" in line]
        return lines[0].strip() if lines else f"nbgrader ended with status {process.returncode}"
    return ""
