"""What somebody handed in, as a notebook that can be graded: text in the frame of what was released."""

import json
from pathlib import Path

from tito.files import read_file
from tito.project import TitoError
from tito.strip import grading, source_of

MOST_BYTES = 20 << 20
MOST_CELLS = 2000
KINDS = ("code", "markdown", "raw")


def submitted_notebook(path: Path) -> dict:
    """The notebook at `path`, which may be anything. Raises TitoError where it is none."""
    if any(folder.is_symlink() for folder in (path, path.parent)):
        raise TitoError("is a link: expected a notebook")
    try:
        notebook = json.loads(read_file(path, MOST_BYTES).decode("utf-8-sig"))
        cells = [(cell["cell_type"], source_of(cell), cell.get("metadata")) for cell in notebook["cells"]]
        if len(cells) > MOST_CELLS or not all(kind in KINDS for kind, *_ in cells):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TitoError("is missing or not a notebook") from error
    return notebook


def gradable(submitted: dict, released: dict) -> tuple[dict, list[str]]:
    """Return the text of the submission in the frame of what was released, and what is to be said of it.

    Of two cells with one name, the first has it. Cells that are missing come back. Names, points, outputs and settings
    are those of the release.
    """
    theirs = {name: cell for cell in released["cells"] if (name := grading(cell).get("grade_id"))}
    cells, names, remarks = [], [], []
    for cell in submitted["cells"]:
        name = name_of(cell)
        if name in names and name in theirs:
            remarks.append(f"two cells are named {name}: the first counts, the second runs")
        name = name if name in theirs and name not in names else None
        kind = theirs[name]["cell_type"] if name else cell["cell_type"]
        cells.append(plain_cell(kind, source_of(cell), grading(theirs[name]) if name else None))
        names.append(name)
    for number, (name, cell) in enumerate(theirs.items()):
        if name not in names:
            remarks.append(f"{name} is missing")
            place = names.index(list(theirs)[number - 1]) + 1 if number else 0
            cells.insert(place, plain_cell(cell["cell_type"], source_of(cell), grading(cell)))
            names.insert(place, name)
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    return released | {"nbformat": 4, "nbformat_minor": 5, "cells": cells}, remarks


def name_of(cell: dict) -> str | None:
    """The name that a submitted cell claims, if its metadata are anything like metadata."""
    metadata = cell.get("metadata")
    known = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    name = known.get("grade_id") if isinstance(known, dict) else None
    return name if isinstance(name, str) else None


def plain_cell(kind: str, source: str, known: dict | None) -> dict:
    source = source.encode("utf-8", "replace").decode()  # no half characters
    cell = {"cell_type": kind, "metadata": {"nbgrader": known} if known else {}, "source": source}
    return cell | ({"outputs": [], "execution_count": None} if kind == "code" else {})
