"""Work as one file: out of one workspace and into another, byte for byte; nothing lost, nothing hostile let in."""
import json
import stat
import zipfile
from pathlib import Path

import pytest

from tito import pack as packing
from tito.course import chapters
from tito.project import TitoError
from tito.student import beginning
from tito.workspace import Workspace, new_workspace


@pytest.fixture
def there(tito, course, tmp_path):
    "Another workspace."
    return new_workspace(tmp_path / "there")


def snapshot(folder):
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def work_in(workspace):
    return {name: (workspace.folder / name).read_bytes() for name in packing.names_of_work(workspace)}


def archive(path, members, **changes):
    "Write a zip archive of [(name or ZipInfo, content)], with a mark unless one is given."
    names = [getattr(name, "filename", name) for name, _ in members]
    if packing.MARK not in names:
        members = [*members, (packing.MARK, json.dumps({"records": {}} | changes))]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


NOTEBOOK = json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def test_work_goes_out_and_in_byte_for_byte(tito, there, tmp_path):
    tito("start", "01")
    here = Workspace(Path.cwd())
    notebook = next(Path("modules").glob("01_*.ipynb"))
    notebook.write_text(notebook.read_text(encoding="utf-8").replace('"cells"', '\n"cells"') + "\n\n", encoding="utf-8")
    here.record("hints", **{"01_x/one": 2})
    assert "tito import" in tito("pack")
    changed, same = packing.bring_in(there, here.folder / packing.NAME)
    assert work_in(there) == work_in(here) and len(changed) == len(work_in(here)) >= 2 and same == 0
    assert Workspace(there.folder).recorded("hints") == {"01_x/one": 2}
    assert packing.pack(Workspace(there.folder)) == packing.pack(here), "and back again it is the same file"
    assert packing.bring_in(there, here.folder / packing.NAME)[0] == []


def test_what_is_there_is_backed_up_and_undo_brings_it_back(tito, there, tmp_path):
    tito("start", "01")
    packing.write_pack(Workspace(Path.cwd()), tmp_path / "work.zip")
    notebook = next(Path("modules").glob("01_*.ipynb"))
    notebook.write_text(NOTEBOOK)
    exported = next(Path("exported").rglob("*.py"))
    exported.unlink()
    before = {name: content for name, content in snapshot(".").items() if not name.startswith(".tito")}
    said = tito("import", tmp_path / "work.zip")
    assert f"wrote {notebook.as_posix()}" in said and "backed up" in said and exported.exists()
    tito("undo")
    assert {name: content for name, content in snapshot(".").items() if not name.startswith(".tito")} == before


def test_a_notebook_that_came_with_a_page_and_was_not_touched_stays(tito, tmp_path):
    here, made = Workspace(Path.cwd()), chapters()[0]
    fresh = beginning(made, "guided")
    here.notebook(made).write_text(json.dumps(fresh))
    with pytest.raises(TitoError, match="nothing of yours"):
        packing.pack(here)
    fresh["cells"][-1]["source"] = ["# mine"]
    here.notebook(made).write_text(json.dumps(fresh))
    assert packing.names_of_work(here) == [f"modules/{made.notebook.name}"]


def link():
    info = zipfile.ZipInfo("modules/01_a.ipynb")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


HOSTILE = {
    "no zip": b"work",
    "no mark": [("modules/a.ipynb", NOTEBOOK), (packing.MARK + "x", "")],
    "up": [("../modules/a.ipynb", NOTEBOOK)], "up inside": [("modules/../../a.ipynb", NOTEBOOK)],
    "absolute": [("/modules/a.ipynb", NOTEBOOK)], "backslash": [("modules\\..\\a.ipynb", NOTEBOOK)],
    "another folder": [("tests/conftest.py", "")], "the workspace's own": [(".tito/workspace.json", "{}")],
    "hidden": [("modules/.a.ipynb", NOTEBOOK)], "a program beside": [("modules/a.py", "")],
    "line break": [("modules/a\n.ipynb", NOTEBOOK)], "link": [(link(), "/etc/passwd")],
    "folder": [("modules/a.ipynb/", "")],
    "twice": [("modules/a.ipynb", NOTEBOOK), ("modules/A.ipynb", NOTEBOOK)],
    "no notebook": [("modules/a.ipynb", "[]")], "no text": [("exported/tinytorch/a.py", b"\xff\xfe")],
    "large": [("exported/tinytorch/a.py", b"#" * ((32 << 20) + 1))],
    "many": [(f"exported/tinytorch/a{n}.py", "") for n in range(501)],
    "mark no JSON": [(packing.MARK, "{")], "mark a list": [(packing.MARK, "[]")],
    "records a list": [(packing.MARK, '{"records": []}')], "deep": [(packing.MARK, "[" * 100_000)],
    "forged hint": [(packing.MARK, '{"records": {"hints": {"a": "b"}}}')],
    "forged test": [(packing.MARK, '{"records": {"tests": {"01_a": {"green": true}}}}')],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_work_is_refused_and_changes_nothing(name, there, tmp_path):
    path = tmp_path / "work.zip"
    path.write_bytes(HOSTILE[name]) if isinstance(HOSTILE[name], bytes) else archive(path, HOSTILE[name])
    before = snapshot(there.folder)
    with pytest.raises(TitoError, match="work.zip: .*Nothing was changed"):
        packing.bring_in(there, path)
    assert snapshot(there.folder) == before


def test_a_damaged_archive_and_one_that_lies_about_its_size_are_refused(there, tmp_path):
    path = archive(tmp_path / "work.zip", [("exported/tinytorch/a.py", "#" * 5000)])
    content = bytearray(path.read_bytes())
    for place in range(30, len(content), 7):
        broken = content.copy()
        broken[place] ^= 0x55
        path.write_bytes(broken)
        try:
            packing.unpacked(path)  # a bit in a date or a comment harms nobody
        except TitoError as error:
            assert "Nothing was changed" in str(error)
    place = content.index(b"PK\x01\x02") + 24
    content[place:place + 4] = (100).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(TitoError, match="Nothing was changed"):
        packing.unpacked(path)


def test_a_file_that_is_something_else_is_not_overwritten(tito, tmp_path):
    tito("start", "01")
    (tmp_path / "thesis.zip").write_bytes(b"years of work")
    assert "no zip archive" in tito("pack", tmp_path / "thesis.zip", status=2)
    assert (tmp_path / "thesis.zip").read_bytes() == b"years of work"
    assert "No such file" in tito("import", "missing.zip", status=2)
