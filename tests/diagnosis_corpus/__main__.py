"""Run the corpus, and count.

python -m tests.diagnosis_corpus --half tune --seeds 3          a line for each case that is not as it should be
python -m tests.diagnosis_corpus --half unseen --seeds 3        totals only
python -m tests.diagnosis_corpus --half tune --framework torch --save out.json
"""

import argparse
import json
import os
import time
from collections import Counter
from pathlib import Path


def judge(case, findings):
    "Return right, missed, wrong or crashed for a fault, and quiet, question or alarm for a healthy model."
    if findings is None:
        return "crashed"
    if not case.accepted:
        return (
            "alarm"
            if any(severity == "severe" for _, severity in findings)
            else "question"
            if any(severity == "warning" for _, severity in findings)
            else "quiet"
        )
    told = [name for name, severity in findings if severity != "note"]
    return "missed" if not told else "right" if told[0] in case.accepted else "wrong"


def examine(case, seed):
    "Return (findings as (name, severity) or None where something raised, the error, seconds)."
    from tests.diagnosis_corpus import build
    from tinytorch.diagnosis import diagnose

    arguments, started = build(case, seed), time.perf_counter()
    try:
        report, error = diagnose(**arguments), ""
    except Exception as raised:
        report, error = None, f"{type(raised).__name__}: {raised}"
    return report and [(f.fault, f.severity) for f in report.findings], error, time.perf_counter() - started


def run(half, seeds, names=()):
    from tests.diagnosis_corpus import load_cases

    for name, case in load_cases(half).items():
        for seed in range(seeds):
            if not names or name in names:
                findings, error, seconds = examine(case, seed)
                yield {
                    "name": name,
                    "seed": seed,
                    "verdict": judge(case, findings),
                    "findings": findings,
                    "error": error,
                    "seconds": seconds,
                    "kind": "trained" if case.trained else "fault" if case.accepted else "healthy",
                }


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.diagnosis_corpus", description=__doc__.splitlines()[0])
    parser.add_argument("--half", choices=("tune", "unseen", "fresh", "habits", "all"), default="tune")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--framework", choices=("tinytorch", "torch"), default="tinytorch")
    parser.add_argument("--save", type=Path, help="a file for all results")
    parser.add_argument("names", nargs="*", help="only these cases")
    args = parser.parse_args()
    os.environ["CORPUS_FRAMEWORK"] = args.framework
    rows = []
    for row in run(args.half, args.seeds, args.names):
        rows.append(row)
        if args.half not in ("unseen", "fresh", "habits") and row["verdict"] not in ("right", "quiet"):
            where = f"{row['verdict']:9}{row['name']:40}{row['seed']} {row['seconds']:5.1f} s"
            print(f"{where}  {row['findings']} {row['error']}", flush=True)
    for kind in ("fault", "healthy", "trained"):
        found = Counter(row["verdict"] for row in rows if row["kind"] == kind)
        print(
            f"{kind}: {sum(found.values())} runs: "
            + ", ".join(f"{count} {verdict}" for verdict, count in found.most_common())
        )
    times = sorted(row["seconds"] for row in rows) or [0.0]
    print(f"seconds: median {times[len(times) // 2]:.2f}, longest {times[-1]:.2f}, all {sum(times):.0f}")
    if args.save:
        args.save.write_text(json.dumps(rows, default=str))


if __name__ == "__main__":
    main()
