"""The copilot milestone: quick runs pass, broken models fail, a killed run reaches the same end, bad input is told."""
import importlib.util
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinytorch
from tinytorch.runs import read_metrics
from tinytorch.tokenizers import CharTokenizer

SCRIPT = Path(__file__).parents[2] / "milestones" / "05_2017_transformer" / "copilot.py"
sys.path.insert(0, str(SCRIPT.parent))


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


copilot = load(SCRIPT)
language, Corpus = sys.modules["language"], sys.modules["corpora"].Corpus


def settings(broken=None):
    return {"size": "quick", "seed": 0, "broken": broken, "text": None}


def letters():
    "A small text in which abc is followed by abc, and in the held-out part sometimes by abd."
    corpus = Corpus("".join("abc"[i % 3] for i in range(500)), "abcabd" * 50, "letters")
    return copilot.Texts(corpus, CharTokenizer(sorted(copilot.ALPHABET)), 64)


def command(*arguments):
    return [sys.executable, str(SCRIPT), *map(str, arguments)]


def run(*arguments, folder):
    return subprocess.run(command(*arguments), cwd=folder, capture_output=True, text=True)


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    "(folder of a finished --quick run, what it printed)"
    folder = tmp_path_factory.mktemp("quick")
    done = run("--quick", "--seed", "1", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "runs" / "copilot-001", done.stdout


# ---- what it shows

def test_a_quick_run_learns_and_leaves_everything(quick):
    folder, printed = quick
    assert "LEARNED" in printed and "31,616 parameters" in printed
    results = json.loads((folder / "results.json").read_text())
    assert all(criterion["passed"] for criterion in results["criteria"]) and len(results["criteria"]) == 2
    assert results["learned"] and results["part"] == "--quick" and results["broken"] is None
    numbers = results["numbers"]
    assert 1.4 < numbers["best n-gram, held out (5-gram)"] < numbers["3-gram, held out"] < 2.2
    assert numbers["held-out loss, nats a character"] < numbers["3-gram, held out"] + copilot.SIZES["quick"].margin
    for name in ("loss.png", "attention.png"):
        assert (folder / name).read_bytes()[:4] == b"\x89PNG"
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png") == 1 and "held-out accuracy" in page
    records = read_metrics(folder)
    assert len(records) == copilot.SIZES["quick"].steps
    samples = (folder / "samples.txt").read_text()
    assert all(f"{prompt}|" in samples for prompt, _ in copilot.DEMOS)
    assert sum("sample" in record for record in records) == copilot.EVALUATIONS == samples.count("\nstep ")


def test_a_broken_model_fails_the_same_check(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["copilot.py", "--quick", "--broken", "no_positions", "--runs", str(tmp_path)])
    assert copilot.main() == 1
    assert "NOT LEARNED: held-out loss below the 3-gram" in capsys.readouterr().out
    assert json.loads((tmp_path / "copilot-001" / "status.json").read_text())["status"] == "not learned"


def test_a_model_that_looks_ahead_is_found_out():
    texts = letters()
    for broken, expected in (("peek", False), (None, True)):
        model = copilot.make_trainer(settings(broken), texts).model
        for p in model.parameters():
            p.data *= 3  # attention that is not all the same
        assert (copilot.looks_ahead(model, texts.held_out_windows) < 1e-4) is expected


def test_frozen_blocks_get_no_step_and_all_else_does():
    trainer = copilot.make_trainer(settings("frozen"), letters())
    before = trainer.model.state_dict()
    trainer.steps = trainer.total = 2
    trainer.fit()
    still = {name for name, array in trainer.model.state_dict().items() if np.array_equal(array, before[name])}
    assert still == {name for name in before if name.startswith("transformer.blocks.")} and len(still) > 20


# ---- going on

def losses(folder):
    return [(record["step"], record["loss"], record.get("held-out loss"), record.get("sample"))
            for record in read_metrics(folder)]


def weights(folder):
    model, _ = language.load_model(folder, json.loads((folder / "config.json").read_text())["config"])
    return model.state_dict()


def test_a_killed_run_goes_on_and_reaches_the_same_result(killed_and_resumed, tmp_path):
    text = tmp_path / "text.py"
    text.write_text(Path(subprocess.__file__).read_text(encoding="utf-8")[:50_000], encoding="utf-8")
    shorter = ("script.SIZES['quick'] = script.SIZES['quick']._replace(steps=220, batch=4); script.EVALUATIONS = 4; "
               "script.WRITTEN_LENGTH = 20")
    whole, killed, said = killed_and_resumed(SCRIPT, "--quick", "--seed", 1, "--text", text, shorter=shorter)
    assert "goes on after step 100" in said
    assert losses(killed) == losses(whole)
    ours, theirs = (weights(folder) for folder in (killed, whole))
    assert len(ours) > 20 and all(np.array_equal(ours[name], theirs[name]) for name in theirs)
    assert (killed / "samples.txt").read_text() == (whole / "samples.txt").read_text()
    ours, theirs = (json.loads((folder / "results.json").read_text()) for folder in (killed, whole))
    assert ours["criteria"] == theirs["criteria"]


def test_a_stopped_run_says_in_one_line_how_to_go_on(tmp_path):
    process = subprocess.Popen(command("--quick"), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True)
    while not process.stdout.readline().startswith("step"):
        assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGINT)
    said, wrong = process.communicate()
    assert process.returncode == 130 and wrong == "", wrong
    assert said.splitlines()[-1] == f"stopped; to go on: --resume {Path('runs') / 'copilot-001'}"


