"""The curve below a cell, from what a milestone prints."""
import io
import os
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tito import magic
from tito.live import Heard, LiveCurve, picture

ROOT = Path(__file__).resolve().parents[2]
LINES = ["seed 0", "  epoch  1/2   loss 2.5000   digits right 10 %", "step 20/100  lr 0.1  loss 0.5  val 3",
         "  epoch  1/2   loss 1.0", "step 2 loss nan", "step 3 loss e", "the loss fell"]


def test_what_a_run_prints_becomes_curves():
    shown = []
    curve = LiveCurve(shown.append)
    for line in LINES:
        curve.hear(line)
    curve.draw()
    assert curve.curves == [[(1, 2.5), (20, 0.5)], [(1, 1.0)]]
    assert shown[-1] == picture(curve.curves) and 'aria-label="loss 1 at 1, logarithmic"' in shown[-1]


@pytest.mark.parametrize("curves", [[[(1, 1.0)]], [[(1, -1.0), (9, 3.0)]], [[(0, 0.0)], [(5, 1e-30), (6, 1e30)]]])
def test_every_picture_is_svg_inside_of_its_frame(curves):
    curves = [[(max(step, 1), loss) for step, loss in curve] for curve in curves]
    tree = ElementTree.fromstring(picture(curves))
    points = [tuple(map(float, point.split(","))) for line in tree.iter("{http://www.w3.org/2000/svg}polyline")
              for point in line.get("points").split()]
    assert len(points) == sum(map(len, curves)) and all(24 <= x <= 456 and 24 <= y <= 136 for x, y in points)


def test_a_heard_stream_hands_on_all_and_tells_of_whole_lines():
    stream, lines = io.StringIO(), []
    heard = Heard(stream, lines.append)
    print("a", "b", file=heard)
    heard.write("c\nd")
    assert stream.getvalue() == "a b\nc\nd" and lines == ["a b", "c"]


@pytest.mark.parametrize("page", ["0", "1"])
def test_a_milestone_in_a_notebook_draws_below_its_cell(page, tmp_path):
    code = ("import tito.magic as m\n"
            "m.tito_here = lambda words: print('step 1 loss 3\\nstep 2 loss 2')\n"
            "m.tito_elsewhere = lambda words, hear: [hear(f'step {n} loss {4 - n}') for n in (1, 2)]\n"
            "m.run_tito('milestone run xor', [])")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    environment = os.environ | {"TITO_IN_PAGE": page, "PYTHONPATH": str(ROOT)}
    NotebookClient(notebook, kernel_name="python3").execute(env=environment)
    pictures = [output.data.get("text/html", "") for output in notebook.cells[0].outputs if "data" in output]
    assert len(pictures) == 1 and re.search(r"loss 2 at 2", pictures[0]), notebook.cells[0].outputs


def test_other_words_draw_nothing(monkeypatch, capsys):
    monkeypatch.setattr(magic, "tito_elsewhere", lambda words, hear: hear("step 1 loss 2"))
    monkeypatch.setattr(magic, "below_the_cell", lambda: pytest.fail("a picture for `tito status`"))
    magic.run_tito("status", [])
