"""The Shakespeare milestone: --quick learns, broken models fail its check, a killed run reaches the same result."""
import importlib.util
import json
import os
import pydoc_data
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tinytorch
from tinytorch.datasets import TokenDataset
from tinytorch.runs import read_metrics

SCRIPT = Path(__file__).parents[2] / "milestones" / "05_2017_transformer" / "shakespeare.py"
REAL_TEXT = Path(pydoc_data.__file__).with_name("topics.py")  # Python's own documentation is on every machine


def load(path):
    sys.path.insert(0, str(path.parent))  # as for a script: it imports what lies beside it
    try:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


shakespeare = load(SCRIPT)
SOURCES = sys.modules["corpora"].SOURCES


@pytest.fixture(scope="module")
def data():
    "Skips where Shakespeare is not on this machine; in CI that is a failure."
    folder = os.environ.get("TINYTORCH_DATA")
    if not (folder and (Path(folder) / "tinyshakespeare.txt").exists()):
        text = "needs tinyshakespeare.txt in the folder TINYTORCH_DATA"
        pytest.fail(text) if os.environ.get("CI") else pytest.skip(text)


def run(*arguments, folder):
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], cwd=folder, capture_output=True, text=True)


def results(folder):
    return json.loads((folder / "results.json").read_text())


