"""start, export, reset, hint and diff: what happens to a student's notebook and to the files that it exports.

A chapter has two depths: guided, with exercises to fill in, and open, where all that it exports is signature and
docstring. The notebook itself says which it is; what was written in the other depth waits under .tito/depths.
"""

import ast
import re
import tempfile
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from tito.course import Chapter, chapters, public_names
from tito.course import chapter as chapter_of
from tito.exercises import exercises as found_exercises
from tito.export import Module, export
from tito.files import digest, digest_of, write_all
from tito.handout import halves_of, handout, minutes_for
from tito.layout import all_names
from tito.open_form import functions, given_names, opened, package_texts
from tito.overlay import OPEN_EXERCISE, PACKAGE_FOLDER
from tito.page import INSTALL
from tito.project import TitoError
from tito.strip import (
    exercises,
    exported_files,
    exporting,
    grading,
    is_marker,
    named_twice,
    notebook_bytes,
    open_exercises,
    read_notebook,
    source_of,
    stripped,
    without_markers,
)
from tito.upgrade import misfits
from tito.workspace import GUIDED, OPEN, RECORDS, Workspace

FROM_PACKAGE = "../../modules/"  # from exported/tinytorch/ to the notebooks
GIVEN_NOW = {"drawing.py", "runs.py"}  # exported by chapters of version 0.1, brought by the package since


def start(workspace: Workspace, chapter: Chapter, depth: str | None = None) -> list[str]:
    """Write the notebook of a chapter in that depth, and the stubs that it exports; returns what was written.

    Where it was begun in the other depth, what is there is set aside, and what was set aside before comes back.
    Raises TitoError, and touches nothing, where the student has begun it already.
    """
    notebook, now = workspace.notebook(chapter), workspace.depth(chapter)
    if now and depth and depth != now:
        return change_depth(workspace, chapter, depth)
    content, modules = fresh(chapter, depth or now or GUIDED)
    if notebook.exists() and digest_of(notebook) != digest(content):
        raise TitoError(
            f"{workspace.shown(notebook)} is there already: go on with it,"
            f" or `tito reset {chapter.number}` begins it again (after a backup)"
        )
    return write_chapter(workspace, f"start {chapter.number}", notebook, content, modules, keep_all=True)


def reset(workspace: Workspace, chapter: Chapter) -> None:
    """Begin a chapter again, in the depth that it has: its notebook and stubs, after a backup of what is there."""
    content, modules = fresh(chapter, workspace.depth(chapter) or GUIDED)
    notebook = workspace.notebook(chapter)
    write_chapter(workspace, f"reset {chapter.number}", notebook, content, modules, keep_all=True)


def export_chapter(workspace: Workspace, chapter: Chapter) -> tuple[list[Module], list[str]]:
    """Export the student's notebook; returns its modules and remarks.

    Raises TitoError, and writes nothing, where it is broken.
    """
    modules = export_text(workspace, chapter)
    write_chapter(workspace, f"export {chapter.number}", None, b"", modules, keep_all=False)
    return modules, remarks(workspace, chapter, modules)


def hours_for(chapter: Chapter, depth: str) -> float:
    """How long a chapter is expected to take, in halves of an hour."""
    return halves_of(minutes_for(without_solutions(chapter, depth), depth)) / 2


def beginning(chapter: Chapter, depth: str) -> dict:
    """The notebook that a student starts with."""
    return handout(chapter, without_solutions(chapter, depth), depth)


def is_untouched(workspace: Workspace, chapter: Chapter) -> bool:
    """Return whether nothing was written into the notebook of a chapter; outputs do not count. Raises TitoError."""
    mine = read_notebook(workspace.notebook(chapter))
    fresh_one = beginning(chapter, workspace.depth(chapter) or GUIDED)
    sources = [source_of(cell) for cell in mine["cells"] if source_of(cell) != INSTALL]
    return sources == [source_of(cell) for cell in fresh_one["cells"]]


