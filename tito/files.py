"""Files that are whole at any moment: written aside, synced to the disk, then renamed into place."""

import errno
import hashlib
import os
import stat
from pathlib import Path

from tito.inpage import IN_WASM


def write_whole(path: Path, content: bytes) -> None:
    """Replace `path` by `content`: whenever the process dies, the file is the previous one or the new one."""
    write_all({path: content})


def write_all(files: dict[Path, bytes]) -> None:
    """Replace several files, each of them whole at any moment, and none before all are on the disk."""
    aside = {path: path.with_name(f".{path.name}.{os.getpid()}.new") for path in files}
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(aside[path], "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for path in files:
            os.replace(aside[path], path)
        for folder in {path.parent for path in files}:
            sync_folder(folder)
    finally:
        for path in aside.values():
            path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` last; where folders cannot be opened (Windows, a browser), the system sees to it."""
    if hasattr(os, "O_DIRECTORY") and not IN_WASM:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_file(path: Path, most: int = 1 << 30) -> bytes:
    """The content of a file that may be anything. Raises OSError for what is no file, or has more than `most` bytes.

    What would wait for a writer (a pipe) or never end (a device) is refused.
    """
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "is not a file", str(path))
        if about.st_size > most:
            raise OSError(errno.EFBIG, f"has {about.st_size >> 20} MB, at most {most >> 20} are read", str(path))
        return file.read(about.st_size)  # what is added meanwhile does not count; 32 bits have no room for `most`


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def digest_of(path: Path) -> str | None:
    """The digest of a file; None where there is none."""
    return digest(path.read_bytes()) if path.is_file() else None
