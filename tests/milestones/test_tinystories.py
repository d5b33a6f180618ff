"""The TinyStories milestone: both phases learn, PyTorch's twin agrees, broken models fail, a killed run goes on."""
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinytorch.runs import read_metrics

SCRIPT = Path(__file__).parents[2] / "milestones" / "05_2017_transformer" / "tinystories.py"
END = "<|endoftext|>"


def load(path):
    sys.path.insert(0, str(path.parent))  # as for a script: it imports what lies beside it
    try:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


tinystories = load(SCRIPT)
SOURCES = sys.modules["corpora"].SOURCES


@pytest.fixture(scope="module")
def data():
    "Skips where the stories are not on this machine; in CI that is a failure."
    folder = os.environ.get("TINYTORCH_DATA")
    names = [SOURCES["tinystories"].filename, *(name for name, _ in SOURCES["tinystories"].others)]
    if not (folder and any((Path(folder) / name).exists() for name in names)):
        text = f"needs one of {', '.join(names)} in the folder TINYTORCH_DATA"
        pytest.fail(text) if os.environ.get("CI") else pytest.skip(text)


@pytest.fixture
def short(monkeypatch):
    "--quick with few steps and a small model: enough to see what a run does, too little to learn."
    monkeypatch.setitem(tinystories.SIZES, "quick", tinystories.Size(**SHORT))


SHORT = {"model": {"vocab_size": 300, "num_layers": 1, "num_heads": 2, "d_model": 16, "context": 16}, "batch": 4,
         "learning_rate": 3e-3, "steps": 110, "sweep_steps": 60, "order": 2}


def main(monkeypatch, *arguments):
    "The exit status of the script, run in this process."
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    monkeypatch.setattr(sys, "argv", ["tinystories.py", *map(str, arguments)])
    try:
        return tinystories.main()
    except SystemExit as error:
        return error.code


def results(folder):
    return json.loads((folder / "results.json").read_text())


def criterion(folder, name):
    return next(row for row in results(folder)["criteria"] if row["name"] == name)


def learned(folder):
    "What a run has written that must not depend on when it was killed."
    return read_metrics(folder), results(folder)["criteria"], (folder / "samples.txt").read_text()


# ---- a run