def without_solutions(chapter: Chapter, depth: str) -> dict:
    return in_open_form(chapter) if depth == OPEN else stripped(chapter.notebook)


def fresh(chapter: Chapter, depth: str = GUIDED) -> tuple[bytes, list[Module]]:
    """The notebook that a student starts with, and the stubs that it exports."""
    content = notebook_bytes(beginning(chapter, depth))
    with tempfile.TemporaryDirectory(prefix="tito-") as folder:
        path = Path(folder, chapter.notebook.name)
        path.write_bytes(content)
        return content, export(path, FROM_PACKAGE)


# ---- two depths


def in_open_form(chapter: Chapter) -> dict:
    return opened(chapter.notebook, names_given(tuple(made.notebook for made in chapters())))


@cache
def names_given(notebooks: tuple[Path, ...]) -> dict[str, set[str]]:
    """By path in the package: the names that stay as they are. One look at the whole course serves all its chapters."""
    return given_names(package_texts(list(notebooks), PACKAGE_FOLDER))


def change_depth(workspace: Workspace, chapter: Chapter, depth: str) -> list[str]:
    """Set aside what is there, and put in its place what was set aside of the other depth, or else its beginning."""
    here = files_of(workspace, chapter)
    waiting = aside(workspace, chapter, depth)
    files = {workspace.folder / path.relative_to(waiting): path.read_bytes()
             for path in sorted(waiting.rglob("*"), reverse=True) if path.is_file()}  # fmt: skip
    if workspace.notebook(chapter) not in files:
        content, modules = fresh(chapter, depth)
        files = {workspace.notebook(chapter): content}
        files |= {workspace.exported(module.path): module.text.encode() for module in modules}
    workspace.back_up(f"start {chapter.number} --{depth}", list(dict.fromkeys([*here, *files])))
    set_aside(workspace, chapter)
    write_all(files)
    for path in here:
        if path not in files:
            path.unlink()
    workspace.record("exported", **{workspace.shown(path): digest(content) for path, content in files.items()
                                    if path != workspace.notebook(chapter)})  # fmt: skip
    return [workspace.shown(path) for path in files]


def set_aside(workspace: Workspace, chapter: Chapter) -> None:
    """Copy notebook and exported files of a chapter to where its depth is kept while it has the other one."""
    folder = aside(workspace, chapter, workspace.depth(chapter))
    copies = {folder / path.relative_to(workspace.folder): path.read_bytes() for path in files_of(workspace, chapter)}
    write_all(copies)
    for path in folder.rglob("*"):
        if path.is_file() and path not in copies:
            path.unlink()


def aside(workspace: Workspace, chapter: Chapter, depth: str) -> Path:
    return workspace.folder / RECORDS / "depths" / chapter.name / depth


def files_of(workspace: Workspace, chapter: Chapter) -> list[Path]:
    """The notebook of a chapter, and all that lies there of what the chapter or the notebook exports."""
    notebook = workspace.notebook(chapter)
    try:
        mine = exported_files(read_notebook(notebook))
    except TitoError:
        mine = {}
    paths = [notebook, *(workspace.exported(path) for path in dict.fromkeys([*chapter.files, *mine]))]
    return [path for path in paths if path.is_file()]


def undo(workspace: Workspace) -> list[str]:
    """Take back what last overwrote something; of a change of depth, what was written since waits in its place."""
    command = workspace.next_undo()
    changed = re.fullmatch(r"start (\S+) --(open|guided)", command or "")
    if changed and workspace.depth(chapter_of(changed[1])) == changed[2]:
        set_aside(workspace, chapter_of(changed[1]))
    return workspace.undo()


# ---- what the notebook exports


