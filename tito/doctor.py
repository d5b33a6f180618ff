"""`tito doctor`: what this environment consists of, and what in it would get in the way."""

import ast
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tito import student
from tito.course import chapters, course_folder
from tito.files import digest_of
from tito.install import how_to_install
from tito.overlay import EXPORTED, NOTEBOOKS, PACKAGE_FOLDER, VARIABLE
from tito.project import TitoError
from tito.strip import read_notebook
from tito.suite import BrokenImport, strangers, whose_files
from tito.workspace import RECORDS, Workspace, find_workspace, remove_leftovers

NEEDED = ("numpy", "nbdev", "nbformat", "nbclient", "ipykernel", "typer", "pytest", "pytest-timeout", "hypothesis",
          "matplotlib")  # fmt: skip
HELPFUL = {"jupyterlab": ("tito lab", "lab")}  # who needs it, and the extra that has it


def report() -> tuple[list[tuple[str, str]], list[str]]:
    """(name, value) rows, and a text for each problem."""
    rows, problems = [("python", f"{platform.python_version()} at {sys.executable}")], []
    rows.append(("system", platform.platform()))
    rows.append(("tinytorch", f"{installed('tinytorch-course') or 'not installed'}, {PACKAGE_FOLDER}"))
    found = importlib.util.find_spec("tinytorch")
    if found is None or Path(found.origin or "").resolve().parent != PACKAGE_FOLDER:
        problems.append(
            f"`import tinytorch` would find {found and found.origin}, not the one that belongs to this tito:"
            " a folder or an older installation hides it"
        )
    try:
        rows.append(("course", f"{len(chapters())} chapters in {course_folder()}"))
    except TitoError as error:
        problems.append(str(error))
    for name in NEEDED:
        rows.append((name, installed(name) or "missing"))
        if not installed(name):
            problems.append(f"{name} is missing: {how_to_install('course')}")
    for name, (who, extra) in HELPFUL.items():
        rows.append((name, installed(name) or f"missing ({who} needs it: {how_to_install(extra)})"))
    rows.append(("operations", operations()))
    try:
        workspace = find_workspace()
    except TitoError as error:
        rows.append(("workspace", str(error)))
        return rows, problems
    remove_leftovers(workspace)
    return rows + of_workspace(workspace, problems), problems


def of_workspace(workspace: Workspace, problems: list[str]) -> list[tuple[str, str]]:
    rows = [("workspace", str(workspace.folder))]
    free = shutil.disk_usage(workspace.folder).free
    rows.append(("free space", f"{free / 1e9:.1f} GB"))
    if free < 100e6:
        problems.append(f"only {free / 1e6:.0f} MB are free: saving may fail")
    for folder in (workspace.folder, *(workspace.folder / name for name in (RECORDS, NOTEBOOKS, EXPORTED, "runs"))):
        if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
            problems.append(f"{folder} may not be written by you: ask its owner, or `chmod u+wx` it")
    for chapter in chapters():
        problems += [f"{name} looks like {chapter.name}.ipynb, and tito does not read it: rename or delete it"
                     for name in student.copies(workspace, chapter)]  # fmt: skip
        if workspace.started(chapter):
            try:
                read_notebook(workspace.notebook(chapter))
            except TitoError as error:
                problems.append(f"{error}; `tito undo` or `tito reset {chapter.number}`")
    noted = workspace.recorded("exported")
    for path in workspace.yours():
        name = workspace.shown(workspace.exported(path))
        if noted.get(name) != digest_of(workspace.exported(path)):
            problems.append(f"{name} was edited by hand: the next export replaces it (after a backup)")
        try:
            ast.parse(workspace.exported(path).read_bytes())
        except SyntaxError as error:
            problems.append(f"{name} is not Python: {error.msg} in line {error.lineno}; `tito export` writes it again")
    for name in strangers(workspace):
        problems.append(f"{name} is not the course's, and pytest would run it with every suite: move it away")
    for name in workspace.edited("tests/", "pytest.ini"):
        problems.append(f"{name} differs from the course's; `tito reset tests` puts it back")
    backups = len(workspace.backups())
    rows.append(("backups", f"{backups} in {workspace.folder / RECORDS / 'backups'}"))
    try:
        rows.append(("files", whose_files(workspace)))
    except BrokenImport as error:
        problems.append(str(error))
    return rows


def operations() -> str:
    """Return which forms of operations run in the reference, in the words of `tinytorch.fast`."""
    code = "import json, tinytorch, tinytorch.fast as f; print(json.dumps(f.status(), default=str))"
    path = [str(PACKAGE_FOLDER.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = dict(os.environ) | {VARIABLE: "", "PYTHONPATH": os.pathsep.join(path)}
    done = subprocess.run([sys.executable, "-P", "-c", code], env=variables, capture_output=True, encoding="utf-8")
    if done.returncode:
        return f"unknown: {done.stderr.strip().rpartition(chr(10))[2]}"
    now = json.loads(done.stdout)
    said = f"{now['level']}: {len(now['forms'])} of the reference's have a faster form; installed: {now['installed']}"
    said += f" (numba {now['numba']}, cache in {now['cache']})" if now.get("numba") and now.get("cache") else ""
    return said + (f"; {now['problem']}" if now.get("problem") else "")


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
