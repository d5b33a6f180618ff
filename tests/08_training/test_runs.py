"""Folders of runs: never two in one, and what is written there can be read while it grows."""
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from platforms import needs_processes, needs_threads

from tinytorch.checkpoint import CheckpointError
from tinytorch.runs import Metrics, new_run, progress, read_config, read_metrics, tensorboard


def test_folders_are_numbered_and_never_reused(tmp_path):
    assert [new_run(tmp_path / "runs", "x").name for _ in range(3)] == ["x-001", "x-002", "x-003"]
    assert new_run(tmp_path / "runs", "y").name == "y-001"
    os.rename(tmp_path / "runs" / "x-002", tmp_path / "runs" / "kept")
    (tmp_path / "runs" / "x-007").write_text("a file, not a folder")
    (tmp_path / "runs" / "x-best").mkdir()
    assert new_run(tmp_path / "runs", "x").name == "x-008"
    (tmp_path / "runs" / "x-999").mkdir()
    assert new_run(tmp_path / "runs", "x").name == "x-1000"


@needs_threads
def test_runs_that_start_at_once_get_different_folders(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: new_run(tmp_path, "x"), range(24)))
    assert len(set(folders)) == 24


def test_a_root_that_is_no_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(CheckpointError, match="file.*: no folder of a run can be made here: "):
            new_run(root)


def test_settings_are_kept(tmp_path):
    folder = new_run(tmp_path, "x", {"lr": 0.1, "data": tmp_path})
    assert read_config(folder) == {"lr": 0.1, "data": str(tmp_path)}
    about = json.loads((folder / "config.json").read_text())
    assert about["name"] == "x-001" and about["command"] == sys.argv and about["started"][:2] == "20"
    assert read_config(tmp_path) is None


def test_metrics_are_lines_of_json_and_a_torn_one_is_left_out(tmp_path):
    metrics = Metrics(tmp_path, [{"step": 1, "loss": 0.5}])
    metrics({"step": 2, "loss": 0.25})
    metrics.sync()
    expected = [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]
    assert [json.loads(line) for line in open(tmp_path / "metrics.jsonl")] == expected == read_metrics(tmp_path)
    metrics.close()
    with open(tmp_path / "metrics.jsonl", "ab") as file:
        file.write(b'\xff\xfe\n[1]\n{"step": "x"}\n{"step": 3, "lo')
    assert read_metrics(tmp_path) == expected
    Metrics(tmp_path, expected[:1]).close()
    assert read_metrics(tmp_path) == expected[:1]


@pytest.mark.parametrize("line", [
    '{"step": 1' + "0" * 400 + "}", '{"step": 2, "x": ' + "[" * 100_000, "1" * 5000, "{" * 9])
def test_absurd_lines_of_metrics_are_left_out(line, tmp_path):
    lines = ['\ufeff{"step": 1, "loss": 0.5}', line, '{"step": 2, "loss": 1' + "0" * 400 + "}", ""]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines), encoding="utf-8")
    first, second = read_metrics(tmp_path)
    assert first == {"step": 1, "loss": 0.5} and second == {"step": 2, "loss": float("inf")}


def test_a_config_with_a_byte_order_mark(tmp_path):
    folder = new_run(tmp_path, "x", {"lr": 0.1})
    (folder / "config.json").write_bytes(b"\xef\xbb\xbf" + (folder / "config.json").read_bytes())
    assert read_config(folder) == {"lr": 0.1}


@pytest.mark.parametrize("total, lines", [(100, 20), (1000, 20), (7, 7), (None, 10)])
def test_progress_is_about_twenty_plain_lines_where_there_is_no_terminal(total, lines, capsys):
    with progress(total) as show:
        for step in range(1, (total or 1000) + 1):
            show({"step": step, "epoch": 1, "lr": 0.1, "loss": 1 / step, "norm": 1.0, "seconds": 0.1})
    out = capsys.readouterr().out
    assert len(out.splitlines()) == lines and "\x1b" not in out
    last = total or 1000
    assert out.splitlines()[-1] == f"step {last}{f'/{total}' if total else ''}  lr 0.1  loss {1 / last:.4g}  norm 1"


def test_what_was_evaluated_is_always_shown(capsys):
    with progress(1000) as show:
        for step in (1, 2, 3, 4):
            evaluated = {"val_loss": 0.5} if step == 3 else {}
            show({"step": step, "epoch": 1, "lr": 0.1, "loss": 1, **evaluated, "seconds": 0.1, "seen": step})
    assert capsys.readouterr().out == "step 3/1000  lr 0.1  loss 1  val_loss 0.5  seen 3\n"


@needs_processes
@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo terminal")
@pytest.mark.parametrize("rich", [True, False])
def test_in_a_terminal_rich_draws_a_bar_and_without_rich_there_are_lines(rich):
    pytest.importorskip("rich")
    import pty
    code = (f"import sys\nif not {rich}: sys.modules['rich.progress'] = None\nfrom tinytorch.runs import progress\n"
            "with progress(50) as show:\n    for i in range(50): show({'step': i + 1, 'loss': 0.125})")
    master, slave = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", code], stdout=slave, stderr=subprocess.PIPE,
                               env={**os.environ, "TERM": "xterm", "COLUMNS": "100"})
    os.close(slave)
    out = b""
    try:
        while chunk := os.read(master, 4096):
            out += chunk
    except OSError:  # the other end is closed
        pass
    assert process.wait() == 0, process.stderr.read()
    assert ("━".encode() in out) == rich
    assert b"50/50" in out and b"loss 0.125" in out


@needs_processes
def test_tensorboard_gets_every_number(tmp_path):
    pytest.importorskip("tensorboardX", reason="needs tensorboardX: pip install tensorboardX")
    code = (f"from tinytorch.runs import tensorboard\nwrite = tensorboard({str(tmp_path / 'tb')!r})\n"
            "for step in (1, 2, 3):\n"
            "    write({'step': step, 'epoch': 1, 'loss': 0.5 / step, 'note': 'text'})")
    subprocess.run([sys.executable, "-c", code], check=True)
    data = b"".join(path.read_bytes() for path in (tmp_path / "tb").iterdir())
    assert data.count(b"loss") == 3 and b"note" not in data


def test_without_tensorboard_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install tensorboardX"):
        tensorboard(tmp_path)
