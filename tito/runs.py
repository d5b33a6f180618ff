"""`tito runs`: what the folders of training runs say, side by side. Reads files only; nothing in them is executed."""

import errno
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tito.curves import averaged, draw_curves
from tito.files import read_file
from tito.project import TitoError

FILES = ("config.json", "status.json", "metrics.jsonl")
ALIVE = 60  # seconds since the last line of an unfinished run, within which it counts as running
LONGEST_SETTING, MOST_SETTINGS = 40, 12  # of a row; config.json has them whole


@dataclass
class Run:
    """A folder that training wrote: settings, status and one record a step, as far as they can be read."""

    folder: Path
    config: dict
    status: dict
    records: list[dict]
    written: float  # when metrics.jsonl was last changed

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def last(self) -> dict:
        return self.records[-1] if self.records else {}

    @property
    def state(self) -> str:
        state = str(self.status.get("status", "unfinished"))
        return "running" if state == "unfinished" and time.time() - self.written < ALIVE else state

    @property
    def best(self) -> tuple[str, float, int] | None:
        """(metric, value, step): what was evaluated, or else the lowest loss of a step."""
        best = self.status.get("best")
        if isinstance(best, dict) and is_number(best.get("value")):
            return str(best.get("metric")), best["value"], best.get("step")
        losses = [(r["loss"], r["step"]) for r in self.records if is_number(r.get("loss"))]
        return ("loss", *min(losses)) if losses else None

    @property
    def seconds(self) -> float | None:
        return next((s for s in (self.last.get("seconds"), self.status.get("seconds")) if is_number(s)), None)


def find_runs(root: Path, names: list[str]) -> list[Run]:
    """The runs of these names or paths; all in `root`, by name, for none.

    Raises TitoError for a name that is no run, and where there is none at all.
    """
    if names:
        return [read_run(named_folder(root, name)) for name in names]
    folders = sorted(path for path in root.glob("*") if is_run(path)) if root.is_dir() else []
    if not folders:
        raise TitoError(f"no run in {root}: training with a folder of new_run() makes one, or pass --folder")
    return [read_run(folder) for folder in folders]


def named_folder(root: Path, name: str) -> Path:
    for folder in (root / name, Path(name)):
        if is_run(folder):
            return folder
    have = ", ".join(sorted(path.name for path in root.glob("*") if is_run(path))) or "none"
    raise TitoError(f"no run {name!r} in {root}: expected one of {have}, or a folder with {' or '.join(FILES)}")


def is_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in FILES)


def times_of_runs(runs: Path) -> dict[Path, int]:
    """When something about each run in this folder was last written."""
    folders = [folder for folder in runs.glob("*") if is_run(folder)]
    return {folder: max(os.stat(file).st_mtime_ns for file in folder.glob("*.json*")) for folder in folders}


def written_since(after: dict[Path, int], before: dict[Path, int]) -> list[Path]:
    """The folders of runs that were written to, the latest last."""
    fresh = [folder for folder, written in after.items() if before.get(folder) != written]
    return sorted(fresh, key=after.get)


def read_run(folder: Path) -> Run:
    about = read_json(folder / "config.json")
    config = about.get("config") if isinstance(about.get("config"), dict) else {}
    metrics = folder / "metrics.jsonl"
    written = metrics.stat().st_mtime if metrics.exists() else 0.0
    return Run(folder, config, read_json(folder / "status.json"), read_records(metrics), written)


