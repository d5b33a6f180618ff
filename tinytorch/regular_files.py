"""Files that people name: what would be waited for or never end, a pipe or a device, is refused before it is opened."""
import os
from pathlib import Path

from tinytorch.platforms import IN_WASM

FOLDERS_SYNC = os.name == "posix" and not IN_WASM  # a folder can be opened, and forced to the disk


def regular(path):
    "Return `path`, a file to be read. Raises: ValueError for a pipe, a device or a socket; callers name the path."
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise ValueError("expected a file, got a pipe or device: copy what it holds into a file first")
    return path


def read_text(path):
    "Return the text of a UTF-8 file, with or without a byte order mark. Raises: as `regular`."
    return Path(regular(path)).read_text(encoding="utf-8-sig")


def printable(text):
    "Return `text`, which may come from a file, with characters that could control a terminal as escapes."
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
