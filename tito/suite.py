"""`tito test`: runs the suite of a chapter on the student's files, and says what was checked, got and expected."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from importlib.machinery import all_suffixes
from pathlib import Path

from tito.course import HERE, Chapter
from tito.inpage import in_page, run_here
from tito.overlay import FAST_STUDENT, NOT_WRITTEN, REPLACED, STUBS, VARIABLE
from tito.project import TitoError
from tito.strip import exercises
from tito.workspace import Workspace

SHOWN = 8  # failures in full
MOST_BYTES = 4 << 30  # of memory, for the process of a suite


@dataclass(frozen=True)
class Outcome:
    """What a run of a suite said: one record a check (see recorder.py), and what kept it from its end, if anything."""

    checks: list[dict]
    trouble: str = ""

    def having(self, outcome: str) -> list[dict]:
        return [check for check in self.checks if check["outcome"] == outcome]

    @property
    def green(self) -> bool:
        return not self.trouble and not self.having("failed") and bool(self.having("passed"))


def environment(workspace: Workspace, stubs: Iterable[str] | None = None) -> dict[str, str]:
    """For processes that run the student's code; of the files with open exercises only `stubs` are seen, None for all.

    The reference stands in for the others: what is not written yet breaks nothing but the tests of its own chapter.
    """
    left_out = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "CI", FAST_STUDENT, REPLACED)  # what the student wrote is what runs
    variables = {name: value for name, value in os.environ.items() if name not in left_out}
    path = [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    defaults = {"OPENBLAS_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    seen = {} if stubs is None else {STUBS: ",".join(stubs)}
    return defaults | variables | {VARIABLE: str(workspace.folder), "PYTHONPATH": os.pathsep.join(path)} | seen


def whose_files(workspace: Workspace, stubs: Iterable[str] | None = None) -> str:
    """Return which files are the student's, as the package itself says it, for a process with this `environment`.

    Raises TitoError where the package cannot be imported with them.
    """
    if in_page():
        status, said = import_here(workspace, environment(workspace, stubs))
    else:
        status, said = import_elsewhere(workspace, environment(workspace, stubs))
    if status:
        lines = [line for line in said.strip().split("\n") if line.strip()]
        rows = [row for row, line in enumerate(lines) if line.startswith("  File ") and "exported" in line]
        raise BrokenImport("with your files, `import tinytorch` fails:\n" + "\n".join(lines[rows[-1] if rows else -1:]))
    return said.strip()


def import_elsewhere(workspace: Workspace, variables: dict[str, str]) -> tuple[int, str]:
    """Import the package in a process; return (exit status, whose files it has, or an error)."""
    code = "import tinytorch, tito.overlay as w; print(w.described())"
    command = [sys.executable, "-P", "-c", code]  # -P: no file of this folder stands for a package
    options = {"capture_output": True, "text": True, "encoding": "utf-8", "errors": "replace"}
    try:
        done = subprocess.run(command, cwd=workspace.folder, env=variables, timeout=120, **options)
    except subprocess.TimeoutExpired as error:
        raise BrokenImport("import tinytorch took more than 120 s: what runs at the top level of a cell?") from error
    return done.returncode, done.stderr if done.returncode else done.stdout


def import_here(workspace: Workspace, variables: dict[str, str]) -> tuple[int, str]:
    """As `import_elsewhere`, in this process."""
    def look():
        import tinytorch  # noqa: F401
        from tito.overlay import described

        print(described())

    output = io.StringIO()
    return run_here(look, workspace.folder, variables, ["tito"], output), output.getvalue()


class BrokenImport(TitoError):
    """The student's files cannot be imported: a failed check, exit status 1."""


def suite_files(workspace: Workspace, chapter: Chapter) -> list[str]:
    """The copies that make up the suite, by their names in the workspace. Raises TitoError where there is none."""
    names = workspace.course_contents()
    own = [name for name in names if name.startswith(f"tests/{chapter.name}/")]
    if not any(Path(name).name.startswith("test_") for name in own):
        raise TitoError(f"{chapter.name} has no suite: expected tests/{chapter.name}/test_*.py in the course")
    return [name for name in names if name in own or name == "pytest.ini" or name.count("/") == 1]


