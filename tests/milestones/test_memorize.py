"""The memorize milestone: its levels are learned, broken models fail, and a killed run reaches the same result."""
import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinytorch
import tinytorch.nn as nn
from tinytorch import Tensor
from tinytorch.runs import read_metrics

SCRIPT = Path(__file__).parents[2] / "milestones" / "05_2017_transformer" / "memorize.py"


def load(path):
    sys.path.insert(0, str(path.parent))  # as for a script: it imports what lies beside it
    try:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


memorize = load(SCRIPT)


def learned(number, seed, quick=True, broken=None):
    "(trainer, share of right answers) after the training of a level."
    trainer = memorize.make_trainer(memorize.LEVELS[number], seed, quick, broken)
    trainer.fit()
    return trainer, memorize.exact_match(trainer.model, memorize.questions(memorize.LEVELS[number], seed)[1])


# ---- healthy models

@pytest.mark.parametrize("seed", range(3))
def test_level_1_is_known_by_heart(seed):
    trainer, share = learned(1, seed, quick=False)
    assert share == 1.0
    assert sum(p.numel() for p in trainer.model.parameters()) == 4_624
    assert trainer.model.vocab_size == 37 and trainer.model.context == 8 and len(set(memorize.TWELVE)) == 12


@pytest.mark.parametrize("number", [2, 3, 4, 5])
def test_each_rule_is_learned_for_sequences_never_trained_on(number):
    assert learned(number, seed=0)[1] >= memorize.LEVELS[number].quick_bar


# ---- broken variants: the same training, the same check

@pytest.mark.parametrize("broken", memorize.BROKEN)
def test_a_broken_model_cannot_reverse(broken):
    trainer, share = learned(3, seed=0, broken=broken)
    assert isinstance(trainer.model, sys.modules["language"].BROKEN[broken]) and share < 0.05


def test_the_script_fails_with_a_broken_model(monkeypatch, tmp_path, capsys):
    arguments = ["--runs", str(tmp_path), "--level", "3", "--quick", "--broken", "no_positions"]
    monkeypatch.setattr(sys, "argv", ["memorize.py", *arguments])
    assert memorize.main() == 1
    assert "NOT LEARNED: answers right, level 3 (reverse)" in capsys.readouterr().out
    assert json.loads((tmp_path / "memorize-001" / "status.json").read_text())["status"] == "not learned"
    results = json.loads((tmp_path / "memorize-001" / "results.json").read_text())
    assert results["part"] == "--quick --level 3" and results["broken"] == "no_positions"


# ---- the tasks

@pytest.mark.parametrize("number", [2, 3, 4, 5])
def test_held_out_questions_are_not_trained_on_and_answers_follow_the_rule(number):
    level = memorize.LEVELS[number]
    train, held_out = memorize.questions(level, seed=0)
    assert set(train).isdisjoint(held_out) and len(held_out) == len(set(held_out)) == 500 and len(train) > 7_000
    rule = {"shift": lambda text: text.translate(str.maketrans(memorize.LETTERS, memorize.LETTERS[1:] + "A")),
            "reverse": lambda text: text[::-1], "copy": str, "sort": lambda text: "".join(sorted(text))}[level.name]
    for text in held_out:
        asked, answer = text.split(">")
        assert len(asked) == level.length and answer == rule(asked)


def test_the_loss_counts_answers_alone():
    level = memorize.LEVELS[1]
    ids, targets = memorize.examples(["FGHI>GHIJ"], level).tensors
    assert memorize.TOKENIZER.decode(ids.data[0]) == "FGHI>GHI"
    assert (targets.data[0, :4] == memorize.IGNORED).all()
    assert memorize.TOKENIZER.decode(targets.data[0, 4:]) == "GHIJ"
    model = memorize.build_model(level.config)
    log_shares = nn.functional.log_softmax(model(ids), dim=-1).data[0]
    expected = -np.mean([log_shares[place, targets.data[0, place]] for place in range(4, 8)])
    assert memorize.loss_of(model, ids, targets).item() == pytest.approx(expected, rel=1e-5)


