"""The notebook that a student starts with: the reference without its solutions, hidden tests and outputs."""

import json
import re
from pathlib import Path

from tito.files import read_file
from tito.overlay import OPEN_EXERCISE
from tito.project import TitoError

STUB = "raise NotImplementedError  # your code here"
STILL_OPEN = 'raise NotImplementedError("exercise {} is still open: replace this line")'
_directive = re.compile(r"#\s*\|\s*(default_exp|exporti?)\b[ \t]*(\S*)")
_old_directive = re.compile(r"#\s*exporti?|#(exporti?|default_exp)\s+[\w.]+")  # of nbdev 1


def read_notebook(path: Path) -> dict:
    """A notebook as JSON says it, but for a byte order mark; a cell without metadata gets empty ones.

    Raises TitoError, which says why, where it is none, or none that Python can run.
    """
    try:
        content = read_file(path)
    except OSError as error:
        raise TitoError(f"{path}: {error.strerror}") from error
    return notebook_of(content, path)


def notebook_of(content: bytes, path: Path) -> dict:
    """As `read_notebook`, of the bytes of a file; errors call it `path`."""
    try:
        notebook = json.loads(content.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise TitoError(f"{path}: not a notebook: {no_json(error)}") from error
    except (ValueError, RecursionError) as error:
        raise TitoError(f"{path}: not a notebook: expected JSON in UTF-8 ({error})") from error
    if isinstance(notebook, dict) and "worksheets" in notebook:
        raise TitoError(f"{path}: an old notebook: its format is {notebook.get('nbformat')}, expected 4:"
                        " `jupyter nbconvert --to notebook` makes one of it")
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list):
        raise TitoError(f"{path}: not a notebook: expected JSON with a list of cells")
    for number, cell in enumerate(cells, 1):
        try:
            source, _, cell["metadata"] = source_of(cell), cell["cell_type"] + "", dict(cell.get("metadata") or {})
            dict(cell["metadata"].get("nbgrader") or {})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TitoError(f"{path}: not a notebook: cell {number} lacks source, type or metadata") from error
        if half := re.search("[\ud800-\udfff]", source):
            raise TitoError(f"{path}: cell {number} holds half a character, {ascii(half[0])}: delete it")
    return notebook


def no_json(error: json.JSONDecodeError) -> str:
    """Where a text stops being JSON, that line, and what can be done about it."""
    lines = error.doc.split("\n")
    line = lines[error.lineno - 1].strip() if error.lineno <= len(lines) else ""
    return (
        f"expected JSON in UTF-8; line {error.lineno}, column {error.colno}: {error.msg}\n    {line[:100]}\n"
        "mend that line in a text editor, or put an earlier copy in its place:"
        " Jupyter keeps one in .ipynb_checkpoints beside the notebook, tito in .tito/backups"
    )


def notebook_bytes(notebook: dict) -> bytes:
    return (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode()


def stripped(path: Path) -> dict:
    """The notebook at `path` as a student gets it; ids and metadata stay.

    Raises TitoError for markers that do not pair.
    """
    notebook = read_notebook(path)
    for number, cell in enumerate(notebook["cells"], 1):
        if cell["cell_type"] == "code":
            stub = STILL_OPEN.format(grading(cell)["grade_id"]) if grading(cell).get("solution") else STUB
            source = without_regions("".join(cell["source"]), f"{path.name}, cell {number}", stub)
            cell.update(source=source.splitlines(keepends=True), outputs=[], execution_count=None)
    return notebook


def without_regions(source: str, where: str, stub: str = STUB) -> str:
    """`source` with `stub` in the place of each solution, at its indentation, and without hidden tests."""
    for name, instead in {"SOLUTION": stub, "HIDDEN TESTS": ""}.items():
        kept, inside = [], False
        for line in source.split("\n"):
            marker = re.fullmatch(rf"(\s*)### (BEGIN|END) {name}\s*", line)
            if marker and (marker[2] == "END") != inside:
                raise TitoError(f"{where}: ### {marker[2]} {name} without its partner: markers stand in pairs")
            if marker and not inside and instead:
                kept.append(marker[1] + instead)
            if not marker and not inside:
                kept.append(line)
            inside = inside != bool(marker)
        if inside:
            raise TitoError(f"{where}: ### BEGIN {name} without its partner: markers stand in pairs")
        source = "\n".join(kept)
    return source.rstrip("\n") if source.strip() else source


# ---- what is in a notebook


def source_of(cell: dict) -> str:
    return "".join(cell["source"])


def grading(cell: dict) -> dict:
    """The nbgrader metadata of a cell; empty for none."""
    return cell["metadata"].get("nbgrader") or {}


def exercises(notebook: dict) -> dict[str, str]:
    """name: source, for each cell that a student fills in; of a cell that was split, both halves."""
    found: dict[str, list[str]] = {}
    for cell in notebook["cells"]:
        if grading(cell).get("solution"):
            found.setdefault(grading(cell)["grade_id"], []).append(source_of(cell))
    return {name: "\n".join(sources) for name, sources in found.items()}


def named_twice(notebook: dict) -> dict[str, list[int]]:
    """name: numbers of the cells, from 1, that have this `grade_id`, where these are several."""
    places: dict[str, list[int]] = {}
    for number, cell in enumerate(notebook["cells"], 1):
        if name := grading(cell).get("grade_id"):
            places.setdefault(name, []).append(number)
    return {name: numbers for name, numbers in places.items() if len(numbers) > 1}


def unheard_directive(source: str) -> str:
    """The line that was meant to export a cell and does not, "" for none: below other lines, or in nbdev's old form."""
    seen = ""  # what stands above: nothing, comments, code
    for line in map(str.strip, source.split("\n")):
        if _directive.fullmatch(line) and seen or _old_directive.fullmatch(line) and seen != "code":
            return line
        if line and not re.match(r"#\s*\|", line):
            seen = "comments" if line.startswith("#") and seen != "code" else "code"
    return ""


def open_exercises(notebook: dict) -> list[str]:
    """The names of the exercises where something is still to be written."""
    return [name for name, source in exercises(notebook).items() if OPEN_EXERCISE.search(source)]


def exporting(notebook: dict) -> list[tuple[dict, str]]:
    """(cell, path in the package) for each cell that is exported, in order."""
    default, cells = None, []
    for cell in notebook["cells"]:
        for line in source_of(cell).split("\n") if cell["cell_type"] == "code" else []:
            match = _directive.fullmatch(line.strip())
            if match and match[1] == "default_exp":
                default = match[2]
            elif match:
                cells.append((cell, match[2]))
    return [(cell, (name or default).replace(".", "/") + ".py") for cell, name in cells if name or default]


def exported_files(notebook: dict) -> dict[str, bool]:
    """Paths in the package that the notebook's cells export to, in order: does one of those cells hold an exercise?"""
    files = {}
    for cell, path in exporting(notebook):
        files[path] = files.get(path, False) or bool(grading(cell).get("solution"))
    return files


def is_marker(line: str) -> bool:
    return bool(re.fullmatch(r"\s*### (BEGIN|END) (SOLUTION|HIDDEN TESTS)\s*", line))


def without_markers(source: str) -> str:
    return "\n".join(line for line in source.split("\n") if not is_marker(line))
