"""Real chapters can be graded: their solutions pass in the sandbox, and what they ask is decided outside."""
from pathlib import Path

import pytest

from tito.grading.checks import Question
from tito.grading.prepared import code_cells, prepare
from tito.grading.sandbox import Limits, why_no_sandbox
from tito.strip import read_notebook

if reason := why_no_sandbox():
    pytest.skip(f"no sandbox here: {reason}", allow_module_level=True)
MODULES = Path(__file__).resolve().parents[2] / "modules"
SOON = ("01", "02", "03", "05")  # chapters that run within seconds
CHAPTERS = [pytest.param(path.stem, marks=[] if path.stem.startswith(SOON) else pytest.mark.slow)
            for path in sorted(MODULES.glob("*.ipynb"))]


@pytest.mark.parametrize("name", CHAPTERS)
def test_solutions_pass_and_are_asked_for_numbers_that_only_the_outside_has(name, tmp_path):
    source = MODULES / f"{name}.ipynb"
    prepared = prepare(source, tmp_path, Limits())
    cells = code_cells(read_notebook(source))
    outcomes = prepared.played(cells)
    assert [(name, outcome.error) for (name, _), outcome in zip(cells, outcomes) if outcome.error and name] == []
    questions = [question for check in prepared.checks.values() for question in check.questions]
    assert sum(question.trusting for question in questions) <= 1 + 0.02 * len(questions)
    alone = [name for name, check in prepared.checks.items()
             if not check.gradients and not any(map(has_its_own_number, check.questions))]
    assert len(alone) <= 2, f"checks without a question whose answer is only outside: {alone}"


def has_its_own_number(question: Question) -> bool:
    return question.required and not question.trusting and question.test != "_0" and "_1" not in question.test
