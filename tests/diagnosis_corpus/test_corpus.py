"""The corpus itself: it is large enough, split by a rule, and every set-up is what it says."""
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))  # behind everything else: only `tests.diagnosis_corpus` is found there

from tests.diagnosis_corpus import Case, build, half_of, load_cases  # noqa: E402
from tests.diagnosis_corpus.__main__ import judge, run  # noqa: E402

CASES = load_cases()


def test_the_corpus_is_large_and_split_by_its_names():
    halves = [load_cases(half) for half in ("tune", "unseen")]
    old = halves[0] | halves[1]
    faults = [case for case in old.values() if case.accepted]
    assert len(faults) >= 60 and len(old) - len(faults) >= 60 and len(old) == sum(map(len, halves))
    assert min(map(len, halves)) > 0.4 * len(old) and half_of("rate_of_ten") == half_of("rate_of_ten")


def test_the_fresh_part_is_apart_from_both_halves():
    fresh = load_cases("fresh")
    faults = [case for case in fresh.values() if case.accepted]
    trained = [case for case in fresh.values() if case.trained]
    assert len(faults) >= 30 and len(fresh) - len(faults) >= 40 and len(trained) >= 10
    assert not fresh.keys() & (load_cases("tune") | load_cases("unseen")).keys()


def test_the_part_from_other_habits_is_apart_from_all_others():
    habits = load_cases("habits")
    trained = [case for case in habits.values() if case.trained]
    healthy = [case for case in habits.values() if not case.accepted and not case.trained]
    assert len(healthy) >= 25 and len(trained) >= 15 and len(habits) - len(healthy) - len(trained) >= 15
    assert not habits.keys() & (load_cases("tune") | load_cases("unseen") | load_cases("fresh")).keys()


def test_verdicts():
    fault, sound = Case("a", None, ("cut", "no-graph")), Case("b", None, ())
    assert judge(fault, [("cut", "severe"), ("leak", "severe")]) == judge(fault, [("no-graph", "severe")]) == "right"
    assert judge(fault, [("leak", "severe"), ("cut", "severe")]) == "wrong"
    assert judge(fault, []) == judge(fault, [("unused", "note")]) == "missed" and judge(fault, None) == "crashed"
    assert judge(sound, [("leak", "severe")]) == "alarm" and judge(sound, [("shared", "warning")]) == "question"
    assert judge(sound, []) == "quiet"


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.accepted and not case.trained])
def test_a_healthy_set_up_runs_and_has_a_finite_loss(name):
    case = build(CASES[name], 0)
    assert abs(case["loss_fn"](case["model"], *case["batch"]).item()) < 1e6


@pytest.mark.slow
def test_most_of_the_half_for_tuning_is_right():
    verdicts = [row["verdict"] for row in run("tune", 1)]
    assert "crashed" not in verdicts and "alarm" not in verdicts
