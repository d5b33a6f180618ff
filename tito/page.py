"""The texts of the course in a browser: the cell that installs it, the first notebook, and the page that loads it."""

import json

INSTALL = "%pip install -q tinytorch-course[page]"


def code(name: str, source: str) -> dict:
    return {"cell_type": "code", "id": name, "metadata": {}, "outputs": [], "execution_count": None,
            "source": source.splitlines(keepends=True)}  # fmt: skip


def words(name: str, source: str) -> dict:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source.splitlines(keepends=True)}


WELCOME = """\
# tinytorch, in this page

Nothing to install: Python runs inside this browser. On the left are the chapters, `01_elementwise.ipynb` first.

- **Run** a cell with Shift+Enter. The first one of a chapter brings the course; the first time, that takes a while.
- **Check** what you wrote: save (Ctrl+S), then run the last cell, `%tito check 01`. It says what a terminal would say.
- **Stuck?** `%tito hint 01`, and once it is green `%tito diff 01`. `%tito status` shows where you are, `%tito undo`
  takes back what overwrote your work, `%tito milestone run reversal` lets your code learn.
- **Your work** stays in this browser, also when the page gets a new version. Take it along now and then: `%tito pack`
  writes `tinytorch-work.zip`; right-click it on the left, Download. `tito import` puts it into a workspace on a
  computer. The other way round: drag such a file to the list on the left, and run `%tito import ../tinytorch-work.zip`.
- A loop that does not end can only be stopped with *Kernel, Restart*.
"""

FIRST_VISIT = {
    "cells": [words("welcome", WELCOME), code("page-install", INSTALL),
              code("first-words", "%reload_ext tito\n%tito status")],
    "metadata": {"kernelspec": {"display_name": "Python", "language": "python", "name": "python3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}  # fmt: skip

START = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>tinytorch in your browser</title>
<style>
:root { color-scheme: light dark; font-family: system-ui, sans-serif; }
body { max-width: 36rem; margin: 12vh auto; padding: 0 1rem; line-height: 1.5; }
progress { width: 100%; height: 1.2rem; }
</style>
</head>
<body>
<main>
<h1>tinytorch in your browser</h1>
<p>Python, NumPy and the course are being loaded, once; then they are kept by this browser. Your work is, too.</p>
<progress id="bar" max="1" value="0" aria-label="Loading"></progress>
<p id="said" role="status">Loading</p>
<p><a id="go" href="lab/index.html?path=modules/Start%20here.ipynb">Begin</a></p>
</main>
<script>
const files = FILES, total = Object.values(files).reduce((a, b) => a + b, 0);
const bar = document.getElementById("bar"), said = document.getElementById("said");
const wanted = new URLSearchParams(location.search).get("path");
if (wanted) document.getElementById("go").href = "lab/index.html?path=" + encodeURIComponent(wanted);
let got = 0;
async function load(file) {
  const reader = (await fetch(file)).body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    got += part.value.length;
    bar.value = total ? got / total : 1;
    said.textContent = `${(got / 1e6).toFixed(1)} of ${(total / 1e6).toFixed(1)} MB`;
  }
}
Promise.all(Object.keys(files).map(load)).then(
  () => { bar.value = 1; said.textContent = "Ready."; },
  error => { said.textContent = `Not everything could be loaded (${error}); Begin tries again.`; });
</script>
</body>
</html>
"""


def start_page(files: dict[str, int]) -> str:
    """The page that shows how far loading is. `files`: their sizes by their addresses."""
    return START.replace("FILES", json.dumps(files).replace("<", "\\u003c"))
