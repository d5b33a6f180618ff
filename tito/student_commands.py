"""The commands for those who work through the chapters; `tito.commands` puts them next to the others."""

import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from tito import course, progress, student
from tito import diff as side_by_side
from tito import doctor as examination
from tito import pack as packing
from tito.culprit import earlier_culprits
from tito.handout import where_hours_come_from
from tito.install import how_to_install
from tito.project import TitoError
from tito.runs import show
from tito.strip import exercises
from tito.suite import BrokenImport, check_suite, environment, record, run_suite, summary, whose_files
from tito.upgrade import upgrade
from tito.workspace import GUIDED, OPEN, Workspace, find_workspace, new_workspace

style = {"rich_markup_mode": "rich" if sys.stdout.isatty() else None, "no_args_is_help": True}
app = typer.Typer(**style)
milestones = typer.Typer(help="List and run what your code can learn.", **style)
app.add_typer(milestones, name="milestone")


def chapter_names(incomplete: str) -> list[str]:
    """For the shell's completion."""
    try:
        every = course.chapters()
    except TitoError:
        return []
    return [name for made in every for name in (made.number, made.name) if name.startswith(incomplete)]


def what_can_be_reset(incomplete: str) -> list[str]:
    return chapter_names(incomplete) + [name for name in ("tests", *course.SCRIPTS) if name.startswith(incomplete)]


def exercise_names(context: typer.Context, incomplete: str) -> list[str]:
    try:
        every = exercises(course.chapter(context.params.get("chapter") or "").content)
    except TitoError:
        return []
    return [name for name in every if name.startswith(incomplete)]


def milestone_names(incomplete: str) -> list[str]:
    try:
        return [one.name for one in course.milestones() if one.name.startswith(incomplete)]
    except TitoError:
        return []


Chapter = Annotated[
    str, typer.Argument(metavar="NN", help="Number or name of a chapter.", autocompletion=chapter_names)
]
Chapters = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NN", help="Numbers or names; all that you began when left out.", show_default=False,
        autocompletion=chapter_names,
    ),
]  # fmt: skip
Exercise = Annotated[
    str | None,
    typer.Argument(
        metavar="EXERCISE", help="Its name; else the one you are at.", show_default=False,
        autocompletion=exercise_names,
    ),
]  # fmt: skip
Open = Annotated[
    bool | None,
    typer.Option(
        "--open/--guided", show_default=False,
        help="All functions from signature and docstring, or exercises with hints; guided, or as it is, if left out.",
    ),
]  # fmt: skip
Anyway = Annotated[bool, typer.Option("--anyway", help="Even though the chapter is not green yet.")]
Timeout = Annotated[int, typer.Option(min=1, help="Seconds that one check may take.")]
Every = Annotated[bool, typer.Option("--all", help="Show every failure, not just the first ones.")]
Choice = Annotated[str, typer.Option("--only", "-k", help="Only checks whose name holds this.", show_default=False)]


