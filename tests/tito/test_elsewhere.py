"""Files and paths that arrive from elsewhere: another user's workspace, links, pipes, records and planted modules."""
import base64
import json
import os
import subprocess
import sys

import pytest
from small_course import write

from tinytorch.checkpoint import CheckpointError
from tinytorch.runs import locked, read_config, read_metrics
from tito import overlay
from tito.project import TitoError
from tito.report import report_page
from tito.runs import read_run
from tito.workspace import find_workspace

STRANGER = 12345  # the id of a user that is neither we nor root
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")


def give(path, user=STRANGER):
    os.chown(path, user, user, follow_symlinks=False)


# ---- another user's workspace further up

def python(code, cwd, **variables):
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, timeout=60,
                          env=os.environ | {"PYTHONPATH": os.fspath(overlay.PACKAGE_FOLDER.parent)}
                          | variables)
    return done.stdout, done.stderr


@pytest.fixture
def parent(tmp_path, monkeypatch):
    """A folder in which there is a workspace, whose data.py says that it ran."""
    monkeypatch.delenv("TINYTORCH_WORKSPACE", raising=False)
    write(tmp_path / ".tito" / "workspace.json", "{}")
    write(tmp_path / "exported" / "tinytorch" / "data.py", "print('theirs ran')")
    (tmp_path / "work").mkdir()
    return tmp_path


IMPORT = "try:\n    import tinytorch\nexcept ImportError as error: print(error)"


@pytest.mark.parametrize("theirs", ["", ".tito", ".tito/workspace.json", "exported", "exported/tinytorch/data.py"])
def test_another_users_workspace_is_not_run_but_named(parent, monkeypatch, theirs):
    assert overlay.of_another_user(parent) is None
    real = overlay.Path.lstat
    monkeypatch.setattr(overlay.Path, "lstat", lambda path: Theirs if path == parent / theirs else real(path))
    assert overlay.of_another_user(parent) == parent / theirs


class Theirs:
    st_uid, st_mode = STRANGER, 0


@needs_root
@pytest.mark.parametrize("theirs", ["", ".tito", ".tito/workspace.json", "exported", "exported/tinytorch/data.py"])
def test_a_script_below_it_runs_with_the_reference(parent, monkeypatch, theirs):
    assert "theirs ran" in python(IMPORT, parent / "work")[0]  # ours, and trusted
    give(parent / theirs)
    out, said = python(IMPORT, parent / "work")
    assert "theirs ran" not in out and said.count("belongs to another user") == 1
    assert f"export TINYTORCH_WORKSPACE={parent}" in said
    assert "theirs ran" in python(IMPORT, parent / "work", TINYTORCH_WORKSPACE=str(parent))[0]
    monkeypatch.chdir(parent / "work")
    with pytest.raises(TitoError, match="belongs to another user"):
        find_workspace()


def test_what_is_roots_is_trusted(parent, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    monkeypatch.setattr(overlay.Path, "lstat", lambda path: Roots)
    assert overlay.of_another_user(parent) is None


class Roots:
    st_uid, st_mode = 0, 0


# ---- links and pipes in a workspace

def test_links_in_what_was_exported_are_refused(tito, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere / "layers.py", "print('elsewhere ran')")
    package = tito.folder / "exported" / "tinytorch"
    for link in (package / "nn", package / "double.py", package, package.parent):
        kept = link.rename(tmp_path / "kept") if link.exists() else None
        link.symlink_to(elsewhere / "layers.py" if link.suffix else elsewhere)
        out, _ = python(IMPORT, tito.folder, TINYTORCH_WORKSPACE=str(tito.folder))
        assert f"{link}: expected what `tito export` writes" in out and "elsewhere ran" not in out
        assert "is a link" in tito("status", status=2)
        link.unlink()
        if kept:
            kept.rename(link)
    tito("status")


@pytest.mark.parametrize("part", ["modules", "tests", ".tito/backups", "milestones", "modules/01_double.ipynb"])
def test_nothing_is_written_through_links(tito, tmp_path, part):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = tito.folder / part
    if link.exists():
        link.rename(tmp_path / "kept")
    link.symlink_to(elsewhere / "file" if link.suffix else elsewhere)
    assert f"{link} is a link" in tito("start", "01", status=2)
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.mkdir(), lambda path: os.symlink("/dev/zero", path)],
                         ids=["pipe", "folder", "device"])
@pytest.mark.parametrize("name, command", [
    ("modules/01_double.ipynb", ("check", "01")), ("modules/01_double.ipynb", ("start", "01")),
    ("exported/tinytorch/double.py", ("status",)), (".tito/state.json", ("status",)),
    ("exported/tinytorch/double.py", ("test", "01")),
])
def test_a_pipe_a_folder_or_a_device_in_place_of_a_file_is_named(tito, make, name, command):
    tito("start", "01")
    (tito.folder / name).unlink(missing_ok=True)
    make(tito.folder / name)
    assert name.rpartition("/")[2] in tito(*command, status=2)


def test_a_pipe_among_the_exported_files_does_not_hang_the_import(parent):
    os.mkfifo(parent / "exported" / "tinytorch" / "optim.py")
    assert "optim.py: expected what `tito export` writes" in python(IMPORT, parent / "work")[0]


# ---- records that name other files

def rewritten(tito, **changes):
    """The newest backup after its record was changed."""
    backup = max((tito.folder / ".tito" / "backups").glob("[0-9]*"))
    what = json.loads((backup / "what.json").read_text()) | changes
    (backup / "what.json").write_text(json.dumps(what))
    return backup


@pytest.fixture
def saved(tito):
    tito("start", "01")
    tito.solve()
    tito("reset", "01")
    return tito