def learned(folder):
    "What a run has written that must not depend on when it was killed."
    kept = ("step", "lr", "loss", "norm", "held-out loss", "held-out accuracy")
    records = [{name: record[name] for name in kept if name in record} for record in read_metrics(folder)]
    return records, results(folder)["criteria"], (folder / "samples.txt").read_text()


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    "(folder of a run of --quick, what it printed)"
    folder = tmp_path_factory.mktemp("quick")
    done = run("--quick", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "runs" / "shakespeare-001", done.stdout


def main(monkeypatch, *arguments):
    "The exit status of the script, run in this process."
    monkeypatch.setattr(sys, "argv", ["shakespeare.py", *map(str, arguments)])
    try:
        return shakespeare.main()
    except SystemExit as error:
        return error.code


# ---- a run

def test_quick_learns_and_leaves_everything(finished):
    folder, said = finished
    assert "LEARNED: every criterion is met" in said and "held-out loss" in said and "n-grams, held out" in said
    for name in ("loss.png", "attention.png"):
        assert (folder / name).read_bytes()[:4] == b"\x89PNG"
    assert "ROMEO:" in (folder / "samples.txt").read_text()
    loss, difference = results(folder)["criteria"]
    assert 1.5 < loss["got"] < results(folder)["numbers"]["pairs of characters, counted, held out"] - 0.1
    assert difference["got"] < 1e-5
    assert json.loads((folder / "status.json").read_text())["status"] == "learned"
    assert json.loads((folder / "config.json").read_text())["config"]["model"]["d_model"] == 64
    assert len(read_metrics(folder)) == shakespeare.SIZES["quick"].steps
    page = (folder / "report.html").read_text()
    assert "ROMEO:" in page and "src=\"http" not in page


def test_a_killed_run_goes_on_and_reaches_the_same_result(killed_and_resumed, tmp_path):
    text = tmp_path / "text"
    text.write_text(REAL_TEXT.read_text(encoding="utf-8")[:50_000], encoding="utf-8")
    shorter = "script.SIZES['quick'] = script.SIZES['quick']._replace(steps=220, batch=8); script.SAMPLE_LENGTH = 30"
    whole, killed, said = killed_and_resumed(SCRIPT, "--quick", "--text", text, shorter=shorter)
    assert "goes on after step 100" in said and learned(killed) == learned(whole)


@pytest.fixture
def short(monkeypatch):
    "--quick with 250 steps, behind which the healthy model is already well below the bar (2.31, of 2.39)."
    monkeypatch.setitem(shakespeare.SIZES, "quick", shakespeare.SIZES["quick"]._replace(steps=250))


def test_a_model_that_sees_the_last_character_alone_fails(data, short, monkeypatch, tmp_path, capsys):
    assert main(monkeypatch, "--quick", "--broken", "blind", "--runs", tmp_path) == 1
    assert "NOT LEARNED: held-out loss. " in capsys.readouterr().out
    loss, difference = results(tmp_path / "shakespeare-001")["criteria"]
    assert loss["got"] > 2.4 and not loss["passed"] and difference["passed"]


def test_a_model_that_looks_ahead_fails_although_its_loss_is_good(data, short, monkeypatch, tmp_path):
    assert main(monkeypatch, "--quick", "--broken", "peek", "--runs", tmp_path) == 1
    loss, difference = results(tmp_path / "shakespeare-001")["criteria"]
    assert loss["passed"] and not difference["passed"]


def test_a_thousandth_of_the_learning_rate_teaches_nothing(data):
    settings = {"size": "quick", "seed": 0, "broken": "slow", "text": None}
    texts = shakespeare.read_texts(settings)
    trainer = shakespeare.make_trainer(settings, texts)
    trainer.steps = trainer.total = 40
    losses = [record["loss"] for record in trainer.fit()]
    assert losses[-1] > losses[0] - 0.1 > 4


def test_another_text_has_a_bar_of_its_own(monkeypatch, tmp_path, capsys):
    (tmp_path / "text").write_text(REAL_TEXT.read_text(encoding="utf-8")[:100_000], encoding="utf-8")
    monkeypatch.setitem(shakespeare.SIZES, "quick", shakespeare.SIZES["quick"]._replace(steps=110))
    assert main(monkeypatch, "--quick", "--text", tmp_path / "text", "--runs", tmp_path) in (0, 1)
    found = results(tmp_path / "shakespeare-001")
    pairs, loss = found["numbers"]["pairs of characters, counted, held out"], found["criteria"][0]
    assert loss["wanted"] == f"at most {pairs - 0.1:.4g}"
    assert loss["got"] < 3.5, "the first steps, down from log(80) = 4.4, are quick"
    (tmp_path / "text").write_text("another text " * 1000)
    assert main(monkeypatch, "--resume", tmp_path / "shakespeare-001") == 2
    assert "the text has changed since this run began" in capsys.readouterr().err


def test_a_text_of_thousands_of_different_characters(monkeypatch, tmp_path):
    characters = "".join(map(chr, range(0x4E00, 0x4E00 + 6500)))
    (tmp_path / "novel").write_bytes(b"\xef\xbb\xbf" + (characters * 2).encode())
    monkeypatch.setitem(shakespeare.SIZES, "quick", shakespeare.SIZES["quick"]._replace(steps=2, batch=2))
    monkeypatch.setattr(shakespeare, "WARMUP_STEPS", 1)
    monkeypatch.setattr(shakespeare, "SAMPLE_LENGTH", 3)
    assert main(monkeypatch, "--quick", "--text", tmp_path / "novel", "--runs", tmp_path) == 1
    assert results(tmp_path / "shakespeare-001")["numbers"]["best n-gram, held out (4-gram)"] > 0
    tokens = json.loads((tmp_path / "shakespeare-001" / "tokenizer.json").read_text())["tokens"]
    assert "".join(tokens) == characters, "the byte order mark is none of them"


# ---- what is measured

def test_the_sizes_are_those_of_the_page():
    sizes = [shakespeare.count_parameters(shakespeare.build_model(shakespeare.SIZES[name].config(65)))
             for name in ("base", "nanogpt")]
    assert sizes == [804_096, 804_096]
    assert shakespeare.SIZES["base"].bar == 1.55 and shakespeare.SIZES["nanogpt"].bar == 1.90


def test_the_loss_counts_each_held_out_character_once():
    windows = TokenDataset(np.arange(97) % 7, 32, stride=32)
    ids, targets = windows.batch(np.arange(len(windows)))
    assert targets.numel() == 96 and (targets.data.reshape(-1) == np.arange(1, 97) % 7).all()


@pytest.mark.parametrize("broken", [None, "blind", "peek"])
def test_what_a_model_sees(broken):
    "Which logits change with the third of eight characters: its own and all later ones, only its own, or all."
    config = replace(shakespeare.SIZES["quick"].config(11), norm="layer_norm", activation="gelu")
    model = shakespeare.build_model(config, broken)
    for parameter in model.parameters():
        parameter.data *= 5  # so that attention matters
    ids = np.arange(8)[None]
    other = ids.copy()
    other[0, 2] = 9
    changed = np.abs(model(ids).data - model(other).data).max(axis=-1)[0] > 1e-6
    expected = {None: [0, 0, 1, 1, 1, 1, 1, 1], "blind": [0, 0, 1, 0, 0, 0, 0, 0], "peek": [1] * 8}[broken]
    assert changed.astype(int).tolist() == expected
    windows = TokenDataset(np.random.default_rng(0).integers(0, 11, 200), config.context, stride=config.context)
    tinytorch.manual_seed(0)
    assert (shakespeare.looks_ahead(model, windows) > 1e-3) == (broken == "peek")


# ---- writing on

def sample(monkeypatch, capsys, folder, *arguments):
    monkeypatch.delenv("TINYTORCH_DATA", raising=False)  # a run folder is enough
    assert main(monkeypatch, "--resume", folder, *arguments) == 0
    return capsys.readouterr().out


def test_a_prompt_is_continued_from_the_run_folder_alone(finished, monkeypatch, capsys):
    texts = [sample(monkeypatch, capsys, finished[0], "--sample", "ROMEO:", "--length", "40", *more)
             for more in ([], [], ["--seed", "1"], ["--temperature", "0"], ["--top-k", "1"], ["--top-p", "0.0001"])]
    assert all(text.startswith("ROMEO:") and len(text) == len("ROMEO:") + 41 for text in texts)
    assert texts[0] == texts[1] != texts[2]
    assert texts[3] == texts[4] == texts[5] != texts[0], "greedy in three ways"


@pytest.mark.parametrize("arguments, says", [
    (("--sample", "naïve"), "character 'ï' is not among the 65"), (("--sample", ""), "the prompt is empty"),
    (("--sample", "A", "--top-p", "0"), "top_p: expected a number above 0 and at most 1, got float 0.0"),
    (("--sample", "A", "--top-p", "1.5"), "top_p: expected a number above 0 and at most 1, got float 1.5"),
    (("--sample", "A", "--temperature", "-1"), "temperature: expected a number of at least 0, got float -1.0"),
    (("--sample", "A", "--temperature", "nan"), "temperature: expected a number of at least 0, got float nan"),
    (("--sample", "A", "--top-k", "0"), "top_k: expected an int from 1 on, got int 0"),
    (("--sample", "A", "--length", "-1"), "max_new_tokens: expected an int from 0 on, got int -1"),
    (("--quick",), "expected no other settings beside")])
def test_bad_prompts_and_options_are_one_line(arguments, says, finished, monkeypatch, capsys):
    assert main(monkeypatch, "--resume", finished[0], *arguments) == 2
    assert says in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("name, arguments", [("model.safetensors", ("--sample", "A")), ("last.safetensors", ())])
def test_a_damaged_checkpoint_is_refused(name, arguments, finished, monkeypatch, capsys, tmp_path):
    for path in finished[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / name).write_bytes((finished[0] / name).read_bytes()[:-100])
    assert main(monkeypatch, "--resume", tmp_path, *arguments) == 2
    assert f"{name}: refused" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("arguments, says", [
    (("--seed", "-1"), "expected --seed of at least 0"), (("--size", "huge"), "invalid choice"),
    (("--size", "nanogpt", "--quick"), "expected either --size or --quick"),
    (("--resume", "nowhere"), "expected a run folder of this script"), (("--sample", "A"), "no run in"),
    (("--text", "nowhere.txt"), "expected a file of UTF-8 text"), (("--text", "empty"), "too few to hold 10% out"),
    (("--text", "tiny"), "expected more than the 64 of a window"), (("--text", "binary"), "UTF-8")])
def test_bad_arguments_and_texts_are_one_line(arguments, says, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").write_text("")
    (tmp_path / "tiny").write_text("a few words\n" * 20)
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 10)
    assert main(monkeypatch, *arguments) == 2
    assert says in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "runs").exists()


