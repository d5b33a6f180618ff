"""The automated student, in one process and without a Jupyter kernel: for wasm32, through what `%tito` calls in a page.

    python student.py 01 02 ... [--milestone reversal]     (see test_wasm32.py)

For each chapter: its notebook stops at the first exercise; `tito check` is red; solutions in; `tito check` is green.
"""
import io
import json
import os
import re
import shutil
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

sys.path.insert(0, "/course/tests/tito")
from automated_student import solve

from tito.course import chapter
from tito.inpage import like_a_process
from tito.magic import tito_here

WORK = Path("/work")


def tito(*words, status=0):
    "What `%tito WORDS` prints; it must end with `status`."
    said = io.StringIO()
    with redirect_stdout(said):
        got = tito_here(list(words))
    assert got == status, f"tito {' '.join(words)}: exit status {got}, not {status}:\n{said.getvalue()}"
    return said.getvalue()


def first_error(notebook):
    "Run the cells of a notebook, one after the other as in a new kernel; return (number of the cell, error) or None."
    space = {"__name__": "__main__"}
    with like_a_process(WORK, os.environ | {"MPLBACKEND": "Agg", "TINYTORCH_STUBS": ""}, ["notebook"]):
        for number, cell in enumerate(json.loads(notebook.read_text(encoding="utf-8"))["cells"], 1):
            source = "".join(cell["source"]) if cell["cell_type"] == "code" else ""
            try:
                with redirect_stdout(io.StringIO()):
                    exec("\n".join(line for line in source.split("\n") if not line.startswith("%")), space)
            except Exception as error:
                return number, error
    return None


def go_through(number):
    begun, made = time.process_time(), chapter(number)
    tito("start", number)
    notebook = WORK / "modules" / made.notebook.name
    stopped = first_error(notebook)
    assert stopped and isinstance(stopped[1], NotImplementedError), f"{made.name}: cell and error {stopped}"
    red = tito("check", number, status=1)
    assert "not written yet" in red and f"{made.name} is not green yet" in red, red
    solve(notebook, made.notebook)
    green = tito("check", number)
    assert f"{made.name} is green" in green and "note:" not in green, green
    passed = re.search(r"(\d+) passed", green)[1]
    print(f"{made.name}: cell {stopped[0]} is the first exercise; {re.search(r'[0-9]+ failed', red)[0]}, then"
          f" {passed} passed; {time.process_time() - begun:.1f} s", flush=True)


shutil.rmtree(WORK, ignore_errors=True)
tito("new", str(WORK))
os.chdir(WORK / "modules")
numbers = sys.argv[1:]
if "--milestone" in numbers:
    numbers, (_, milestone) = numbers[:-2], numbers[-2:]
    sys.argv = sys.argv[:1]
else:
    milestone = None
for number in numbers:
    go_through(number)
if milestone:
    print(tito("status"))
    begun = time.process_time()
    print(tito("milestone", "run", milestone))
    print(f"{milestone}: {time.process_time() - begun:.1f} s")
