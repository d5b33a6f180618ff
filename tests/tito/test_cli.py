"""What `tito` is to those who have just installed it."""

import subprocess
import sys

import pytest


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_help_is_plain_when_piped():
    result = subprocess.run([sys.executable, "-m", "tito", "--help"], capture_output=True, text=True)
    assert result.returncode == 0
    assert "build" in result.stdout
    assert result.stdout.isascii()


@pytest.mark.parametrize("package", ["typer", "nbdev"])
def test_without_the_course_extra_it_says_what_to_install(package, tmp_path):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "01_empty.ipynb").write_text('{"cells": []}')
    arguments = ["tito", "build", "--root", str(tmp_path)]
    missing = f"import sys; sys.modules[{package!r}] = None; sys.argv = {arguments}"
    result = python(f"{missing}; from tito.cli import main; main()")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"tito needs {package}: pip install 'tinytorch[course]'\n"


def test_it_never_imports_tinytorch():
    result = python("import sys, tito.commands; sys.exit('tinytorch' in sys.modules)")
    assert result.returncode == 0