def test_a_place_for_runs_that_is_none_is_one_line(data, monkeypatch, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert main(monkeypatch, "--quick", "--runs", tmp_path / "file") == 2
    assert "no folder of a run can be made here" in capsys.readouterr().err.splitlines()[-1]


def test_without_the_text_one_line_says_what_to_put_where(monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("TINYTORCH_DATA", raising=False)
    monkeypatch.setenv("TINYTORCH_CACHE", str(tmp_path / "cache"))
    nowhere = SOURCES["tinyshakespeare"]._replace(url="http://127.0.0.1:9/input.txt")
    monkeypatch.setitem(SOURCES, "tinyshakespeare", nowhere)
    assert main(monkeypatch, "--quick", "--runs", tmp_path / "runs") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "download http://127.0.0.1:9/input.txt as tinyshakespeare.txt into a folder, and set TINYTORCH_DATA" in said
    assert not (tmp_path / "runs").exists()


def test_a_damaged_text_is_refused(monkeypatch, capsys, tmp_path):
    (tmp_path / "tinyshakespeare.txt").write_text("First Citizen: not quite\n" * 100)
    monkeypatch.setenv("TINYTORCH_DATA", str(tmp_path))
    assert main(monkeypatch, "--quick", "--runs", tmp_path / "runs") == 2
    assert "is damaged or another one" in capsys.readouterr().err.replace("the file is damaged", "is damaged")
