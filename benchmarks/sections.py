"""What each section of the benchmarks measures, row by row."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from benchmarks.measure import Worker, WorkerError, take_turns
from benchmarks.workloads import GROWTH, OPERATIONS, WORKLOADS, Workload

VARIANTS = {
    "plain": "plain",
    "numpy": "NumPy",
    "compiled": "compiled",
    "mkl": "compiled, MKL",
    "compiled threads": "compiled, threads",
    "mkl threads": "compiled, MKL, threads",
    "before": "before, NumPy",
    "before+fast": "before, compiled",
    "eager": "PyTorch eager",
    "fused": "PyTorch, fused AdamW",
    "compile": "torch.compile",
}
BASELINE = "eager"
GENERATION = {
    "plain": "plain, cached",
    "numpy": "NumPy, cached",
    "compiled": "compiled, cached",
    "mkl": "compiled, MKL, cached",
    "before": "before, cached",
    "eager": "PyTorch, cached",
    "numpy uncached": "NumPy, uncached",
    "eager uncached": "PyTorch, uncached",
}
# Where one of these is not installed it is left out, and where it does not work the table says so.
OPTIONAL = ("compiled", "mkl", "compiled threads", "mkl threads", "before+fast", "compile")
TOLERANCE = 3e-5  # between what variants compute, as a share of the largest number


def absent(variant: str) -> str | None:
    """What a variant needs and this machine lacks, in words; None where it can run."""
    from tinytorch.fast.registry import LEVELS, missing
    from tinytorch.threads import blas

    level = variant.partition(" ")[0]
    if level in LEVELS and missing(level):
        return f"needs {missing(level)}"
    if variant.endswith("threads") and blas() is None:
        return "needs threadpoolctl; pip install threadpoolctl"
    if variant == "compile" and not any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++"))):
        return "needs a compiler of C++, such as g++"
    return None


def training(names: list[str], variants: list[str], rounds: int) -> Iterator[tuple[str, dict]]:
    """A whole step: forward, cross entropy, backward, AdamW, zero_grad."""
    for name in names:
        yield name, of_workload("training", WORKLOADS[name], variants, rounds)


def generation(names: list[str], variants: list[str], rounds: int) -> Iterator[tuple[str, dict]]:
    """One text, token by token up to the context; milliseconds are those of the whole text."""
    w = WORKLOADS["W3"]
    chosen = [variant for variant in GENERATION if variant.partition(" ")[0] in variants]
    result = of_workload("generation", w, chosen, rounds)
    yield w.name, {**result, "tokens": w.context}


def operations(names: list[str], variants: list[str], rounds: int) -> Iterator[tuple[str, dict]]:
    """Single operations, forward and backward."""
    for name in OPERATIONS:
        with tempfile.TemporaryDirectory() as folder:
            yield name, compare({"section": "operations", "operation": name}, variants, rounds, folder)


def growth(names: list[str], variants: list[str], rounds: int) -> Iterator[tuple[str, dict]]:
    """Training steps of W2, with one of its sizes changed."""
    for size, values in GROWTH.items():
        base = replace(WORKLOADS["W2"], batch=4) if size == "context" else WORKLOADS["W2"]
        for value in values:
            workload = replace(base, **{size: value})
            yield f"{size} {value}", of_workload("training", workload, variants, rounds)


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
    from benchmarks import ours

    path = str(Path(folder) / f"{workload.name}.npz")
    np.savez(path, **ours.weights_of(workload))
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
