"""A student's workspace: where things are in it, what was recorded there, and backups of what is overwritten.

    README.md  pytest.ini  modules/  exported/tinytorch/  tests/  milestones/  runs/
    .tito/workspace.json   the marker: this folder is a workspace
    .tito/state.json       what was exported, tested and passed, by digests of the bytes
    .tito/backups/         a folder for each time that something was overwritten
    .tito/depths/          what was written of a chapter in the other depth than now, guided or open
"""

import json
import os
import re
import shutil
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

from tito import __version__
from tito.course import SCRIPTS, Chapter, course_files
from tito.files import digest, digest_of, read_file, sync_folder, write_whole
from tito.overlay import EXPORTED, MARKER, NOTEBOOKS, OPEN_EXERCISE, VARIABLE, exported_files, of_another_user
from tito.project import TitoError

RECORDS = MARKER.parent  # the folder for what tito keeps
GUIDED, OPEN = "guided", "open"  # exercises to fill in, or all functions from signature and docstring

PYTEST_INI = """\
[pytest]
testpaths = tests
addopts = --import-mode=importlib
pythonpath = tests
"""
README = """\
# My tinytorch

    tito start 01      the first notebook, in modules/
    tito lab 01        opens it in JupyterLab
    tito check 01      exports what you wrote, and tests it
    tito hint 01       when you are stuck
    tito status        what is yours, what is green

What you export takes the place of the reference's file; everything else is the reference. So you may start with any
chapter. `tito milestone list` shows what your code can learn, `tito undo` takes back what overwrote your work, and
`tito --help` lists the rest.
"""


