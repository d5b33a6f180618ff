"""What each section of the benchmarks measures, row by row."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from benchmarks.measure import Worker, WorkerError, take_turns
from benchmarks.workloads import GROWTH, OPERATIONS, WORKLOADS, Workload

VARIANTS = {
    "ours": "ours",
    "ours+fast": "ours, compiled",
    "eager": "PyTorch eager",
    "fused": "PyTorch, fused AdamW",
    "compile": "torch.compile",
}
BASELINE = "eager"
GENERATION = {
    "ours": "ours, cached",
    "eager": "PyTorch, cached",
    "ours uncached": "ours, uncached",
    "eager uncached": "PyTorch, uncached",
}
OPTIONAL = ("ours+fast", "compile")  # where it is not installed or does not work, the table says so
TOLERANCE = 3e-5  # between what variants compute, as a share of the largest number


def training(names: list[str], variants: list[str], rounds: int) -> Iterator[tuple[str, dict]]:
    """A whole step: forward, cross entropy, backward, AdamW, zero_grad."""
    for name in names:
        yield name, of_workload("training", WORKLOADS[name], variants, rounds)


def generation(names: list[str], variants: list[str], rounds: int) -> Iterator[tuple[str, dict]]:
    """One text, token by token up to the context; milliseconds are those of the whole text."""
    w = WORKLOADS["W3"]
    result = of_workload("generation", w, list(GENERATION), rounds)
    yield w.name, {**result, "tokens": w.context}


def operations(names: list[str], variants: list[str], rounds: int) -> Iterator[tuple[str, dict]]:
    """Single operations, forward and backward."""
    variants = ["ours", "ours+fast", BASELINE]
    for name in OPERATIONS:
        with tempfile.TemporaryDirectory() as folder:
            yield name, compare({"section": "operations", "operation": name}, variants, rounds, folder)


def growth(names: list[str], variants: list[str], rounds: int) -> Iterator[tuple[str, dict]]:
    """Training steps of W2, with one of its sizes changed."""
    for size, values in GROWTH.items():
        base = replace(WORKLOADS["W2"], batch=4) if size == "context" else WORKLOADS["W2"]
        for value in values:
            workload = replace(base, **{size: value})
            yield f"{size} {value}", of_workload("training", workload, ["ours", BASELINE], rounds)


def memory(names: list[str], variants: list[str], rounds: int) -> Iterator[tuple[str, dict]]:
    """Peak memory of a training step, above what the process holds after training a model of almost no size.

    Not of torch.compile: its compiler works in the same process.
    """
    from benchmarks.worker import SMALLEST

    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            task = {"section": "memory", "workload": asdict(WORKLOADS[name])}
            task |= {"weights": weights_of(WORKLOADS[name], folder), "smallest": weights_of(SMALLEST, folder)}
            megabytes = {}
            for variant in variants:
                if variant not in OPTIONAL:
                    with closing(Worker({**task, "variant": variant})) as worker:
                        megabytes[variant] = worker.first
        yield name, {"megabytes": megabytes}


SECTIONS = {section.__name__: section for section in (training, generation, operations, memory, growth)}
ROUNDS = {"training": 25, "generation": 41, "operations": 41, "memory": 1, "growth": 11}  # unless --rounds says else


def of_workload(section: str, workload: Workload, variants: list[str], rounds: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        task = {"section": section, "workload": asdict(workload), "weights": weights_of(workload, folder)}
        return compare(task, variants, rounds, folder)


def weights_of(workload: Workload, folder: str) -> str:
    """The weights that every variant starts from, as a file."""
    from benchmarks.ours import build

    path = str(Path(folder) / f"{workload.name}.npz")
    np.savez(path, **build(workload).state_dict())
    return path


def compare(task: dict, variants: list[str], rounds: int, folder: str) -> dict:
    """Time a task in each variant, after a check that all compute the same. What failed, and why, is in `failed`."""
    failed = {}
    with ExitStack() as stack:
        workers, proofs = {}, {}
        for variant in variants:
            path = str(Path(folder) / f"{variant}.proof.npz")
            try:
                worker = Worker({**task, "variant": variant, "proof": path})
            except WorkerError as error:
                if variant not in OPTIONAL:
                    raise SystemExit(f"{variant}: {error}") from error
                failed[variant] = str(error)
                continue
            workers[variant] = stack.enter_context(closing(worker))
            proofs[variant] = list(np.load(path).values())
        largest = check_same(proofs)
        return {**take_turns(workers, rounds), "failed": failed, "largest_difference": largest}


def check_same(proofs: dict[str, list[np.ndarray]]) -> float:
    """A fast wrong step does not count: the largest difference from the baseline. Raises SystemExit above TOLERANCE."""
    expected = proofs.get(BASELINE) or next(iter(proofs.values()))
    differences = {
        variant: max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(found, expected, strict=True))
        for variant, found in proofs.items()
    }
    for variant, difference in differences.items():
        if not difference <= TOLERANCE:
            raise SystemExit(f"{variant}: differs from PyTorch by {difference:.2g}, expected at most {TOLERANCE}")
    return float(max(differences.values()))