@pytest.mark.parametrize("changes", [
    {"saved": ["../victim.txt"]}, {"absent": ["../victim.txt"]}, {"saved": ["modules/../../victim.txt"]},
    {"absent": ["{parent}/victim.txt"]}, {"absent": ["."]}, {"absent": [3]}, {"saved": "modules"}, {"command": None},
    {"exported": {"../victim.txt": "0"}}, {"saved": None},
], ids=str)
def test_undo_touches_nothing_outside(saved, changes):
    victim = saved.folder.parent / "victim.txt"
    victim.write_text("kept")
    changes = json.loads(json.dumps(changes).replace("{parent}", str(saved.folder.parent)))
    backup = rewritten(saved, **changes)
    for place in (backup / "files" / ".." / "victim.txt", backup / "victim.txt"):
        place.write_text("attacked")
    before = saved.files()
    assert "nothing was changed" in saved("undo", status=2)
    assert victim.read_text() == "kept" and saved.files() == before


def test_undo_takes_nothing_through_links(saved, tmp_path):
    write(tmp_path / "secret.txt", "secret")
    backup = rewritten(saved)
    file = backup / "files" / "modules" / "01_double.ipynb"
    file.unlink()
    file.symlink_to(tmp_path / "secret.txt")
    assert "link" in saved("undo", status=2)


@pytest.mark.parametrize("content", ["", "[]", "[" * 5000, "3"], ids=["empty", "list", "deep", "number"])
def test_a_record_that_is_none_is_named(saved, content):
    backup = max((saved.folder / ".tito" / "backups").glob("[0-9]*"))
    (backup / "what.json").write_text(content)
    assert f"{backup.name}: not what tito wrote" in saved("undo", status=2)


def test_undo_still_takes_back(saved):
    assert "took back" in saved("undo") and "x + x" in saved.notebook().read_text()


# ---- planted modules

CHEAT = "import sys, pytest\npytest.fail = lambda *a, **k: None\nraise SystemExit\n"


@pytest.mark.parametrize("name", ["numpy.py", "random.py", "mine.pyc", "numpy/__init__.py", "pkg/deep/thing.py"])
def test_a_module_planted_among_the_tests_is_refused(tito, name):
    tito("start", "01")
    write(tito.folder / "tests" / name, CHEAT)
    assert f"tests/{name} is not the course's" in tito("test", "01", status=2)
    assert f"tests/{name} is not the course's" in tito("doctor", status=1)


def test_what_was_compiled_from_other_sources_does_not_run(tito):
    """The compiled file has the size and time of the course's test, as Python and pytest compare them."""
    tito("start", "01")
    test = tito.folder / "tests" / "01_double" / "test_double.py"
    about, source = test.stat(), test.read_bytes()
    tito("test", "01", status=1)
    passing = b"def test_twice_is_the_sum_with_itself(): pass\n"
    test.write_bytes(passing + b"#" * (len(source) - len(passing)))
    os.utime(test, ns=(about.st_atime_ns, about.st_mtime_ns))
    subprocess.run([sys.executable, "-m", "pytest", "-q", "--import-mode=importlib", test], cwd=tito.folder, check=True,
                   env=os.environ | {"PYTHONDONTWRITEBYTECODE": ""})
    assert list(test.parent.rglob("*.pyc"))
    test.write_bytes(source)
    os.utime(test, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert "failed" in tito("test", "01", status=1)


def test_a_module_planted_beside_a_milestone_is_no_pass(tito):
    tito("start", "01")
    tito.solve()
    tito("check", "01")
    for place in ("milestones/json.py", "milestones/01_1900/helper.py"):
        write(tito.folder / place, "")
        assert f"not recorded, for {place} is not the course's" in tito("milestone", "run", "doubling", status=None)
        (tito.folder / place).unlink()
    assert "passed" in tito("milestone", "run", "doubling")


# ---- reports

PICTURE = b"\x89PNG, as far as a report looks"


def test_a_report_holds_nothing_that_links_lead_to(tmp_path):
    run = tmp_path / "runs" / "mine"
    secrets = {"samples.txt": b"secret", "loss.png": b"secret", "config.json": b'{"config": {"a": "secret"}}',
               "metrics.jsonl": b'{"step": 1, "secret": 2}\n{"step": 2, "secret": 3}', "attention.png": b"secret",
               "results.json": b'{"numbers": {"secret": 1}}', "status.json": b'{"status": "secret"}'}
    for name, content in secrets.items():
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        (tmp_path / "elsewhere" / name).write_bytes(content)
        run.mkdir(parents=True, exist_ok=True)
        (run / name).symlink_to(tmp_path / "elsewhere" / name)
    (run / "own.png").write_bytes(PICTURE)
    page = report_page(read_run(run))
    assert "secret" not in page and base64.b64encode(b"secret").decode() not in page
    assert base64.b64encode(PICTURE).decode() in page


def test_pipes_and_devices_do_not_hang_a_report(tmp_path):
    for name in ("samples.txt", "config.json", "metrics.jsonl", "results.json", "status.json", "a.png"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "b.png").symlink_to("/dev/zero")
    assert "<h1>" in report_page(read_run(tmp_path))


# ---- a run's folder

def test_a_lock_that_is_a_link_empties_nothing(tmp_path):
    victim, run = tmp_path / "victim.txt", tmp_path / "run"
    victim.write_text("kept")
    run.mkdir()
    (run / "lock").symlink_to(victim)
    with pytest.raises(CheckpointError, match="lock"), locked(run):
        pass
    assert victim.read_text() == "kept"


def test_records_and_settings_that_are_pipes_are_none(tmp_path):
    for name in ("metrics.jsonl", "config.json"):
        os.mkfifo(tmp_path / name)
    assert read_metrics(tmp_path) == [] and read_config(tmp_path) is None