@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    "(folder of a run of --quick, what it printed)"
    folder = tmp_path_factory.mktemp("quick")
    done = subprocess.run([sys.executable, str(SCRIPT), "--quick"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "runs" / "tinystories-001", done.stdout


def test_quick_learns_and_leaves_everything(finished):
    folder, said = finished
    assert "LEARNED: every criterion is met" in said and "stopping early" in said
    for name in ("loss.png", "attention.png"):
        assert (folder / name).read_bytes()[:4] == b"\x89PNG"
    assert "Once upon a time" in (folder / "samples.txt").read_text()
    numbers, table = results(folder)["numbers"], results(folder)["table"]
    for phase in ("phase 1", "phase 2"):
        loss = criterion(folder, f"{phase}: held-out loss")["got"]
        assert 2 < loss < numbers["best n-gram of words, held out (2-gram)"]
        assert table[phase]["perplexity"] == pytest.approx(np.exp(loss))
        assert 0.25 < table[phase]["accuracy"] < 0.6
        assert 0 <= criterion(folder, f"{phase}: repeated 4-grams")["got"] <= 0.05
        assert criterion(folder, f"{phase}: held-out loss, words one by one: difference")["got"] < 1e-5
        assert (folder / phase.replace(" ", "-") / "last.safetensors").exists()
    assert table["phase 2"]["words read"] == 2 * table["phase 1"]["words read"]
    assert "<unk>" not in (folder / "samples.txt").read_text()
    assert json.loads((folder / "status.json").read_text())["status"] == "learned"
    page = (folder / "report.html").read_text()
    assert "Once upon a time" in page and "src=\"http" not in page


def test_a_run_killed_in_its_second_phase_reaches_the_same_result(data, killed_and_resumed):
    whole, killed, said = killed_and_resumed(
        SCRIPT, "--quick", "--seed", 1, shorter=f"script.SIZES['quick'] = script.Size(**{SHORT})",
        checkpoint=os.path.join("phase-2", "last.safetensors"))
    assert said.count("goes on after step") == 2 and "goes on after step 50" in said
    assert learned(killed) == learned(whole)


def test_the_twin_in_pytorch_ends_at_the_same_loss(data, short, torch, monkeypatch, tmp_path, capsys):
    assert main(monkeypatch, "--quick", "--twin", "--runs", tmp_path) in (0, 1)
    for phase in ("phase 1", "phase 2"):
        agreement = criterion(tmp_path / "tinystories-001", f"{phase}: difference to PyTorch's held-out loss")
        assert agreement["passed"] and agreement["got"] < 5e-3
    table = results(tmp_path / "tinystories-001")["table"]
    assert table["phase 1"]["PyTorch's held-out loss"] != table["phase 2"]["PyTorch's held-out loss"]


def test_without_pytorch_there_is_no_twin(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(monkeypatch, "--quick", "--twin", "--runs", tmp_path / "runs") == 2
    assert "--twin needs PyTorch: pip install torch" in capsys.readouterr().err and not (tmp_path / "runs").exists()


def test_learning_rates_side_by_side(data, short, monkeypatch, tmp_path, capsys):
    assert main(monkeypatch, "--quick", "--sweep-lr", "1e-5,1e-2", "--runs", tmp_path) in (0, 1)
    folder = tmp_path / "tinystories-001"
    table, said = results(folder)["table"], capsys.readouterr().out
    assert table["lr 1e-05"]["held-out loss"] > table["lr 0.01"]["held-out loss"] + 0.5
    assert [row["name"] for row in results(folder)["criteria"]][0] == "lr 0.01: held-out loss", "the best is judged"
    assert (folder / "learning rates.png").read_bytes()[:4] == b"\x89PNG"
    head = next(line for line in said.splitlines() if line.split() == ["lr", "1e-05", "lr", "0.01"])
    row = next(line for line in said.splitlines() if line.startswith("perplexity"))
    assert len(row.split()) == 3 and row.index(row.split()[2]) == head.index("lr 0.01"), "columns below their heads"


def test_a_text_with_fewer_words_than_the_model_has_room_for(short, monkeypatch, tmp_path, capsys):
    words, draw = [f"word{i}" for i in range(20)], np.random.default_rng(0)
    (tmp_path / "few.txt").write_text(f" .{END}\n".join(" ".join(draw.choice(words, 60)) for _ in range(60)))
    arguments = ("--quick", "--text", tmp_path / "few.txt", "--runs", tmp_path)
    monkeypatch.setitem(tinystories.SIZES, "quick", tinystories.SIZES["quick"]._replace(steps=52))
    assert main(monkeypatch, *arguments) in (0, 1), capsys.readouterr().err
    prompt = ("--resume", tmp_path / "tinystories-001", "--sample", "word1", "--length", "40", "--temperature", "2")
    assert main(monkeypatch, *prompt) == 0
    assert set(capsys.readouterr().out.splitlines()[-1].replace(".", "").split()) <= set(words)


@pytest.mark.parametrize("broken, fails", [("peek", "words one by one: difference"), ("slow", "held-out loss")])
def test_broken_models_fail(broken, fails, data, short, monkeypatch, tmp_path, capsys):
    assert main(monkeypatch, "--quick", "--broken", broken, "--runs", tmp_path) == 1
    missed = [row["name"] for row in results(tmp_path / "tinystories-001")["criteria"] if not row["passed"]]
    assert any(name.endswith(fails) for name in missed) and "NOT LEARNED" in capsys.readouterr().out


# ---- what is measured

def test_the_large_size_has_4_18_million_parameters():
    model = tinystories.build_model(tinystories.SIZES["large"].config)
    assert sum(p.numel() for p in model.parameters()) == 4_178_400 and model.vocab_size == 8192


def test_no_story_is_in_both_parts_and_the_held_out_ones_are_whole(data):
    corpus = tinystories.corpus_of({"text": None}, "tinystories", END)
    train, held_out = (set(map(str.strip, text.split(END))) for text in (corpus.train, corpus.held_out))
    assert (train & held_out) <= {""} and len(held_out) > 50 and corpus.train.endswith(END)


def test_both_phases_start_from_the_same_weights_and_one_reads_twice_as_much(data, short):
    settings = {"size": "quick", "seed": 3, "broken": None, "text": None, "rates": None}
    texts = tinystories.read_texts(settings)
    one, two = (tinystories.make_trainer(phase, settings, texts) for phase in tinystories.PHASES.values())
    for ours, theirs in zip(one.model.state_dict().values(), two.model.state_dict().values()):
        np.testing.assert_array_equal(ours, theirs)
    assert one.steps == two.steps and (one.accumulate, two.accumulate) == (1, 2)
    assert two.optimizer.param_groups[0]["betas"] == (0.9, 0.98)
    assert two.optimizer.param_groups[0]["weight_decay"] == 0.01


def test_repetition_is_counted_within_a_story():
    time_time, plain = [7] * 20, list(range(20))
    assert tinystories.repetition([time_time]) == pytest.approx((1 / 19, 16 / 17))
    assert tinystories.repetition([plain, plain]) == (1.0, 0.0)
    assert tinystories.repetition([time_time, plain])[1] == pytest.approx(8 / 17)


# ---- writing on

def test_a_prompt_is_continued_from_the_run_folder_alone(finished, monkeypatch, capsys):
    monkeypatch.delenv("TINYTORCH_DATA", raising=False)
    texts = []
    for more in ([], [], ["--phase", "1"], ["--temperature", "0"], ["--top-k", "1"]):
        arguments = ("--resume", finished[0], "--sample", "Once upon a time", "--length", "20", *more)
        assert main(monkeypatch, *arguments) == 0
        texts.append(capsys.readouterr().out)
    assert all(text.startswith("Once upon a time") for text in texts)
    assert texts[0] == texts[1] != texts[2] and texts[3] == texts[4] != texts[0]
    assert not any("<unk>" in text for text in texts)


@pytest.mark.parametrize("arguments, says", [
    (("--sample", "Once upon a qwzx"), "'qwzx': not among the 1,024 words"), (("--sample", ""), "the prompt is empty"),
    (("--sample", "Once", "--top-p", "0"), "top_p: expected a number above 0 and at most 1, got float 0.0"),
    (("--sample", "Once", "--top-p", "1.5"), "top_p: expected a number above 0 and at most 1, got float 1.5"),
    (("--sample", "Once", "--temperature", "-1"), "temperature: expected a number of at least 0, got float -1.0"),
    (("--twin",), "expected no other settings beside")])
def test_bad_prompts_and_options_are_one_line(arguments, says, finished, monkeypatch, capsys):
    assert main(monkeypatch, "--resume", finished[0], *arguments) == 2
    assert says in capsys.readouterr().err.splitlines()[-1]


def test_a_damaged_checkpoint_is_refused(finished, monkeypatch, capsys, tmp_path):
    for path in (path for path in finished[0].rglob("*") if path.is_file()):
        copy = tmp_path / path.relative_to(finished[0])
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes()[:-100] if path.suffix == ".safetensors" else path.read_bytes())
    assert main(monkeypatch, "--resume", tmp_path, "--sample", "Once") == 2
    assert "model.safetensors: refused" in capsys.readouterr().err.splitlines()[-1]
    assert main(monkeypatch, "--resume", tmp_path) == 2
    assert "last.safetensors: refused" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("arguments, says", [
    (("--sweep-lr", "1e-3,x"), "expected different learning rates above 0"), (("--sweep-lr", "0"), "above 0"),
    (("--sweep-lr", "1e-3,0.001"), "different"), (("--sweep-lr", "inf"), "above 0"),
    (("--seed", "-1"), "expected --seed of at least 0"), (("--size", "huge"), "invalid choice"),
    (("--size", "large", "--quick"), "expected either --size or --quick"),
    (("--resume", "nowhere"), "expected a run folder of this script"), (("--sample", "Once"), "no run in"),
    (("--text", "nowhere.txt"), "expected a file of UTF-8 text"), (("--text", "empty"), "too few to hold 10% out"),
    (("--text", "one"), "too few to hold 10% out"), (("--text", "tiny"), "expected more than the 64 of a window")])
def test_bad_arguments_and_texts_are_one_line(arguments, says, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").write_text("")
    (tmp_path / "one").write_text(f"one story, and nothing to hold out {END}")
    (tmp_path / "tiny").write_text(f"a few words {END}\n" * 20)
    assert main(monkeypatch, *arguments) == 2
    assert says in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "runs").exists()


def test_without_the_stories_one_line_says_what_to_put_where(monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("TINYTORCH_DATA", raising=False)
    monkeypatch.setenv("TINYTORCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(SOURCES, "tinystories", SOURCES["tinystories"]._replace(url="http://127.0.0.1:9/valid.txt"))
    assert main(monkeypatch, "--quick", "--runs", tmp_path / "runs") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "download http://127.0.0.1:9/valid.txt as TinyStories-valid.txt into a folder, and set TINYTORCH" in said
    assert not (tmp_path / "runs").exists()
