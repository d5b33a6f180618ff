"""`tito capstone run`: train and compress what a recipe says, measure it, and write it down as a submission."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tito.capstone.recipe import USUAL, Limits, own_bytes
from tito.curves import pyplot
from tito.files import write_all
from tito.project import TitoError
from tito.report import write_report

RECIPE, TEXT, MODEL, REPORT = "recipe.json", "text.txt", "model.safetensors", "report.json"
MEASURED = {  # of a report: what it is called, and whether more is better
    "loss": ("held-out loss, nats for each byte", False), "tokens_per_second": ("bytes written a CPU second", True),
    "memory_mb": ("memory at its peak, MB", False), "cpu_seconds": ("CPU seconds of training", False),
    "model_bytes": ("bytes of the model", False),
}  # fmt: skip
ENVIRONMENT = {  # all that a worker is told: the reference's code, NumPy's forms, one thread
    "LANG": "C.UTF-8", "PATH": os.defpath, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
    "TINYTORCH_WORKSPACE": "", "TINYTORCH_FAST": "numpy",
}  # fmt: skip


def work(task: str, recipe: dict, limits: Limits, **paths: Path | str) -> dict:
    """The answer of a worker: a process of its own, isolated from the environment and from the folder we are in.

    Raises TitoError where it fails, or needs more CPU seconds than the limit.
    """
    with tempfile.TemporaryDirectory() as folder:
        job = {"task": task, "recipe": recipe, "seconds": limits.seconds, "memory": limits.memory}
        path = Path(folder) / "job.json"
        path.write_text(json.dumps(job | {name: str(Path(file).resolve()) for name, file in paths.items()}))
        command = [sys.executable, "-I", "-m", "tito.capstone.worker", str(path)]
        done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise TitoError(f"over the budget of {limits.seconds:,.0f} CPU seconds: take fewer steps, or a smaller model")
    if done.returncode:
        raise TitoError(f"{task}: {(done.stderr.strip() or 'the worker failed').splitlines()[-1]:.300}")
    return json.loads(done.stdout.splitlines()[-1])


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def run(recipe: dict, text: Path, held_out: Path, folder: Path, limits: Limits = USUAL) -> dict:
    """Make a submission in `folder`, a new one, and return its report. Raises TitoError."""
    if folder.exists():
        raise TitoError(f"{folder} is there already: name a new folder")
    content, held = own_bytes(text, limits.text_bytes), own_bytes(held_out, limits.text_bytes)
    for name, part in ((text, content), (held_out, held)):
        if len(part) <= 2 * recipe["context"]:
            raise TitoError(f"{name}: {len(part)} bytes are too few for windows of {recipe['context']}")
    folder.mkdir(parents=True)
    model = folder / MODEL
    try:
        made = work("make", recipe, limits, text=text, model=model)
        found = made | work("measure", recipe, limits, held_out=held_out, model=model)
    except TitoError:
        model.unlink(missing_ok=True)
        folder.rmdir()
        raise
    weights = model.read_bytes()
    if len(weights) > limits.model_bytes:
        model.unlink()
        folder.rmdir()
        raise TitoError(f"the model has {len(weights):,} bytes, at most {limits.model_bytes:,} are allowed: take fewer "
                        "weights, or fewer bits")  # fmt: skip
    report = found | {"model_bytes": len(weights), "recipe_sha256": digest(as_json(recipe)), "text_sha256": digest(
        content), "held_out_sha256": digest(held), "model_sha256": digest(weights)}  # fmt: skip
    write_all({folder / RECIPE: as_json(recipe), folder / TEXT: content, folder / REPORT: as_json(report)})
    return report


def record_of(recipe: dict, text: Path, held_out: Path, limits: Limits = USUAL) -> dict:
    """The record of a recipe that is run here and now, so that there is nothing to verify. Raises TitoError."""
    with tempfile.TemporaryDirectory() as aside:
        return {"name": recipe["name"], "recipe": recipe} | run(recipe, text, held_out, Path(aside) / "made", limits)


def as_json(content: dict) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()


def describe(report: dict) -> str:
    """The numbers of a report, a line each."""
    return "\n".join(f"{what:<36}{report[key]:>14,.4g}" if key == "loss" else f"{what:<36}{report[key]:>14,.1f}"
                     for key, (what, _) in MEASURED.items())  # fmt: skip


def page(folder: Path, recipe: dict, report: dict, records: list[dict], limits: Limits) -> Path:
    """Write the report as a page, with a picture of it among the records; return the page's path."""
    draw(folder / "frontier.png", [*records, {"name": recipe["name"], "own": True} | report])
    criteria = [
        {"name": MEASURED[key][0], "got": report[key], "wanted": f"at most {most:,.0f}", "passed": report[key] <= most}
        for key, most in (("model_bytes", limits.model_bytes), ("cpu_seconds", limits.seconds))
    ]
    results = {"criteria": criteria, "numbers": {what: report[key] for key, (what, _) in MEASURED.items()}}
    write_all({folder / "results.json": as_json(results), folder / "config.json": as_json({"config": recipe}),
               folder / "status.json": as_json({"status": "finished", "seconds": report["cpu_seconds"]})})  # fmt: skip
    return write_report(folder)


def draw(path: Path, records: list[dict]) -> None:
    """Draw losses over CPU seconds and over bytes, the best for less connected."""
    plt = pyplot()
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharey=True, layout="constrained")
    for axis, key in zip(axes, ("cpu_seconds", "model_bytes")):
        edge, best = [], float("inf")
        for record in sorted(records, key=lambda record: record[key]):
            own, label = record.get("own", False), record["name"]
            axis.semilogx(record[key], record["loss"], "*" if own else "o", color="C3" if own else "C0",
                          markersize=12 if own else 5)  # fmt: skip
            axis.annotate(label, (record[key], record["loss"]), (4, 4), textcoords="offset points", fontsize=7)
            if record["loss"] < best:
                edge, best = [*edge, record], record["loss"]
        axis.step([one[key] for one in edge], [one["loss"] for one in edge], where="post", linewidth=0.8, color="0.6")
        axis.set(xlabel=MEASURED[key][0], ylabel=MEASURED["loss"][0])
        axis.margins(0.15)
    figure.savefig(path, dpi=110)
    plt.close(figure)
