"""start, export, reset, hint and diff: what happens to a student's notebook and to the files that it exports."""

import ast
import tempfile
from pathlib import Path

from tito.course import Chapter, chapters, public_names
from tito.exercises import exercises as found_exercises
from tito.export import Module, export
from tito.files import digest, digest_of
from tito.layout import all_names
from tito.overlay import PACKAGE_FOLDER
from tito.project import TitoError
from tito.strip import (
    exercises,
    grading,
    is_marker,
    notebook_bytes,
    open_exercises,
    read_notebook,
    source_of,
    stripped,
)
from tito.workspace import Workspace

FROM_PACKAGE = "../../modules/"  # from exported/tinytorch/ to the notebooks


def start(workspace: Workspace, chapter: Chapter) -> list[str]:
    """Write the stripped notebook and the stubs that it exports; returns what was written.

    Raises TitoError, and touches nothing, where the student has begun it already.
    """
    notebook = workspace.notebook(chapter)
    content, modules = fresh(chapter)
    if notebook.exists() and digest_of(notebook) != digest(content):
        raise TitoError(
            f"{workspace.shown(notebook)} is there already: go on with it,"
            f" or `tito reset {chapter.number}` begins it again (after a backup)"
        )
    return write_chapter(workspace, f"start {chapter.number}", notebook, content, modules, keep_all=True)


def reset(workspace: Workspace, chapter: Chapter) -> None:
    """Begin a chapter again: the stripped notebook and its stubs, after a backup of what is there."""
    content, modules = fresh(chapter)
    notebook = workspace.notebook(chapter)
    write_chapter(workspace, f"reset {chapter.number}", notebook, content, modules, keep_all=True)


def export_chapter(workspace: Workspace, chapter: Chapter) -> tuple[list[Module], list[str]]:
    """Export the student's notebook; returns its modules and remarks.

    Raises TitoError, and writes nothing, where it is broken.
    """
    modules = export_text(workspace, chapter)
    write_chapter(workspace, f"export {chapter.number}", None, b"", modules, keep_all=False)
    return modules, remarks(workspace, chapter, modules)


def fresh(chapter: Chapter) -> tuple[bytes, list[Module]]:
    """The stripped notebook, and the stubs that it exports."""
    content = notebook_bytes(stripped(chapter.notebook))
    with tempfile.TemporaryDirectory(prefix="tito-") as folder:
        path = Path(folder, chapter.notebook.name)
        path.write_bytes(content)
        return content, export(path, FROM_PACKAGE)


def export_text(workspace: Workspace, chapter: Chapter) -> list[Module]:
    """What the student's notebook exports, in memory. Raises TitoError where that cannot be."""
    notebook = workspace.notebook(chapter)
    if not notebook.exists():
        raise TitoError(f"{workspace.shown(notebook)} is not there: `tito start {chapter.number}` makes it")
    read_notebook(notebook)
    modules = export(notebook, FROM_PACKAGE)
    paths = [module.path for module in modules]
    missing = [path for path in chapter.files if path not in paths]
    if missing:
        raise TitoError(
            f"{notebook.name}: no cell exports {', '.join(missing)} any more: a line such as `#| default_exp nn.module`"
            f" or `#| export nn.init` was lost; `tito diff {chapter.number} --anyway` shows where"
        )
    owners = {path: other for other in chapters() for path in other.files}
    for path in paths:
        if path in owners and owners[path] != chapter:
            raise TitoError(f"{notebook.name} exports {path}, which belongs to {owners[path].name}: rename it")
        if (PACKAGE_FOLDER / path).is_file() and path not in owners or (PACKAGE_FOLDER / path[:-3]).is_dir():
            raise TitoError(f"{notebook.name} exports {path}, which tinytorch has already: rename it")
    return modules


