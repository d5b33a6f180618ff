"""`tito pack` and `tito import`: the work of a student as one file, out of a page or a workspace and into another.

A zip archive: the notebooks, what was exported, what waits in the other depth, and what tito recorded of it. Nothing
in an archive is believed: names, sizes and records are checked before anything is written.
"""

import io
import json
import re
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from tito.course import Chapter, chapters
from tito.files import digest, read_file, write_whole
from tito.overlay import EXPORTED, NOTEBOOKS
from tito.project import TitoError
from tito.strip import notebook_of
from tito.student import is_untouched
from tito.workspace import RECORDS, Workspace

NAME = "tinytorch-work.zip"
MARK = "tinytorch-work.json"  # the member that says what this is, and holds the records
MOST_FILES, MOST_BYTES, MOST_OF_ONE = 500, 128 << 20, 32 << 20  # unpacked
DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError)  # what zipfile raises
NEW_YEAR = (1980, 1, 1, 0, 0, 0)  # of every member: the same work makes the same bytes
_part = r"[\w(][\w .()+-]{0,99}"
_name = re.compile(
    rf"(\.tito/depths/{_part}/(guided|open)/)?"
    rf"(modules/{_part}\.ipynb|exported/tinytorch/({_part}/){{0,3}}[A-Za-z_]\w{{0,99}}\.py)", re.ASCII
)
KEPT = {  # part of the records: what an entry must be
    "hints": int,
    "tests": {"date": str, "passed": int, "failed": int, "green": bool, "trouble": str, "exercises": list,
              "fingerprint": str},
    "milestones": {"date": str, "number": str, "chapters": str, "options": str},
}  # fmt: skip


@dataclass(frozen=True)
class Work:
    """What an archive holds: contents by their names in a workspace, and records."""

    files: dict[str, bytes]
    records: dict[str, dict]


# ---- out


def pack(workspace: Workspace) -> bytes:
    """Return an archive with the work in a workspace. Raises TitoError where there is none yet."""
    names = names_of_work(workspace)
    if not names:
        raise TitoError(f"nothing of yours is in {workspace.folder} yet: `tito start 01` begins")
    about = {"made_by": "tito pack", "records": {part: workspace.recorded(part) for part in KEPT}}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            file.writestr(zipfile.ZipInfo(name, NEW_YEAR), read_file(workspace.folder / name), zipfile.ZIP_DEFLATED)
        file.writestr(zipfile.ZipInfo(MARK, NEW_YEAR), json.dumps(about, indent=1), zipfile.ZIP_DEFLATED)
    return archive.getvalue()


def names_of_work(workspace: Workspace) -> list[str]:
    """Return the files of a workspace that are the student's. Raises TitoError for one that no archive could hold."""
    folder = workspace.folder
    begun = [made for made in chapters() if workspace.started(made)]
    untouched = [workspace.notebook(made) for made in begun if only_there(workspace, made)]
    found = [path for path in (folder / NOTEBOOKS).glob("*.ipynb") if path not in untouched]
    found += [*(folder / EXPORTED).rglob("*.py")]
    found += [path for path in (folder / RECORDS / "depths").rglob("*") if path.is_file()]
    names = sorted(workspace.shown(path) for path in found)
    odd = [name for name in names if not _name.fullmatch(name)]
    if odd:
        raise TitoError(f"{', '.join(odd)}: expected names of letters, digits, spaces and ._-+(): rename the file")
    return names


def only_there(workspace: Workspace, chapter: Chapter) -> bool:
    """Return whether a notebook came with a page, and nothing was done with it yet."""
    used = any(workspace.exported(path).exists() for path in chapter.files) or workspace.last_test(chapter)
    try:
        return not used and is_untouched(workspace, chapter)
    except TitoError:  # a broken notebook is somebody's work
        return False


def write_pack(workspace: Workspace, path: Path) -> int:
    """Write the archive to `path`; return how many files are in it. Raises TitoError over a file that is none."""
    content = pack(workspace)
    if path.exists() and not path.is_dir():
        unpacked(path)
    write_whole(path, content)
    return len(names_of_work(workspace))


# ---- in


