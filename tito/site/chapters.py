"""A chapter as a page: its notebook in Markdown, each solution folded away below what a student starts with."""

import re

from tito.site.outputs import Shown, shown
from tito.site.pages import Page, fenced
from tito.strip import grading, source_of, without_markers, without_regions

SOLUTION = "Show one solution"
_directive = re.compile(r"#\s*\|\s*(default_exp|exporti?)\b[ \t]*(\S*)[ \t]*\n?")


def chapter_page(name: str, notebook: dict, outputs: list[list[dict]], head: str = "") -> Page:
    """The page of a chapter, with `outputs`, a list for each cell; `head` goes below its title."""
    page = Page(name, title_of(notebook))
    default = ""
    for number, (cell, said) in enumerate(zip(notebook["cells"], outputs), 1):
        source = source_of(cell)
        if cell["cell_type"] == "markdown":
            page.lines.append(prose(source))
        elif cell["cell_type"] == "code":
            default = next((m[2] for m in _directive.finditer(source) if m[1] == "default_exp"), default)
            page.lines += code(cell, default, f"{name}, cell {number}")
            add(page, [shown(output, f"{number:03}-{place}") for place, output in enumerate(said)])
        if number == 1 and head:
            page.lines.append(head)
    return page


def title_of(notebook: dict) -> str:
    """The first heading of a notebook."""
    return next(m[1] for cell in notebook["cells"] if (m := re.match(r"# (.+)", source_of(cell))))


def prose(source: str) -> str:
    """Markdown in which the text inside of <details> is Markdown, too."""
    return source.replace("<details>", '<details markdown="1">')


def code(cell: dict, default: str, where: str) -> list[str]:
    """A code cell; of an exercise, what a student gets, and then the solution, folded away."""
    source = source_of(cell)
    exported = [m[2] or default for m in _directive.finditer(source) if m[1] != "default_exp"]
    path = f"tinytorch/{exported[0].replace('.', '/')}.py" if exported else ""
    given = without_regions(_directive.sub("", source), where)
    if not given.strip():
        return []
    lines = [fenced(given, title=path)]
    if grading(cell).get("solution"):
        solution = fenced(without_markers(_directive.sub("", source)), title=path)
        lines += [f'<details class="solution" markdown="1">\n<summary>{SOLUTION}</summary>', solution, "</details>"]
    return lines


def add(page: Page, found: list[Shown]) -> None:
    """Append what a cell put out; files lie in a folder that has the page's name."""
    for one in found:
        page.files |= one.files
        page.lines.append(one.markdown.replace("FOLDER", page.name))
