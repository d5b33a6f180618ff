"""What guards a run folder: one process at a time trains in it, and one that goes on has the same model and data."""
import hashlib
import json
import os
import platform
import warnings
from contextlib import contextmanager, suppress
from itertools import zip_longest

import numpy as np

from tinytorch.checkpoint import CheckpointError, printable
from tinytorch.platforms import FILE_LOCKS
from tinytorch.tensor import Tensor

try:
    import fcntl
except ModuleNotFoundError:  # no POSIX
    fcntl = None


def no_link(path, flags):
    "Open a file for `open`; a link, which may lead to a file of somebody's, is an OSError (where there is POSIX)."
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


@contextmanager
def locked(folder):
    """Hold folder/lock, which says whose it is, as long as this process lives (where there is POSIX).
    Raises: FileExistsError where somebody trains here; CheckpointError where the file cannot be written."""
    path = folder / "lock"
    try:
        file = open(path, "a+", encoding="utf-8", errors="replace", opener=no_link)
    except OSError as error:
        raise CheckpointError(f"{path}: not written, nothing has changed: {error.strerror}") from error
    with file:
        try:
            if fcntl and FILE_LOCKS:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = os.path.exists(path) and os.path.samestat(os.fstat(file.fileno()), os.stat(path))
        except BlockingIOError:
            free = False
        if not free:
            file.seek(0)
            owner = printable(file.read(200)) or "another process"
            raise FileExistsError(f"Trainer: {folder} is in use by {owner}; stop it, wait for it, or use new_run()")
        file.truncate(0)
        print(f"process {os.getpid()} on {platform.node()}", end="", file=file, flush=True)
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()


def described(trainer):
    'Return {"model": its repr, "data": a digest of some rows of the loader\'s arrays}, which a resumed run shares.'
    digest, data = hashlib.sha256(), getattr(trainer.loader, "dataset", None)
    while data is not None:  # a Subset has a dataset inside, and so on
        for found in (getattr(data, name, None) for name in ("tensors", "tokens", "indices")):
            for array in found if isinstance(found, tuple) else [found]:
                array = array.data if isinstance(array, Tensor) else array
                if isinstance(array, np.ndarray) and array.ndim and len(array) and array.dtype != object:
                    digest.update(array[np.linspace(0, len(array) - 1, 64).astype(int)].tobytes())
        data = getattr(data, "dataset", None)
    return {"model": repr(trainer.model), "data": digest.hexdigest()}


def warn_of_changes(trainer):
    "Warn where a resumed `trainer` has another model or other data than folder/status.json says."
    try:
        before = json.loads((trainer.folder / "status.json").read_text(encoding="utf-8-sig")) if trainer.step else {}
        changed = [(name, str(before[name]), now) for name, now in described(trainer).items()
                   if before.get(name, now) != now]
    except (OSError, ValueError, AttributeError, RecursionError):  # no status, or not ours
        return
    for name, *texts in changed:
        lines = zip_longest(*map(str.splitlines, texts), fillvalue="nothing")
        old, new = next((pair for pair in lines if pair[0] != pair[1]), texts)
        warnings.warn(f"Trainer: {trainer.folder} was begun with other {name} than it is resumed with: "
                      f"{printable(old.strip())}, now {new.strip()}", stacklevel=4)
