"""`tito runs`: lists, compares and draws, and is at peace with whatever it finds in a folder."""

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from tito.commands import app


def write_run(root, name, config=None, status=None, records=()):
    folder = root / name
    folder.mkdir(parents=True)
    if config is not None:
        (folder / "config.json").write_text(json.dumps({"name": name, "config": config}))
    if status is not None:
        (folder / "status.json").write_text(json.dumps(status))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    os.utime(folder / "metrics.jsonl", (1e9, 1e9))  # long ago: nothing is running
    return folder


def losses(n, scale=1.0):
    records = [{"step": i, "epoch": 1, "loss": scale / i, "seconds": 0.5 * i} for i in range(1, n + 1)]
    for record in records[9::10]:
        record["val_loss"] = 2 * record["loss"]
    return records


@pytest.fixture
def root(tmp_path):
    best = {"metric": "val_loss", "value": 0.05, "step": 40}
    status = {"status": "finished", "step": 40, "steps": 40, "seconds": 20.0, "best": best}
    write_run(tmp_path, "a-001", {"lr": 0.01, "seed": 0, "width": 64}, status, losses(40))
    write_run(tmp_path, "a-002", {"lr": 0.02, "seed": 0, "depth": 2}, None, losses(25, scale=3.0))
    return tmp_path


def run(root, *arguments):
    return CliRunner().invoke(app, ["runs", *arguments, "--folder", str(root)], catch_exceptions=False)


def test_the_table(root):
    result = run(root)
    assert result.exit_code == 0
    assert [" ".join(line.split()) for line in result.stdout.splitlines()] == [
        "run state step best loss time settings that differ",
        "a-001 finished 40/40 val_loss 0.05 at 40 0.025 20.0 s lr=0.01 width=64",
        "a-002 unfinished 25 loss 0.12 at 25 0.12 12.5 s lr=0.02 depth=2",
    ]
    assert result.stdout.isascii()


def test_named_runs_in_their_order_and_all_settings_of_a_single_one(root, tmp_path):
    lines = run(root, "a-002", str(root / "a-001")).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["run", "a-002", "a-001"]
    assert run(root, "a-001").stdout.splitlines()[1].endswith("lr=0.01  seed=0  width=64")


def test_a_long_configuration_is_cut(root):
    config = {f"setting{number}": number for number in range(30)} | {"lr": 0.01, "prompts": ["copy this"] * 50}
    (root / "a-001" / "config.json").write_text(json.dumps({"config": dict(reversed(config.items()))}))
    for names in (["a-001"], ["a-001", "a-002"]):
        line = next(line for line in run(root, *names).stdout.splitlines() if line.startswith("a-001"))
        assert len(line) < 400 and "prompts=['copy this', 'copy this', 'c..." in line and " more" in line


def test_a_run_that_just_wrote_is_running(root):
    write_run(root, "b-001", {}, None, losses(3))
    os.utime(root / "b-001" / "metrics.jsonl")
    assert run(root, "b-001").stdout.splitlines()[1].split()[:3] == ["b-001", "running", "3"]


def test_an_unknown_run_and_no_runs(root, tmp_path):
    result = run(root, "c")
    assert result.exit_code == 2
    assert "no run 'c' in" in result.stderr and "a-001, a-002" in result.stderr
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "missing"):
        result = run(folder)
        assert result.exit_code == 2 and "no run in" in result.stderr


def test_whatever_lies_in_a_folder_is_listed_or_passed_over(root):
    torn = write_run(root, "torn", {}, None, losses(2))
    with (torn / "metrics.jsonl").open("ab") as file:
        file.write(b'\xff\n[]\n{"step": "x"}\n{"step": 3, "loss": NaN}\n{"step": 4, "lo')
    for name, content in {"config.json": "{", "status.json": "[" * 100_000}.items():
        (torn / name).write_text(content)
    write_run(root, "odd", {"lr": "[bold]x[/bold]"}, {"best": {"value": "x"}, "status": 3, "seconds": None})
    (root / "not a run").mkdir()
    (root / "picture.png").write_bytes(b"")
    result = run(root)
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == ["a-001", "a-002", "odd", "torn"]
    assert "torn" in result.stdout and "loss 0.5 at 2" in result.stdout and "[bold]x[/bold]" in result.stdout


