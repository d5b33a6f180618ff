"""`tito diff`: two versions of a cell, side by side in a terminal that is wide enough, else as a unified diff."""

import difflib
import sys

NARROWEST = 110  # columns of a terminal in which two columns of code can be read
COLOURS = {" ": "", "<": "red", "|": "yellow", ">": "green"}


def show(name: str, mine: list[str], reference: list[str]) -> None:
    if sys.stdout.isatty():
        from rich.console import Console

        console = Console()
        if console.width >= NARROWEST:
            console.print(table(name, mine, reference))
            return
    print(f"{name}\n{unified(mine, reference)}\n")


def unified(mine: list[str], reference: list[str]) -> str:
    rows = list(difflib.unified_diff(mine, reference, "mine", "reference", lineterm="", n=100))
    return "\n".join(rows[:2] + rows[3:])


def beside(mine: list[str], reference: list[str]) -> list[tuple[str, str, str]]:
    """(mine, sign, reference), line by line. The sign: " " the same, "|" changed, "<" and ">" only there."""
    rows = []
    for tag, a, b, c, d in difflib.SequenceMatcher(None, mine, reference, autojunk=False).get_opcodes():
        left, right = mine[a:b], reference[c:d]
        for place in range(max(len(left), len(right))):
            here, there = place < len(left), place < len(right)
            sign = " " if tag == "equal" else "|" if here and there else "<" if here else ">"
            rows.append((left[place] if here else "", sign, right[place] if there else ""))
    return rows


def table(name: str, mine: list[str], reference: list[str]):
    """The same, for rich to print: two columns as wide as the terminal lets them be."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=name, title_justify="left", title_style="bold", box=None, expand=True, padding=(0, 1, 0, 0))
    drawn.add_column("mine", ratio=1, overflow="fold", header_style="dim")
    drawn.add_column("", width=1)
    drawn.add_column("reference", ratio=1, overflow="fold", header_style="dim")
    for left, sign, right in beside(mine, reference):
        drawn.add_row(*(Text(text, style=COLOURS[sign]) for text in (left, sign, right)))
    return drawn
