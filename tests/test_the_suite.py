"""The suite itself: what makes it slow, or red, on a machine that is busy with other things; and what it leaves out."""
import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest

TESTS = Path(__file__).parent


def test_a_product_has_one_thread_here_and_in_processes_that_a_test_starts(torch):
    assert torch.get_num_threads() == 1 and os.environ["OPENBLAS_NUM_THREADS"] == "1"
    there = subprocess.run([sys.executable, "-c", "import torch; print(torch.get_num_threads())"], capture_output=True)
    assert there.stdout.strip() == b"1", there


def test_an_example_may_take_its_time():
    profile = hypothesis.settings()
    assert profile.deadline is None and hypothesis.HealthCheck.too_slow in profile.suppress_health_check


@pytest.fixture
def suite(tmp_path):
    """run(*options) -> (what pytest printed, [(process, folder) of each test, in order]) of four files.

    That of the folder tito is taken for a long one.
    """
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow\naddopts = --import-mode=importlib\n")
    log, test = tmp_path / "log", """
import json, os, pytest
@pytest.mark.parametrize("number", range(4))
def test_it(number):
    with open({log!r}, "a") as file:
        print(json.dumps([os.environ.get("PYTEST_XDIST_WORKER"), __file__]), file=file)
@pytest.mark.slow
def test_slow(): pass
"""
    for name in ("01_short", "02_short", "03_short", "tito"):
        (tmp_path / "tests" / name).mkdir(parents=True)
        (tmp_path / "tests" / name / "test_it.py").write_text(test.format(log=str(log)))
    shutil.copy(TESTS / "conftest.py", tmp_path / "tests")

    def run(*options):
        log.unlink(missing_ok=True)
        done = subprocess.run([sys.executable, "-m", "pytest", "tests", *options], cwd=tmp_path, capture_output=True,
                              text=True)
        assert done.returncode == 0, done
        began = [json.loads(line) for line in log.read_text().splitlines()]
        return done.stdout, [(process, Path(path).parent.name) for process, path in began]
    return run


def test_two_processes_share_files_and_begin_with_the_long_ones(suite):
    printed, began = suite("-n", "2")
    assert "16 passed" in printed and {process for process, _ in began} == {"gw0", "gw1"}
    assert len(set(began)) == 4, "all tests of a file run in one process"
    process = next(process for process, name in began if name == "tito")
    assert next(name for other, name in began if other == process) == "tito"


def test_one_process_follows_the_chapters(suite):
    printed, began = suite()
    assert "16 passed, 4 deselected" in printed and "--slow runs them" in printed
    assert [name for _, name in began][::4] == ["01_short", "02_short", "03_short", "tito"]


def test_slow_tests_run_when_asked_for(suite):
    printed, _ = suite("--slow")
    assert "20 passed" in printed and "left out" not in printed


def test_what_is_left_out_is_named_here():
    marked = {path.name for path in TESTS.rglob("*.py") if "mark.slow" in path.read_text(encoding="utf-8")}
    assert marked - {Path(__file__).name} == {
        "test_chat.py",  # a published model, 93 MB
        "test_corpus.py",  # diagnosis of a hundred set-ups
        "test_mnist.py",  # training on 60,000 photographs
        "test_chapters.py",  # grading of all chapters; of some it runs always
        "test_another_hand.py",  # another hand's chapters run published models
        "test_quantize.py",  # a second broken quantizer, and a run that goes on
        "test_distill.py",  # models that cannot work
        "test_scaling.py",  # a sweep that cannot work
        "test_inside.py",  # an induction head on five seeds
        "test_checkpointing.py",  # checkpoints that cannot work
        "test_utilisation.py",  # a second broken count
        "test_draft.py",  # a draft for the published model
        "test_smollm_8_bits.py",  # the published model again, in 8 bits
        "test_failures.py",  # twenty processes that are killed
        "test_ranks.py",  # a milestone on four processes, beside one
        "test_wasm32.py",  # suites and the automated student on wasm32; a part of both is in .ci/run
        "test_site.py",  # every page of the site, in a browser
        "test_workflow.py",  # what makes and publishes the site, all of it
        "test_colab.py",  # every chapter in an environment of its own
    }


def test_what_students_run_is_collected_without_what_only_we_have():
    "They have no PyTorch: a suite that imports it at its top would be red for them, for no fault of theirs."
    for path in sorted(TESTS.glob("[0-9][0-9]_*/*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
                taken = {"torch", "tokenizers", "tiktoken", "transformers"} & {name.split(".")[0] for name in names}
                assert not taken, f"{path}, line {node.lineno}: pytest.importorskip, or a fixture, for {taken}"


def test_suites_do_not_ask_which_form_runs():
    "In a workspace a student's operation is never replaced by a fast one; only chapter 18 is about that."
    for path in sorted(TESTS.glob("[0-9][0-9]_*/*.py")):
        named = re.findall(r"\b(?:Compiled|Rows|Blocked)[A-Z]\w+", path.read_text(encoding="utf-8"))
        assert not named or path.parent.name.startswith("18"), f"{path}: {named}; tests/fast is the place"


def test_graded_checks_ask_for_nothing_private():
    "What starts with _ is not in the open form, nor in another hand's code."
    for path in sorted((TESTS.parent / "modules").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if (cell["metadata"].get("nbgrader") or {}).get("grade"):
                tree = ast.parse("".join(cell["source"]))
                mine = {node.name for node in ast.walk(tree) if hasattr(node, "name")}
                used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
                private = {name for name in used - mine if name.startswith("_") and name.strip("_")
                           and not name.startswith("__")}
                assert not private, f"{path.name}, {cell['metadata']['nbgrader']['grade_id']}: {private}"
