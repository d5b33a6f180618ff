"""Where a mistake goes: into the cell of its notebook, and into the module that the notebook exports."""
import re
import textwrap
from functools import cache
from pathlib import Path

import tinytorch
from tito.project import notebooks
from tito.strip import exercises, exported_files, read_notebook

ROOT, PACKAGE = Path(__file__).resolve().parents[2], Path(tinytorch.__file__).parent
NOTEBOOKS = {path.stem: path for path in notebooks(ROOT)}
REGION = re.compile(r"^([ \t]*)### BEGIN SOLUTION *\n(.*?)^[ \t]*### END SOLUTION *\n?", re.DOTALL | re.MULTILINE)


@cache
def content(chapter):
    return read_notebook(NOTEBOOKS[chapter])


def wrong_region(mistake):
    "(cell of the exercise, the region in question as a match, what stands there with the mistake)"
    cell = exercises(content(mistake.chapter))[mistake.exercise]
    regions = list(REGION.finditer(cell))
    if not isinstance(mistake.body, tuple):
        found = regions[mistake.region]
        return cell, found, textwrap.indent(mistake.body.strip("\n") + "\n", found[1])
    rows = []
    for found in regions if mistake.region is None else [regions[mistake.region]]:
        old, new = (textwrap.indent(text, found[1]).removeprefix(found[1]) for text in mistake.body)
        rows += [(found, old, new)] * found[2].count(old)
    assert len(rows) == 1, f"stale: {mistake.exercise} holds {len(rows)} times\n{mistake.body[0]}"
    (found, old, new), = rows
    return cell, found, found[2].replace(old, new)


def with_mistake(mistake):
    "(path in the package, its source with the wrong solution in it)"
    cell, found, wrong = wrong_region(mistake)
    solution = found[2]
    before = re.sub(r"^#\|.*\n", "", REGION.sub(lambda match: match[2], cell[:found.start()]), flags=re.MULTILINE)
    before = re.split(r"\n\n|\n(?=def |class )", before)[-1]  # enough to find the place
    for path in exported_files(content(mistake.chapter)):
        source = (PACKAGE / path).read_text(encoding="utf-8")
        if source.count(before + solution) == 1:
            return path, source.replace(before + solution, before + wrong)
    raise AssertionError(f"the solution of {mistake.exercise} is in no file of {mistake.chapter}: tito build?")


def wrong_cell(mistake):
    "The cell of the exercise with the wrong solution in it."
    cell, found, wrong = wrong_region(mistake)
    return cell[:found.start(2)] + wrong + cell[found.end(2):]