@app.command()
def new(folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that does not exist yet.")]) -> None:
    """Make a workspace, the folder that you work in.

    Exit status: 0 made; 2 there is something in DIR already.
    """
    with plain_errors():
        made = new_workspace(folder)
        print(f"made {made.folder}")
        place = f'"{folder}"' if " " in str(folder) else folder
        print(f"next: cd {place}, then `tito start {course.chapters()[0].number}`, or start any other chapter")


@app.command()
def start(chapter: Chapter, everything: Open = None) -> None:
    """Begin a chapter: its notebook, without solutions.

    Guided, it has small exercises with hints; with --open you write all that it exports from signature and docstring.
    Going from one to the other loses nothing: what you wrote waits until you come back to it. Writes the stubs as
    well, so that the chapter's tests are red.

    Exit status: 0 done; 2 no such chapter, or begun already (nothing is touched).
    """
    depth = None if everything is None else OPEN if everything else GUIDED
    with plain_errors():
        workspace, made = workspace_here(), course.chapter(chapter)
        workspace.renew_course()
        before = workspace.depth(made)
        written = student.start(workspace, made, depth)
        print("\n".join(f"wrote {name}" for name in written) or f"{made.name} is begun already, and untouched")
        tell(workspace)
        if before and depth and before != depth:
            print(f"{made.name} is {depth} now; what you wrote in {before} form waits for"
                  f" `tito start {made.number} --{before}`")  # fmt: skip
        what = "fill in the exercises" if workspace.depth(made) == GUIDED else "write the functions"
        print(f"next: open {workspace.shown(workspace.notebook(made))} (`tito lab {made.number}`), {what}, save,"
              f" `tito check {made.number}`")  # fmt: skip


@app.command()
def export(chapters: Chapters = None) -> None:
    """Export what you wrote.

    From then on your files take the place of the reference's.

    Exit status: 0 done; 2 no such chapter, or a broken notebook (the last export stays).
    """
    with plain_errors():
        workspace = workspace_here()
        export_all(workspace, begun(workspace, chapters))


@app.command()
def test(
    chapters: Chapters = None, every: Every = False, only: Choice = "", timeout: Timeout = 30
) -> None:  # fmt: skip
    """Test what you exported, with the suite of the chapter.

    Exit status: 0 all green; 1 checks failed; 2 no such chapter, or an edited suite.
    """
    with plain_errors():
        workspace = workspace_here()
        stop_unless([test_one(workspace, made, every, only, timeout) for made in begun(workspace, chapters)])


@app.command()
def check(
    chapters: Chapters = None, every: Every = False, only: Choice = "", timeout: Timeout = 30
) -> None:  # fmt: skip
    """Export, then test.

    Exit status: 0 all green; 1 checks failed; 2 no such chapter, a broken notebook or an edited suite.
    """
    with plain_errors():
        workspace = workspace_here()
        chosen = begun(workspace, chapters)
        export_all(workspace, chosen)
        stop_unless([test_one(workspace, made, every, only, timeout) for made in chosen])


@app.command()
def status() -> None:
    """Show where you are: chapters and milestones.

    Green means that the suite passed on exactly the files that are exported now.
    """
    with plain_errors():
        workspace = workspace_here()
        print(f"{workspace.folder}\n")
        show(progress.chapter_table(workspace))
        print(f"{where_hours_come_from()}\n")
        show([row[:3] for row in progress.milestone_table(workspace, course.milestones())])


@app.command()
def hint(chapter: Chapter, exercise: Exercise = None) -> None:
    """Show a hint; each call shows the next one.

    From a nudge to nearly the answer. In open form: what a function has to do, in the chapter's words and its own.

    Exit status: 0 shown; 2 no such chapter or exercise, or no hint.
    """
    with plain_errors():
        workspace, made = workspace_here(), course.chapter(chapter)
        name = student.chosen_exercise(workspace, made, exercise)
        if workspace.depth(made) == OPEN:
            print(f"{made.name}, {name}\n\n{student.promise(made, name)}")
            print(f"\nHints are in the guided form (`tito start {made.number} --guided`); the reference:"
                  f" `tito diff {made.number} {name} --anyway`")  # fmt: skip
            return
        number, every = student.next_hint(workspace, made, name)
        print(f"{made.name}, exercise {name}, hint {number} of {len(every)}\n\n{every[number - 1]}")
        if number == len(every):
            print(f"\nThat was the last one. The reference: `tito diff {made.number} {name} --anyway`")


@app.command()
def diff(
    chapter: Chapter,
    exercise: Exercise = None,
    anyway: Anyway = False,
) -> None:
    """Compare your solutions with the reference's.

    Exercise by exercise, in open form function by function. Once the chapter is green, or with --anyway. Side by side
    where the terminal is wide enough.

    Exit status: 0 shown; 2 no such chapter, not begun, or not green and no --anyway.
    """
    with plain_errors():
        workspace, made = workspace_here(), course.chapter(chapter)
        begun(workspace, [chapter])
        now = progress.standing(workspace, made)
        if now.state != progress.GREEN and not anyway:
            raise TitoError(f"{made.name} is {now.state}: --anyway shows the reference's solution before yours passes")
        wanted = [student.chosen_exercise(workspace, made, exercise)] if exercise else None
        found = student.differences(workspace, made)
        for name, (mine, reference) in found.items():
            if wanted is None or name in wanted:
                side_by_side.show(name, mine, reference)
        if not found or wanted and wanted[0] not in found:
            print("the same as the reference")


@app.command()
def reset(
    what: Annotated[
        str,
        typer.Argument(
            metavar="NN|tests|milestones|clinic",
            help="A chapter, or the course's own files.",
            autocompletion=what_can_be_reset,
        ),
    ],
) -> None:
    """Begin a chapter again, after a backup.

    Or put the course's own tests or milestones back. Says where the backup is; `tito undo` takes it back.

    Exit status: 0 done; 2 no such chapter.
    """
    with plain_errors():
        workspace = workspace_here()
        if what in ("tests", *course.SCRIPTS):
            edited = workspace.edited(f"{what}/", *(["pytest.ini"] if what == "tests" else []))
            contents = {workspace.folder / name: workspace.course_contents()[name] for name in edited}
            workspace.write(f"reset {what}", contents, list(contents))
            print(f"{what}: {', '.join(edited) or 'nothing'} put back")
        else:
            made = course.chapter(what)
            student.reset(workspace, made)
            print(f"{made.name} is as at its start; if it is open in Jupyter, reload it there before you save")
        tell(workspace)
        print("`tito undo` takes this back")


@app.command()
def undo() -> None:
    """Take back what last overwrote your work.

    That is a reset, a change between guided and open, or an export over a file that was edited by hand.

    Exit status: 0 done; 2 nothing to undo.
    """
    with plain_errors():
        workspace = workspace_here()
        for line in student.undo(workspace):
            print(line)
        tell(workspace)


@app.command()
def pack(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Where to.", show_default=packing.NAME)] = None,
) -> None:
    """Pack your work into one file, which `tito import` puts into another workspace.

    Notebooks, what you exported, and what was earned; from a browser to your computer, or back.

    Exit status: 0 written; 2 there is nothing yet, or FILE is something else.
    """
    with plain_errors():
        workspace = workspace_here()
        path = file or workspace.folder / packing.NAME
        count = packing.write_pack(workspace, path)
        print(f"wrote {path}: {count} files, {path.stat().st_size >> 10} KB")
        print(f"next, in another workspace: `tito import {path.name}`")


@app.command("import")
def import_work(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `tito pack` wrote.")],
) -> None:
    """Put packed work into this workspace, after a backup of what it overwrites.

    Its modules run when you check them: import your own work alone. `tito undo` takes it back.

    Exit status: 0 done; 2 FILE is no packed work, and nothing was changed.
    """
    with plain_errors():
        workspace = workspace_here()
        changed, same = packing.bring_in(workspace, file)
        print("\n".join(f"wrote {name}" for name in changed) or "nothing to write")
        tell(workspace)
        print(f"{same} files were the same already" if same else "")
        if changed:
            print("`tito undo` takes this back; notebooks that are open in Jupyter have to be reloaded there")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lab(
    context: typer.Context,
    chapter: Annotated[
        str | None, typer.Argument(metavar="NN", help="What to open.", show_default=False,
                                   autocompletion=chapter_names),
    ] = None,
) -> None:  # fmt: skip
    """Open JupyterLab in the workspace.

    Further options are JupyterLab's own: --no-browser, --port, --allow-root. Its server ends with this command.

    Exit status: JupyterLab's; 2 it is not installed, no such chapter, or not begun.
    """
    with plain_errors():
        workspace = workspace_here()
        options = [*([chapter] if chapter and chapter.startswith("-") else []), *context.args]
        made = begun(workspace, [chapter]) if chapter and chapter not in options else []
        if find_spec("jupyterlab") is None:
            raise TitoError(f"JupyterLab is missing: {how_to_install('lab')}\n(other editors of notebooks will do)")
        print(whose_files_or_why(workspace), flush=True)
        command = [sys.executable, "-m", "jupyterlab", *[str(workspace.notebook(one)) for one in made], *options]
        status = run_server(command, workspace)
    raise typer.Exit(status)


@app.command()
def doctor() -> None:
    """Examine the environment.

    Versions, places, which files are yours, and what is in the way.

    Exit status: 0 nothing is in the way; 1 something is.
    """
    with plain_errors():
        with suppress(TitoError):  # there is none, which the rows say
            workspace_here()
        rows, problems = examination.report()
    for name, value in rows:
        print(f"{name:11} {value}")
    for problem in problems:
        print(f"problem: {problem}", file=sys.stderr)
    if problems:
        raise typer.Exit(1)
    print("nothing is in the way")


@milestones.command("list")
def list_milestones() -> None:
    """List what there is, and what is locked, ready or passed."""
    with plain_errors():
        workspace = workspace_here()
        show(progress.milestone_table(workspace, course.milestones()))


@milestones.command("run", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run_milestone(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=milestone_names)],
    anyway: Annotated[bool, typer.Option("--anyway", help="Even though it is locked.")] = False,
    fast: Annotated[bool, typer.Option("--fast", help="Faster operations may take the place of yours.")] = False,
    ranks: Annotated[int, typer.Option("-n", min=1, help="On so many processes, by MPI.")] = 1,
    elastic: Annotated[bool, typer.Option("--elastic", help="With -n: go on when one of them was killed.")] = False,
) -> None:
    """Run a milestone with your files.

    Every operation that you wrote is the one that runs, unless you say --fast; the run's record says which. Further
    options are the script's own.

    Exit status: the script's, 0 for passed; 2 no such milestone, or locked and no --anyway.
    """
    with plain_errors():
        workspace, chosen = workspace_here(), course.milestone(name)
        workspace.renew_course()
        why = progress.locked(workspace, chosen)
        if why and not anyway:
            raise TitoError(f"{chosen.name} is locked: {why}; --anyway runs it all the same")
        print(f"{chosen.title}\n{whose_files(workspace, [])}")
        print("--fast: faster operations take the place of yours where there are any\n" if fast else "", flush=True)
        status, said = progress.run_milestone(workspace, chosen, context.args, fast, ranks, elastic)
        print(f"\n{said}")
    raise typer.Exit(status if status in (0, 1, 2) else 1)