# ---- a prompt of one's own

def main(*arguments):
    "(exit status, what it printed) of the script, in this process."
    try:
        return copilot.main(copilot.parser.parse_args(list(map(str, arguments))))
    except SystemExit as stopped:
        return stopped.code


def test_a_prompt_is_continued(quick, capsys):
    folder, _ = quick
    texts = []
    for options in ((), (), ("--seed", 1), ("--top-p", 0.5), ("--temperature", 0)):
        assert main("--resume", folder, "--sample", "def f(", "--length", 50, *options) == 0
        texts.append(capsys.readouterr().out)
    assert all(text.startswith("def f(") and len(text) == len("def f(") + 50 + 1 for text in texts)
    assert texts[0] == texts[1] and len(set(texts)) == 4
    assert main("--runs", folder.parent, "--sample", "import ", "--length", 5) == 0, "the newest run"
    assert capsys.readouterr().out.startswith("import ")


@pytest.mark.parametrize("arguments, message", [
    (["--sample", ""], "the prompt is empty"),
    (["--sample", "def é("], "character 'é' is not among the 96"),
    (["--sample", "a\tb"], r"character '\t' is not among"),
    (["--sample", "x", "--top-p", 0], "top_p: expected a number above 0 and at most 1, got float 0.0"),
    (["--sample", "x", "--top-p", 1.5], "top_p: expected a number above 0 and at most 1, got float 1.5"),
    (["--sample", "x", "--temperature", -1], "temperature: expected a number of at least 0, got float -1.0"),
    (["--sample", "x", "--length", -1], "max_new_tokens: expected an int from 0 on, got int -1"),
    (["--sample", "x", "--quick"], "expected no other settings"),
    (["--seed", 3], "expected no other settings"),
])
def test_bad_prompts_and_options(arguments, message, quick, capsys):
    assert main("--resume", quick[0], *arguments) == 2
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("name, arguments", [("model.safetensors", ["--sample", "x"]), ("last.safetensors", [])])
def test_a_corrupt_checkpoint(name, arguments, quick, tmp_path, capsys):
    for path in quick[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-100])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main("--resume", tmp_path, *arguments) == 2
    error = capsys.readouterr().err
    assert name in error and "refused" in error
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


@pytest.mark.parametrize("text, message", [
    ("", "0 characters are too few"), ("x = 1\n" * 50, "expected more than the 64 of a window"),
    (None, "expected a file of UTF-8")])