def check_suite(workspace: Workspace, chapter: Chapter) -> list[str]:
    """`suite_files`, once they are the course's own. Raises TitoError where one was edited."""
    workspace.renew_course()
    files = suite_files(workspace, chapter)
    if found := strangers(workspace):
        raise TitoError(f"{', '.join(found)} is not the course's: with it a suite proves nothing; move it away")
    edited = [name for name in workspace.edited(*files) if name in files]
    if edited:
        raise TitoError(
            f"{', '.join(edited)} differs from the course's: an edited suite proves nothing;"
            " `tito reset tests` puts the course's back (after a backup)"
        )
    return files


def strangers(workspace: Workspace) -> list[str]:
    """Files that would be loaded with the suites, by pytest or in the place of a library, and are not the course's."""
    folder = workspace.folder
    found = [*folder.glob("conftest.py"), *(folder / "tests").rglob("conftest.py"), *importable(folder / "tests")]
    return sorted({workspace.shown(path) for path in found} - workspace.course_contents().keys())


def importable(folder: Path) -> list[Path]:
    """Modules that Python finds where `folder` is on its path."""
    inner = [path for path in folder.glob("*/") if path.name.isidentifier() and path.name != "__pycache__"]
    files = [*folder.glob("*"), *(file for path in inner for file in path.rglob("*"))]
    return [path for path in files if path.name.endswith(tuple(all_suffixes())) and not path.is_dir()]


def forget_compiled(folder: Path) -> None:
    """Delete what Python keeps of sources that it has compiled: it would run in their place."""
    for path in [*folder.rglob("__pycache__")]:
        shutil.rmtree(path, ignore_errors=True)


