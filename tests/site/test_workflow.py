"""The workflow that publishes the site: its own shell commands, taken from the file, in a clone with its own remote.

What cannot be tried here is GitHub: its machines, its actions, and the host that serves what they upload.
"""
import os
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
JOBS = yaml.safe_load((ROOT / ".github" / "workflows" / "pages.yml").read_text(encoding="utf-8"))["jobs"]
COMMANDS = {step["name"]: step["run"] for step in JOBS["build"]["steps"] if "run" in step}


def git(*arguments, cwd=None):
    done = subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def clone(tmp_path):
    "A clone of this repository as it is committed, whose remote is an empty one."
    git("clone", "-q", "--no-hardlinks", ROOT, tmp_path / "clone")
    git("init", "-q", "--bare", tmp_path / "remote")
    git("remote", "set-url", "origin", tmp_path / "remote", cwd=tmp_path / "clone")
    return tmp_path / "clone"


def run(name, clone):
    given = {"GITHUB_REPOSITORY": "somebody/tinytorch", "GITHUB_SHA": "c0ffee", "RUNNER_TEMP": str(clone.parent),
             "PYTHONPATH": str(clone)}  # fmt: skip
    done = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", COMMANDS[name]], cwd=clone, env=os.environ | given,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, f"{name}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"


def on_the_branch(clone):
    return set(git("ls-tree", "-r", "--name-only", "colab", cwd=clone.parent / "remote").split())


def test_what_it_installs_are_extras_of_the_project_and_what_it_uploads_is_the_site():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    asked = COMMANDS["Install"].partition("[")[2].partition("]")[0].split(",")
    assert {"site", "lite", "milestones"} <= set(asked) <= extras.keys()
    uses = {step["uses"].partition("@")[0]: step.get("with") for job in JOBS.values() for step in job["steps"]
            if "uses" in step}  # fmt: skip
    assert uses["actions/upload-pages-artifact"] == {"path": "build/site"} and "actions/deploy-pages" in uses
    assert JOBS["deploy"]["needs"] == "build" and JOBS["deploy"]["permissions"]["pages"] == "write"


def test_notebooks_for_colab_go_to_a_branch_of_their_own(clone):
    before = git("status", "--porcelain", cwd=clone), git("rev-parse", "HEAD", cwd=clone)
    (clone / "build" / "site" / "colab").mkdir(parents=True)
    (clone / "build" / "site" / "colab" / "01_elementwise.ipynb").write_text("{}")
    run("Notebooks for Colab, on a branch of their own", clone)
    (clone / "build" / "site" / "colab" / "01_elementwise.ipynb").rename(clone / "build/site/colab/02_shapes.ipynb")
    run("Notebooks for Colab, on a branch of their own", clone)
    assert on_the_branch(clone) == {"02_shapes.ipynb"}
    assert before == (git("status", "--porcelain", cwd=clone), git("rev-parse", "HEAD", cwd=clone))


@pytest.mark.slow
def test_all_of_its_commands_make_the_site(clone):
    for name in COMMANDS:
        if name != "Install":  # what is installed here has it all
            run(name, clone)
    site = clone / "build" / "site"
    assert (site / "index.html").is_file() and (site / "lite" / "start.html").is_file()
    chapter = (site / "chapters" / "01_elementwise.html").read_text(encoding="utf-8")
    assert "../lite/start.html?path=modules/01_elementwise.ipynb" in chapter
    assert "colab.research.google.com/github/somebody/tinytorch/blob/colab/01_elementwise.ipynb" in chapter
    assert on_the_branch(clone) == {path.name for path in (ROOT / "modules").glob("*.ipynb")}
