"""The pictures of a notebook that ran, put into its file; no other output is committed."""

import base64
import json
import re
from pathlib import Path

from tito.files import write_whole
from tito.project import TitoError

LARGE = 150_000  # bytes of one picture
_text_chunks = {b"tEXt", b"zTXt", b"iTXt", b"tIME"}  # who made a PNG, and when


def write_pictures(notebook: Path, executed) -> dict[str, list[int]]:
    """Make the pictures of `executed`, a notebook node, the only outputs of the file.

    Sources, ids and metadata stay as they are, and the file is not touched where nothing changes. Returns the
    sizes of the pictures in bytes, by the id (or else the number) of their cell. Raises TitoError for a file
    whose cells are not those that ran.
    """
    before = notebook.read_text(encoding="utf-8")
    content = json.loads(before)
    if ["".join(cell["source"]) for cell in content["cells"]] != [cell.source for cell in executed.cells]:
        raise TitoError(f"{notebook.name}: edited while it ran; run it again")
    sizes = {}
    for number, (cell, ran) in enumerate(zip(content["cells"], executed.cells)):
        if cell["cell_type"] == "code":
            shown = [picture for output in ran.outputs if (picture := _picture(output))]
            cell["outputs"], cell["execution_count"] = shown, None
            cell["metadata"].pop("execution", None)  # when the kernel ran it
            if shown:
                sizes[cell.get("id", str(number))] = [_size(picture) for picture in shown]
    after = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    if after != before:
        write_whole(notebook, after.encode())
    return sizes


def too_large(sizes: dict[str, list[int]]) -> list[str]:
    """A text for each picture above `LARGE`."""
    return [
        f"cell {cell}: a picture of {size / 1000:.0f} KB, expected at most {LARGE // 1000}:"
        " lower its dpi or figsize, or draw fewer points"
        for cell, pictures in sizes.items()
        for size in pictures
        if size > LARGE
    ]


def _picture(output) -> dict | None:
    """Return what is a picture in this output, as a display of its own; None for text."""
    data = {}
    if "image/png" in output.get("data", {}):
        data["image/png"] = _without_text(output.data["image/png"])
    if "image/svg+xml" in output.get("data", {}):
        svg = re.sub(r"\s*<metadata>.*?</metadata>", "", output.data["image/svg+xml"], flags=re.DOTALL)
        data["image/svg+xml"] = svg.splitlines(keepends=True)
    metadata = {kind: value for kind, value in output.get("metadata", {}).items() if kind in data}
    return {"data": data, "metadata": metadata, "output_type": "display_data"} if data else None


def _without_text(encoded: str) -> str:
    """A PNG in base64 without its text: the same drawing has the same bytes whichever version drew it."""
    png = base64.b64decode(encoded)
    kept, start = png[:8], 8
    while start < len(png):
        end = start + 12 + int.from_bytes(png[start : start + 4])  # length, kind, content, checksum
        if png[start + 4 : start + 8] not in _text_chunks:
            kept += png[start:end]
        start = end
    return base64.b64encode(kept).decode()


def _size(picture: dict) -> int:
    return sum(len("".join(text)) * 3 // 4 if kind == "image/png" else len("".join(text))
               for kind, text in picture["data"].items())  # fmt: skip