# ---- what they share


def run_server(command: list[str], workspace: Workspace) -> int:
    """Run a server until it ends, and end it with this process: by Ctrl-C, a closed terminal or `kill`."""
    def stop(*_):
        raise SystemExit(143)

    before = {name: signal.signal(name, stop) for name in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))}
    process = subprocess.Popen(command, cwd=workspace.folder, env=environment(workspace))
    try:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:  # which the server gets too, and asks what is meant
                continue
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(10)
        for name, handler in before.items():
            signal.signal(name, handler)


def workspace_here() -> Workspace:
    """The workspace, once it is one of this version."""
    workspace = find_workspace()
    for line in upgrade(workspace):
        print(line)
    return workspace


def begun(workspace: Workspace, numbers: list[str] | None) -> list[course.Chapter]:
    """The chapters of these numbers, or all that were begun. Raises TitoError for one that was not."""
    if not numbers:
        found = [made for made in course.chapters() if workspace.started(made)]
        if not found:
            raise TitoError(f"no chapter is begun in {workspace.folder}: `tito start 01`, or any other")
        return found
    found = [course.chapter(number) for number in numbers]
    for made in found:
        if not workspace.started(made):
            copies = student.copies(workspace, made)
            other = f", or rename {' or '.join(copies)} to {made.name}.ipynb" if copies else ""
            raise TitoError(f"{made.name} is not begun: `tito start {made.number}`{other}")
    return found


