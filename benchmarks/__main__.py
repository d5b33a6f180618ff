"""`python -m benchmarks`: how fast this library is next to PyTorch, as tables of medians and their ratios."""

import argparse
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

from benchmarks.measure import BEFORE
from benchmarks.pretrained import report
from benchmarks.scaling import report as scaling
from benchmarks.sections import BASELINE, OPTIONAL, ROUNDS, SECTIONS, VARIANTS, absent
from benchmarks.tables import draw, exponent_table, head, row
from benchmarks.workloads import WORKLOADS

LEVELS = ("plain", "numpy", "compiled", "mkl")


def main() -> None:
    defaults = ", ".join(f"{rounds} in {section}" for section, rounds in ROUNDS.items() if section != "memory")
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("section", nargs="?", choices=[*SECTIONS, "pretrained", "scaling", "all"],
                        default="training", help="default: training; all leaves pretrained and scaling out")
    parser.add_argument("--workloads", type=some_of(WORKLOADS), default=list(WORKLOADS), metavar="W1,W1b,...",
                        help="of training and memory; default: all")
    parser.add_argument("--variants", type=some_of(VARIANTS), default=list(VARIANTS), metavar=",".join(VARIANTS),
                        help="default: all that the section has")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="also measure version 0.1, checked out there")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"bursts of each; default: {defaults}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also keep every number there")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw the ratios and the growth (matplotlib)")
    options = parser.parse_args()
    if options.before:
        os.environ[BEFORE] = str(options.before.resolve())

    print(" | ".join(f"{key} {value}" for key, value in machine().items()))
    results = {}
    if options.section == "scaling":
        results["scaling"] = scaling(options.rounds or 10, options.plot)
        if options.json:
            options.json.write_text(json.dumps({"machine": machine(), **results}, indent=1) + "\n")
        return
    for section in SECTIONS if options.section == "all" else [options.section]:
        results[section] = report(options.rounds or 3) if section == "pretrained" else run(section, options)
        if options.json:  # after each, so that an interrupted evening is not lost
            options.json.write_text(json.dumps({"machine": machine(), **results}, indent=1) + "\n")
    if options.plot:
        draw({section: found for section, found in results.items() if section != "pretrained"}, options.plot)


def run(section: str, options) -> dict[str, dict]:
    """Measure a section, and print each row as it comes."""
    wanted = {"operations": LEVELS, "growth": LEVELS[1:2], "generation": LEVELS}.get(section, VARIANTS)
    variants = [v for v in options.variants if v in (*wanted, "before", BASELINE)]
    if not options.before:
        variants = [variant for variant in variants if not variant.startswith("before")]
    if section == "memory":
        variants = [variant for variant in variants if variant not in OPTIONAL]
    for variant, reason in [(variant, absent(variant)) for variant in variants]:
        if reason:
            print(f"left out: {VARIANTS[variant]}: {reason}")
            variants.remove(variant)
    print(f"\n## {section}\n\n{head(section, variants)}", flush=True)
    results = {}
    for name, result in SECTIONS[section](options.workloads, variants, options.rounds or ROUNDS[section]):
        results[name] = result
        print(row(name, result, variants), flush=True)
    if section == "growth":
        print(f"\nTime grows like size^k, with k:\n\n{exponent_table(results)}")
    return results


def some_of(known):
    """A parser of names with commas between."""
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}: expected some of {', '.join(known)}")
        return names
    return parse


def machine() -> dict[str, str]:
    return {
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
        "Python": platform.python_version(),
        **{package: version(package) for package in ("numpy", "torch")},
    }


if __name__ == "__main__":
    main()
