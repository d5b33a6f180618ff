"""python graded.py JOBS.json: the graded checks of notebooks in which one cell is another, without the sandbox.

A job: {"tests": the notebook, "exercise", "source", "output"}; `source` stands in the place of the exercise's cell.
The cells of a notebook run once, as they are; at each exercise in question a fork for each of its jobs goes on with the
wrong cell, to the first check that fails or to the end. Writes "red: ", the check and its error, or "green".
"""
import gc
import json
import os
import resource
import sys
import tempfile
import traceback
from pathlib import Path
from types import ModuleType

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot  # noqa: E402, F401 - imported here so that they are there in each fork
import numpy  # noqa: E402, F401

import tinytorch  # noqa: E402, F401
from tito.strip import grading, read_notebook, source_of  # noqa: E402

SECONDS = 60  # of the processor: a solution may not end


def main(path):
    by_notebook = {}
    for job in json.loads(Path(path).read_text(encoding="utf-8")):
        by_notebook.setdefault(job["tests"], []).append(job)
    for notebook, jobs in by_notebook.items():
        if status := in_fork(lambda n=notebook, j=jobs: play(n, j)):
            sys.exit(f"{notebook}: status {status}")


def in_fork(function):
    child = os.fork()
    if child == 0:
        try:
            function()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def play(notebook, jobs):
    "Run the cells of a notebook, and its jobs at their exercises."
    cells = [cell for cell in read_notebook(Path(notebook))["cells"] if cell["cell_type"] == "code"]
    sys.modules["__main__"] = ModuleType("__main__")
    names = vars(sys.modules["__main__"])
    with tempfile.TemporaryDirectory(prefix="graded-") as folder:
        os.chdir(folder)
        waiting = list(jobs)
        for number, cell in enumerate(cells):
            here = [job for job in waiting if job["exercise"] == grading(cell).get("grade_id")]
            for job in here:
                waiting.remove(job)
                Path(job["output"]).write_text("red: it did not end")
                in_fork(lambda job=job, rest=cells[number + 1:]: judged(job, names, rest))
            if not waiting:
                break
            if found := verdict(cell, names):
                raise AssertionError(f"{notebook} is red without a mistake: {found}")


def judged(job, names, rest):
    "Go on with a wrong cell, in a fork."
    gc.freeze()  # what is there stays shared
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    error = run(job["source"], names)
    said = f" (the cell itself: {error!r})" if error else ""
    found = next((f"red: {found}" for cell in rest if (found := verdict(cell, names))), "green")
    Path(job["output"]).write_text(found + said, encoding="utf-8")


def verdict(cell, names):
    "Run a cell; return the name and the error of a check that failed."
    error = run(source_of(cell), names)
    is_check = grading(cell).get("grade") and not grading(cell).get("solution")
    return f"{grading(cell)['grade_id']}: {type(error).__name__}: {error}"[:300] if error and is_check else ""


def run(source, names):
    try:
        exec(compile(source, "<cell>", "exec", dont_inherit=True), names)
    except BaseException as error:
        return error


if __name__ == "__main__":
    main(sys.argv[1])