def unpacked(path: Path) -> Work:
    """Read an archive. Raises TitoError for what is none of ours, or could do harm; nothing is written."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(read_file(path, MOST_BYTES)))
    except OSError as error:
        raise TitoError(f"{path}: {error.strerror}") from error
    except DAMAGED as error:
        raise refused(path, f"it is no zip archive ({error})") from error
    with archive:
        members = archive.infolist()
        check_members(path, members)
        try:
            contents = {member.filename: content_of(path, archive, member) for member in members}
        except (*DAMAGED, OSError) as error:
            raise refused(path, f"it is damaged, or needs a password ({error})") from error
    about = contents.pop(MARK)
    for name, content in contents.items():
        check_content(path, name, content)
    return Work(contents, records_of(path, about))


def refused(path: Path, why: str) -> TitoError:
    return TitoError(f"{path}: {why}; expected a file that `tito pack` wrote. Nothing was changed")


def check_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Raises TitoError for names, kinds and sizes that our archives do not have."""
    names = [member.filename for member in members]
    if MARK not in names:
        raise refused(path, f"it has no {MARK}")
    if len(names) > MOST_FILES:
        raise refused(path, f"it has {len(names)} files, at most {MOST_FILES} are read")
    if len({name.casefold() for name in names}) < len(names):
        raise refused(path, "it has two files of one name")
    for member in members:
        if member.filename != MARK and not _name.fullmatch(member.filename):
            raise refused(path, f"it has a file {ascii(member.filename)}, which is no place for work")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or member.is_dir():
            raise refused(path, f"{member.filename} is a link or no file")
        if member.file_size > MOST_OF_ONE:
            raise refused(path, f"{member.filename} has {member.file_size >> 20} MB, at most {MOST_OF_ONE >> 20}")
    if sum(member.file_size for member in members) > MOST_BYTES:
        raise refused(path, f"unpacked it has more than {MOST_BYTES >> 20} MB")


def content_of(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The content, of which no more is unpacked than it said."""
    with archive.open(member) as file:
        content = file.read(member.file_size + 1)
    if len(content) != member.file_size:
        raise refused(path, f"{member.filename} has another size than it says")
    return content


def check_content(path: Path, name: str, content: bytes) -> None:
    """Raises TitoError for a notebook that is none, and for code that is no text."""
    try:
        if name.endswith(".ipynb"):
            notebook_of(content, Path(name))
        else:
            content.decode()
    except UnicodeDecodeError as error:
        raise refused(path, f"{name} is no text in UTF-8") from error
    except TitoError as error:
        raise refused(path, str(error).split("\n")[0]) from error


def records_of(path: Path, about: bytes) -> dict[str, dict]:
    """The records in an archive. Raises TitoError where they are not as tito writes them."""
    try:
        records = json.loads(about)["records"]
        parts = {part: dict(records.get(part, {})) for part in KEPT}
        wrong = [
            name for part, entries in parts.items() for name, entry in entries.items() if not fits(entry, KEPT[part])
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise refused(path, f"{MARK} is not as expected ({error!r})") from error
    if wrong:
        raise refused(path, f"{MARK}: the record of {ascii(wrong[0])} is not as tito writes it")
    return parts


def fits(entry, kind) -> bool:
    if isinstance(kind, dict):
        return isinstance(entry, dict) and all(name in entry and fits(entry[name], one) for name, one in kind.items())
    return isinstance(entry, kind) and (kind is bool or not isinstance(entry, bool))


def bring_in(workspace: Workspace, path: Path) -> tuple[list[str], int]:
    """Put the work of an archive into a workspace; return (what changed, how many files were the same).

    What is overwritten is backed up first, and `tito undo` takes it all back. Raises TitoError as `unpacked`.
    """
    work = unpacked(path)
    files = {workspace.folder / name: content for name, content in work.files.items()}
    outside = [name for name in work.files if not workspace.is_inside(workspace.folder / name)]
    if outside:
        raise refused(path, f"{outside[0]} would lie outside of the workspace")
    changed = workspace.write(f"import {path.name}", files, list(files))
    exported = {name: digest(content) for name, content in work.files.items() if name.startswith(EXPORTED.as_posix())}
    workspace.record("exported", **exported)
    for part, entries in work.records.items():
        here = workspace.recorded(part)
        workspace.record(part, **(entries | here if part == "milestones" else entries))
    return changed, len(files) - len(changed)
