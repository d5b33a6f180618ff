"""The commands of `tito`, on top of functions that take the root folder."""

import re
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from tito import __version__
from tito.build import build as build_package
from tito.build import check as check_package
from tito.build import orphans
from tito.capstone.commands import app as capstone
from tito.course import chapter as chapter_of
from tito.exercises import exercises as exercises_of
from tito.exercises import problems, table
from tito.export import PACKAGE, export_all
from tito.files import write_whole
from tito.instructor import as_csv
from tito.instructor import autograde as autograde_all
from tito.instructor import feedback as feedback_pages
from tito.instructor import gradebook as gradebook_rows
from tito.instructor import release as release_chapter
from tito.lines import report as line_report
from tito.lite import build_lite
from tito.notebooks import run_notebook
from tito.pictures import too_large, write_pictures
from tito.project import TitoError, chosen_notebooks, find_root
from tito.report import write_report
from tito.runs import draw, find_runs, rows, show
from tito.site.builder import Settings, build_site
from tito.student_commands import app as student
from tito.student_commands import style
from tito.workspace import find_workspace

AUTHORS = "For authors of chapters"


class StudentsFirst(TyperGroup):
    def list_commands(self, context):
        """In the order in which a student meets them, then all others."""
        students = [command.callback.__name__ for command in student.registered_commands]
        return sorted(super().list_commands(context), key=lambda name: name not in [*students, "milestone"])

    def format_commands(self, context, formatter):
        """The same panels in plain text as in a terminal."""
        panels = {}
        for name in self.list_commands(context):
            command = self.get_command(context, name)
            panel = getattr(command, "rich_help_panel", None)
            panels.setdefault(panel if isinstance(panel, str) else "Commands", []).append((name, command))
        for panel, commands in panels.items():
            with formatter.section(panel):
                room = formatter.width - 6 - max(len(name) for name, _ in commands)
                formatter.write_dl([(name, command.get_short_help_str(room)) for name, command in commands])


def print_version(asked: bool) -> None:
    if asked:
        print(f"tinytorch {__version__}")
        raise typer.Exit


app = typer.Typer(pretty_exceptions_enable=False, cls=StudentsFirst, **style)
app.add_typer(student)
dev = typer.Typer(help="Run notebooks, list exercises and what they lack.", **style)
app.add_typer(dev, name="dev", rich_help_panel=AUTHORS)
app.add_typer(capstone, name="capstone")

Root = Annotated[
    Path | None,
    typer.Option(help="The repository; else the nearest upwards from here.", show_default=False),
]
Chapters = Annotated[
    list[str] | None,
    typer.Argument(metavar="NN", help="Numbers or names; all when left out.", show_default=False),
]
Runs = Annotated[
    Path | None,
    typer.Option(help="Where the runs are; else runs/, here or in the workspace around.", show_default=False),
]


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=print_version, is_eager=True)
    ] = False,
) -> None:
    """The course tool of tinytorch: write it yourself, chapter by chapter, and watch it learn.

    tito new DIR; cd DIR; tito start 01; tito check 01
    """