@dataclass(frozen=True)
class Workspace:
    folder: Path
    said: list[str] = field(default_factory=list, compare=False)  # what the user should hear of

    # ---- where things are

    def notebook(self, chapter: Chapter) -> Path:
        return self.folder / NOTEBOOKS / chapter.notebook.name

    def exported(self, path: str) -> Path:
        return self.folder / EXPORTED / path

    def shown(self, path: Path) -> str:
        """`path` as the user should read it: from the workspace on."""
        return path.relative_to(self.folder).as_posix()

    def started(self, chapter: Chapter) -> bool:
        return self.notebook(chapter).exists()

    def depth(self, chapter: Chapter) -> str | None:
        """The form in which the chapter is begun, as its notebook, broken or not, says it; None for not begun."""
        if not self.started(chapter):
            return None
        try:
            return OPEN if re.search(rb'"depth":\s*"open"', read_file(self.notebook(chapter))) else GUIDED
        except OSError as error:
            raise TitoError(f"{self.shown(self.notebook(chapter))}: {error.strerror}") from error

    def yours(self) -> list[str]:
        """Paths in the package of all that is exported here."""
        return list(exported_files(self.folder))

    def open(self, path: str) -> bool:
        """Return whether an exported file has open exercises."""
        file = self.exported(path)
        return file.is_file() and bool(OPEN_EXERCISE.search(file.read_text(encoding="utf-8", errors="replace")))

    def written(self, chapter: Chapter) -> bool:
        """Return whether code of the student's for this chapter runs outside of its tests: exported, and no stub."""
        return any(
            (exercise or self.depth(chapter) == OPEN) and self.exported(path).is_file() and not self.open(path)
            for path, exercise in chapter.files.items()
        )

    # ---- what was recorded

    @cached_property
    def state(self) -> dict:
        """exported, course, tests, hints, failures, milestones: each a dict that may be missing."""
        path = self.folder / RECORDS / "state.json"
        try:
            state = json.loads(read_file(path)) if path.exists() else {}
            if not all(isinstance(part, dict) for part in [state, *state.values()]):
                raise ValueError
        except (OSError, ValueError, AttributeError, RecursionError) as error:
            raise TitoError(
                f"{path}: not what tito wrote; delete it to begin the records again (your work is not in it)"
            ) from error
        return state

    def recorded(self, part: str) -> dict:
        return self.state.get(part, {})

    def record(self, part: str, **entries) -> None:
        self.state.setdefault(part, {}).update(entries)
        write_whole(self.folder / RECORDS / "state.json", json.dumps(self.state, indent=1).encode())

    def last_test(self, chapter: Chapter) -> dict | None:
        """Return what came of the suite, when it last ran on the chapter in the form that it has now."""
        return self.recorded("tests").get(self.name_of_test(chapter))

    def name_of_test(self, chapter: Chapter) -> str:
        return f"{chapter.name}, open" if self.depth(chapter) == OPEN else chapter.name

    def fingerprint(self, chapter: Chapter, suite: list[str]) -> str:
        """A digest of what a run of the suite of `chapter` depends on that is the student's, and of the suite.

        That is every exported file but those of later chapters and the stubs of others, so that going on, here or
        there, does not age what was earned.
        """
        from tito.course import chapters

        later = {path for made in chapters() if made.name > chapter.name for path in made.files}
        mine = [self.exported(path) for path in self.yours()
                if path in chapter.files or path not in later and not self.open(path)]  # fmt: skip
        files = mine + [self.folder / path for path in suite]
        return digest("\n".join(f"{self.shown(file)} {digest_of(file)}" for file in files).encode())

    # ---- writing

    def write(self, command: str, files: dict[Path, bytes], keep: list[Path]) -> list[str]:
        """Write `files` in order, after a backup of those in `keep` that this changes; returns what changed."""
        changed = {path: content for path, content in files.items() if digest_of(path) != digest(content)}
        self.back_up(command, [path for path in keep if path in changed])
        for path, content in changed.items():
            write_whole(path, content)
        return [self.shown(path) for path in changed]

    def back_up(self, command: str, files: list[Path], offered: bool = True) -> Path | None:
        """A copy of the files as they are ("not there" included), before `command` changes them; None for nothing.

        The next `undo` goes back to it, unless it is not `offered`.
        """
        if not any(file.exists() for file in files):
            return None
        backups = self.folder / RECORDS / "backups"
        stem = f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{command.replace(' ', '_')}"
        name = next(n for i in range(1, 10_000) if not (backups / (n := f"{stem}_{i}" if i > 1 else stem)).exists())
        partial = backups / f".{name}.{os.getpid()}"
        saved = [file for file in files if file.exists()]
        for file in saved:
            write_whole(partial / "files" / file.relative_to(self.folder), read_file(file))
        what = {
            "command": command,
            "saved": [self.shown(file) for file in saved],
            "absent": [self.shown(file) for file in files if file not in saved],
            "exported": {n: self.recorded("exported").get(n) for n in map(self.shown, files)},
        }
        write_whole(partial / "what.json", json.dumps(what, indent=1).encode())
        if not offered:
            write_whole(partial / "undone", b"")
        os.replace(partial, backups / name)
        sync_folder(backups)
        self.said.append(f"backed up {', '.join(what['saved'])} to {self.shown(backups / name)}")
        return backups / name

    def backups(self) -> list[Path]:
        """Complete backups that were not taken back yet, the oldest first."""
        found = [path.parent for path in (self.folder / RECORDS / "backups").glob("[0-9]*/what.json")]
        return sorted((path for path in found if not (path / "undone").exists()), key=backup_age)

    def next_undo(self) -> str | None:
        """The command that `undo` would take back."""
        newest = next(reversed(self.backups()), None)
        return newest and self.what_of(newest)["command"]

    def what_of(self, backup: Path) -> dict:
        """Return what a backup says of itself. Raises TitoError where tito did not write that."""
        try:
            what = json.loads(read_file(backup / "what.json"))
            names = [*(what["saved"] + what["absent"] + []), *what.get("exported", {})]
            outside = [name for name in names if not self.is_inside(self.folder / name)]
            if outside or not isinstance(what["command"], str) or any(
                (backup / "files" / name).is_symlink() for name in what["saved"]
            ):
                raise ValueError(f"{outside or 'a link'}")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise TitoError(
                f"{self.shown(backup)}: not what tito wrote, or not of this workspace ({error}); nothing was changed,"
                " delete it to go on"
            ) from error
        return what

    def is_inside(self, path: Path) -> bool:
        """Whether a path, links in it included, leads to something that this workspace may write."""
        real = path.resolve()
        return real == path and real.is_relative_to(self.folder.resolve()) and real != self.folder

    def undo(self) -> list[str]:
        """Put the files of the newest backup back, and back up what that overwrites; returns what changed.

        Raises TitoError where there is none.
        """
        newest = next(reversed(self.backups()), None)
        if newest is None:
            raise TitoError("nothing to undo: no backup is left in .tito/backups")
        what = self.what_of(newest)
        names = what["saved"] + what["absent"]
        self.back_up(f"undo {what['command']}", [self.folder / name for name in names], offered=False)
        for name in what["saved"]:
            write_whole(self.folder / name, read_file(newest / "files" / name))
        for name in what["absent"]:
            (self.folder / name).unlink(missing_ok=True)
        if noted := {name: value for name, value in what.get("exported", {}).items() if value}:
            self.record("exported", **noted)  # so that nobody takes it for edited by hand
        write_whole(newest / "undone", b"")
        return [f"took back `tito {what['command']}`: {', '.join(names)}"]

    # ---- copies of the course's own files

    def renew_course(self) -> None:
        """Bring the copies of tests and milestones up to date; those that were edited here stay as they are."""
        noted = dict(self.recorded("course"))
        for name, content in self.course_contents().items():
            have = digest_of(self.folder / name)
            if have in (None, noted.get(name)) and have != digest(content):
                write_whole(self.folder / name, content)
                noted[name] = digest(content)
            elif have == digest(content):
                noted[name] = have
        if noted != self.recorded("course"):
            self.record("course", **noted)

    def edited(self, *prefixes: str) -> list[str]:
        """Copies under these folders or of these names that are not the course's."""
        return [
            name
            for name, content in self.course_contents().items()
            if name.startswith(prefixes) and digest_of(self.folder / name) != digest(content)
        ]

    @cached_property
    def _contents(self) -> dict[str, bytes]:
        return {"pytest.ini": PYTEST_INI.encode(), **{n: path.read_bytes() for n, path in course_files().items()}}

    def course_contents(self) -> dict[str, bytes]:
        return self._contents


