"""The ward round.

    python -m clinic             all patients: what the first finding is, and whether it is the fault
    python -m clinic 07          one patient, in full
    python -m clinic 07 --seed 3 --healthy
"""
import argparse
import difflib
import sys
import time

from clinic import PATIENTS, examine, source_of
from clinic.solutions import SOLUTIONS

parser = argparse.ArgumentParser(prog="python -m clinic", description="Examine the patients of the clinic.")
parser.add_argument("patient", nargs="?", help="its number; without one: all of them, in a table")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--healthy", action="store_true", help="its healthy twin")
parser.add_argument("--solution", action="store_true", help="what is wrong, and the repair")


def first(report):
    return report.findings[0].fault if report.findings else "nothing"


def table(seed):
    "Print every patient and its healthy twin; return 0 if all faults are named first and no twin is blamed, else 1."
    wrong, alarms, started = 0, 0, time.perf_counter()
    print(f"{'patient':26}{'fault':24}{'first finding':24}{'correct':9}{'of its healthy twin':20}")
    for patient in PATIENTS:
        fault = SOLUTIONS[patient].fault
        found, twin = first(examine(patient, seed)), examine(patient, seed, healthy=True)
        alarm = ", ".join(finding.fault for finding in twin.severe()) or "nothing severe"
        wrong, alarms = wrong + (found != fault), alarms + bool(twin.severe())
        print(f"{patient:26}{fault:24}{found:24}{'yes' if found == fault else 'NO':9}{alarm:20}", flush=True)
    print(f"\n{len(PATIENTS) - wrong} of {len(PATIENTS)} named first, {alarms} false alarms, "
          f"{time.perf_counter() - started:.0f} s")
    return 1 if wrong or alarms else 0


def main():
    args = parser.parse_args()
    if args.patient is None:
        return table(args.seed)
    chosen = [patient for patient in PATIENTS if patient.startswith(args.patient)]
    if len(chosen) != 1:
        parser.error(f"expected one of 01 to {len(PATIENTS)}, got {args.patient}")
    if args.solution:
        print(SOLUTIONS[chosen[0]].story)
        both = [source_of(chosen[0], healthy).splitlines() for healthy in (False, True)]
        print("\n".join(difflib.unified_diff(*both, "broken", "repaired", lineterm="", n=1)))
    else:
        print(examine(chosen[0], args.seed, args.healthy))
    return 0


if __name__ == "__main__":
    sys.exit(main())