def export_text(workspace: Workspace, chapter: Chapter) -> list[Module]:
    """Return what the student's notebook exports, in memory. Raises TitoError where that cannot be."""
    notebook = workspace.notebook(chapter)
    if not notebook.exists():
        raise TitoError(f"{workspace.shown(notebook)} is not there: `tito start {chapter.number}` makes it")
    read_notebook(notebook)
    modules = export(notebook, FROM_PACKAGE, left_out=GIVEN_NOW)
    paths = [module.path for module in modules]
    missing = [path for path in chapter.files if path not in paths]
    if missing:
        raise TitoError(
            f"{notebook.name}: no cell exports {', '.join(missing)} any more: a line such as `#| default_exp nn.module`"
            f" or `#| export nn.init` was lost, or the notebook is of another version of the course;"
            f" `tito diff {chapter.number} --anyway` shows where, `tito reset {chapter.number}` begins it again"
        )
    owners = {path: other for other in chapters() for path in other.files}
    for path in paths:
        if path in owners and owners[path] != chapter:
            raise TitoError(f"{notebook.name} exports {path}, which belongs to {owners[path].name}: rename it")
        if (PACKAGE_FOLDER / path).is_file() and path not in owners or (PACKAGE_FOLDER / path[:-3]).is_dir():
            raise TitoError(f"{notebook.name} exports {path}, which tinytorch has already: rename it")
    return modules


def copies(workspace: Workspace, chapter: Chapter) -> list[str]:
    """Notebooks that look like the chapter's, such as "03_tensor (1).ipynb": what a browser or an editor makes."""
    own = workspace.notebook(chapter)
    return sorted(workspace.shown(path) for path in own.parent.glob(f"*{own.stem}*.ipynb") if path != own)


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


def renamed(path: str, text: str) -> dict[str, str]:
    """{name that a file of the reference has: the name that seems to have taken its place in `text`, a student's}."""
    mine, reference = all_names(ast.parse(text)), public_names(path)
    spare, found = {name.lower(): name for name in mine - reference}, {}
    for name in sorted(reference - mine):
        for near in get_close_matches(name.lower(), spare, n=1, cutoff=0.7):
            found[name] = spare.pop(near)
    return found


def renamed_in(workspace: Workspace) -> list[str]:
    """What the student's exported files call by another name, a line each."""
    files = {path: workspace.exported(path).read_text(encoding="utf-8") for path in workspace.yours()}
    return [rename_back(path, *pair) for path, text in files.items() for pair in renamed(path, text).items()]


def rename_back(path: str, name: str, other: str) -> str:
    return f"{path} has no {name}, but {other}, which the course does not know: call it {name} again"


def remarks(workspace: Workspace, chapter: Chapter, modules: list[Module]) -> list[str]:
    """Return what a student may have lost by accident: public names, and checks no longer the course's."""
    found = []
    for module in modules:
        other = renamed(module.path, module.text)
        lost = sorted(public_names(module.path) - all_names(ast.parse(module.text)) - other.keys())
        if lost:
            found.append(f"{module.path} has no {', '.join(lost)} any more: did a cell lose its `#| export` line?")
        found += [rename_back(module.path, *pair) for pair in other.items()]
    found += [
        f"{path} comes with the package now: what the notebook exports there is left out"
        for path in exported_files(read_notebook(workspace.notebook(chapter)))
        if path in GIVEN_NOW
    ]
    everything = {path: workspace.exported(path).read_text(encoding="utf-8") for path in workspace.yours()}
    paths = [module.path for module in modules]
    notebook, fresh_one = read_notebook(workspace.notebook(chapter)), stripped(chapter.notebook)
    ids = {cell.get("id") for cell in notebook["cells"]}
    of_old = workspace.depth(chapter) == GUIDED and any(cell["id"] not in ids for cell in fresh_one["cells"])
    own = workspace.notebook(chapter).stat().st_mtime_ns
    found += [
        f"{name} was saved later than {workspace.notebook(chapter).name}, which counts; is it the one you work in?"
        for name in copies(workspace, chapter)
        if (workspace.folder / name).stat().st_mtime_ns > own
    ]
    found += [f"{path}: {why}" for path, why in misfits(everything, of_old).items() if path in paths]
    found += [
        f"cells {' and '.join(map(str, numbers))} are all named {name}, and only the first is graded: make one of them"
        for name, numbers in named_twice(notebook).items()
    ]
    mine, theirs = checks(notebook), checks(fresh_one)
    for name, source in theirs.items():
        if mine.get(name) != source:
            found.append(f"the check {name} was {'changed' if name in mine else 'removed'}: the suite decides anyway")
    return found


