"""What a cell of a notebook put out, for a page; and how a notebook is run for that, once for each of its versions."""

import base64
import json
import re
from dataclasses import dataclass, field
from html import escape, unescape
from pathlib import Path

from tito.files import digest, write_whole
from tito.notebooks import run_notebook
from tito.project import TitoError
from tito.site.pages import fenced
from tito.strip import read_notebook

LONGEST = 600  # seconds that a cell may take
PICTURE = "Picture drawn by the code above"
FRAME = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 15px/1.5 system-ui, sans-serif; color: #1f2328; background: #fff; }}</style></head>
<body>{body}</body></html>
"""
_frame = re.compile(r"<iframe\b([^>]*\bsrcdoc=[^>]*)></iframe>")
_attribute = re.compile(r'([\w-]+)="([^"]*)"')
_colours = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Shown:
    """Markdown, and the files that it names as FOLDER/name."""

    markdown: str
    files: dict[str, bytes] = field(default_factory=dict)


def shown(output: dict, name: str) -> Shown:
    """One output of a cell; `name` is for its file."""
    data = output.get("data", {})
    if "text/html" in data:
        return framed(text_of(data["text/html"]), name)
    if "image/svg+xml" in data:
        return picture(text_of(data["image/svg+xml"]).encode(), f"{name}.svg")
    if "image/png" in data:
        return picture(base64.b64decode(text_of(data["image/png"])), f"{name}.png")
    text = text_of(output.get("text") or data.get("text/plain") or output.get("traceback") or "")
    block = fenced(_colours.sub("", text).rstrip(), "text .no-copy")
    return Shown(f'<div class="output" markdown="1">\n\n{block}\n\n</div>' if text.strip() else "")


def picture(content: bytes, file: str) -> Shown:
    return Shown(f'<img class="picture" src="FOLDER/{file}" alt="{PICTURE}" loading="lazy">', {file: content})


def framed(html: str, name: str) -> Shown:
    """A page of its own in a frame: its styles and scripts stay in there. A frame with a page in it is taken apart."""
    title, height = "Interactive picture made by the code above", ""
    if frame := _frame.fullmatch(html.strip()):
        given = dict(_attribute.findall(frame[1]))
        html, title = unescape(given["srcdoc"]), unescape(given.get("title", title))
        height = "".join(re.findall(r"height:\d+px", given.get("style", "")))
    whole = html if "<html" in html[:300].lower() else FRAME.format(title=title, body=html)
    style = f' style="{height}"' if height else ""
    shown = f'<iframe class="widget" src="FOLDER/{name}.html" title="{escape(title)}"{style} loading="lazy"></iframe>'
    return Shown(shown, {f"{name}.html": whole.encode()})


def text_of(value: str | list[str]) -> str:
    return value if isinstance(value, str) else "\n".join(value) if is_traceback(value) else "".join(value)


def is_traceback(lines: list[str]) -> bool:
    return bool(lines) and not any(line.endswith("\n") for line in lines) and "\x1b[" in "".join(lines)


# ---- running


def committed(notebook: Path) -> list[list[dict]]:
    """The outputs in the file, a list for each cell: pictures, and nothing else."""
    return [cell.get("outputs", []) for cell in read_notebook(notebook)["cells"]]


def executed(notebook: Path, root: Path, cache: Path) -> list[list[dict]]:
    """The outputs of each cell, from a run against the package in `root`: made once for each version of both.

    Raises: TitoError, with the traceback, for a notebook that fails.
    """
    kept = cache / "notebooks" / f"{notebook.stem}-{version(notebook, root)}.json"
    if not kept.is_file():
        run = run_notebook(notebook, root, LONGEST)
        if run.failure:
            raise TitoError(f"{notebook.name} fails, so there is nothing to show of it\n{run.failure}")
        write_whole(kept, json.dumps([cell.get("outputs", []) for cell in run.executed.cells]).encode())
    return json.loads(kept.read_text(encoding="utf-8"))


def version(file: Path, root: Path) -> str:
    """A name for this text together with the package that it uses."""
    return digest(file.read_bytes() + package_version(root).encode())[:16]


def package_version(root: Path) -> str:
    return digest(b"".join(path.read_bytes() for path in sorted((root / "tinytorch").rglob("*.py"))))
