"""`tito status` and milestones: what was earned, on exactly the files that are there now."""

import json
import runpy
import shlex
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tito.course import Chapter, Milestone, chapters, milestones
from tito.files import digest_of, write_whole
from tito.inpage import in_page, run_here
from tito.overlay import FAST_STUDENT
from tito.project import TitoError
from tito.ranks import run_until_it_ends, start_of
from tito.runs import is_number, read_json, times_of_runs, written_since
from tito.student import changed_since_export, hours_for, not_written, to_write
from tito.suite import environment, forget_compiled, importable, suite_files
from tito.workspace import GUIDED, OPEN, Workspace

NOT_STARTED, IN_PROGRESS, GREEN = "not started", "in progress", "green"


@dataclass(frozen=True)
class Standing:
    """Where a student stands with a chapter: the state, and why."""

    state: str
    detail: str


def standing(workspace: Workspace, chapter: Chapter) -> Standing:
    """Green only if the suite passed on exactly the files that are exported now, and the notebook says the same."""
    if not workspace.started(chapter):
        return Standing(NOT_STARTED, "")
    try:
        changed = changed_since_export(workspace, chapter)
        still = not_written(workspace, chapter)
    except TitoError as error:
        return Standing(IN_PROGRESS, str(error).split("\n")[0])
    said = []
    if still:
        noun = "functions not written yet" if workspace.depth(chapter) == OPEN else "exercises open"
        said.append(f"{len(still)} of {len(to_write(workspace, chapter))} {noun}")
    if changed:
        said.append(f"changed since the last export (tito check {chapter.number})")
    test = workspace.last_test(chapter)
    if test is None:
        said.append("not tested")
    elif test.get("fingerprint") != fingerprint(workspace, chapter):
        said.append(f"changed since the last test, {test['date']} (tito test {chapter.number})")
    elif test["green"] and not still and not changed:
        return Standing(GREEN, f"{test['passed']} checks passed, {test['date']}")
    elif test["trouble"]:
        said.append(f"{test['trouble']} ({test['date']})")
    else:
        total = test["passed"] + test["failed"]
        said.append(f"{test['failed']} of {total} checks failed, {test['date']}")
    return Standing(IN_PROGRESS, "; ".join(said))


def fingerprint(workspace: Workspace, chapter: Chapter) -> str:
    return workspace.fingerprint(chapter, suite_files(workspace, chapter))


def chapter_table(workspace: Workspace) -> list[list[str]]:
    rows = [["chapter", "state", "form", "hours", ""]]
    for chapter in chapters():
        now, depth = standing(workspace, chapter), workspace.depth(chapter)
        rows.append([chapter.name, now.state, depth or "", f"{hours_for(chapter, depth or GUIDED):4}", now.detail])
    return rows


# ---- milestones


def milestone_standing(workspace: Workspace, milestone: Milestone, standings: dict[str, str]) -> Standing:
    """Locked until the chapter that opens it is green, and while code of yours that it uses is not; passed for good."""
    past = workspace.recorded("milestones").get(milestone.name)
    if past:
        number = f"{past['number']}, " if past["number"] else ""
        options = f", run with {past['options']}" if past["options"] else ""
        options += f", only {past['part']}" if past.get("part") and past["part"] not in options else ""
        options += ", with fast operations in place of yours" if past.get("fast") else ""
        return Standing("passed", f"{past['date']}: {number}with your {past['chapters']}{options}")
    if standings[milestone.opener.name] != GREEN:
        return Standing("locked", f"{milestone.opener.name} opens it")
    unfinished = [made.name for made in milestone.needs
                  if standings[made.name] == IN_PROGRESS and workspace.written(made)]  # fmt: skip
    if unfinished:
        return Standing("locked", f"until {', '.join(unfinished)} is green again")
    return Standing("ready", f"tito milestone run {milestone.name}")


def milestone_table(workspace: Workspace, every: list[Milestone]) -> list[list[str]]:
    standings = {chapter.name: standing(workspace, chapter).state for chapter in chapters()}
    rows = [["milestone", "state", "", "what it shows"]]
    for milestone in every:
        now = milestone_standing(workspace, milestone, standings)
        rows.append([milestone.name, now.state, now.detail, milestone.title])
    return rows


def locked(workspace: Workspace, milestone: Milestone) -> str:
    """Return why it is locked; "" if it is not."""
    standings = {made.name: standing(workspace, made).state for made in milestone.needs}
    written = [made.name for made in milestone.needs if workspace.written(made)]
    unfinished = [name for name, state in standings.items() if state == IN_PROGRESS and name in written]
    opener = milestone.opener.name
    if standings[opener] != GREEN and opener not in unfinished:
        unfinished.append(opener)
    return ", ".join(f"{name} is {standings[name]}" for name in unfinished)


