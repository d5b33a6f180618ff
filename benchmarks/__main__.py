"""`python -m benchmarks`: milliseconds of whole training steps, ours and PyTorch's, and their ratios."""

import argparse
import json
import os
import platform
import tempfile
from contextlib import ExitStack, closing
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks.measure import Worker, take_turns
from benchmarks.workloads import WORKLOADS

VARIANTS = {"ours": "ours", "eager": "PyTorch eager", "fused": "PyTorch, fused AdamW"}
BASELINE = "eager"
TOLERANCE = 1e-4  # between the losses of the first steps


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--workloads", default=",".join(WORKLOADS), metavar="W1,W1b,...", help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=25, metavar="N", help="default: %(default)s bursts of each")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also keep every number there")
    options = parser.parse_args()
    names = options.workloads.split(",")
    if unknown := [name for name in names if name not in WORKLOADS]:
        parser.error(f"no workload {', '.join(unknown)}: expected some of {', '.join(WORKLOADS)}")

    print(" | ".join(f"{key} {value}" for key, value in machine().items()), end="\n\n")
    print("| |" + "".join(f" {title} ms | ratio |" for title in VARIANTS.values()))
    print("|---|" + "---|---|" * len(VARIANTS), flush=True)
    results = {}
    for name in names:
        results[name] = measure(name, options.rounds)
        print(row(name, results[name]["milliseconds"]), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "training": results}, indent=1) + "\n")


def measure(name: str, rounds: int) -> dict:
    """`milliseconds` a step in each round and the first `losses`, by variant; how many rounds were `rejected`."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        weights = save_weights(name, folder)
        workers = {key: stack.enter_context(closing(Worker(key, name, weights))) for key in VARIANTS}
        losses = {key: worker.losses for key, worker in workers.items()}
        check_losses(name, losses)
        milliseconds, rejected = take_turns(workers, rounds)
    return {"milliseconds": milliseconds, "rejected": rejected, "losses": losses}


def save_weights(name: str, folder: str) -> str:
    """The weights that every variant starts from, as a file."""
    from benchmarks.ours import build

    path = str(Path(folder) / "weights.npz")
    np.savez(path, **build(WORKLOADS[name]).state_dict())
    return path


def check_losses(name: str, losses: dict[str, list[float]]) -> None:
    """A fast wrong step does not count."""
    for key in VARIANTS:
        difference = np.abs(np.subtract(losses[key], losses[BASELINE])).max()
        if not difference <= TOLERANCE:
            raise SystemExit(
                f"{name}: the losses of {VARIANTS[key]} differ from those of {VARIANTS[BASELINE]} by {difference:.2g},"
                f" expected at most {TOLERANCE}:\n{losses[key]}\n{losses[BASELINE]}"
            )


def row(name: str, milliseconds: dict[str, list[float]]) -> str:
    """Median and quartiles of each variant, and the ratio of its median to the baseline's."""
    cells = [name]
    for key in VARIANTS:
        low, median, high = np.quantile(milliseconds[key], [0.25, 0.5, 0.75])
        ratio = median / np.median(milliseconds[BASELINE])
        cells += [f"{median:.3g} ({low:.3g} - {high:.3g})", f"{ratio:.2f}"]
    return f"| {' | '.join(cells)} |"


def machine() -> dict[str, str]:
    return {
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
        "Python": platform.python_version(),
        **{package: version(package) for package in ("numpy", "torch")},
    }


if __name__ == "__main__":
    main()
