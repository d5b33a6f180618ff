"""`tito capstone verify`: a submission is what its recipe makes of its text, measured here; or it is refused.

Nothing that is handed in runs: a recipe is data, a model is an array file, a report is a claim.
"""

import json
import tempfile
from pathlib import Path

from tito.capstone.recipe import USUAL, WORDS, Limits, own_bytes, read_recipe
from tito.capstone.run import MEASURED, MODEL, RECIPE, REPORT, TEXT, as_json, digest, run, work
from tito.files import write_whole
from tito.project import TitoError

MOST_OVERLAP = 0.10  # share of the held-out text's runs of words that may also stand in the text; stories: 5 %
LOSS_APART, WEIGHTS_APART, FACTOR = 0.01, 0.1, 3.0  # of what is claimed from what is measured here
LONGEST_REPORT = 10_000


class Refused(TitoError):
    """A submission that is not what it says; the message says why."""


def verify(folder: Path, held_out: Path, limits: Limits = USUAL) -> dict:
    """The record of a submission, with the numbers that were measured here. Raises Refused."""
    try:
        recipe, report, text, weights = read_submission(folder, limits)
        held = own_bytes(held_out, limits.text_bytes)
        check_digests(report, recipe, text, held, weights)
        if digest(text) == digest(held):
            raise Refused("the text is the held-out text")
        with tempfile.TemporaryDirectory() as aside:
            copy, given = Path(aside) / "theirs.safetensors", Path(aside) / "text.txt"
            copy.write_bytes(weights)
            given.write_bytes(text)
            roomy = limits._replace(memory=4 * limits.memory)  # for all runs of words of the longest text
            check_overlap(work("overlap", recipe, roomy, text=given, held_out=held_out)["overlap"])
            theirs = work("measure", recipe, limits, held_out=held_out, model=copy)
            own = run(recipe, given, held_out, Path(aside) / "own", limits)
            far = work("distance", recipe, limits, model=copy, other=Path(aside) / "own" / MODEL)["distance"]
        check_model(theirs, own, far)
        check_claims(report, own, len(weights))
    except Refused:
        raise
    except TitoError as error:
        raise Refused(str(error)) from None
    digests = {"model_sha256": digest(weights), "held_out_sha256": digest(held)}
    return {"name": recipe["name"]} | {key: own[key] for key in MEASURED} | {"recipe": recipe} | digests


def read_submission(folder: Path, limits: Limits) -> tuple[dict, dict, bytes, bytes]:
    """Recipe, report, text and weights. Raises TitoError for what is missing, a link, too large, or no JSON."""
    recipe = read_recipe(folder / RECIPE)
    try:
        report = json.loads(own_bytes(folder / REPORT, LONGEST_REPORT).decode())
    except ValueError as error:
        raise Refused(f"{REPORT}: expected JSON: {error}") from None
    for key in MEASURED:
        if not isinstance(report, dict) or type(report.get(key)) not in (int, float):
            raise Refused(f"{REPORT}: {key}: expected a number")
    return recipe, report, own_bytes(folder / TEXT, limits.text_bytes), own_bytes(folder / MODEL, limits.model_bytes)


def check_digests(report: dict, recipe: dict, text: bytes, held: bytes, weights: bytes) -> None:
    """Raise Refused where a part is another one than the report was written for."""
    parts = {"recipe": as_json(recipe), "text": text, "held_out": held, "model": weights}
    for name, content in parts.items():
        if report.get(f"{name}_sha256") != digest(content):
            raise Refused(f"the {name.replace('_', '-')} is another one than the report was written for (its sha256)")


def check_overlap(share: float) -> None:
    """Raise Refused where too many of the held-out text's runs of eight words stand in the text, too."""
    if share > MOST_OVERLAP:
        raise Refused(f"{share:.0%} of all runs of {WORDS} words in the held-out text stand in the text, too; at most "
                      f"{MOST_OVERLAP:.0%} may")  # fmt: skip


def check_model(theirs: dict, own: dict, far: float) -> None:
    """Raise Refused where the model is not the one that the recipe makes."""
    if not far <= WEIGHTS_APART:
        raise Refused(f"the model is not what the recipe makes: its weights are {far:.2f} of their length away from "
                      f"those made here, at most {WEIGHTS_APART} are explained by another machine")  # fmt: skip
    if not abs(theirs["loss"] - own["loss"]) <= LOSS_APART:
        raise Refused(f"the model is not what the recipe makes: a loss of {theirs['loss']:.3f}, {own['loss']:.3f} here")


def check_claims(report: dict, own: dict, size: int) -> None:
    """Raise Refused where the report claims other numbers than were measured here."""
    if not abs(report["loss"] - own["loss"]) <= LOSS_APART:
        raise Refused(f"claims a loss of {report['loss']:.4f}, measured here: {own['loss']:.4f}")
    if report["model_bytes"] != size:
        raise Refused(f"claims a model of {report['model_bytes']:,} bytes, the file has {size:,}")
    for key, (what, more_is_better) in MEASURED.items():
        better = report[key] / own[key] if more_is_better else own[key] / max(report[key], 1e-9)
        if not better <= FACTOR:
            raise Refused(f"claims {what}: {report[key]:,.1f}, measured here: {own[key]:,.1f}; another machine may "
                          f"explain a factor of {FACTOR:.0f}")  # fmt: skip


def record_path(records: Path, record: dict) -> Path:
    """Where the record of a submission belongs: one file for each model."""
    return records / f"{record['model_sha256'][:16]}.json"


def save_record(records: Path, record: dict) -> Path:
    path = record_path(records, record)
    write_whole(path, as_json(record))
    return path


def read_records(records: Path | None) -> list[dict]:
    """The records in a folder, the lowest loss first. Raises TitoError for a file that is none."""
    found = []
    for path in sorted(records.glob("*.json")) if records else []:
        try:
            record = json.loads(path.read_text())
            assert all(type(record[key]) in (int, float) for key in MEASURED) and isinstance(record["name"], str)
        except (ValueError, KeyError, TypeError, AssertionError):
            raise TitoError(f"{path}: expected a record that `tito capstone verify` wrote") from None
        found.append(record)
    return sorted(found, key=lambda record: record["loss"])


def board(records: Path) -> str:
    """The leaderboard of verified submissions, as a table in Markdown. Raises TitoError where there are none."""
    found = read_records(records)
    if not found:
        raise TitoError(f"{records}: no records; verify a submission with --records {records} first")
    if len({record["held_out_sha256"] for record in found}) > 1:
        raise TitoError(f"{records}: records of different held-out texts cannot be compared: take a folder for each")
    rows = ["| | name | loss | bytes written a CPU second | MB | CPU seconds | bytes |", "|---" * 7 + "|"]
    for place, one in enumerate(found, 1):
        name = one["name"].replace("|", "/")
        numbers = (f"{one['loss']:.4f}", f"{one['tokens_per_second']:,.0f}", f"{one['memory_mb']:,.0f}",
                   f"{one['cpu_seconds']:,.1f}", f"{one['model_bytes']:,}")  # fmt: skip
        rows.append(f"| {place} | {name} | {' | '.join(numbers)} |")
    return "\n".join(rows)