def read_json(path: Path) -> dict:
    """The dict in a file; an empty one where there is none."""
    try:
        content = json.loads(own_file(path).decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def read_records(path: Path) -> list[dict]:
    """The lines that are records; the last one may be half written."""
    records = []
    for line in own_text(path).splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and is_number(record.get("step")):
            records.append(record)
    return records


def own_file(path: Path) -> bytes:
    """The content of a file of a run. Raises OSError for what is no file, and for a link: a run lies in its folder."""
    if path.is_symlink():
        raise OSError(errno.EINVAL, "is a link", str(path))
    return read_file(path)


def own_text(path: Path) -> str:
    """Its text; empty where there is none."""
    try:
        return own_file(path).decode("utf-8-sig", errors="replace")
    except OSError:
        return ""


def is_number(value) -> bool:
    """Return whether it is a number that can be computed with: not inf or nan, nor beyond all floats."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


# ---- the table


def differing(runs: list[Run]) -> list[str]:
    """Names of the settings that are not the same in all of `runs`; all settings of a single one."""
    names = dict.fromkeys(name for run in runs for name in run.config)
    if len(runs) == 1:
        return list(names)
    return [name for name in names if len({json.dumps(run.config.get(name), sort_keys=True) for run in runs}) > 1]


def rows(runs: list[Run]) -> list[list[str]]:
    """The table, its head first."""
    names = differing(runs)
    head = ["run", "state", "step", "best", "loss", "time", "settings" if len(runs) == 1 else "settings that differ"]
    table = [head]
    for run in runs:
        steps, best = run.status.get("steps"), run.best
        table.append([
            run.name,
            run.state,
            f"{run.last.get('step', run.status.get('step', 0))}{f'/{steps}' if steps else ''}",
            f"{best[0]} {best[1]:.4g} at {best[2]}" if best else "-",
            f"{run.last['loss']:.4g}" if is_number(run.last.get("loss")) else "-",
            duration(run.seconds),
            settings(run.config, names),
        ])  # fmt: skip
    return table


def settings(config: dict, names: list[str]) -> str:
    """Those settings of a run, long values cut; of many the first few, so that a table stays one."""
    said = [f"{name}={config[name]}" for name in names if name in config]
    short = [text if len(text) <= LONGEST_SETTING else f"{text[:LONGEST_SETTING - 3]}..." for text in said]
    more = len(short) - MOST_SETTINGS
    return "  ".join(short[:MOST_SETTINGS] + ([f"and {more} more"] if more > 0 else [])) or "-"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def printable(text: str) -> str:
    """`text` from a file, without what would control a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def show(table: list[list[str]]) -> None:
    """Print it: with rich in a terminal, else as plain columns."""
    table = [[printable(cell) for cell in row] for row in table]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        head, *body = table
        pretty = Table(*head, box=None, header_style="bold", pad_edge=False)
        for row in body:
            pretty.add_row(*map(Text, row))
        Console().print(pretty)
        return
    widths = [max(map(len, column)) for column in zip(*table)]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


# ---- the picture


def draw(runs: list[Run], path: Path, metric: str | None = None) -> list[str]:
    """One PNG with the curves of all `runs`: the loss of the steps, and what was evaluated; or `metric` alone.

    Returns the metrics drawn. Raises TitoError where no run has any, and where the file cannot be written.
    """
    if path.suffix.lower() != ".png":
        raise TitoError(f"--plot {path}: expected the name of a .png file")
    metrics = [metric] if metric else list(dict.fromkeys(["loss", *[run.best[0] for run in runs if run.best]]))
    metrics = [name for name in metrics if any(curve(run, name)[0] for run in runs)]
    if not metrics:
        have = sorted({name for run in runs for record in run.records for name in record} - {"step", "epoch"})
        what = f"nothing to draw of {metric!r}" if metric else "nothing to draw"
        raise TitoError(f"{what}: the records hold {', '.join(have) or 'nothing'}")

    panels = {name: [(run.name, *curve(run, name)) for run in runs if curve(run, name)[0]] for name in metrics}
    try:
        draw_curves(path, panels)
    except OSError as error:
        raise TitoError(f"--plot {path}: {error.strerror}") from error
    return metrics


def curve(run: Run, metric: str) -> tuple[list[float], list[float]]:
    """Steps and values of a metric, as they are drawn."""
    return averaged([(record["step"], record[metric]) for record in run.records if is_number(record.get(metric))])
