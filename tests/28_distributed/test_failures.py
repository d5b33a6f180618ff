"""Runs on several processes that fail, stop and go on: what is printed, what is saved, and how it ends."""
import importlib.util
import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
pytestmark = pytest.mark.skipif(MPIEXEC is None or importlib.util.find_spec("mpi4py") is None,
                                reason="ranks as processes: install mpi4py and mpich")
SURVIVOR = str(Path(__file__).with_name("survivor.py"))


def run(folder, *options, size=2, guarded=True):
    "Run survivor.py on so many processes, or alone for size 1; return (status, what it printed, its errors)."
    start = [MPIEXEC, "-n", str(size), sys.executable, *["-m", "mpi4py"] * guarded] if size > 1 else [sys.executable]
    found = subprocess.run([*start, SURVIVOR, str(folder), *map(str, options)], capture_output=True, text=True,
                           timeout=120)
    return found.returncode, found.stdout, found.stderr


def finished(folder, *options, size=2):
    "(digest of the weights, last loss) of a run that goes on to its end"
    status, printed, errors = run(folder, *options, size=size)
    assert status == 0, printed + errors
    digest, loss = printed.split()[-2:]
    return digest, float(loss)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    return finished(tmp_path_factory.mktemp("untouched"))


def test_killed_and_resumed_bit_for_bit(untouched, tmp_path):
    status, _, errors = run(tmp_path, "--fault", "kill", 1, 13)
    assert status != 0 and re.search(r"^rank 1 of 2 \(process \d+ on .+\) was killed: all ranks end$", errors, re.M)
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 13)), "rank 0 alone has written"
    assert finished(tmp_path) == untouched


@pytest.mark.parametrize("fault, guarded, words", [
    ("raise", False, r"ValueError: boom\n(?s:.*)rank 1 of 2 \(process \d+\) failed with ValueError: all ranks end"),
    ("exit", True, r"RankError: rank 0 of 2 waits for rank 1, which has ended")])
def test_what_ends_one_rank_ends_all(fault, guarded, words, tmp_path):
    status, _, errors = run(tmp_path, "--fault", fault, 1, 13, guarded=guarded)
    assert status != 0 and re.search(words, errors), errors


def test_nan_on_one_rank_is_the_same_error_on_all(tmp_path):
    status, _, errors = run(tmp_path, "--fault", "nan", 1, 13)
    assert status != 0 and "the last checkpoint is in" in errors
    assert re.search(r"FloatingPointError: Trainer: the loss is nan at step 13 .* First: .*0\.weight: .* 1 nan", errors)


def test_a_rank_that_hangs_is_named(tmp_path):
    status, _, errors = run(tmp_path, "--fault", "hang", 1, 3, "--timeout", 1)
    assert status != 0 and "RankError: rank 0 of 2 waited 1 s for rank 1, which hangs" in errors


def test_ctrl_c_on_one_rank_stops_all_after_a_whole_step(untouched, tmp_path):
    status, _, errors = run(tmp_path, "--fault", "interrupt", 1, 13)
    assert status != 0 and "KeyboardInterrupt: stopped after step 13" in errors
    found = json.loads((tmp_path / "status.json").read_text())
    assert found["status"] == "unfinished" and found["step"] == 13
    assert finished(tmp_path) == untouched


@pytest.mark.parametrize("what, words", [
    ("data", "other data"), ("seed", "another seed"),
    ("settings", "other settings than rank 0: max_norm: 0.5, there max_norm: 1.0")])
def test_ranks_that_differ_are_refused(what, words, tmp_path):
    status, _, errors = run(tmp_path, "--differ", what, 1)
    assert status != 0 and f"RuntimeError: ranks [1] have {words}" in errors
    assert not (tmp_path / "metrics.jsonl").exists(), "nothing has started"


def test_ranks_with_other_code_are_refused(tmp_path):
    newer = tmp_path / "survivor.py"
    newer.write_text(Path(SURVIVOR).read_text(encoding="utf-8") + "# newer\n", encoding="utf-8")
    each = [[sys.executable, "-m", "mpi4py", script, tmp_path / "run"] for script in (SURVIVOR, newer)]
    done = subprocess.run([MPIEXEC, "-n", "1", *each[0], ":", "-n", "1", *each[1]], capture_output=True, text=True,
                          timeout=120)
    assert done.returncode != 0 and "RuntimeError: ranks [1] have other code" in done.stderr, done
    assert not (tmp_path / "run" / "metrics.jsonl").exists(), "nothing has started"


@pytest.mark.parametrize("first, then", [(3, 1), (1, 3)])
def test_begun_on_some_ranks_and_resumed_on_others(first, then, untouched, tmp_path):
    finished(tmp_path, "--steps", 20, *["--shard"] * (first > 1), size=first)
    assert finished(tmp_path, *["--shard"] * (then > 1), size=then)[1] == pytest.approx(untouched[1], abs=1e-12)


def test_dropout_goes_on_bit_for_bit(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    wanted = finished(whole, "--dropout", 0.3)
    finished(parts, "--dropout", 0.3, "--steps", 15)
    assert finished(parts, "--dropout", 0.3, "--shard") == wanted


@pytest.mark.slow
def test_twenty_kills_at_random_moments(tmp_path):
    wanted = finished(tmp_path / "untouched", "--steps", 200)
    moments = random.Random(0)
    for kill in range(20):
        folder, rank, step = tmp_path / str(kill), moments.randrange(2), moments.randrange(6, 195)
        status, _, errors = run(folder, "--steps", 200, "--die-after", rank, step, moments.randrange(5000))
        assert status != 0 and f"rank {rank} of 2" in errors and "was killed" in errors, errors
        assert finished(folder, "--steps", 200) == wanted
