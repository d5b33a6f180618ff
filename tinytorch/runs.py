"""Folders that record what was run and how it went: settings, one line per step, progress, and a Ctrl-C that waits."""
import json
import os
import platform
import signal
import sys
import threading
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import datetime
from itertools import count
from pathlib import Path

import numpy as np

from tinytorch.checkpoint import CheckpointError, write_whole
from tinytorch.run_guards import described, locked, warn_of_changes
from tinytorch.threads import keep_threads

__all__ = ["new_run", "read_metrics", "read_config", "Metrics", "progress", "tensorboard", "watching", "write_status"]


def new_run(root="runs", name="run", config=None):
    """Make the folder root/name-001 (or the next number), with `config` and versions in config.json; return its Path.
    Raises: CheckpointError where it cannot be made."""
    try:
        Path(root).mkdir(parents=True, exist_ok=True)
        taken = [path.name.removeprefix(f"{name}-") for path in Path(root).glob(f"{name}-*")]
        for number in count(max([int(n) for n in taken if n.isdecimal()], default=0) + 1):
            folder = Path(root) / f"{name}-{number:03}"
            with suppress(FileExistsError):  # of two runs that start at once, only one makes it
                folder.mkdir()
                break
    except OSError as error:
        raise CheckpointError(f"{root}: no folder of a run can be made here: {error.strerror}") from error
    about = {"name": folder.name, "started": datetime.now().isoformat(timespec="seconds"), "command": sys.argv,
             "python": platform.python_version(), "numpy": np.__version__, "config": dict(config or {})}
    write_whole(folder / "config.json", json.dumps(about, indent=1, default=str).encode())
    return folder


def read_metrics(folder):
    "Return the records in folder/metrics.jsonl, without lines that were cut off or forged."
    path, records = Path(folder) / "metrics.jsonl", []
    for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines() if path.is_file() else []:
        with suppress(ValueError, RecursionError):
            records.append(json.loads(line, parse_int=lambda text: int(text) if len(text) < 19 else float(text)))
    return [record for record in records if isinstance(record, dict) and isinstance(record.get("step"), int)]


def read_config(folder):
    """Return the settings that `new_run` was given; None for a folder that it did not make.
    Raises: ValueError, naming the file, for one that it did not write."""
    path = Path(folder) / "config.json"
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))["config"] if path.is_file() else None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: expected what new_run wrote, got {error!r:.200}; repair or delete it") from None


class Metrics:
    """Append each record that it is called with to folder/metrics.jsonl, which starts as the records in `history`.
    A line reaches the file at once, the disk at `sync()`. Raises: OSError that names the file."""
    def __init__(self, folder, history=()):
        self.path = Path(folder) / "metrics.jsonl"
        write_whole(self.path, "".join(json.dumps(record, default=float) + "\n" for record in history).encode())
        self.file = open(self.path, "a", encoding="utf-8", buffering=1)
    def __call__(self, record):
        try:
            self.file.write(json.dumps(record, default=float) + "\n")
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None
    def sync(self): os.fsync(self.file.fileno())
    def close(self):
        with suppress(OSError):  # a full disk, which has been reported
            self.file.close()


def numbers(record):
    return "  ".join(f"{name} {value:.4g}" for name, value in record.items()
                     if name not in ("step", "epoch", "seconds") and isinstance(value, (int, float)))


@contextmanager
def progress(total=None, done=0):
    "Yield a callback that shows each record: in a terminal a bar, if `rich` is installed, else about twenty lines."
    every, names = max(1, (total or 2000) // 20), None

    def show_line(record):
        nonlocal names
        news, names = names is not None and record.keys() - names, record.keys()  # an evaluation is always shown
        if record["step"] % every == 0 or record["step"] == total or news:
            print(f"step {record['step']}{f'/{total}' if total else ''}  {numbers(record)}", flush=True)

    try:
        import rich.progress as rich
    except ModuleNotFoundError:
        rich = None
    if rich is None or not sys.stdout.isatty():
        yield show_line
        return
    text = rich.TextColumn("{task.description}", markup=False)
    with rich.Progress(rich.BarColumn(), rich.MofNCompleteColumn(), rich.TimeRemainingColumn(), text) as bar:
        task = bar.add_task("", total=total, completed=done)
        yield lambda record: bar.update(task, completed=record["step"], description=numbers(record))


def tensorboard(folder):
    "Return a callback that writes every number of a record into `folder` for TensorBoard."
    try:
        from tensorboardX import SummaryWriter
    except ModuleNotFoundError:
        raise ModuleNotFoundError("tensorboard: pip install tensorboardX") from None
    writer = None

    def write(record):
        nonlocal writer
        writer = writer or SummaryWriter(str(folder), purge_step=record["step"])  # drops what a killed run left
        for name, value in record.items():
            if name not in ("step", "epoch") and isinstance(value, (int, float)):
                writer.add_scalar(name, value, record["step"])
    return write


@contextmanager
def watching(trainer):
    """Yield (callbacks, pressed) while `trainer` trains: its own, its metrics and its progress; the list of Ctrl-C,
    which fills it instead of interrupting; a second Ctrl-C interrupts at once. Raises: as `locked` and `read_config`;
    FileExistsError where its folder holds another run; at the end KeyboardInterrupt, if Ctrl-C was pressed."""
    folder, callbacks, pressed = trainer.folder if getattr(trainer, "writes", True) else None, [*trainer.callbacks], []
    noted, trainer.pressed = getattr(trainer, "noted", pressed), pressed  # of several ranks, all stop at once
    last = folder and folder / "last.safetensors"
    if folder and not trainer.step and last.exists():
        raise FileExistsError(f"Trainer: {folder} holds a run already; call resume() first, or use new_run()")

    def note(signum, frame):
        if noted:
            raise KeyboardInterrupt
        noted.append(signum)

    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():  # no other receives signals
            stack.callback(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, note))
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(folder))
            read_config(folder)
            warn_of_changes(trainer)
            keep_threads(trainer)
            for left in folder.glob("*.new"):  # what a killed run was writing
                left.unlink(missing_ok=True)
            trainer.metrics = stack.enter_context(closing(Metrics(folder, trainer.history)))
            stack.callback(setattr, trainer, "metrics", None)
            callbacks.append(trainer.metrics)
        if trainer.show:
            callbacks.append(stack.enter_context(progress(trainer.total, trainer.step)))
        try:
            yield callbacks, pressed
        except FloatingPointError as error:
            error.add_note(f"the last checkpoint is in {folder}" if folder else "nothing was saved")
            raise
    if pressed:
        how = f"{last} is written: build the same Trainer and call .resume().fit()" if folder else "nothing was saved"
        raise KeyboardInterrupt(f"stopped after step {trainer.step}; {how}")


def write_status(trainer, text):
    "Write into folder/status.json how far `trainer` is, its best evaluation, and in words how it stands."
    status = {name: getattr(trainer, name) for name in ("step", "seconds", "best")} | {"steps": trainer.total}
    status["threads"] = getattr(trainer, "threads", None)
    write_whole(trainer.folder / "status.json", json.dumps({"status": text} | status | described(trainer)).encode())
