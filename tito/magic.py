"""Run `%tito check 03` in a notebook: below the cell stands what a terminal would say. `%reload_ext tito` brings it."""

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from tito.inpage import in_page
from tito.layout import names_defined
from tito.live import Heard, LiveCurve
from tito.project import TitoError
from tito.strip import read_notebook, source_of
from tito.workspace import MARKER, NOTEBOOKS, find_workspace, furnish

UNSAVED = "note: what you ran in this notebook is not what is saved: save it (Ctrl+S), and run this cell again\n"


def run_tito(line: str, ran: list[str]) -> None:
    """Run `tito LINE` in the workspace of the notebook. `ran`: the sources of the cells that were run, in order."""
    words = line.split()
    if words[:1] and words[0] in ("check", "export", "test") and is_unsaved(words[1:], ran):
        print(UNSAVED)
    curve = LiveCurve(below_the_cell() if words[:2] == ["milestone", "run"] else lambda picture: None)
    if in_page():
        with redirect_stdout(Heard(sys.stdout, curve.hear)):
            tito_here(words)
    else:
        tito_elsewhere(words, curve.hear)
    curve.draw()


def below_the_cell() -> Callable[[str], None]:
    """Return what shows an SVG below the cell that runs; each time in the place of the one before."""
    from IPython.display import HTML, display

    place = display(HTML(""), display_id=True)
    return lambda picture: place.update(HTML(picture))


def tito_elsewhere(words: list[str], hear: Callable[[str], None]) -> None:
    """Say `tito WORDS` in a process, and print what it says line by line."""
    process = subprocess.Popen([sys.executable, "-m", "tito", *words], text=True, encoding="utf-8",
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env=os.environ | {"PYTHONUNBUFFERED": "1"})  # fmt: skip
    with process:
        try:
            for said in process.stdout:
                print(said, end="", flush=True)
                hear(said)
        except KeyboardInterrupt:  # the stop button
            process.kill()


def tito_here(words: list[str]) -> int:
    """Say `tito WORDS` in this process; return the exit status."""
    from tito.commands import app

    try:
        furnish_page()
        with redirect_stderr(sys.stdout):
            app(words, prog_name="tito")
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def furnish_page() -> None:
    """A page comes with notebooks alone: around them, make a workspace of the folder above the one that holds them."""
    folder = Path.cwd()
    if not any((up / MARKER).is_file() for up in (folder, *folder.parents)) and folder.name == NOTEBOOKS.name:
        furnish(folder.parent)


def is_unsaved(numbers: list[str], ran: list[str]) -> bool:
    """Return whether a cell that these chapters export was last run as something else than what is saved."""
    try:
        folder = find_workspace().folder / NOTEBOOKS
        notebooks = [read_notebook(path) for number in numbers for path in folder.glob(f"{number}_*.ipynb")]
    except TitoError:
        return False
    saved = [source_of(cell) for notebook in notebooks for cell in notebook["cells"]]
    last = {names: source.strip() for source in ran if (names := exported_names(source))}
    return any(last.get(exported_names(source), source.strip()) != source.strip() for source in saved)


def exported_names(source: str) -> frozenset[str]:
    """The names that a cell with `#| export` defines; none for other cells."""
    if not source.lstrip().startswith("#| export"):
        return frozenset()
    try:
        return frozenset(name for node in ast.parse(source).body for name in names_defined(node))
    except SyntaxError:
        return frozenset()
