"""The exercises of a chapter: where each one's statement, hints, check and points are, and what is wrong with them.

An exercise is a code cell that nbgrader knows as a solution. What belongs to it, in the order of the notebook:
the statement (markdown with `**Exercise.**` and a worked `**Example.**`), the hints (a markdown cell that begins
with `**Hints**`), the cell itself, and the next graded cell: visible checks, then hidden tests, and the points.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

LONGEST = 15  # lines of code in one solution region
FEWEST_HINTS = 2

_region = re.compile(
    r"^[ \t]*### BEGIN SOLUTION *\n(.*?)^[ \t]*### END SOLUTION *$", re.DOTALL | re.MULTILINE
)
_hidden = re.compile(
    r"^[ \t]*### BEGIN HIDDEN TESTS *\n(.*?)^[ \t]*### END HIDDEN TESTS *$", re.DOTALL | re.MULTILINE
)
_hint = re.compile(r"<details>\s*<summary>(.*?)</summary>(.*?)</details>", re.DOTALL)


@dataclass(frozen=True)
class Check:
    """A graded cell."""

    name: str
    visible: str
    hidden: str
    points: float | None


@dataclass
class Exercise:
    """An exercise as its notebook has it; texts are "" and lists empty for what is not there."""

    name: str
    stub: str
    """The source of its cell, without what stands in the solution regions."""
    regions: list[str]
    statement: str = ""
    hints: list[str] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)

    @property
    def lines(self) -> list[int]:
        """Lines of code in each region: blank lines and comments do not count."""
        return [len(code_lines(region)) for region in self.regions]


def exercises(notebook: Path) -> list[Exercise]:
    """The exercises of a notebook, in order."""
    cells = [Cell.of(cell) for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]]
    return [_exercise(cells, i) for i, cell in enumerate(cells) if cell.solution]


def problems(notebook: Path) -> list[str]:
    """Return what is wrong with the exercises of a notebook, one text each."""
    found = exercises(notebook)
    if not found:
        return [f"{notebook.stem}: no exercise; mark a code cell as a solution in its nbgrader metadata"]
    return [f"{notebook.stem}, {exercise.name}: {text}" for exercise in found for text in _problems(exercise)]


def table(chapters: dict[str, list[Exercise]]) -> str:
    """All exercises of {chapter: exercises} as lines of text."""
    rows, total = [("chapter", "exercise", "lines", "hints", "hidden", "points", "checked by")], 0.0
    for chapter, found in chapters.items():
        counted = set()  # several exercises may share a check: its points are shown once
        for exercise in found:
            points = sum(check.points or 0 for check in exercise.checks if check not in counted)
            counted.update(exercise.checks)
            total += points
            hidden = sum(len(code_lines(check.hidden)) for check in exercise.checks)
            checks = ", ".join(check.name for check in exercise.checks)
            rows.append((chapter, exercise.name, "+".join(map(str, exercise.lines)), str(len(exercise.hints)),
                         str(hidden), f"{points:g}" if points else "-", checks or "nothing"))  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows]
    count = sum(map(len, chapters.values()))
    return "\n".join([*lines, f"{count} exercises in {len(chapters)} chapters, {total:g} points"])


def code_lines(source: str) -> list[str]:
    return [line.strip() for line in source.split("\n") if line.strip() and not line.strip().startswith("#")]


@dataclass
class Cell:
    kind: str
    source: str
    nbgrader: dict

    @classmethod
    def of(cls, cell: dict) -> "Cell":
        return cls(cell["cell_type"], "".join(cell["source"]), cell.get("metadata", {}).get("nbgrader", {}))

    @property
    def solution(self) -> bool:
        return self.kind == "code" and self.nbgrader.get("solution", False)

    @property
    def graded(self) -> bool:
        return self.kind == "code" and self.nbgrader.get("grade", False)


def _exercise(cells: list[Cell], i: int) -> Exercise:
    source = cells[i].source
    stub = _region.sub("", source)
    exercise = Exercise(cells[i].nbgrader.get("grade_id", ""), stub, _region.findall(source))
    for cell in reversed(cells[:i]):
        if cell.graded or cell.solution:
            break
        if cell.kind == "markdown" and cell.source.startswith("**Hints**"):
            exercise.hints = exercise.hints or [text.strip() for _, text in _hint.findall(cell.source)]
    for cell in reversed(cells[:i]):
        if cell.graded or (cell.kind == "markdown" and "**Exercise.**" in cell.source):
            exercise.statement = "" if cell.graded else cell.source
            break
    for cell in cells[i + 1 :]:
        if cell.solution and exercise.checks:
            break
        if cell.graded:
            visible, hidden = _hidden.sub("", cell.source), "\n".join(_hidden.findall(cell.source))
            check = Check(cell.nbgrader["grade_id"], visible, hidden, cell.nbgrader.get("points"))
            exercise.checks.append(check)
    return exercise


def _problems(exercise: Exercise) -> list[str]:
    found = []
    if not exercise.regions:
        found.append("no `### BEGIN SOLUTION` ... `### END SOLUTION`")
    found += [f"a solution of {n} lines, expected at most {LONGEST}" for n in exercise.lines if n > LONGEST]
    found += ["a solution without a line of code" for n in exercise.lines if n == 0]
    if not exercise.statement:
        found.append("no statement: expected markdown with **Exercise.** between the last check and the cell")
    elif "**Example.**" not in exercise.statement:
        found.append("no worked example: expected **Example.** in the statement")
    if len(exercise.hints) < FEWEST_HINTS or not all(exercise.hints):
        found.append(f"{len(exercise.hints)} hints, expected at least {FEWEST_HINTS} in a cell right above that begins "
                     "with **Hints**")  # fmt: skip
    if not exercise.checks:
        found.append("no check: expected a graded cell behind it")
    for check in exercise.checks:
        if not code_lines(check.visible):
            found.append(f"{check.name} checks nothing that a student sees")
        if not code_lines(check.hidden):
            found.append(f"{check.name} has no `### BEGIN HIDDEN TESTS` ... `### END HIDDEN TESTS`")
        if not check.points:
            found.append(f"{check.name} has no points in its nbgrader metadata")
    return found + _given_away(exercise)


def _given_away(exercise: Exercise) -> list[str]:
    """Lines of the solution that a student can read without writing them."""
    seen = {"the stub": exercise.stub, "the statement": exercise.statement}
    seen |= {f"hint {n}": text for n, text in enumerate(exercise.hints, 1)}
    squeezed = {where: re.sub(r"\s+", "", text) for where, text in seen.items()}
    answers = {_squeezed(line): line for region in exercise.regions for line in code_lines(region)}
    return [f"{where} gives the answer away: {line}" for answer, line in answers.items() if _telling(answer)
            for where, text in squeezed.items() if answer in text]  # fmt: skip


def _squeezed(line: str) -> str:
    """A line without comment, white space and the word return."""
    return re.sub(r"\s+", "", re.sub(r"\s#.*", "", line)).removeprefix("return")


def _telling(answer: str) -> bool:
    """Return whether this is more than a name handed back, a bare keyword or the head of a loop."""
    head = answer.endswith(":")
    return len(answer) >= 12 and not head and bool(re.search(r"[-+*/%@(\[<>=]", answer))
