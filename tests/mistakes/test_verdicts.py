"""One verdict for both judges: what is wrong is red in the chapter's suite, and in the graded checks of its notebook.

The mistakes of mistakes.py run against the whole suite of their chapter (`tito check`), those of tests/wrong_solutions
against its small examples, over there; all of them against the visible and hidden checks (`tito autograde`).

    python -m pytest tests/mistakes -k 03_tensor -rP     # both verdicts, side by side
"""
import json
import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
if not hasattr(os, "fork"):
    pytest.skip("the state of a notebook is handed on by forks", allow_module_level=True)


def load(path):
    spec = spec_from_file_location(path.stem, path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WRONG = HERE.with_name("wrong_solutions")
run_with, placing, told = (load(WRONG / f"{name}.py") for name in ("run_with", "placing", "mistakes"))
SMALL = [told.Mistake(chapter, exercise, why, (old, new), words="", region=None)
         for chapter, rows in load(HERE / "mistakes.py").MISTAKES.items() for exercise, old, new, why in rows]
FORGED = {told.Mistake(chapter, exercise, why, (old, new), words="", region=None): check
          for chapter, rows in load(HERE / "forged.py").FORGED.items() for exercise, old, new, check, why in rows}
EVERY = SMALL + [mistake for mistake in told.MISTAKES if mistake.chapter < "15"]


def wanted(request, function):
    return [item.callspec.params["mistake"] for item in request.session.items
            if getattr(item, "function", None) is function]


@pytest.fixture(scope="module")
def suites(request, tmp_path_factory):
    "What pytest printed of a chapter's whole suite, up to the first that failed."
    jobs = {}
    for mistake in wanted(request, test_the_suite_is_red):
        path, source = placing.with_mistake(mistake)
        tests = str(placing.ROOT / "tests" / mistake.chapter)
        jobs[mistake] = {"tests": tests, "options": ["-x", "--tb=line"], "file": path, "source": source}
    return run_with.outputs(jobs, tmp_path_factory.mktemp("suites"))


@pytest.fixture(scope="module")
def graded(request, tmp_path_factory):
    "What became of the graded checks; the notebooks are dealt to two processes."
    folder, jobs = tmp_path_factory.mktemp("graded"), {}
    judged = wanted(request, test_the_graded_checks_are_red) + wanted(request, test_what_is_looked_up_is_red)
    for number, mistake in enumerate(judged):
        jobs[mistake] = {"tests": str(placing.NOTEBOOKS[mistake.chapter]), "options": [], "exercise": mistake.exercise,
                         "source": placing.wrong_cell(mistake), "output": str(folder / f"{number}.txt")}
    processes = []
    for number, part in enumerate(run_with.dealt(jobs.values())):
        file = folder / f"jobs{number}.json"
        file.write_text(json.dumps(part), encoding="utf-8")
        environment = os.environ | {"TINYTORCH_FAST": "numpy", "OPENBLAS_NUM_THREADS": "1"}
        processes.append(subprocess.Popen([sys.executable, HERE / "graded.py", file], env=environment,
                                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    assert [process.wait() for process in processes] == [0] * len(processes)
    return {mistake: Path(job["output"]).read_text(encoding="utf-8") for mistake, job in jobs.items()}


def named(mistake):
    return f"{mistake.chapter}, {mistake.exercise}: {mistake.what}"


@pytest.mark.parametrize("mistake", SMALL, ids=named)
def test_the_suite_is_red(mistake, suites):
    output = suites[mistake]
    failed = [line for line in output.split("\n") if line.startswith(("FAILED ", "ERROR "))]
    assert output.endswith("status 1\n") and failed, f"no test of the chapter's suite failed:\n{output}"
    print(failed[0])


@pytest.mark.parametrize("mistake", EVERY, ids=named)
def test_the_graded_checks_are_red(mistake, graded):
    assert graded[mistake].startswith("red: "), f"no graded check failed: {graded[mistake]}"
    print(graded[mistake])


@pytest.mark.parametrize("mistake", FORGED, ids=named)
def test_what_is_looked_up_is_red(mistake, graded):
    "The check itself has a number that is nowhere to be looked up."
    assert graded[mistake].startswith(f"red: {FORGED[mistake]}: AssertionError"), graded[mistake]
    print(graded[mistake])


def test_at_least_sixty_and_four_a_chapter():
    assert len(SMALL) >= 60 and len(set(SMALL)) == len(SMALL)
    counts = [sum(mistake.chapter.startswith(f"{chapter:02}") for mistake in SMALL) for chapter in range(1, 15)]
    assert min(counts) >= 4, counts


@pytest.mark.parametrize("mistake", SMALL, ids=named)
def test_what_is_wrong_is_python(mistake):
    compile(placing.with_mistake(mistake)[1], mistake.exercise, "exec")