def checks(notebook: dict) -> dict[str, str]:
    return {grading(c)["grade_id"]: source_of(c).rstrip() for c in notebook["cells"] if grading(c).get("grade")}


def changed_since_export(workspace: Workspace, chapter: Chapter) -> bool:
    """Return whether the notebook as saved exports something else than what lies in exported/. Raises TitoError."""
    modules = export_text(workspace, chapter)
    return any(digest_of(workspace.exported(module.path)) != digest(module.text.encode()) for module in modules)


# ---- help


def not_written(workspace: Workspace, chapter: Chapter) -> list[str]:
    """The exercises where something is still to be written; in open form the functions. Raises TitoError."""
    if workspace.depth(chapter) != OPEN:
        return open_exercises(read_notebook(workspace.notebook(chapter)))
    return [name for name, text in by_function(workspace, chapter).items() if OPEN_EXERCISE.search(text)]


def to_write(workspace: Workspace, chapter: Chapter) -> list[str]:
    """All exercises; in open form all functions."""
    return list(promised(chapter) if workspace.depth(chapter) == OPEN else exercises(chapter.content))


def chosen_exercise(workspace: Workspace, chapter: Chapter, name: str | None) -> str:
    """The exercise of this name; else one that is written and that the last test failed in, else the first open one.

    In open form the functions are the exercises. Raises TitoError for an unknown name.
    """
    every = to_write(workspace, chapter)
    if name:
        if name not in every:
            what = "function" if workspace.depth(chapter) == OPEN else "exercise"
            raise TitoError(f"{chapter.name} has no {what} {name!r}: expected one of {', '.join(every)}")
        return name
    mine = not_written(workspace, chapter) if workspace.started(chapter) else every
    failed = (workspace.last_test(chapter) or {}).get("exercises", [])
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


def by_function(workspace: Workspace, chapter: Chapter) -> dict[str, str]:
    """{name: source} of the functions in the notebook's exported cells. Raises TitoError."""
    try:
        return exported_functions(read_notebook(workspace.notebook(chapter)))
    except SyntaxError:
        export_text(workspace, chapter)  # says where
        raise


def exported_functions(notebook: dict) -> dict[str, str]:
    cells = [without_markers(source_of(cell)) for cell, _ in exporting(notebook)]
    return {name: text for source in cells for name, text in functions(source).items()}


def promise(chapter: Chapter, name: str) -> str:
    """Return what a function has to do: what the chapter says above its cell, its signature and its docstring."""
    text, cells = promised(chapter)[name], chapter.content["cells"]
    exported = {id(cell) for cell, _ in exporting(chapter.content)}
    at = next(i for i, cell in enumerate(cells)
              if id(cell) in exported and name in functions(without_markers(source_of(cell))))  # fmt: skip
    above = [source_of(cell) for cell in cells[:at] if cell["cell_type"] == "markdown"]
    statement = next((said for said in reversed(above) if not said.startswith("**Hints**")), "")
    return f"{statement}\n\n{OPEN_EXERCISE.sub('', text).rstrip()}".strip()


def promised(chapter: Chapter) -> dict[str, str]:
    """{name: stub} of all functions that the student writes in open form."""
    every = exported_functions(in_open_form(chapter))
    return {name: text for name, text in every.items() if OPEN_EXERCISE.search(text)}


def differences(workspace: Workspace, chapter: Chapter) -> dict[str, tuple[list[str], list[str]]]:
    """exercise: (lines of the student's, lines of the reference's), for each that differs; by function in open form."""
    if workspace.depth(chapter) == OPEN:
        mine, written = by_function(workspace, chapter), exported_functions(chapter.content)
        reference = {name: written[name] for name in promised(chapter)}
    else:
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
