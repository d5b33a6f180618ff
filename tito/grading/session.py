"""Outside of the sandbox: plays the cells of a notebook to the process inside, and judges what its checks send."""

import ast
import base64
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tito.grading.checks import SAME_GRADIENTS, Check, Question, check_of
from tito.grading.plain import GRADIENTS, decode
from tito.grading.sandbox import Limits, sandbox, variables

GRACE = 5  # seconds for a cell to end once it was interrupted
START = 120  # seconds
MOST_LINE = 1 << 27  # bytes that may come in as one
NOBODY = 1 << 20  # from here on users have no names
NAP = 0.25  # seconds between looks at the memory


class Ended(Exception):
    """The process is gone, or was ended: what is left of the notebook did not run."""


@dataclass
class Outcome:
    """What came of a cell: `error` as notebooks have it (ename, evalue, traceback), None where there was none."""

    error: dict | None
    stdout: str = ""
    shown: list[dict] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)  # by number, the questions that were


class Session:
    """A process in the sandbox, from its start to its end. `view` holds the package; without a sandbox, see `trust`."""

    def __init__(self, view: Path, limits: Limits, imports: list[str], trust: bool = False):
        self.limits, self.trust, self.view, self.imports = limits, trust, view, imports
        self.received = bytearray()

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="tito-", ignore_cleanup_errors=True)
        command = [sys.executable, "-P", "-m", "tito.grading.process"]
        environment = os.environ | variables(self.view) if self.trust else {"PATH": os.environ.get("PATH", os.defpath)}
        self.process = subprocess.Popen(
            command if self.trust else [*sandbox(self.view, self.limits), *command], cwd=self.folder.name,
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
            start_new_session=True,
        )  # fmt: skip
        limits = self.limits.of_process()
        if self.trust:
            del limits["NPROC"]  # it would count all processes of the user
        nobody = 0 if self.trust else NOBODY + os.getpid() % NOBODY  # whose processes are counted for this one alone
        try:
            self.say({"limits": limits, "imports": self.imports, "nobody": nobody})
            self.hear(time.monotonic() + START)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        end(self.process)
        self.folder.cleanup()

    def say(self, message: dict) -> None:
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise Ended("the process has ended") from error

    def hear(self, deadline: float) -> dict:
        """The next message. Raises Ended where none comes until the deadline, or what comes is none."""
        source, seen = self.process.stdout.fileno(), 0
        while (end_of_line := self.received.find(b"\n", seen)) < 0:
            seen = len(self.received)
            left = deadline - time.monotonic()
            if left <= 0:
                raise Ended("it did not end when it was interrupted")
            if seen > MOST_LINE or used_memory(self.process) > self.limits.memory:
                raise Ended(f"it took more than {self.limits.memory >> 20} MB")
            if select.select([source], [], [], min(left, NAP))[0]:
                received = os.read(source, 1 << 20)
                if not received:
                    raise Ended("the process has ended")
                self.received += received
        line, self.received = self.received[:end_of_line], self.received[end_of_line + 1 :]
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            raise Ended("it sent something else than messages")
        return message

    # ---- cells and checks

    def cell(self, source: str) -> Outcome:
        self.say({"cell": source, "seconds": self.limits.seconds})
        return self.outcome(self.hear(self.deadline()))

    def check(self, name: str, check: Check) -> Outcome:
        """Run a check and judge what it sends; without its names' origins, it is the reference, and finds them out."""
        command = {"check": check.program, "name": name, "seconds": self.limits.seconds, "makes": check.makes}
        learning, deadline, wrong, asked = check.origins is None, self.deadline(), None, []
        self.say(command | ({"names": check.names} if learning else {"origins": check.origins}))
        if learning:
            found = self.hear(deadline)["origins"]
            check.origins = {name: origin for name, origin in found.items() if origin}
            self.say(check.origins)
        while "done" not in (message := self.hear(deadline)):
            number, question, values = received(message, check)
            asked.append(number)
            right = question.holds(values)
            if learning and not right and number != GRADIENTS:
                right = question.trusting = self.truth(question.test, deadline)
            if not right:
                wrong = wrong or f"not so: {question.inside}"
            self.say({} if right else {"wrong": question.message, "instead": wrong})
        outcome = self.outcome(message)
        missing = [question.inside for number, question in enumerate(check.questions)
                   if question.required and number not in asked]  # fmt: skip
        missing += ["all gradients"] if asked.count(GRADIENTS) < check.gradients else []
        if missing:
            wrong = wrong or f"the check did not come to: {missing[0]}"
        outcome.asked, outcome.error = asked, outcome.error or wrong and failure("NotProven", wrong)
        return outcome

    def truth(self, test: str, deadline: float) -> bool:
        self.say({"truth": test})
        return self.hear(deadline).get("truth") is True

    def deadline(self) -> float:
        return time.monotonic() + self.limits.seconds + GRACE

    def outcome(self, message: dict) -> Outcome:
        """What a message says of a cell, as far as it is what it should be."""
        error = message.get("done")
        if error is not None:
            error = error if isinstance(error, dict) else {}
            lines = error.get("traceback")
            lines = [text(line) for line in lines] if isinstance(lines, list) else []
            error = failure(text(error.get("ename")), text(error.get("evalue")), lines)
        shown = message.get("shown") if isinstance(message.get("shown"), list) else []
        return Outcome(error, text(message.get("stdout")), [text_and_picture(one) for one in shown])


