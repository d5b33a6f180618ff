"""What `tito` is to those who have just installed it."""

import subprocess
import sys

import pytest

from tito.install import how_to_install


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_help_is_plain_when_piped():
    result = subprocess.run([sys.executable, "-m", "tito", "--help"], capture_output=True, text=True)
    assert result.returncode == 0
    assert "build" in result.stdout
    assert result.stdout.isascii()


def test_help_is_in_panels_and_its_usage_is_readable():
    def help_of(*command):
        return subprocess.run([sys.executable, "-m", "tito", *command, "--help"], capture_output=True, text=True).stdout

    said = help_of()
    heads = [line for line in said.split("\n") if line.endswith(":") and not line.startswith(" ")]
    assert heads == ["Options:", "Commands:", "For authors of chapters:", "For instructors:"]
    commands = said.split("Commands:")[1].split("For authors")[0].split("\n")
    names = [line.split()[0] for line in commands if line.strip()]
    assert names[:6] == ["new", "start", "export", "test", "check", "status"] and "build" not in names
    for command in ("test", "hint", "lab", "runs", "milestone"):
        assert "[[" not in help_of(command) and "..." not in help_of(command).split("Commands:")[-1].split("\n", 1)[1]


def test_version():
    said = subprocess.run([sys.executable, "-m", "tito", "--version"], capture_output=True, text=True)
    assert said.returncode == 0 and said.stdout.startswith("tinytorch 0.")


@pytest.mark.parametrize("package", ["typer", "nbdev"])
def test_without_the_course_extra_it_says_what_to_install(package, tmp_path):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "01_empty.ipynb").write_text('{"cells": []}')
    arguments = ["tito", "build", "--root", str(tmp_path)]
    missing = f"import sys; sys.modules[{package!r}] = None; sys.argv = {arguments}"
    result = python(f"{missing}; from tito.cli import main; main()")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"tito needs {package}: {how_to_install('course')}\n"


def test_it_never_imports_tinytorch():
    result = python("import sys, tito.commands; sys.exit('tinytorch' in sys.modules)")
    assert result.returncode == 0
