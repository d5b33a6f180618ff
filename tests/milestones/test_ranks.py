"""Milestones on several processes: the numbers and the files of one, also when one of them is killed."""
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "milestones" / "05_2017_transformer" / "shakespeare.py"
MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")


def losses(runs, size, *options):
    start = [MPIEXEC, "-n", str(size), sys.executable, "-m", "mpi4py"] if size > 1 else [sys.executable]
    found = subprocess.run([*start, str(SCRIPT), *options], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.count("LEARNED: every criterion is met.") == 1, "rank 0 alone prints"
    assert [folder.name for folder in runs.iterdir()] == ["shakespeare-001"], "rank 0 alone makes a folder"
    lines = (runs / "shakespeare-001" / "metrics.jsonl").read_text().splitlines()
    return np.array([json.loads(line)["loss"] for line in lines])


needs_mpi = pytest.mark.skipif(MPIEXEC is None or importlib.util.find_spec("mpi4py") is None,
                               reason="ranks as processes: install mpi4py and mpich")
SHORT = """
import os, signal, sys
sys.path.insert(0, {folder!r})
import {name} as script

script.SIZES["quick"] = script.SIZES["quick"]._replace({changes})
vars(script).update(SAVE_EVERY=2, EVALUATIONS=1, WARMUP_STEPS=1, WRITTEN_TEXTS=1, WRITTEN_LENGTH=9, TOLD_STORIES=1,
                    TOLD_WORDS=9, DEMO_LENGTH=3, EVALUATED_WINDOWS=8)

def watch(event, arguments):
    if event == "os.rename" and os.fspath(arguments[1]).endswith("metrics.jsonl") and os.path.exists("killed"):
        print("went on", flush=True)
    if event == "os.rename" and os.fspath(arguments[1]).endswith("last.safetensors") and {kill}:
        if os.path.exists("saved") and not os.path.exists("killed"):
            open("killed", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        open("saved", "w").close()

sys.addaudithook(watch)
raise SystemExit(script.main())
"""
CHANGES = {"copilot": "steps=6", "tinystories": "steps=3"}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    "The path of a text that takes no time to read: sentences of few words, in stories."
    words, numbers = "the a cat dog sat ran saw on to mat tree and then big".split(), np.random.default_rng(0)
    sentences = [" ".join(words[i] for i in numbers.integers(len(words), size=7)) + " .\n" for _ in range(1500)]
    path = tmp_path_factory.mktemp("text") / "stories.txt"
    path.write_text("<|endoftext|>\n".join("".join(sentences[i:i + 6]) for i in range(0, 1500, 6)))
    return path


def short(name, folder, text, *options, kill=False):
    "(losses of a short run in `folder`, what was printed)"
    folder.mkdir()
    program = SHORT.format(folder=str(SCRIPT.parent), name=name, changes=CHANGES[name], kill=kill)
    (folder / "program.py").write_text(program)
    command = [sys.executable, "program.py", "--quick", "--text", str(text), *options]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert found.returncode in (0, 1) and "Traceback" not in found.stderr, found.stdout + found.stderr
    assert [path.name for path in (folder / "runs").iterdir()] == [f"{name}-001"], "rank 0 alone makes a folder"
    assert found.stdout.count("to go on after an interruption") == (2 if kill else 1), "rank 0 alone prints"
    files = sorted((folder / "runs").rglob("metrics.jsonl"))
    lines = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    return np.array([line["loss"] for line in lines if "loss" in line]), found.stdout


@needs_mpi
@pytest.mark.parametrize("name", CHANGES)
def test_two_ranks_are_one_process(name, text, tmp_path):
    alone, _ = short(name, tmp_path / "alone", text)
    together, _ = short(name, tmp_path / "together", text, "--ranks", "2")
    assert len(alone) >= 6 and alone == pytest.approx(together, rel=1e-4)


@needs_mpi
def test_a_killed_rank_is_started_again(text, tmp_path):
    whole, _ = short("copilot", tmp_path / "whole", text, "--ranks", "2")
    killed, printed = short("copilot", tmp_path / "killed", text, "--ranks", "2", "--elastic", kill=True)
    assert "it goes on after step 2" in printed and "went on" in printed
    assert killed.tolist() == whole.tolist(), "bit for bit"


@pytest.mark.parametrize("options", [["--ranks", "0"], ["--elastic"]])
def test_how_many_ranks(options, tmp_path):
    found = subprocess.run([sys.executable, str(SCRIPT), *options], cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 2 and "expected --ranks of 2 or more" in found.stderr


@pytest.mark.slow
@needs_mpi
def test_shakespeare_on_four_processes_is_that_of_one(tmp_path):
    alone = losses(tmp_path / "alone", 1, "--quick", "--runs", str(tmp_path / "alone"))
    together = losses(tmp_path / "together", 4, "--quick", "--runs", str(tmp_path / "together"))
    assert abs(alone - together).max() < 1e-4
