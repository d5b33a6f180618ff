"""One interactive picture: a template and its data, in a page that needs nothing else."""
import json
from html import escape
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "page"
MOST_BYTES = 2_000_000  # of one page: a notebook with a larger one opens slowly


def template(name):
    return (FOLDER / name).read_text(encoding="utf-8")


class Picture:
    """A picture of `kind`, the name of its script, with `data` that JSON can hold. A notebook shows it in a frame that
    may run its script and nothing else; `html` is the page, and `save(path)` writes it.
    Raises: ValueError for a page of more than 2 MB."""
    def __init__(self, kind, title, data, height):
        self.kind, self.title, self.data, self.height = kind, title, data, height
        size = len(self.html.encode())
        if size > MOST_BYTES:
            raise ValueError(f"{kind}: a page of {size:,} bytes, expected at most {MOST_BYTES:,}; show less of it")

    @property
    def html(self):
        data = json.dumps(self.data, allow_nan=False).replace("<", "\\u003c")  # no name can end the script
        parts = {"TITLE": escape(self.title), "STYLE": template("page.css"), "DATA": data,
                 "SCRIPT": template("page.js") + template(f"{self.kind}.js")}
        before, *marked = template("page.html").split("{{")
        return before + "".join(parts[name] + text for name, _, text in (part.partition("}}") for part in marked))

    def save(self, path):
        Path(path).write_text(self.html, encoding="utf-8")

    def _repr_html_(self):
        return (f'<iframe sandbox="allow-scripts" title="{escape(self.title)}" srcdoc="{escape(self.html)}" '
                f'style="width:100%;height:{self.height}px;border:0"></iframe>')


def number(x):
    "Return a number as it is shown: four digits that count."
    return f"{float(x):.4g}" if np.asarray(x).dtype.kind == "f" else str(x)


def table(array, most=8):
    """Return an array as {"shape", "rows": lists of texts, "left_out": how many numbers are not shown}: its first
    numbers, at most `most` rows of `most`; of an array of more than two dims, the first such table."""
    array = np.asarray(array)
    flat = array.reshape(-1, array.shape[-1]) if array.ndim and array.shape[-1] else array.reshape(1, -1)
    shown = flat[: min(most, array.shape[-2] if array.ndim > 1 else 1), :most]
    return {"shape": str(array.shape), "rows": [[number(x) for x in row] for row in shown],
            "left_out": int(array.size - shown.size)}
