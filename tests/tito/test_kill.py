"""Killed at any moment, `start`, `export`, `reset` and `undo` leave a whole notebook: the old one or the new one."""
import json
import os
import signal
import sys

import pytest

from tito import student
from tito.course import chapter
from tito.workspace import Workspace

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes as POSIX systems do")

TOUCHING = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}  # what Python tells of before it touches the disk


def killed(action, moment):
    "Run `action` in a process that dies right before it touches the disk for the moment-th time; whether it did."
    pid = os.fork()
    if not pid:
        left = [moment]

        def count(event, _):
            if event in TOUCHING:
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        status = 1
        try:
            sys.addaudithook(count)
            action()
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0


def moments(action, restore):
    "Kill `action` at its first step, its second one, and so on to its end; yields after each."
    for moment in range(10_000):
        restore()
        if not killed(action, moment):
            assert moment > 5
            return
        yield moment


@pytest.fixture
def folder(tito):
    "The workspace, and a function that puts it back to where it was, byte by byte."
    tito("start", "01")
    tito.solve()
    tito("export", "01")

    def restore(files=None):
        files = files or saved
        for name in tito.files().keys() - files.keys():
            (tito.folder / name).unlink()
        for name, content in files.items():
            (tito.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (tito.folder / name).write_bytes(content)

    saved = tito.files()
    tito.restore = restore
    tito.workspace_now = lambda: Workspace(tito.folder)
    return tito


def whole(path):
    return path.read_bytes() if path.exists() and json.loads(path.read_bytes())["cells"] else None


def test_start(folder):
    fresh = student.fresh(chapter("02"))[0]
    path = folder.notebook("02_pair")
    seen = set()
    for _ in moments(lambda: student.start(folder.workspace_now(), chapter("02")), folder.restore):
        seen.add(whole(path))
        folder("start", "02")  # and a second attempt puts everything right
        assert whole(path) == fresh and folder.exported("pair.py").exists() and folder.exported("third.py").exists()
    assert seen == {None, fresh}


def test_export(folder):
    before = folder.notebook().read_bytes()
    folder.notebook().write_bytes(before.replace(b"x + x", b"2 * x"))
    changed = folder.files()
    exported = set()
    for _ in moments(lambda: student.export_chapter(folder.workspace_now(), chapter("01")),
                     lambda: folder.restore(changed)):
        assert folder.notebook().read_bytes() == changed["modules/01_double.ipynb"]
        exported.add(folder.exported().read_bytes())
    assert len(exported) == 2, "the exported file is the old or the new one"


def test_reset_and_undo(folder):
    mine, fresh = folder.notebook().read_bytes(), student.fresh(chapter("01"))[0]
    seen = set()
    for _ in moments(lambda: student.reset(folder.workspace_now(), chapter("01")), folder.restore):
        now = whole(folder.notebook())
        seen.add(now)
        assert now in (mine, fresh)
        if now == fresh:
            backup = folder.workspace_now().backups()[-1]
            assert (backup / "files" / "modules" / "01_double.ipynb").read_bytes() == mine
            folder("undo")
            assert folder.notebook().read_bytes() == mine
    assert seen == {mine, fresh}

    folder.restore()
    student.reset(folder.workspace_now(), chapter("01"))
    after_reset, seen = folder.files(), set()
    for _ in moments(lambda: folder.workspace_now().undo(), lambda: folder.restore(after_reset)):
        seen.add(whole(folder.notebook()))
        if folder.workspace_now().backups():
            folder("undo")
        assert folder.notebook().read_bytes() == mine
    assert seen == {mine, fresh}


def test_a_change_of_depth(folder, monkeypatch):
    mine, fresh = folder.notebook().read_bytes(), student.fresh(chapter("01"), "open")
    monkeypatch.setattr(student, "fresh", lambda *_: fresh)  # it only reads
    opened, seen = fresh[0], set()
    for _ in moments(lambda: student.start(folder.workspace_now(), chapter("01"), "open"), folder.restore):
        now = whole(folder.notebook())
        seen.add(now)
        assert now in (mine, opened)
        if now == opened:
            student.start(folder.workspace_now(), chapter("01"), "guided")
        assert folder.notebook().read_bytes() == mine
    assert seen == {mine, opened}


def test_leftovers_of_the_dead_are_removed(folder):
    for _ in moments(lambda: student.reset(folder.workspace_now(), chapter("01")), lambda: None):
        break
    partial = folder.folder / ".tito" / "backups" / ".half_made"
    partial.mkdir(parents=True)
    folder("doctor")
    assert not partial.exists()
