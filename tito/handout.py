"""Give a student's notebook a kernel, how to work at its head, and the check of its chapter at its end."""

from tito.course import Chapter
from tito.strip import grading, source_of

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
HEAD, CHECK = "how-to-work", "check-this-chapter"  # ids of the two cells
WORDS_A_MINUTE = 180
MINUTES = {"guided": (6, 2), "open": (0, 12)}  # to understand an exercise, and to write each gap in it

TO_DO = {
    "guided": """\
Each of the {count} exercises is a cell with one or more lines `raise NotImplementedError(...)`. Put your code in the
place of each, and run the cell; the next check below it tests what you wrote, and prints what it compares.""",
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

Expect about {hours}: {reading} minutes to read, {work}."""
WORK = {
    "guided": "{} minutes for each exercise, and {} for each line to replace in it".format(*MINUTES["guided"]),
    "open": "and {1} for each function".format(*MINUTES["open"]),
}


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
    count, _ = exercises_and_gaps(notebook)
    reading, needed = round(reading_time(notebook)), hours(minutes_for(notebook, depth))
    return HOW_TO_WORK.format(to_do=TO_DO[depth].format(count=count), number=chapter.number, reading=reading,
                              work=WORK[depth], hours=needed)  # fmt: skip


def minutes_for(notebook: dict, depth: str) -> float:
    """How long a student's notebook is expected to take."""
    (exercise, gap), (exercises, gaps) = MINUTES[depth], exercises_and_gaps(notebook)
    return reading_time(notebook) + exercise * exercises + gap * gaps


def exercises_and_gaps(notebook: dict) -> tuple[int, int]:
    """How many cells a student writes in, and how many lines there are to replace."""
    gaps = sum(source_of(cell).count("raise NotImplementedError(\"") for cell in notebook["cells"])
    return sum(bool(grading(cell).get("solution")) for cell in notebook["cells"]), gaps


def reading_time(notebook: dict) -> float:
    return sum(len(source_of(cell).split()) for cell in notebook["cells"]) / WORDS_A_MINUTE


def hours(minutes: float) -> str:
    """In halves of an hour: "an hour", "2.5 hours"."""
    halves = halves_of(minutes)
    return {1: "half an hour", 2: "an hour"}.get(halves, f"{halves / 2:g} hours")


def halves_of(minutes: float) -> int:
    return max(1, round(minutes / 30))


def where_hours_come_from() -> str:
    return (f"hours: to expect, from the words of a notebook at {WORDS_A_MINUTE} a minute, and {WORK['guided']}"
            f" ({MINUTES['open'][1]} for each function in open form); yours will differ")


def lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)