def test_answers_are_those_of_one_argmax_after_the_other():
    level = memorize.LEVELS[3]
    tinytorch.manual_seed(3)
    model = memorize.build_model(level.config)
    text = "K3XA9Q>"
    for _ in range(level.length):
        logits = model(Tensor(np.array([memorize.TOKENIZER.encode(text)]))).data[0, -1]
        text += memorize.TOKENIZER.decode([logits.argmax()])
    assert memorize.answers(model, ["K3XA9Q"]) == [text.split(">", 1)[1]]


# ---- the script

def command(*arguments):
    return [sys.executable, str(SCRIPT), *arguments]


def run(*arguments, folder):
    return subprocess.run(command(*arguments), cwd=folder, capture_output=True, text=True)


def losses(folder):
    return [value for record in read_metrics(folder) for name, value in record.items() if name.startswith("loss, ")]


def test_a_run_leaves_everything_and_answers_later(tmp_path):
    done = run("--level", "1", folder=tmp_path)
    assert done.returncode == 0 and "12/12" in done.stdout and "LEARNED" in done.stdout, done.stdout + done.stderr
    folder = tmp_path / "runs" / "memorize-001"
    assert (folder / "loss.png").read_bytes()[:4] == b"\x89PNG"
    assert "FGHI > GHIJ  right" in (folder / "samples.txt").read_text()
    assert json.loads((folder / "status.json").read_text())["status"] == "learned"
    assert json.loads((folder / "config.json").read_text())["config"]["seed"] == 0
    assert (folder / "attention, level 1, memorize.png").read_bytes()[:4] == b"\x89PNG"
    criteria = json.loads((folder / "results.json").read_text())["criteria"]
    assert [(row["got"], row["passed"]) for row in criteria] == [(1.0, True)]
    assert "12/12" in (folder / "report.html").read_text()
    assert len(losses(folder)) == memorize.LEVELS[1].steps
    answer = run("--resume", str(folder), "--level", "1", "--ask", "A1B2", folder=tmp_path)
    assert answer.returncode == 0 and answer.stdout == "A1B2 > 2B1A\n"
    for question in ("A1B", "a1b2", "A1B2C"):
        refused = run("--resume", str(folder), "--level", "1", "--ask", question, folder=tmp_path)
        assert refused.returncode == 2 and "expected 4 characters" in refused.stderr
    checkpoint = folder / "level-1" / "last.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    refused = run("--resume", str(folder), folder=tmp_path)
    assert refused.returncode == 2 and "level-1/last.safetensors: refused" in refused.stderr.splitlines()[-1]
    assert "Traceback" not in refused.stderr


def test_a_killed_run_goes_on_and_reaches_the_same_result(killed_and_resumed):
    checkpoint = os.path.join("level-2", "last.safetensors")
    whole, killed, said = killed_and_resumed(SCRIPT, "--level", 2, "--quick", "--seed", 1, checkpoint=checkpoint)
    assert "goes on after step 100" in said and losses(killed) == losses(whole)
    assert (killed / checkpoint).exists()
    assert (killed / "samples.txt").read_text() == (whole / "samples.txt").read_text()


def test_a_stopped_run_says_in_one_line_how_to_go_on(tmp_path):
    process = subprocess.Popen(command("--level", "5"), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True)
    while "step" not in process.stdout.readline():
        assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGINT)
    said, wrong = process.communicate()
    assert process.returncode == 130 and wrong == "", wrong
    assert said.splitlines()[-1] == f"stopped; to go on: --resume {Path('runs') / 'memorize-001'}"


@pytest.mark.parametrize("arguments", [("--seed", "1"), ("--quick",), ("--broken", "no_positions"), ("--level", "2")])
def test_a_run_goes_on_with_its_own_settings_alone(arguments, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", ["memorize.py", "--resume", str(tmp_path), *arguments])
    with pytest.raises(SystemExit, match="2"):
        memorize.main()
    assert "expected no other settings beside --resume" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [
    ("--level", "0"), ("--level", "x"), ("--seed", "-1"), ("--resume", "nowhere"), ("--ask", "FGHI"),
    ("--resume", "nowhere", "--level", "1", "--ask", "FGHI")])
def test_the_script_refuses_bad_arguments(arguments, tmp_path):
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "expected" in done.stderr or "invalid" in done.stderr
    assert not list(tmp_path.iterdir())
