"""Mistakes that students make: the chapter's suite must fail, and say what the mistake probably is.

Each row of mistakes.py is put in the place of the solution, in a copy of the module that its notebook exports, and the
chapter's small examples (test_by_hand.py) run on it in a process of their own.

    python -m pytest tests/wrong_solutions -k 02_shapes -rP     # and what the student reads
"""
import os
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def load(name):
    spec = spec_from_file_location(name, HERE / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


run_with, placing, MISTAKES = load("run_with"), load("placing"), load("mistakes").MISTAKES


def job_for(mistake):
    path, source = placing.with_mistake(mistake)
    tests = str(placing.ROOT / "tests" / mistake.chapter / "test_by_hand.py")
    return {"tests": tests, "options": ["--tb=short"], "file": path, "source": source}


@pytest.fixture(scope="module")
def told(request, tmp_path_factory):
    "What pytest printed for each of the mistakes that this session asks for."
    wanted = [item.callspec.params["mistake"] for item in request.session.items
              if getattr(item, "function", None) is test_the_suite_names_the_mistake]
    jobs, stale = {}, {}
    for mistake in wanted:
        try:
            jobs[mistake] = job_for(mistake)
        except AssertionError as error:
            stale[mistake] = str(error)
    return stale | run_with.outputs(jobs, tmp_path_factory.mktemp("wrong"))


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: f"{m.chapter}, {m.exercise}: {m.what}")
def test_the_suite_names_the_mistake(mistake, told):
    output = told[mistake]
    assert output.endswith("status 1\n"), f"expected a test to fail, and nothing worse:\n{output}"
    reasons = "\n".join(line for line in output.split("\n") if line.startswith("E "))
    assert mistake.words in reasons, f"expected the words {mistake.words!r} in what the student reads:\n{output}"
    print(reasons)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="without forks a job is stopped by the clock alone")
def test_what_never_ends_is_stopped_and_what_comes_after_it_runs(tmp_path):
    endless, fine = tmp_path / "test_endless.py", tmp_path / "test_fine.py"
    endless.write_text("def test_endless():\n    while True: pass\n")
    fine.write_text("def test_fine(): pass\n")
    tests = [endless, endless, fine, fine]  # two for each process
    printed = run_with.outputs({i: {"tests": str(path), "options": [], "seconds": 2} for i, path in enumerate(tests)},
                               tmp_path)
    assert ["status 0\n" in printed[i] for i in range(4)] == [False, False, True, True]


@pytest.mark.parametrize("chapter", placing.NOTEBOOKS)
def test_every_chapter_has_three(chapter):
    assert len([mistake for mistake in MISTAKES if mistake.chapter == chapter]) >= 3