def test_absurd_numbers_and_names_that_would_control_a_terminal(root):
    huge = '{"step": 1' + "0" * 400 + ', "loss": 1}\n{"step": 3, "loss": 1' + "0" * 400 + ', "seconds": 1e999}\n'
    folder = write_run(root, "wild\x1b[2J", {"\x1b]0;title\x07": "\x9b31m"}, {"status": "\x1b[31mred", "step": 3,
                       "best": {"metric": "\x1bc", "value": 0.5, "step": "\r3"}})
    (folder / "metrics.jsonl").write_text(huge)
    result = run(root)
    assert result.exit_code == 0, result.exception
    assert r"wild\x1b[2J" in result.stdout and r"\x1b[31mred" in result.stdout and r"\x1bc 0.5 at \r3" in result.stdout
    assert all(c.isprintable() or c == "\n" for c in result.stdout)


@pytest.mark.parametrize("arguments, drawn", [
    ([], "loss, val_loss"),
    (["--metric", "val_loss"], "val_loss"),
    (["a-002"], "loss"),
    (["--metric", "seconds"], "seconds"),
])  # fmt: skip
def test_curves_of_several_runs_are_one_picture(arguments, drawn, root, tmp_path):
    picture = tmp_path / "curves.png"
    result = run(root, *arguments, "--plot", str(picture))
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == f"wrote {picture}: {drawn}"
    assert picture.read_bytes()[:4] == b"\x89PNG"
    width, height = (int.from_bytes(picture.read_bytes()[at : at + 4]) for at in (16, 20))
    assert width == 660 * len(drawn.split(", ")) and height == 432


@pytest.mark.parametrize("arguments, message", [
    (["--metric", "accuracy"], "nothing to draw of 'accuracy': the records hold loss, seconds, val_loss"),
    (["--plot", "curves.jpg"], "expected the name of a .png file"),
    (["--plot", "no/such/folder/curves.png"], "No such file or directory"),
])  # fmt: skip
def test_what_cannot_be_drawn(arguments, message, root, tmp_path):
    result = run(root, "--plot", str(tmp_path / "x.png"), *arguments)
    assert result.exit_code == 2 and message in " ".join(result.stderr.split())
    assert not (tmp_path / "x.png").exists()


def test_a_long_curve_is_averaged_down(tmp_path):
    from tito.curves import POINTS
    from tito.runs import curve, find_runs

    write_run(tmp_path, "long", {}, None, [{"step": i, "loss": float(i % 2)} for i in range(1, 10_001)])
    steps, values = curve(find_runs(tmp_path, [])[0], "loss")
    assert len(steps) == POINTS and steps[-1] == 10_000 and set(values) == {0.5}


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo terminal")
def test_in_a_terminal_the_table_is_drawn_by_rich(root):
    import pty

    master, slave = pty.openpty()
    command = [sys.executable, "-m", "tito", "runs", "--folder", str(root)]
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "150"}
    process = subprocess.Popen(command, stdout=slave, stderr=subprocess.PIPE, env=env)
    os.close(slave)
    out = b""
    try:
        while chunk := os.read(master, 4096):
            out += chunk
    except OSError:  # the other end is closed
        pass
    assert process.wait() == 0, process.stderr.read()
    assert b"\x1b[1m" in out and b"val_loss 0.05 at 40" in out and b"lr=0.02  depth=2" in out


def test_it_reads_what_the_trainer_writes(tmp_path):
    code = """
import sys, numpy as np
from tinytorch import nn
from tinytorch.data import DataLoader, TensorDataset
from tinytorch.optim import SGD
from tinytorch.runs import new_run
from tinytorch.training import Trainer, evaluate
data = TensorDataset(np.ones((4, 2), np.float32), np.ones((4, 1), np.float32))
for lr in (0.1, 0.2):
    model = nn.Linear(2, 1)
    loss = lambda model, x, y: (model(x) - y).square().mean()
    folder = new_run("runs", "x", {"lr": lr})
    Trainer(model, DataLoader(data, 2), loss, SGD(model.parameters(), lr), steps=6, folder=folder,
            evaluate=lambda: {"val": evaluate(model, DataLoader(data, 2), loss)}, evaluate_every=3).fit()
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    lines = run(tmp_path / "runs").stdout.splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [[f"x-00{n}", "finished", "6/6", "val"] for n in (1, 2)]
    assert [line.split()[-1] for line in lines[1:]] == ["lr=0.1", "lr=0.2"]
