"""A page for each milestone: its story, what it needs, and a run, as the folder that it wrote tells it."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tito.course import Milestone, milestones
from tito.files import digest
from tito.project import TitoError
from tito.report import badge, cards, charts, criteria_table, grid_of, side_by_side
from tito.runs import Run, is_run, own_file, own_text, read_json, read_run
from tito.site.outputs import package_version
from tito.site.pages import Page, escaped, fenced

QUICK = ("perceptron", "xor", "mlp", "reversal")  # done in seconds: the build makes them itself
LONGEST_SAMPLES = 6000  # characters
NAMES = {"xor": "XOR", "mlp": "MLP", "cnn": "CNN", "tinystories": "TinyStories", "chat": "SmolLM2 talks",
         "smollm": "SmolLM2 in 8 bits"}  # where the script's name is not enough  # fmt: skip


def milestone_pages(root: Path, cache: Path, given: Path | None, quick: tuple[str, ...] = QUICK) -> list[Page]:
    """The list, and a page for each milestone, with the newest of its runs in `given`; quick ones are made if missing.

    Raises: TitoError for a folder without runs, and for a quick one that fails.
    """
    runs = newest(given) if given else {}
    if given and not runs:
        raise TitoError(f"--runs {given}: expected a folder with runs of milestones in it, found none")
    every = milestones()
    for one in every:
        if one.name in quick and one.name not in runs:
            runs[one.name] = made(one, root, cache)
    pages = [milestone_page(one, runs.get(one.name)) for one in every]
    return [overview(every, runs), *pages]


def newest(folder: Path) -> dict[str, Run]:
    """{name of a milestone: its newest run, one that learned before any other}."""
    found: dict[str, Run] = {}
    folders = [path for path in [folder, *sorted(folder.glob("*"))] if path.is_dir() and is_run(path)]
    for run in map(read_run, folders):
        name = re.sub(r"-\d+$", "", run.name)
        if name not in found or (run.state == "learned") >= (found[name].state == "learned"):
            found[name] = run
    return found


def made(one: Milestone, root: Path, cache: Path) -> Run:
    """The run of a quick milestone, made once for each version of the script and of the package."""
    version = digest(one.file.read_bytes() + package_version(root).encode())[:16]
    folder = cache / "runs" / f"{one.name}-{version}"
    if not (folder / f"{one.name}-001" / "results.json").is_file():
        environment = {"OPENBLAS_NUM_THREADS": "1", **os.environ, "PYTHONPATH": str(root)}
        done = subprocess.run([sys.executable, str(one.file), "--runs", str(folder)], cwd=root, env=environment,
                              capture_output=True, text=True)  # fmt: skip
        if done.returncode:
            raise TitoError(f"{one.path} ends with status {done.returncode}, so its page has nothing to show\n"
                            f"{done.stdout[-2000:]}{done.stderr[-2000:]}")  # fmt: skip
    return read_run(folder / f"{one.name}-001")


def overview(every: list[Milestone], runs: dict[str, Run]) -> Page:
    page = Page("index", "Milestones")
    page.lines = [
        "# Milestones",
        "Flat scripts that learn something with the package. Each ends well only if a bar on held-out data is met, and "
        "has a broken variant that the same bar refuses. The numbers on these pages were written by a run.",
        "\n".join(f"- [{one.title}]({one.name}.md){' (with a run)' if one.name in runs else ''}" for one in every),
    ]
    return page


def milestone_page(one: Milestone, run: Run | None) -> Page:
    import ast

    page = Page(one.name, NAMES.get(one.name, one.name.capitalize()))
    needs = ", ".join(f"[{chapter.number}](../chapters/{chapter.name}.md)" for chapter in one.needs)
    story = (ast.get_docstring(one.tree) or "").partition("\n")[2].strip("\n")
    page.lines = [f"# {one.title}", plain_text(story), f"Chapters whose code runs in it: {needs}."]
    if run is None:
        page.lines.append('!!! note "No run was given to this build"\n'
                          "    `tito dev site --runs FOLDER` shows the runs that the script left there.")  # fmt: skip
        return page
    command = read_json(run.folder / "config.json").get("command")
    said = f"python {' '.join(map(str, command))}" if isinstance(command, list) else f"python {one.path}"
    page.lines += ["## The run", f"<p>{badge(run)}</p>", fenced(without_folder(said), "bash")]
    results = read_json(run.folder / "results.json")
    for title, html in {
        "What it had to show": criteria_table(results.get("criteria")),
        "Side by side": side_by_side(results.get("table")),
        "Measured": cards(results.get("numbers")),
        "Curves": grid_of(charts(run)),
    }.items():
        if html:
            page.lines += [f"### {title}", f'<div class="report">{one_line(html)}</div>']
    text = own_text(run.folder / "samples.txt").strip()
    if text:
        page.lines += ["### Samples", fenced(text[-LONGEST_SAMPLES:], "text")]
    for picture in sorted(run.folder.glob("*.png")):
        if picture.name != "loss.png" or not run.records:
            page.files[picture.name] = own_file(picture)
            words = picture.stem.replace("_", " ").replace("-", " ").capitalize()
            page.lines += [f"### {words}", f'<img class="picture" src="{one.name}/{picture.name}" '
                                           f'alt="{words}, drawn by the run" loading="lazy">']  # fmt: skip
    return page


def plain_text(story: str) -> str:
    """A docstring of a script: paragraphs as they are, indented lines as a block of code."""
    parts = re.split(r"\n\s*\n", story)
    return "\n\n".join(
        fenced("\n".join(line[4:] for line in part.split("\n")), "text") if part.startswith("    ")
        else re.sub(r"(`[^`]*`)|[^`]+", lambda found: found[1] or escaped(found[0]), part)
        for part in parts if part.strip()
    )  # fmt: skip


def one_line(html: str) -> str:
    """HTML without the line breaks that would end a block in Markdown."""
    return re.sub(r"\s*\n\s*", " ", html)


def without_folder(command: str) -> str:
    """A command as a reader would type it: without where this build kept the run."""
    return re.sub(r" --runs \S+", "", re.sub(r"\S*/(milestones/)", r"\1", command))
