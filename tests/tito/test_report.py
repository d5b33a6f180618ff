"""`tito report`: one page from the files of a run, that needs no network and trusts nothing that it reads."""

import base64
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.image import imread
from typer.testing import CliRunner

from tito.commands import app
from tito.project import TitoError
from tito.report import log_ticks, plot_attention, plot_loss, ticks, write_report

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
                       "gg==")  # fmt: skip
EMPTY = {"br", "img", "line", "link", "meta", "polyline"}  # elements without an end


class Page(HTMLParser):
    """What a browser would find: elements, addresses, and text; fails where elements are not closed."""

    def __init__(self, text):
        super().__init__()
        self.found, self.addresses, self.text, self.open = [], [], "", []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "action")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "runs" / "copilot-001"
    folder.mkdir(parents=True)
    records = [{"step": n, "epoch": 1, "lr": 0.01, "loss": 5 / n, "seconds": n / 10} for n in range(1, 301)]
    for record in records[29::30]:
        record |= {"held-out loss": record["loss"] + 0.1, "held-out accuracy": record["step"] / 400, "sample": "def"}
    about = {"name": "copilot-001", "started": "2026-01-02T03:04:05", "command": ["copilot.py", "--size", "<base>"],
             "python": "3.11.7", "numpy": "2.4.6",
             "config": {"seed": 7, "model": {"width": 32, "name": "<tiny>"}}}  # fmt: skip
    results = {"criteria": [{"name": "held-out loss", "got": 1.61234, "wanted": "below 1.81 & more", "passed": True},
                            {"name": "demo completions", "got": "4/5", "wanted": "5/5", "passed": False}],
               "numbers": {"parameters": 33664, "<script>alert(1)</script>": "61 %"},
               "table": {"phase 1": {"perplexity": 25.874321},
                         "phase <2>": {"perplexity": 22.4, "beside": 7}}}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(about))
    (folder / "status.json").write_text(json.dumps({"status": "not learned", "seconds": 30}))
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "samples.txt").write_text("if a < b and b > c:\n    <script src='https://x.y/z.js'></script>\n")
    for name in ("loss.png", "attention.png"):
        (folder / name).write_bytes(PNG)
    return folder


def page_of(folder):
    return Page(write_report(folder).read_text(encoding="utf-8"))


def test_everything_of_a_run_is_on_the_page(run):
    page = page_of(run)
    words = " ".join(page.text.split())
    for expected in ("copilot-001", "not learned", "2026-01-02 03:04:05", "300 steps", "30.0 s", "--size <base>",
                     "held-out loss", "1.612", "below 1.81 & more", "4/5", "33,664", "seed", "<tiny>",
                     "phase 1phase <2>", "perplexity25.8722.4", "beside7",
                     "if a < b and b > c:"):  # fmt: skip
        assert expected in words, expected
    assert page.found.count("svg") == 3  # the losses, lr, accuracy
    assert page.found.count("polyline") == 4 and page.found.count("circle") == 20
    assert "step 300: held-out loss 0.1167" in words


def test_it_opens_without_a_network_and_runs_nothing(run):
    page = page_of(run)
    assert "script" not in page.found and "link" not in page.found and "iframe" not in page.found
    assert page.addresses == ["data:image/png;base64," + base64.b64encode(PNG).decode()], "attention, not loss.png"
    styles = re.findall(r"url\(|@import|https?:", (run / "report.html").read_text().split("</style>")[0])
    assert styles == []
    assert "<script>alert(1)</script>" in page.text


def test_it_is_light_and_dark(run):
    assert "prefers-color-scheme: dark" in write_report(run).read_text()


def test_without_records_the_loss_is_the_picture(run):
    (run / "metrics.jsonl").unlink()
    page = page_of(run)
    assert len(page.addresses) == 2 and "svg" not in page.found


def test_damaged_and_missing_files_are_passed_over(run):
    for name, content in {"results.json": '{"criteria": [3, {}], "numbers": 4, "table": [1]}', "status.json": "[",
                          "config.json": "",
                          "metrics.jsonl": '{"step": 1, "loss": NaN}\n{"step": 2, "lo\n[]\n'}.items():  # fmt: skip
        (run / name).write_text(content)
    assert "unfinished" in page_of(run).text or "running" in page_of(run).text
    for path in run.iterdir():
        path.unlink()
    (run / "config.json").write_text("{}")
    assert "copilot-001" in page_of(run).text
    assert sorted(path.name for path in run.iterdir()) == ["config.json", "report.html"]


@pytest.mark.parametrize("records", [
    [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 2.0}],
    [{"step": 1, "loss": -1.0}, {"step": 2, "loss": 0.0}],
    [{"step": 1, "loss": 1e-9}, {"step": 2, "loss": 1e9}],
    [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.5}, {"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.5}],
    [{"step": n, "loss": 1 / n} for n in range(1, 5000)],
])  # fmt: skip
def test_curves_stay_inside_their_picture(records, run):
    (run / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    text = write_report(run).read_text()
    curves = re.findall(r'<polyline class="[^"]*" points="([^"]*)"', text)
    assert len(curves) == (2 if len(records) == 4 else 1)
    points = np.array([[float(x) for x in point.split(",")] for curve in curves for point in curve.split()])
    assert points.min() >= 0 and points[:, 0].max() <= 890 and points[:, 1].max() <= 300
    assert "nan" not in text and len(points) <= 1000


def test_ticks_are_round_and_inside():
    assert ticks(0, 5000) == [0, 1000, 2000, 3000, 4000, 5000]
    assert ticks(1.43, 4.62) == [2, 3, 4]
    assert ticks(0.28, 0.63) == [0.3, 0.4, 0.5, 0.6]
    np.testing.assert_allclose(log_ticks(-1, 1), [0.1, 0.2, 0.5, 1, 2, 5, 10])
    assert ticks(3, 3) == [3]


def test_the_command(run):
    runner = CliRunner()
    done = runner.invoke(app, ["report", "copilot-001", "--folder", str(run.parent)])
    assert done.exit_code == 0 and done.stdout.strip() == str(run / "report.html")
    refused = runner.invoke(app, ["report", "copilot-002", "--folder", str(run.parent)])
    assert refused.exit_code == 2 and "no run 'copilot-002'" in refused.stderr and "copilot-001" in refused.stderr


def test_pictures_are_drawn(run):
    path = plot_loss(run)
    assert path == run / "loss.png" and len(path.read_bytes()) > 5_000
    weights = np.tril(np.random.default_rng(0).random((2, 3, 8, 8)))
    path = plot_attention(weights, list("def f(x)"), run / "attention.png")
    pixels = imread(plot_attention(weights[:1], list("def f(x)"), run / "one row.png"))[..., :3]
    assert all((edge == 1).all() for edge in (pixels[0], pixels[-1], pixels[:, 0])), "nothing is cut off"
    small, large = len(PNG), len(path.read_bytes())
    assert path.read_bytes()[:4] == b"\x89PNG" and large > 100 * small
    (run / "metrics.jsonl").write_text('{"step": 1, "accuracy": 1}\n')
    with pytest.raises(TitoError, match="no record with a loss"):
        plot_loss(run)


def test_writing_a_report_needs_the_standard_library_alone():
    code = "import sys, tito.report; print([m for m in ('typer', 'numpy', 'matplotlib', 'nbdev') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
