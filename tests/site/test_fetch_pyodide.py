"""What site/fetch_pyodide.py downloads has the digest that is known of it, or nothing is kept."""
import hashlib
import importlib.util
import json
import tarfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "site" / "fetch_pyodide.py"
spec = importlib.util.spec_from_file_location("fetch_pyodide", SCRIPT)
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def published(tmp_path):
    "(address of the interpreter, its digest, address of the packages), as Pyodide publishes them; one package."
    there = tmp_path / "there"
    there.mkdir()
    (there / "numpy.whl").write_bytes(b"numbers")
    listed = {"packages": {"numpy": {"file_name": "numpy.whl", "sha256": sha256(there / "numpy.whl")}}}
    (there / "pyodide-lock.json").write_text(json.dumps(listed))
    with tarfile.open(there / "pyodide.tgz", "w:gz") as archive:
        archive.add(there / "pyodide-lock.json", "package/pyodide-lock.json")
    return (there / "pyodide.tgz").as_uri(), sha256(there / "pyodide.tgz"), there.as_uri()


def test_what_has_its_digest_is_kept(published, tmp_path):
    whole = script.fetch(*published, tmp_path / "here")
    assert whole == tmp_path / "here" / "pyodide" and (whole / "numpy.whl").read_bytes() == b"numbers"
    assert list((tmp_path / "here").iterdir()) == [whole]


def test_another_interpreter_is_refused(published, tmp_path):
    with pytest.raises(ValueError, match="pyodide.tgz has sha256 .*, expected 00"):
        script.fetch(published[0], "00", published[2], tmp_path / "here")
    assert not list((tmp_path / "here").iterdir())


def test_another_package_is_refused(published, tmp_path):
    (tmp_path / "there" / "numpy.whl").write_bytes(b"other numbers")
    with pytest.raises(ValueError, match="numpy.whl has sha256"):
        script.fetch(*published, tmp_path / "here")
    assert not list((tmp_path / "here").iterdir())


def test_the_version_that_the_kernel_expects_has_a_digest():
    constants = pytest.importorskip("jupyterlite_pyodide_kernel.constants",
                                    reason="the page needs the extra: pip install -e '.[lite]'")
    assert constants.PYODIDE_VERSION in script.DIGESTS
