"""Files of data: in the folder TINYTORCH_DATA, else in a cache, else downloaded once with pooch; and checked."""
import hashlib
import os
import sys
from pathlib import Path
from typing import NamedTuple


class DatasetError(RuntimeError):
    "A text that is not there, or is not what it should be; the message says which file to put where."


class Source(NamedTuple):
    "Where a text comes from. `sha256` None: unknown here, so it is recorded at the first download."
    filename: str
    url: str
    sha256: str | None
    separator: str = ""  # between documents: a split goes through one of these
    others: tuple = ()  # (filename, sha256) of files that a local folder may have instead


def fetch(name, source, progress=True):
    """Return the path of the file of `source`: in TINYTORCH_DATA, in the cache (TINYTORCH_CACHE), or downloaded.
    `name` is for messages. Raises: DatasetError where it cannot be had, or is damaged."""
    return local_file(source) or downloaded(name, source, progress)


def local_file(source):
    "Return the path in TINYTORCH_DATA, or None. Raises: DatasetError where a file has other bytes than it should."
    folder = os.environ.get("TINYTORCH_DATA")
    for filename, sha256 in [(source.filename, source.sha256), *source.others] if folder else []:
        path = Path(folder).expanduser() / filename
        if path.is_file():
            if sha256 not in (None, digest(path)):
                raise DatasetError(f"{path}: sha256 {digest(path)[:16]}..., expected {sha256[:16]}...; the file is "
                                   f"damaged or another one: download {source.url}")
            return path
    return None


def downloaded(name, source, progress):
    "Return the path in the cache, after a download if it is not there or damaged. Raises: DatasetError."
    by_hand = f"download {source.url} as {source.filename} into a folder, and set TINYTORCH_DATA to that folder"
    try:
        import pooch
    except ImportError:
        raise DatasetError(f"{name} is not here; {by_hand}; or pip install pooch tqdm, and it is downloaded") from None
    cache = Path(os.environ.get("TINYTORCH_CACHE") or pooch.os_cache("tinytorch"))
    record = cache / f"{source.filename}.sha256"
    expected = source.sha256 or (record.read_text().strip() if record.exists() else None)
    path, hint = cache / source.filename, "" if source.sha256 else f"; if a new version was published, delete {record}"
    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(source.url, expected, source.filename, cache, progressbar=progress)
    except ValueError as error:
        raise DatasetError(f"{name}: {source.url} sends another sha256 than expected{hint} ({error})") from error
    except OSError as error:
        state = f"{path} is damaged and cannot be downloaded again" if path.exists() else "it cannot be downloaded"
        raise DatasetError(f"{name}: {state} ({type(error).__name__}); {by_hand}") from error
    if expected is None:
        record.write_text(digest(path) + "\n")
        print(f"{name}: no sha256 is known here; that of this first download is recorded in {record}", file=sys.stderr)
    return path


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
