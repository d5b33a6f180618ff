"""`tito dev notebooks` runs each notebook in a kernel of its own."""

import base64
import json

import nbformat
import pytest
from typer.testing import CliRunner

from tito.commands import app


def write_notebook(root, name, cells):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    nbformat.write(notebook, root / "modules" / name)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "modules").mkdir()
    (tmp_path / "tinytorch").mkdir()
    (tmp_path / "tinytorch" / "__init__.py").write_text("here = True\n")
    return tmp_path


def run(root, *chapters):
    return CliRunner().invoke(
        app, ["dev", "notebooks", *chapters, "--root", str(root)], catch_exceptions=False
    )


def test_a_good_and_a_failing_notebook(root):
    good = [
        "import tinytorch\nassert tinytorch.here  # the package of this root, not an installed one",
        "from pathlib import Path\nassert not list(Path().iterdir())\nPath('made.txt').touch()",
    ]
    write_notebook(root, "01_good.ipynb", good)
    write_notebook(root, "02_bad.ipynb", ["total = 1", "total / 0  # fails here", "print('never')"])
    before = {path: path.read_bytes() for path in root.rglob("*.*")}

    result = run(root, "1")
    assert result.exit_code == 0
    assert result.stdout.split()[:2] == ["01_good", "ran"]

    result = run(root)
    assert result.exit_code == 1
    assert [line.split()[:2] for line in result.stdout.splitlines()] == [
        ["01_good", "ran"],
        ["02_bad", "failed"],
    ]
    assert "total / 0  # fails here" in result.stderr
    assert "ZeroDivisionError" in result.stderr
    assert "\x1b" not in result.stderr
    assert result.stderr.endswith("1 of 2 notebooks failed\n")
    assert {path: path.read_bytes() for path in root.rglob("*.*") if "__pycache__" not in str(path)} == before


def test_a_cell_that_takes_too_long(root):
    write_notebook(root, "01_slow.ipynb", ["import time\ntime.sleep(60)"])
    result = run(root, "--timeout", "1")
    assert result.exit_code == 1
    assert "more than 1 s" in result.stderr


def test_not_a_notebook(root):
    (root / "modules" / "01_text.ipynb").write_text("not json")
    result = run(root)
    assert result.exit_code == 1
    assert "not a notebook" in result.stderr


def test_unknown_chapter_exits_2(root):
    write_notebook(root, "01_good.ipynb", ["1"])
    result = run(root, "7")
    assert result.exit_code == 2
    assert "'7'" in result.stderr
    assert "01_good" in result.stderr


DRAWS = """import matplotlib.pyplot as plt
from IPython.display import SVG, display
print("a stream")
plt.plot([1, 4, 9])
plt.show()
display(SVG("<svg xmlns='http://www.w3.org/2000/svg'><metadata>today</metadata></svg>"))
"a text"
"""


def outputs(root, name):
    cells = json.loads((root / "modules" / name).read_text())["cells"]
    return [cell["outputs"] for cell in cells if cell["cell_type"] == "code"]


def test_pictures_are_the_only_outputs_written_back(root):
    write_notebook(root, "01_draw.ipynb", ["# é\n1 + 1", DRAWS])
    path = root / "modules" / "01_draw.ipynb"
    clean = path.read_text()
    dirty = json.loads(clean)
    stream = {"name": "stdout", "output_type": "stream", "text": []}
    dirty["cells"][0].update(execution_count=7, outputs=[stream])
    dirty["cells"][0]["metadata"] = {"execution": {"iopub.status.idle": "now"}, "tags": ["kept"]}
    path.write_text(json.dumps(dirty))

    result = run(root, "--pictures")
    assert result.exit_code == 0, result.stderr
    assert "2 pictures" in result.stdout and result.stderr == ""
    first, (plot, drawing) = outputs(root, path.name)
    assert first == []
    assert list(plot["data"]) == ["image/png"]
    png = base64.b64decode(plot["data"]["image/png"])
    assert png.startswith(b"\x89PNG") and b"IEND" in png and b"Software" not in png
    assert "".join(drawing["data"]["image/svg+xml"]) == '<svg xmlns="http://www.w3.org/2000/svg"></svg>'

    text = path.read_text()
    bare = json.loads(text)
    assert bare["cells"][0]["metadata"] == {"tags": ["kept"]}
    bare["cells"][0]["metadata"], bare["cells"][1]["outputs"] = {}, []
    assert bare == json.loads(clean)  # sources, ids, execution counts and metadata are as they were

    written = path.stat()
    run(root, "--pictures")
    assert path.read_text() == text and path.stat().st_ino == written.st_ino  # nothing new: not even touched
    nbformat.validate(nbformat.read(path, as_version=4))
    assert [path.name for path in (root / "modules").iterdir()] == ["01_draw.ipynb"]


def test_a_failing_notebook_keeps_its_pictures(root):
    write_notebook(root, "01_bad.ipynb", [DRAWS, "1 / 0"])
    before = (root / "modules" / "01_bad.ipynb").read_bytes()
    assert run(root, "--pictures").exit_code == 1
    assert (root / "modules" / "01_bad.ipynb").read_bytes() == before


def test_a_notebook_edited_while_it_runs_is_left_alone(root):
    path = root / "modules" / "01_edited.ipynb"
    edit = f"""from pathlib import Path
path = Path({str(path)!r})
path.write_text(path.read_text().replace("edit me", "edited"))"""
    write_notebook(root, path.name, [edit, "# edit me"])
    result = run(root, "--pictures")
    assert result.exit_code == 2
    assert "edited while it ran" in result.stderr
    assert "# edited" in path.read_text()


def test_a_large_picture_is_named(root):
    draw = "plt.figure(dpi=200); plt.imshow(np.random.rand(400, 400))"
    write_notebook(root, "01_large.ipynb", [f"import numpy as np, matplotlib.pyplot as plt\n{draw}"])
    result = run(root, "--pictures")
    assert result.exit_code == 0
    assert "expected at most 150" in result.stderr