def run_suite(
    workspace: Workspace, chapter: Chapter, timeout: int, chosen: str = "",
    checks: Iterable[str] = (), replaced: Iterable[str] = (),
) -> Outcome:
    """Run the chapter's tests in a process of their own; each check may take `timeout` seconds, all 20 times that.

    `checks`: only these, by their ids. `replaced`: files of the student's in whose place the reference stands.
    """
    forget_compiled(workspace.folder / "tests")
    with tempfile.TemporaryDirectory(prefix="tito-") as folder:
        record = Path(folder, "record.jsonl")
        record.touch()
        arguments = ["-c", "pytest.ini", "--rootdir", ".", "-p", "tito.recorder"]
        arguments += ["-p", "no:cacheprovider", "-q", "--tb=no", *(["-k", chosen] if chosen else [])]
        tests = [name for name in suite_files(workspace, chapter) if Path(name).name.startswith("test_")]
        arguments += [*checks] or tests
        told = {"TITO_RECORD": str(record), "TITO_SECONDS": str(timeout), REPLACED: ",".join(replaced),
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # fmt: skip
        pytest_of, variables = pytest_here if in_page() else pytest_elsewhere, environment(workspace, chapter.files)
        status, said = pytest_of(workspace, arguments, variables | told, record, 20 * timeout)
        lines = [json.loads(line) for line in record.read_text(encoding="utf-8").split("\n") if line.endswith("}")]
    checks = [line for line in lines if "ends" in line]
    return Outcome(checks, trouble(status, 20 * timeout, lines, checks, said))


def pytest_elsewhere(
    workspace: Workspace, arguments: list[str], variables: dict[str, str], record: Path, seconds: float
) -> tuple[int | None, str]:
    """Run pytest in a process; return (exit status, None for one that took longer; what it said)."""
    command = [sys.executable, "-P", "-m", "pytest", *arguments]
    if hasattr(signal, "setitimer"):  # elsewhere only the suite as a whole is stopped
        command += ["-p", "pytest_timeout", "--timeout-method=signal"]
    with open(record.with_name("output.txt"), "w+b") as output:
        process = subprocess.Popen(
            command, cwd=workspace.folder, stdout=output, stderr=subprocess.STDOUT,
            env=variables | {"TITO_BYTES": str(MOST_BYTES)}, start_new_session=hasattr(os, "setsid"),
        )  # fmt: skip
        try:
            status = wait_for(process, record, seconds)
        finally:
            end(process)
        output.seek(0)
        return status, output.read().decode(errors="replace")


def pytest_here(
    workspace: Workspace, arguments: list[str], variables: dict[str, str], record: Path, seconds: float
) -> tuple[int, str]:
    """Run pytest in this process, which nobody stops; what it captures are Python's own streams."""
    output = io.StringIO()

    def run():
        import pytest

        return pytest.main([*arguments, "-p", "no:faulthandler", "--capture=sys"])

    return run_here(run, workspace.folder, variables, ["pytest"], output), output.getvalue()


def wait_for(process: subprocess.Popen, record: Path, seconds: float) -> int | None:
    """Return its exit status, None if it takes longer; a terminal sees how many checks have ended meanwhile."""
    terminal, latest = sys.stderr.isatty(), time.monotonic() + seconds
    try:
        while time.monotonic() < latest:
            try:
                return process.wait(min(0.5, seconds))
            except subprocess.TimeoutExpired:
                if terminal:
                    ended = record.read_bytes().count(b'"ends": ')
                    print(f"\r{plural(ended, 'check')} so far ", end="", file=sys.stderr, flush=True)
    finally:
        if terminal:
            print("\r" + " " * 30 + "\r", end="", file=sys.stderr, flush=True)
    return None


def end(process: subprocess.Popen) -> None:
    """Stop a process with all that it started, where the system has such groups."""
    if process.poll() is None:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()


def trouble(status: int | None, timeout: int, lines: list[dict], checks: list[dict], said: str) -> str:
    """Return why the suite did not come to its end; "" if it did."""
    ended = {check["ends"] for check in checks}
    running = [line["begins"] for line in lines if "begins" in line and line["begins"] not in ended]
    where = f" in {running[-1]}" if running else ""
    if status is None:
        return f"stopped after {timeout} s{where}: a loop that does not end? (--timeout SECONDS waits longer)"
    if status < 0 or status > 5:
        return f"the process of the tests died (status {status}){where}"
    if status in (0, 1) or checks and status == 2:
        return ""
    if status == 5:
        return "no check was chosen"
    return "pytest could not run the suite:\n" + "\n".join(said.strip().split("\n")[-15:])


# ---- what is recorded


def record(workspace: Workspace, chapter: Chapter, outcome: Outcome, fingerprint: str) -> None:
    places = []
    for check in outcome.having("failed"):
        places += [check["place"]] if check.get("place") else check.get("tested", [])[:1]
    workspace.record("tests", **{workspace.name_of_test(chapter): {
        "date": f"{datetime.now():%Y-%m-%d %H:%M}",
        "passed": len(outcome.having("passed")),
        "failed": len(outcome.having("failed")),
        "green": outcome.green,
        "trouble": outcome.trouble.split("\n")[0],
        "exercises": list(dict.fromkeys(place["exercise"] for place in places if place["exercise"])),
        "fingerprint": fingerprint,
    }})  # fmt: skip


# ---- what the student reads


def summary(outcome: Outcome, chapter: Chapter, every: bool = False, unwritten: Iterable[str] = ()) -> str:
    """Return what was checked, and of failures: got, expected, where in the notebook; `unwritten` are not right."""
    failed, skipped = outcome.having("failed"), outcome.having("skipped")
    numbers = [f"{len(outcome.having('passed'))} passed", f"{len(failed)} failed"]
    text = f"{plural(len(outcome.checks), 'check')}: {', '.join(numbers)}"
    text += f", {len(skipped)} skipped" if skipped else ""
    reasons = {}
    for check in skipped:
        reasons.setdefault(check.get("why", "no reason given"), []).append(check)
    text += "".join(f"\n  skipped {len(checks)}: {why}" for why, checks in reasons.items())
    wrong = [check for check in failed if not is_open(check)]
    shown = grouped(wrong, every) if every else grouped(wrong, every)[:SHOWN]
    for number, checks in enumerate(shown, 1):
        text += f"\n\n{described(number, checks)}"
    more = len(grouped(wrong, every=True)) - len(shown)
    if more:
        text += f"\n\nand {more} more: `tito test {chapter.number} --all`"
    text += still_open([check for check in failed if is_open(check)])
    text += right_so_far(outcome.having("passed"), failed, unwritten, exercises(chapter.content))
    if outcome.trouble:
        text += f"\n\n{outcome.trouble}"
    return text


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def grouped(failed: list[dict], every: bool) -> list[list[dict]]:
    """Failures of one test with the same error in the same cell are told as one; of `every`, if the message is too."""
    groups = {}
    for check in failed:
        cell, message = (check.get("place") or {}).get("cell"), check.get("message") if every else ""
        test = "" if check.get("collecting") else check["ends"].split("[")[0]
        groups.setdefault((test, check["error"], cell, message), []).append(check)
    return list(groups.values())


def still_open(checks: list[dict]) -> str:
    """The exercises that checks stopped at, in the order in which the student meets them."""
    waiting = {}
    for check in checks:
        place, function = check["place"], check["message"].removeprefix(NOT_WRITTEN).split(" (")[0]
        key = place["notebook"], place["cell"], place["line"], place["exercise"] or function
        waiting.setdefault(key, []).append(check)
    rows, width = [], max([24, *(len(name) for *_, name in waiting)])
    for notebook, cell, line, name in sorted(waiting):
        count = plural(len(waiting[notebook, cell, line, name]), "check")
        rows.append(f"    {name:{width}} {notebook}, cell {cell}, line {line:<3}  {count}")
    head = "\n\nnot written yet (`raise NotImplementedError`), and the checks that stopped there:\n"
    return head + "\n".join(rows) if rows else ""


def right_so_far(passed: list[dict], failed: list[dict], unwritten: Iterable[str], every: Iterable[str]) -> str:
    """The exercises that checks looked at and none failed in; of a suite that failed."""
    blamed = {place["exercise"] for check in failed for place in blamed_by(check)}
    seen = {name for check in passed for name in check.get("about", [])} - blamed - set(unwritten)
    right = [name for name in every if name in seen]
    return f"\n\nright so far: {', '.join(right)}" if failed and right else ""


def blamed_by(check: dict) -> list[dict]:
    """Where a failure came from: the student's line; where there is none, the cells that the check is about."""
    return [check["place"]] if check.get("place") else check.get("tested", [])


def is_open(check: dict) -> bool:
    stub = check["error"] == "NotImplementedError" and check["message"].startswith(NOT_WRITTEN)
    return stub and bool(check.get("place"))


def described(number: int, checks: list[dict]) -> str:
    first, place = checks[0], checks[0].get("place")
    others = f"   and {len(checks) - 1} more" if len(checks) > 1 else ""
    file, _, _ = first["ends"].partition("::")
    at = f"   {file}" + (f":{first['line']}" if "line" in first else "")
    rows = [f"{number:2}  {first['check']}{others}{at}"]
    if first.get("source"):
        rows.append(row("checked", first["source"]))
    if first["error"] not in ("AssertionError", "Failed"):
        rows.append(row("error", f"{first['error']}: {first['message']}".strip(": ")))
    elif first.get("message"):
        rows.append(row("message", first["message"]))
    rows += [row(name, first[name]) for name in ("got", "expected") if first.get(name)]
    if cells := about(first):
        rows.append(row("look at", "\n".join(cell["text"] for cell in cells)))
    if place:
        rows.append(row("where", place["text"]))
        if first.get("written"):
            rows.append(row("", first["written"]))
    rows += [row("", note) for note in first.get("notes", [])]
    return "\n".join(rows)


def about(check: dict) -> list[dict]:
    """The cells that a check is about; none where the student's line that failed stands in one of them."""
    cells, place = check.get("tested", []), check.get("place")
    if place and place["exercise"] in [cell["exercise"] for cell in cells]:
        return []
    return [cell for cell in cells if cell["exercise"]] if place else cells


def row(name: str, text: str) -> str:
    lines = text.strip().split("\n")
    lines = lines[:12] + (["..."] if len(lines) > 12 else [])
    return f"    {name:9} " + ("\n" + " " * 14).join(lines)