def backup_age(backup: Path) -> tuple[str, int]:
    """Sorts backups of the same second by their number."""
    stamp, _, rest = backup.name[:19], backup.name[19:20], backup.name[20:]
    number = rest.rpartition("_")[2]
    return stamp, (backup / "what.json").stat().st_mtime_ns, int(number) if number.isdigit() else 0


def find_workspace() -> Workspace:
    """The workspace of TINYTORCH_WORKSPACE, else the nearest upwards. Raises TitoError where there is none."""
    named = os.environ.get(VARIABLE)
    if named:
        if not (Path(named) / MARKER).is_file():
            raise TitoError(f"{VARIABLE}={named}: not a workspace, {MARKER.as_posix()} is missing there")
        return checked(Path(named).resolve())
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / MARKER).is_file():
            if stranger := of_another_user(folder):
                raise TitoError(
                    f"{folder} is a workspace in which {stranger} belongs to another user: nothing of it is used;"
                    f" if you trust them with all that you may do, export {VARIABLE}={folder}"
                )
            return checked(folder)
    raise TitoError(f"{here} is in no workspace: make one with `tito new DIR`, and work inside it")


def checked(folder: Path) -> Workspace:
    """Return the workspace in `folder`. Raises TitoError where what is read or written in it is a link to elsewhere."""
    for part in (RECORDS, EXPORTED.parts[0], NOTEBOOKS, "tests", *SCRIPTS):
        top = folder / part
        for path in [top, *(top.rglob("*") if not top.is_symlink() else [])]:
            if path.is_symlink():
                raise TitoError(f"{path} is a link: the files of a workspace lie in it; put a copy there, or remove it")
    try:
        exported_files(folder)
    except ImportError as error:
        raise TitoError(str(error)) from error
    return Workspace(folder)


def new_workspace(folder: Path) -> Workspace:
    """Make a workspace. Raises TitoError where the folder holds something, or lies in a workspace."""
    folder = folder.resolve()
    for up in (folder, *folder.parents):
        if (up / MARKER).is_file():
            raise TitoError(f"{up} is a workspace already: go there, or choose a folder outside of it")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise TitoError(f"{folder} is not an empty folder: choose a new name")
    return furnish(folder)


def furnish(folder: Path) -> Workspace:
    """Make a workspace of a folder; what is there already stays."""
    write_whole(folder / MARKER, json.dumps({"made_by": "tito new", "version": __version__}, indent=1).encode())
    workspace = Workspace(folder)
    workspace.renew_course()
    for made in (NOTEBOOKS, EXPORTED):
        (folder / made).mkdir(parents=True, exist_ok=True)
    if not (folder / "README.md").exists():
        write_whole(folder / "README.md", README.encode())
    return workspace


def remove_leftovers(workspace: Workspace) -> None:
    """Delete backups that a killed command left half made: what they hold was not overwritten."""
    for partial in (workspace.folder / RECORDS / "backups").glob(".*"):
        shutil.rmtree(partial, ignore_errors=True)
