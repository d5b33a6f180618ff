"""The commands of `tito`, on top of functions that take the root folder."""

import re
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from tito.build import build as build_package
from tito.build import check as check_package
from tito.build import orphans
from tito.export import PACKAGE, export_all
from tito.lines import report
from tito.notebooks import run_notebook
from tito.pictures import too_large, write_pictures
from tito.project import TitoError, chosen_notebooks, find_root
from tito.runs import draw, find_runs, rows, show

style = {"rich_markup_mode": "rich" if sys.stdout.isatty() else None, "no_args_is_help": True}
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, **style)
dev = typer.Typer(help="For those who write the chapters.", **style)
app.add_typer(dev, name="dev")

Root = Annotated[
    Path | None,
    typer.Option(help="The repository; else the nearest upwards from here.", show_default=False),
]
Chapters = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NN]...", help="Numbers or names; all when left out.", show_default=False),
]


@app.callback()
def common() -> None:
    """The tinytorch course tool."""


@app.command()
def build(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 where they differ.")] = False,
    root: Root = None,
) -> None:
    """Build tinytorch/ from modules/*.ipynb.

    Writes the files whose content changes, then prints the lines of code, chapter by chapter.

    Exit status: 0 done; 1 notebooks and package do not agree; 2 a broken notebook, nothing is written.
    """
    with bad_input_exits_2():
        folder = root_folder(root)
        modules = export_all(folder)
        if check:
            stop_at(check_package(folder, modules))
            print(f"{PACKAGE}/ is what its notebooks say")
            return
        for path in build_package(folder, modules):
            print(f"wrote {PACKAGE}/{path}")
        print(report(folder, modules))
        stop_at(orphans(folder, modules))


@app.command()
def runs(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help="Names or folders; all when left out.", show_default=False),
    ] = None,
    folder: Annotated[Path, typer.Option(help="Where the runs are.")] = Path("runs"),
    plot: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw their curves into this file.", show_default=False)
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="What to draw; else the loss and what was evaluated.", show_default=False)
    ] = None,
) -> None:
    """List training runs and compare them.

    State, steps, best metric, last loss, time, and the settings in which they differ.

    Exit status: 0 done; 2 no such run, or nothing to draw.
    """
    with bad_input_exits_2():
        chosen = find_runs(folder, names or [])
        show(rows(chosen))
        if plot is not None:
            print(f"wrote {plot}: {', '.join(draw(chosen, plot, metric))}")


@dev.command()
def notebooks(
    chapters: Chapters = None,
    timeout: Annotated[int, typer.Option(min=1, help="Seconds a cell may take.")] = 600,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Put the pictures drawn, and nothing else, into the notebooks.")
    ] = False,
    root: Root = None,
) -> None:
    """Run notebooks from top to bottom.

    Each runs in a fresh process and a temporary folder; without --pictures the notebooks are not changed,
    and one that fails never is.

    Exit status: 0 all ran; 1 some cell failed; 2 no such chapter, or a notebook edited while it ran.
    """
    failures = 0
    with bad_input_exits_2():
        folder = root_folder(root)
        chosen = chosen_notebooks(folder, chapters or [])
        for notebook in chosen:
            run = run_notebook(notebook, folder, timeout)
            failures += bool(run.failure)
            sizes, saved = {}, ""
            if pictures and not run.failure:
                sizes = write_pictures(notebook, run.executed)
                drawn = [size for cell in sizes.values() for size in cell]
                saved = f"  {len(drawn)} pictures, {sum(drawn) / 1000:.0f} KB"
            verdict = "failed" if run.failure else "ran"
            print(f"{notebook.stem:20} {verdict:6} {run.seconds:6.1f} s{saved}", flush=True)
            for problem in [plain(run.failure)] if run.failure else too_large(sizes):
                print(problem, file=sys.stderr)
    if failures:
        stop_at([f"{failures} of {len(chosen)} notebooks failed"])


def root_folder(root: Path | None) -> Path:
    if root is None:
        return find_root(Path.cwd())
    if not (root / "modules").is_dir():
        raise TitoError(f"--root {root}: expected a folder that holds modules/")
    return root.resolve()


def stop_at(problems) -> None:
    """Exit with status 1 after naming the problems, if there are any."""
    problems = list(problems)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        raise typer.Exit(1)


@contextmanager
def bad_input_exits_2():
    try:
        yield
    except TitoError as error:
        print(f"tito: {error}", file=sys.stderr)
        raise typer.Exit(2) from error


def plain(text: str) -> str:
    """Text without colours, unless a terminal shows them."""
    return text if sys.stderr.isatty() else re.sub(r"\x1b\[[0-9;]*m", "", text)