@app.command(rich_help_panel=AUTHORS)
def build(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 where they differ.")] = False,
    root: Root = None,
) -> None:
    """Build tinytorch/ from modules/*.ipynb.

    Writes the files whose content changes, then prints how many lines each chapter exports, how many of them the
    student writes, guided and open, and the limits.

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
        print(line_report(folder))
        stop_at(orphans(folder, modules))


@app.command()
def runs(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help="Names or folders; all when left out.", show_default=False),
    ] = None,
    folder: Runs = None,
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
        chosen = find_runs(folder or runs_folder(), names or [])
        show(rows(chosen))
        if plot is not None:
            print(f"wrote {plot}: {', '.join(draw(chosen, plot, metric))}")


@app.command()
def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Name or folder of a run.", show_default=False)],
    folder: Runs = None,
) -> None:
    """Make one page about a run: report.html in its folder.

    Criteria, curves, samples, pictures and settings, in one file that opens without a network.

    Exit status: 0 done; 2 no such run.
    """
    with bad_input_exits_2():
        print(write_report(find_runs(folder or runs_folder(), [run])[0].folder))


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


@dev.command()
def exercises(chapters: Chapters = None, root: Root = None) -> None:
    """List the exercises, and what they lack.

    Each has a statement with a worked example, hints, a visible check, hidden tests, points and a solution of at most
    15 lines that can be read nowhere else.

    Exit status: 0 nothing is missing; 1 something is; 2 no such chapter.
    """
    with bad_input_exits_2():
        chosen = chosen_notebooks(root_folder(root), chapters or [])
        print(table({notebook.stem: exercises_of(notebook) for notebook in chosen}))
        stop_at(problem for notebook in chosen for problem in problems(notebook))


@dev.command()
def site(
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where it goes; else build/site.", show_default=False)
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option(metavar="NN", help="Run only this chapter; may be repeated. All when left out.",
                     show_default=False),
    ] = None,
    patient: Annotated[
        list[str] | None,
        typer.Option(metavar="NN", help="Examine only this patient of the clinic; may be repeated. All when left out.",
                     show_default=False),
    ] = None,
    runs: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Runs of milestones to show; quick ones that it lacks are made.",
                     show_default=False),
    ] = None,
    repository: Annotated[
        str, typer.Option(metavar="OWNER/NAME", help="On GitHub: for links to files and to Colab.")
    ] = "",
    package: Annotated[
        str,
        typer.Option(metavar="WHEEL", help="What notebooks in Colab install, or its address; else the repository."),
    ] = "",
    root: Root = None,
) -> None:  # fmt: skip
    """Write the site, static pages that any host can serve: chapters, milestones, the clinic, a reference.

    What the cells of a notebook print comes from running it, once for each version of it and of the package; so do the
    patients' findings and the quick milestones.

    Exit status: 0 done; 2 no such chapter, or something that cannot be shown: nothing is replaced.
    """
    with bad_input_exits_2():
        folder = root_folder(root)
        chosen = frozenset(path.stem for path in chosen_notebooks(folder, run or [])) if run else None
        work = folder / "build" / "site-work"
        patients = frozenset(patient) if patient else None
        settings = Settings(folder, to or folder / "build" / "site", work, repository, package, runs, chosen, patients)
        print(f"wrote {build_site(settings)}")


@dev.command()
def lite(
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where it goes; else build/site/lite.", show_default=False)
    ] = None,
    pyodide: Annotated[
        Path | None,
        typer.Option(metavar="DIR", envvar="TINYTORCH_PYODIDE", help="A Pyodide distribution, to be part of the site.",
                     show_default=False),
    ] = None,
    root: Root = None,
) -> None:  # fmt: skip
    """Write the course in a browser: JupyterLite, static files that any host can serve.

    Exit status: 0 done; 2 a tool is missing, or DIR is no Pyodide distribution: nothing is replaced.
    """
    with bad_input_exits_2():
        folder = root_folder(root)
        target = to or folder / "build" / "site" / "lite"
        print(f"wrote {build_lite(folder, target, folder / 'build' / 'lite-work', pyodide)}; it begins with start.html")
        if not pyodide:
            print("note: Python itself is not part of it, and comes from the address that JupyterLite's kernel has")


Course = Annotated[
    Path, typer.Option("--in", metavar="DIR", help="The nbgrader course.", exists=True, file_okay=False)
]


@app.command(rich_help_panel="For instructors")
def release(
    chapter: Annotated[str, typer.Argument(metavar="NN", help="Number or name of a chapter.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="An nbgrader course; made where there is none.")],
    force: Annotated[bool, typer.Option("--force", help="Although another version was released there.")] = False,
) -> None:
    """Make an assignment of a chapter, for nbgrader.

    Into DIR/source goes the notebook with solutions, into DIR/release what students get: no solutions, no hidden tests.

    Exit status: 0 done; 2 no such chapter, or another version of it is there.
    """
    with bad_input_exits_2():
        notebook = chapter_of(chapter).notebook
        released = release_chapter(notebook, to, force)
        print(f"wrote {released}: give it to the students")
        print(f"what they hand in goes to {to / 'submitted' / 'STUDENT' / notebook.stem / notebook.name}")
        print(f"then: tito autograde {notebook.stem.split('_')[0]} --in {to}")


@app.command(rich_help_panel="For instructors")
def autograde(
    chapter: Annotated[str, typer.Argument(metavar="NN", help="Number or name of a chapter.")],
    course: Course,
    limit: Annotated[int, typer.Option(min=1, help="Seconds that a whole submission may take.")] = 900,
    student: Annotated[
        list[str] | None, typer.Option(help="Only this student; may be repeated.", show_default=False)
    ] = None,
    memory: Annotated[int, typer.Option(min=1, help="MB that a submission may take.")] = 4096,
    trust: Annotated[
        bool, typer.Option("--trust", help="Run submissions without a sandbox, with your rights: read them first.")
    ] = False,
) -> None:
    """Grade what was submitted for a chapter, with nbgrader.

    Each submission runs in a sandbox of its own, with a time limit for each cell (in nbgrader_config.py).

    Exit status: 0 all were graded; 1 some could not be; 2 nothing was released or submitted, or there is no sandbox.
    """
    with bad_input_exits_2():
        results = autograde_all(course, chapter_of(chapter).name, limit, student, trust, memory)
        for result in results:
            print("; ".join([f"{result.student:20} {result.trouble or 'graded'}", *result.remarks]))
        stop_at(f"{result.student} was not graded: {result.trouble}" for result in results if result.trouble)


@app.command(rich_help_panel="For instructors")
def feedback(
    chapter: Annotated[str, typer.Argument(metavar="NN", help="Number or name of a chapter.")],
    course: Course,
    hidden_tests: Annotated[
        bool, typer.Option("--with-hidden-tests/--without-hidden-tests", help="Whether pages show the hidden tests.")
    ] = False,
) -> None:
    """Write a page for each student: what was graded, with points and comments.

    Exit status: 0 done; 2 nothing was graded.
    """
    with bad_input_exits_2():
        for page in feedback_pages(course, chapter_of(chapter).name, hidden_tests):
            print(f"wrote {page}")


@app.command(rich_help_panel="For instructors")
def gradebook(
    course: Course,
    to: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write it there.", show_default=False)
    ] = None,
    by_check: Annotated[bool, typer.Option("--by-check", help="A row for each check.")] = False,
) -> None:
    """Export the points of all students as CSV.

    Exit status: 0 done; 2 no gradebook.
    """
    with bad_input_exits_2():
        text = as_csv(gradebook_rows(course, by_check))
        if to is None:
            print(text, end="")
        else:
            write_whole(to, text.encode())
            print(f"wrote {to}")


def runs_folder() -> Path:
    here = Path("runs")
    try:
        return here if here.is_dir() else find_workspace().folder / here
    except TitoError:
        return here


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