def write_chapter(
    workspace: Workspace, command: str, notebook: Path | None, content: bytes, modules: list[Module], keep_all: bool
) -> list[str]:
    """Write a notebook, if one is given, then the files; what was edited by hand, or all, is backed up first.

    Returns what was changed.
    """
    files = {notebook: content} if notebook else {}
    files |= {workspace.exported(module.path): module.text.encode() for module in modules}
    noted = workspace.recorded("exported")
    by_hand = [path for path in files if digest_of(path) != noted.get(workspace.shown(path))]
    written = workspace.write(command, files, list(files) if keep_all else by_hand)
    names = [workspace.exported(module.path) for module in modules]
    digests = {workspace.shown(path): digest(files[path]) for path in names}
    if any(noted.get(name) != value for name, value in digests.items()):
        workspace.record("exported", **digests)
    return written


def remarks(workspace: Workspace, chapter: Chapter, modules: list[Module]) -> list[str]:
    """What the student may have lost by accident: public names, and checks that are not the course's any more."""
    found = []
    for module in modules:
        lost = sorted(public_names(module.path) - all_names(ast.parse(module.text)))
        if lost:
            found.append(f"{module.path} has no {', '.join(lost)} any more: did a cell lose its `#| export` line?")
    mine, theirs = checks(read_notebook(workspace.notebook(chapter))), checks(stripped(chapter.notebook))
    for name, source in theirs.items():
        if mine.get(name) != source:
            found.append(f"the check {name} was {'changed' if name in mine else 'removed'}: the suite decides anyway")
    return found


def checks(notebook: dict) -> dict[str, str]:
    return {grading(c)["grade_id"]: source_of(c).rstrip() for c in notebook["cells"] if grading(c).get("grade")}


def changed_since_export(workspace: Workspace, chapter: Chapter) -> bool:
    """Whether the notebook as saved exports something else than what lies in exported/. Raises TitoError."""
    modules = export_text(workspace, chapter)
    return any(digest_of(workspace.exported(module.path)) != digest(module.text.encode()) for module in modules)


# ---- help


def chosen_exercise(workspace: Workspace, chapter: Chapter, name: str | None) -> str:
    """The exercise of this name; else one that is written and that the last test failed in, else the first open one.

    Raises TitoError for an unknown name.
    """
    every = list(exercises(chapter.content))
    if name:
        if name not in every:
            raise TitoError(f"{chapter.name} has no exercise {name!r}: expected one of {', '.join(every)}")
        return name
    mine = open_exercises(read_notebook(workspace.notebook(chapter))) if workspace.started(chapter) else every
    failed = workspace.recorded("tests").get(chapter.name, {}).get("exercises", [])
    candidates = [one for one in [*(name for name in failed if name not in mine), *mine] if one in every]
    if not candidates:
        raise TitoError(f"no exercise of {chapter.name} is open: name one of {', '.join(every)}")
    return candidates[0]


def next_hint(workspace: Workspace, chapter: Chapter, name: str) -> tuple[int, list[str]]:
    """(number of the hint to show now, all hints of the exercise); the workspace remembers how many were shown.

    Raises TitoError where there is none.
    """
    have = next(exercise.hints for exercise in found_exercises(chapter.notebook) if exercise.name == name)
    if not have:
        raise TitoError(f"no hint for {name} of {chapter.name}: its statement, docstring and check say all there is")
    key = f"{chapter.name}/{name}"
    number = min(workspace.recorded("hints").get(key, 0) + 1, len(have))
    workspace.record("hints", **{key: number})
    return number, have


def differences(workspace: Workspace, chapter: Chapter) -> dict[str, tuple[list[str], list[str]]]:
    """exercise: (lines of the student's cell, lines of the reference's), for each that differs."""
    mine, reference = exercises(read_notebook(workspace.notebook(chapter))), exercises(chapter.content)
    found = {}
    for name, theirs in reference.items():
        own, other = (
            [line for line in source.rstrip().split("\n") if not is_marker(line)]
            for source in (mine.get(name, ""), theirs)
        )
        if own != other:
            found[name] = own, other
    return found
