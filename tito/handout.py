"""Give a student's notebook a kernel, how to work at its head, and the check of its chapter at its end."""

from tito.course import Chapter
from tito.strip import grading, source_of
from tito.workspace import OPEN

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
HEAD, CHECK = "how-to-work", "check-this-chapter"  # ids of the two cells
WORDS_A_MINUTE, MINUTES_AN_EXERCISE, MINUTES_A_FUNCTION = 180, 8, 12

TO_DO = {
    "guided": """\
Each of the {count} exercises is a cell with a line `raise NotImplementedError(...)`. Put your code in the place of that
line, and run the cell; the cell below it checks what you wrote, and prints what it compares.""",
    "open": """\
Every function and class that the chapter exports is a signature and a docstring. Put your code in the place of each
line `raise NotImplementedError(...)`, in your own way; the checks look at what the functions do.""",
}
HOW_TO_WORK = """\
**How to work.** {to_do}

- Shift+Enter runs a cell; run the notebook from the top. Nothing below an open exercise works yet.
- `#| export` at the head of a cell means that it becomes part of your library, in `exported/tinytorch/`: leave that
  line where it is. Cells without it are yours to play with.
- `tito hint {number}` in a terminal gives a hint, and with each call the next one; `tito undo` takes back what last
  overwrote your work.
- When all is written, save (Ctrl+S) and run the last cell: it exports what you wrote, and says whether it is right.

Expect about {hours}: {reading} minutes to read, and {minutes} for each {what}."""


def handout(chapter: Chapter, notebook: dict, depth: str) -> dict:
    """`notebook`, without its solutions, as a student of that depth gets it."""
    title, *rest = notebook["cells"]
    head = {"cell_type": "markdown", "id": HEAD, "metadata": {}, "source": lines(how_to_work(chapter, notebook, depth))}
    check = {"cell_type": "code", "id": CHECK, "metadata": {}, "execution_count": None, "outputs": [],
             "source": lines(f"%reload_ext tito\n%tito check {chapter.number}")}  # fmt: skip
    return notebook | {
        "cells": [title, head, *rest, check],
        "metadata": notebook["metadata"] | {"kernelspec": KERNEL},
    }


def how_to_work(chapter: Chapter, notebook: dict, depth: str) -> str:
    sources = [source_of(cell) for cell in notebook["cells"]]
    if depth == OPEN:
        count = sum(source.count("raise NotImplementedError(") for source in sources)
        minutes, what = MINUTES_A_FUNCTION, "function"
    else:
        count = sum(bool(grading(cell).get("solution")) for cell in notebook["cells"])
        minutes, what = MINUTES_AN_EXERCISE, "exercise"
    reading = round(sum(len(source.split()) for source in sources) / WORDS_A_MINUTE)
    return HOW_TO_WORK.format(to_do=TO_DO[depth].format(count=count), number=chapter.number, reading=reading,
                              minutes=minutes, what=what, hours=hours(reading + count * minutes))  # fmt: skip


def hours(minutes: float) -> str:
    """In halves of an hour: "an hour", "2.5 hours"."""
    halves = max(1, round(minutes / 30))
    return {1: "half an hour", 2: "an hour"}.get(halves, f"{halves / 2:g} hours")


def lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)