def run_milestone(
    workspace: Workspace,
    milestone: Milestone,
    options: list[str],
    fast: bool = False,
    ranks: int = 1,
    elastic: bool = False,
) -> tuple[int, str]:
    """Run the script in the workspace on the student's files, as `tito` found them.

    `fast`: faster operations may take the place of the student's. `ranks`: on so many processes; `elastic`: go on when
    one of them was killed. Returns its exit status and what is to be said. A pass is recorded only for status 0, a
    verdict that the script wrote meanwhile (see `verdict_since`), the course's own script and at least one chapter of
    the student's that it uses; never over a stronger one.
    """
    before, mine, judged = times_of_runs(workspace.folder / "runs"), digests(workspace), verdicts(workspace)
    others = not_the_courses(workspace, milestone)
    forget_compiled(workspace.folder / "milestones")
    if elastic and ranks == 1:
        raise TitoError("--elastic: expected several ranks, -n 2 or more")
    script, variables = str(workspace.folder / milestone.path), environment(workspace, [])
    variables |= {FAST_STUDENT: "1"} if fast else {}
    if ranks == 1:
        status = run_script(workspace, [script, *options], variables)
    else:
        run = start_of(milestone, ranks, script, workspace.folder, variables)

        def written():
            return written_since(times_of_runs(workspace.folder / "runs"), before)

        status = run_until_it_ends(run, options, written, elastic)
    fresh = written_since(times_of_runs(workspace.folder / "runs"), before)
    note_in_runs(fresh, fast)
    if status:
        return status, f"{milestone.name}: not passed (exit status {status})"
    verdict = verdict_since(judged, verdicts(workspace))
    if verdict is None:
        return 0, f"{milestone.name}: nothing was judged in runs/, so nothing is recorded"
    if verdict["broken"]:
        return 0, f"{milestone.name}: the criteria are met although it was broken ({verdict['broken']}); not recorded"
    number, part = number_reached(verdict), verdict["part"]
    used = [made for made in milestone.needs if workspace.written(made)]
    reached = f": {number}" if number else ""
    if others:
        return 0, f"{milestone.name}: ended well{reached}; not recorded, for {', '.join(others)} is not the course's"
    if not used:
        return 0, f"{milestone.name}: ended well{reached}; not recorded, for nothing in it is yours yet"
    if digests(workspace) != mine:
        return 0, f"{milestone.name}: ended well{reached}; not recorded, for your files changed meanwhile"
    new = {
        "date": f"{datetime.now():%Y-%m-%d %H:%M}",
        "number": number,
        "chapters": ", ".join(made.number for made in used),
        "options": shlex.join(options),
        "part": part,
        "fast": fast,
        "files": mine,
    }
    said = f"{milestone.name}: passed{f' ({part})' if part else ''}{reached}, with your {new['chapters']}"
    past = workspace.recorded("milestones").get(milestone.name)
    if past and strength(past) > strength(new):
        return 0, f"{said}; the record keeps the stronger pass of {past['date']}"
    workspace.record("milestones", **{milestone.name: new})
    return 0, said


def run_script(workspace: Workspace, arguments: list[str], variables: dict[str, str]) -> int:
    """Run a script with its options in the workspace; return its exit status."""
    if not in_page():
        return subprocess.run([sys.executable, *arguments], cwd=workspace.folder, env=variables).returncode

    def script():
        sys.path.insert(0, str(Path(arguments[0]).parent))
        runpy.run_path(arguments[0], run_name="__main__")

    return run_here(script, workspace.folder, variables, arguments)


def not_the_courses(workspace: Workspace, milestone: Milestone) -> list[str]:
    """What runs with a script, beside the student's exported files, and is not as the course has it."""
    script = workspace.folder / milestone.path
    found = {workspace.shown(path) for folder in (script.parent, script.parents[1]) for path in importable(folder)}
    scripts = {other.path for other in milestones()} - {milestone.path}
    edited = workspace.edited("milestones/")
    return sorted((found - workspace.course_contents().keys()) | (set(edited) - scripts))


def strength(record: dict) -> tuple:
    """What makes one pass worth more than another: the whole milestone, own operations, more own chapters."""
    whole = not record.get("part") and "--quick" not in record["options"]
    return whole, not record.get("fast"), len(record["chapters"].split(", "))


def verdicts(workspace: Workspace) -> dict[Path, float]:
    """Return when each run of the workspace was last judged: only `finish` of a milestone writes results.json."""
    return {file: file.stat().st_mtime_ns for file in (workspace.folder / "runs").glob("*/results.json")}


def verdict_since(before: dict[Path, float], after: dict[Path, float]) -> dict | None:
    """Return the latest of the verdicts written since, {"criteria", "part", "broken"}, if every criterion is met."""
    fresh = [file for file, written in sorted(after.items(), key=lambda item: item[1]) if before.get(file) != written]
    results = read_json(fresh[-1]) if fresh else {}
    criteria = [one for one in results.get("criteria") or [] if isinstance(one, dict)]
    if not criteria or not all(one.get("passed") is True for one in criteria):
        return None
    return {"criteria": criteria, "part": str(results.get("part") or ""), "broken": results.get("broken")}


def digests(workspace: Workspace) -> dict[str, str]:
    return {path: digest_of(workspace.exported(path)) for path in workspace.yours()}


def note_in_runs(folders: list[Path], fast: bool) -> None:
    """Say in the config.json of runs whose operations they ran with."""
    for folder in folders:
        about = read_json(folder / "config.json") | {"fast": fast}
        write_whole(folder / "config.json", json.dumps(about, indent=1).encode())


def number_reached(verdict: dict) -> str:
    """Return what a verdict says in words: "99.5 % of held-out images right, held-out loss 1.517"."""
    def said(one):
        name, got = one.get("name"), one.get("got")
        if not is_number(got):
            return f"{name} {got}"
        return f"{100 * got:.4g} % of {name}" if one.get("percent") else f"{name} {got:.4g}"
    return ", ".join(said(one) for one in verdict["criteria"])
