"""How a step grows with the number of ranks: the link measured, a formula checked, and what that predicts."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.link import Link, SlowGroup, fitted, step
from benchmarks.ours import build
from benchmarks.workloads import WORKLOADS
from tinytorch.distributed import barrier, ring_all_reduce
from tinytorch.ranks import run_threads, world

CHECKED = ("W2", "W3", "W4")
PARAMETERS = {"0.8 M": 0.8e6, "7 M": 7e6, "30 M": 30e6, "124 M": 124e6}
TOKENS = 2048  # of a rank in a step: the batch of W3
RANKS = tuple(2**k for k in range(11))
LINKS = {"1 Gbit/s, 50 us": Link(50e-6, 125e6), "100 Gbit/s, 5 us": Link(5e-6, 12.5e9)}
SIMULATED = Link(2e-3, 100e6)  # slow enough for the delays, not the processor, to be what is measured


def measured(ranks: int, rounds: int) -> dict:
    """What `benchmarks.ranks` finds on so many processes of one thread each."""
    mpiexec = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
    if ranks > 1 and mpiexec is None:
        raise SystemExit("scaling: two ranks need MPI: pip install mpi4py mpich")
    start = [mpiexec, "-n", str(ranks), sys.executable, "-m", "mpi4py"] if ranks > 1 else [sys.executable]
    variables = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [*start, "-m", "benchmarks.ranks", str(rounds), ",".join(CHECKED)]
    return json.loads(subprocess.run(command, env=variables, check=True, capture_output=True, text=True).stdout)


def simulated(ranks: int, size: int, link: Link) -> float:
    """Seconds of the ring on so many threads, whose messages are delayed as on `link`."""
    def run():
        array, slow = np.ones(size // 4, np.float32), SlowGroup(world.group, link)
        barrier()
        started = time.perf_counter()
        ring_all_reduce(array, slow)
        return time.perf_counter() - started
    return max(run_threads(ranks, run))


def report(rounds: int, plot: Path | None = None) -> dict:
    """Measure, predict, print, and draw; return all numbers."""
    alone, two = measured(1, rounds), measured(2, rounds)
    link = fitted(*zip(*two["ring"]), 2)
    print(f"\n## scaling\n\nThe link of two processes here: latency {1e6 * link.latency:.0f} us, bandwidth "
          f"{link.bandwidth / 1e9:.2f} GB/s\n\n| all-reduce of | measured, ms | formula | ratio |\n|---|---|---|---|")
    rows = [(f"{size:,} bytes, 2 processes", seconds, link.all_reduce(size, 2)) for size, seconds in two["ring"]]
    rows += [(f"{size:,} bytes, {ranks} on a simulated slow link", simulated(ranks, size, SIMULATED),
              SIMULATED.all_reduce(size, ranks)) for ranks in (4, 8) for size in (1 << 12, 1 << 20)]
    checks = {what: (found, formula) for what, found, formula in rows}
    for what, (found, formula) in checks.items():
        print(f"| {what} | {1000 * found:.3f} | {1000 * formula:.3f} | {found / formula:.2f} |")

    counts = {name: sum(p.numel() for p in build(WORKLOADS[name]).parameters()) for name in CHECKED}
    print("\n| step of | one rank, ms | two ranks, ms | formula | ratio |\n|---|---|---|---|---|")
    steps = {}
    for name in CHECKED:
        predicted = step(alone["steps"][name], counts[name], link, 2)
        steps[name] = alone["steps"][name], two["steps"][name], predicted.compute + predicted.shown
        one, both, formula = steps[name]
        print(f"| {name}, {counts[name]:,} parameters | {1000 * one:.1f} | {1000 * both:.1f} | {1000 * formula:.1f} | "
              f"{both / formula:.2f} |")

    speed = 6 * counts["W3"] * TOKENS / alone["steps"]["W3"]  # operations a second, of one thread
    found = {name: table(speed, a_link) for name, a_link in {"this machine's": link, **LINKS}.items()}
    shown = (1, 2, 8, 64, 256, 1024)
    for name, lines in found.items():
        print(f"\nEfficiency, {TOKENS} tokens a rank, link: {name}\n\n| ranks | {' | '.join(map(str, shown))} |")
        print("|---|" + "---|" * len(shown))
        for size, line in lines.items():
            print(f"| {size} | " + " | ".join(f"{line[RANKS.index(n)]:.0%}" for n in shown) + " |")
    if plot:
        draw(found, plot)
    return {"link": link._asdict(), "checks": checks, "steps": steps, "efficiency": found}


def table(speed: float, link: Link) -> dict[str, list[float]]:
    """The efficiency of each size of model, for each of RANKS."""
    return {name: [step(6 * count * TOKENS / speed, count, link, n).efficiency for n in RANKS]
            for name, count in PARAMETERS.items()}


def draw(found: dict, file: Path) -> None:
    import matplotlib.pyplot as plt
    figure, panels = plt.subplots(1, len(found), figsize=(4 * len(found), 3), sharey=True, layout="constrained")
    for panel, (name, lines) in zip(panels, found.items()):
        for size, line in lines.items():
            panel.semilogx(RANKS, line, "o-", base=2, markersize=3, label=f"{size} parameters")
        panel.set(title=f"link: {name}", xlabel="ranks", ylim=(0, 1.05))
    panels[0].set_ylabel("efficiency")
    panels[0].legend(fontsize=8)
    figure.savefig(file, dpi=130)
    plt.close(figure)