def test_a_tiny_text(text, message, tmp_path, capsys):
    file = tmp_path / "tiny.py"
    if text is not None:
        file.write_text(text)
    assert main("--text", file, "--runs", tmp_path / "runs") == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "runs").exists()


def test_a_text_of_ones_own_that_changes(tmp_path, capsys, monkeypatch):
    file, runs = tmp_path / "mine.py", tmp_path / "runs"
    file.write_text("total = total + number * 3\n" * 200 + "# naïve\n")
    monkeypatch.setitem(copilot.SIZES, "quick", copilot.SIZES["quick"]._replace(steps=20))
    monkeypatch.setattr(copilot, "WRITTEN_LENGTH", 30)
    assert main("--text", file, "--runs", runs, "--quick") == 1, "20 steps do not reach an n-gram that knows the text"
    assert main("--resume", runs / "copilot-001", "--sample", "naïve") == 0
    file.write_text("something else\n" * 200)
    capsys.readouterr()
    assert main("--resume", runs / "copilot-001") == 2
    assert "the text has changed since this run began" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("arguments", [
    ["--size", "huge"], ["--size", "base", "--quick"], ["--seed", -1], ["--seed", "x"], ["--resume", "nowhere"],
    ["--broken", "all"], ["--sample", "x", "--runs", "nowhere"]])
def test_bad_arguments(arguments, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(*arguments) == 2
    error = capsys.readouterr().err
    assert "expected" in error or "invalid" in error or "no run in" in error
    assert not list(tmp_path.iterdir())


# ---- its parts

@pytest.mark.parametrize("written, good", [
    ("urn a - b", True), ("urn a\n", True), ("", False), ("ur", False), ("rn", False)])
def test_demos_must_go_on_as_expected(written, good, monkeypatch):
    monkeypatch.setattr(copilot, "DEMOS", [("def f(a):\n    ret", "urn ")])
    monkeypatch.setattr(copilot, "written", lambda model, tokenizer, prompt, *_, **__: prompt + written)
    (row,) = copilot.make_demos(None, None)
    assert row == ("def f(a):\n    ret", written, "urn ", good)
    assert copilot.demo_text(*row).endswith("<- yes" if good else "<- NO, 'urn '")


def test_demos_are_the_likeliest_characters():
    tinytorch.manual_seed(0)
    tokenizer = CharTokenizer(sorted(copilot.ALPHABET))
    model = copilot.build_model(copilot.SIZES["small"].config(tokenizer.vocab_size))
    prompt, text, *_ = copilot.make_demos(model, tokenizer)[0]
    assert len(text) == copilot.DEMO_LENGTH
    for end in range(len(text)):
        logits = model(np.array([tokenizer.encode(prompt + text[:end])])).data[0, -1]
        assert text[end] == tokenizer.decode([logits.argmax()])


def test_lines_are_judged_one_by_one():
    text = ("half a line(\n    x = 1\n\n# a comment\n  else:\nexcept ValueError:\nreturn x\nif (:\nthe prose\nx = [1,\n"
            "cut")
    assert copilot.python_lines([text]) == (4, 7)
    assert copilot.python_lines([text, text]) == (8, 14)
    assert copilot.share((0, 0)) == "0.0% of 0"


def test_attention_of_the_picture_is_that_of_the_model():
    tinytorch.manual_seed(0)
    model = copilot.build_model(copilot.SIZES["small"].config(96))
    maps = copilot.attention_maps(model, np.arange(20))
    assert maps.shape == (2, 2, 20, 20)
    np.testing.assert_allclose(maps.sum(axis=-1), 1, rtol=1e-5)
    assert (np.triu(maps, 1) == 0).all() and len(np.unique(maps.round(4))) > 50


def test_the_held_out_files_are_not_trained_on():
    settings = {"text": None}
    corpus = copilot.corpus_of(settings, "python")
    lines = {line for line in corpus.train.split("\n") if len(line) > 60}
    held_out = [line for line in corpus.held_out.split("\n") if len(line) > 60]
    assert np.mean([line in lines for line in held_out]) < 0.02
    assert re.fullmatch("[0-9a-f]{16}", settings["text_sha256"])
