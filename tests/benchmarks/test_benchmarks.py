"""The benchmarks measure the same thing on both sides, and their tables say what was measured. No timings here."""
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2]))  # the benchmarks are not installed; last, so that it hides nothing

from benchmarks.measure import Worker, WorkerError, take_turns  # noqa: E402
from benchmarks.sections import absent, check_same, weights_of  # noqa: E402
from benchmarks.tables import draw, exponents, head, row  # noqa: E402
from benchmarks.workloads import OPERATIONS, WORKLOADS  # noqa: E402

TIMES = {"milliseconds": {"numpy": [1.0, 2.0, 3.0], "eager": [4.0, 4.0, 4.0]}, "disturbed": 0}


class Sleeper:
    "A worker that needs 2 ms a step and is always disturbed."
    def fit(self):
        pass

    def burst(self):
        return 2.0, True


def test_three_steps_of_w1_lose_the_same_as_pytorch(torch, tmp_path):
    from benchmarks import ours, reference
    weights = weights_of(WORKLOADS["W1"], str(tmp_path))
    steps = [side.training(WORKLOADS["W1"], weights) for side in (ours, reference)]
    losses = np.array([[step() for _ in range(3)] for step in steps])
    assert len(set(losses[0])) == 3  # it does train
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("tinytorch.fast.mkl.path", lambda: None)
    assert absent("numpy") is None and absent("eager") is None
    assert "pip install" in absent("mkl") and absent("mkl threads") == absent("mkl")
    assert "g++" in absent("compile")


def test_steps_that_threads_share_lose_the_same(tmp_path):
    from benchmarks import ours
    weights = weights_of(WORKLOADS["W1"], str(tmp_path))
    alone, shared = (ours.training(WORKLOADS["W1"], weights, variant) for variant in ("compiled", "compiled threads"))
    assert [alone() for _ in range(3)] == [shared() for _ in range(3)]


@pytest.mark.parametrize("name", [name for name in OPERATIONS if "W4" not in name])
def test_operations_give_the_values_and_gradients_of_pytorch(torch, name):
    from benchmarks import ours, reference
    proofs = {"ours": ours.operation(name)(), "eager": reference.operation(name)()}
    assert len(proofs["ours"]) >= 2
    check_same(proofs)


def test_every_way_to_generate_gives_the_same_logits(torch, tmp_path):
    from benchmarks import ours, reference
    weights = weights_of(WORKLOADS["W2"], str(tmp_path))
    text = np.arange(12)[None]
    found = {variant: [ours.generation(WORKLOADS["W2"], weights, variant)(text)]
             for variant in ("numpy", "numpy uncached")}
    found |= {variant: [reference.generation(WORKLOADS["W2"], weights, variant)(text)]
              for variant in ("eager", "eager uncached")}
    assert found["eager"][0].shape == (12, 100)
    check_same(found)


def test_a_wrong_result_is_not_timed():
    with pytest.raises(SystemExit, match="ours: differs from PyTorch by 0.5"):
        check_same({"ours": [np.array([1.0, 2.0])], "eager": [np.array([2.0, 2.0])]})
    with pytest.raises(SystemExit, match="nan"):
        check_same({"ours": [np.array([np.nan])], "eager": [np.array([2.0])]})


def test_a_row_has_median_quartiles_and_ratio():
    assert row("W1", TIMES, ["numpy", "eager"]) == "| W1 | 2 (1.5 - 2.5) | 0.50 | 4 (4 - 4) | 1.00 |"
    assert head("training", ["numpy", "eager"]).startswith("| | NumPy ms | ratio | PyTorch eager ms | ratio |\n|---|")


def test_a_row_says_what_failed_and_what_was_disturbed():
    result = {**TIMES, "disturbed": 2, "failed": {"compile": "took more than 60 s"}}
    assert row("W1", result, ["numpy", "compile"]) == \
        "| W1 (disturbed) | 2 (1.5 - 2.5) | 0.50 | took more than 60 s |  |"


def test_speeds_are_tokens_a_second():
    text = row("W3", {**TIMES, "tokens": 64}, [])
    assert "| NumPy, cached | 32000 (26667 - 48000) | 2.00 |" in text


def test_a_busy_machine_is_reported_and_not_an_error():
    result = take_turns({"ours": Sleeper()}, rounds=3, patience=0)
    assert result == {"milliseconds": {"ours": [2.0] * 3}, "rejected": 0, "disturbed": 3}


def test_growth_finds_the_exponent_and_draws_it(tmp_path):
    pytest.importorskip("matplotlib")
    growth = {f"context {n}": {"milliseconds": {"numpy": [n**2.0], "eager": [3.0 * n]}} for n in (64, 128, 256)}
    assert exponents(growth)["context"]["numpy"] == pytest.approx((2, 2))
    assert exponents(growth)["context"]["eager"] == pytest.approx((1, 1))
    draw({"training": {"W1": TIMES}, "growth": growth}, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_a_worker_that_ends_says_why():
    with pytest.raises(WorkerError, match="nothing"):
        Worker({"section": "operations", "variant": "numpy", "operation": "nothing", "proof": ""})