def export_all(workspace: Workspace, chosen: list[course.Chapter]) -> None:
    """Nothing is written where one of the notebooks is broken."""
    for made in chosen[1:]:
        student.export_text(workspace, made)
    for made in chosen:
        modules, remarks = student.export_chapter(workspace, made)
        print(f"exported {workspace.shown(workspace.notebook(made))}: {', '.join(module.path for module in modules)}")
        for remark in remarks:
            print(f"note: {remark}")
        tell(workspace)


def test_one(workspace: Workspace, made: course.Chapter, every: bool, only: str, timeout: int) -> bool:
    """Run the suite, record and print what came of it; whether it is green."""
    suite = check_suite(workspace, made)
    try:
        if student.changed_since_export(workspace, made):
            print(f"note: the notebook has changed since the last export; `tito check {made.number}` tests it as it is")
    except TitoError as error:
        print(f"note: what was exported last is tested; now the notebook could not be exported: {error}")
    before = workspace.fingerprint(made, suite)
    try:
        print(f"{made.name}\n{whose_files(workspace, made.files)}", flush=True)
    except BrokenImport as error:
        raise BrokenImport("\n".join([str(error), *student.renamed_in(workspace)])) from error
    outcome = run_suite(workspace, made, timeout, only)
    if not only and workspace.fingerprint(made, suite) == before:
        record(workspace, made, outcome, before)
    unwritten = []
    with suppress(TitoError):  # that the notebook is broken was said above
        unwritten = student.not_written(workspace, made)
    print(summary(outcome, made, every, unwritten), flush=True)
    for line in [] if outcome.green else student.renamed_in(workspace) + earlier_culprits(workspace, made, outcome):
        print(f"\n{line}")
    print(f"\n{made.name} is {'green' if outcome.green else 'not green yet'}\n" if not only else "")
    return outcome.green


def stop_unless(green: list[bool]) -> None:
    if not all(green):
        raise typer.Exit(1)


def tell(workspace: Workspace) -> None:
    for line in workspace.said:
        print(line)
    workspace.said.clear()


def whose_files_or_why(workspace: Workspace) -> str:
    try:
        return whose_files(workspace)
    except BrokenImport as error:
        return str(error)


@contextmanager
def plain_errors():
    """Status 2 for bad input and for files that cannot be written, 1 for code of the student's that does not import."""
    try:
        yield
    except BrokenImport as error:
        print(f"tito: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
    except TitoError as error:
        print(f"tito: {error}", file=sys.stderr)
        raise typer.Exit(2) from error
    except BrokenPipeError:  # `tito status | head`
        raise
    except OSError as error:
        print(f"tito: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        raise typer.Exit(2) from error