def received(message: dict, check: Check) -> tuple[int, Question, list]:
    """The question that a message answers, and its values."""
    number, values = message.get("ask"), message.get("values")
    if type(number) is not int or not GRADIENTS <= number < len(check.questions) or not isinstance(values, list):
        raise Ended("it sent something else than messages")
    question = SAME_GRADIENTS if number == GRADIENTS else check.questions[number]
    return number, question, [decode(value) for value in values]


def text(said) -> str:
    return str(said or "").encode("utf-8", "replace").decode()  # no half characters


def text_and_picture(shown) -> dict:
    """Of what a cell shows, that which a page can hold: an invented picture could be anything."""
    shown = shown if isinstance(shown, dict) else {}
    found = {"text/plain": text(shown.get("text/plain"))}
    with suppress(ValueError, TypeError):
        base64.b64decode(shown.get("image/png"), validate=True)
        found["image/png"] = shown["image/png"]
    return found


def failure(name: str, why: str, traceback: list[str] | None = None) -> dict:
    return {"ename": name, "evalue": why, "traceback": traceback or [f"{name}: {why}"]}


# ---- the reference


def checks_of(cells: list[tuple[str, str]], session: Session) -> dict[str, Check]:
    """The checks of a notebook with solutions, by name, once they were passed in the sandbox.

    `cells` are (name, source), with "" for what is no check. What the reference asks, a submission must ask as well;
    what cannot be judged outside of the reference's is judged inside of a submission's. Raises ValueError for a check
    that the reference does not pass.
    """
    checks = {}
    for name, source in cells:
        if not name:
            session.cell(source)
            continue
        check = check_of(source)
        outcome = session.check(name, check)
        if outcome.error:
            raise ValueError(f"{name}: {outcome.error['evalue'] or outcome.error['ename']}")
        if not outcome.asked:
            raise ValueError(f"{name}: nothing is asserted in it that can be decided outside, so that all would pass")
        for number, question in enumerate(check.questions):
            question.required = number in outcome.asked
        trusting = frozenset(number for number, question in enumerate(check.questions) if question.trusting)
        checks[name] = check_of(source, trusting)
        checks[name].origins, checks[name].gradients = check.origins, outcome.asked.count(GRADIENTS)
        for question, learned in zip(checks[name].questions, check.questions):
            question.required = learned.required
    return checks


def imports_of(sources: list[str]) -> list[str]:
    """The modules that cells import, which are those of the reference."""
    found = {}
    for source in sources:
        with suppress(SyntaxError):
            for node in ast.walk(ast.parse(source)):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.module:
                    names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                found |= dict.fromkeys(names)
    return list(found)


# ---- the process


def used_memory(process: subprocess.Popen) -> int:
    """Bytes that a process and all that it has started use together."""
    total = 0
    with suppress(psutil.Error):
        family = [parent := psutil.Process(process.pid), *parent.children(recursive=True)]
        for one in family:
            with suppress(psutil.Error):
                memory = one.memory_info()
                total += memory.rss - getattr(memory, "shared", 0)
    return total


def end(process: subprocess.Popen) -> None:
    """Kill a process and all that it has started."""
    try:
        started = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        started = []
    for one in [process, *started]:
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            one.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()
