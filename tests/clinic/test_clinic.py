"""The clinic: the right fault comes first for each patient, and its healthy twin is left in peace."""
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))  # behind everything else: only `clinic` is to be found there

import clinic  # noqa: E402
from clinic.__main__ import table  # noqa: E402
from clinic.solutions import SOLUTIONS  # noqa: E402
from tinytorch.diagnosis import CATALOGUE  # noqa: E402


def names(findings):
    return [finding.fault for finding in findings]


@pytest.mark.parametrize("patient", clinic.PATIENTS)
def test_the_fault_is_named_first(patient):
    report = clinic.examine(patient)
    assert names(report.findings)[:1] == [SOLUTIONS[patient].fault], str(report)


@pytest.mark.parametrize("patient", clinic.PATIENTS)
def test_the_healthy_twin_has_nothing_severe(patient):
    report = clinic.examine(patient, healthy=True)
    assert not report.severe() and SOLUTIONS[patient].fault not in names(report.findings), str(report)


def test_every_patient_has_a_solution_and_a_complaint():
    assert list(SOLUTIONS) == clinic.PATIENTS and len(SOLUTIONS) >= 20
    for patient, solution in SOLUTIONS.items():
        complaint = clinic.source_of(patient).split('"""')[1]
        assert solution.fault in CATALOGUE and solution.fault not in complaint
        assert len(clinic.source_of(patient).splitlines()) < 50


def test_the_table_counts_what_it_shows(monkeypatch, capsys):
    monkeypatch.setattr("clinic.__main__.PATIENTS", ["29_flat_line"])
    assert table(seed=0) == 0
    assert "1 of 1 named first, 0 false alarms" in capsys.readouterr().out
    monkeypatch.setitem(SOLUTIONS, "29_flat_line", SOLUTIONS["29_flat_line"]._replace(fault="cut"))
    assert table(seed=0) == 1
    assert "0 of 1 named first" in capsys.readouterr().out
