"""How every milestone ends: it is judged by criteria, and all that it got is written into the folder of the run."""
import json
import math
from typing import NamedTuple

from tinytorch.checkpoint import write_whole
from tito.report import plot_loss, write_report
from tito.runs import show


class Criterion(NamedTuple):
    "One thing that a run has to show. percent: it reads 'got % of name', such as 99 % of held-out images right."
    name: str
    got: float
    wanted: str
    passed: bool
    percent: bool = False


def at_least(name, got, wanted, percent=False):
    return Criterion(name, got, f"at least {shown(wanted, percent)}", bool(got >= wanted), percent)


def at_most(name, got, wanted, percent=False):
    return Criterion(name, got, f"at most {shown(wanted, percent)}", bool(got <= wanted), percent)


def below(name, got, wanted):
    return Criterion(name, got, f"below {shown(wanted)}", bool(got < wanted))


def shown(value, percent=False):
    "Return a number with four digits, an integer with all of them, anything else as text."
    if percent:
        return f"{100 * value:.4g} %"
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else str(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def finish(folder, criteria, numbers, seconds, advice, best=None, table=None, part="", broken=None):
    """Write results.json, status.json, loss.png and report.html of a run, print the verdict, return the exit status.

    numbers: {name: what else was measured}. advice: what to look at where a criterion is not met. best: {"metric",
    "value"} that `tito runs` shows, by default the first criterion. table: {model: {name: what was measured}} where
    several models are compared. part: what makes this less than the whole milestone, such as "--quick". broken: what
    was done to the model so that it fails. The status is 0 if every criterion is met, else 1.
    """
    failed = [criterion.name for criterion in criteria if not criterion.passed]
    results = {"learned": not failed, "part": part, "broken": broken, "numbers": numbers, "table": table or {},
               "criteria": [criterion._asdict() for criterion in criteria]}
    write_whole(folder / "results.json", json.dumps(results, indent=1).encode())
    status = {"status": "not learned" if failed else "learned", "seconds": seconds,
              "best": best or {"metric": criteria[0].name, "value": criteria[0].got}}
    write_whole(folder / "status.json", json.dumps(status).encode())
    if (folder / "metrics.jsonl").exists():
        plot_loss(folder)
    if table:
        names = dict.fromkeys(name for column in table.values() for name in column)
        print()
        show([["", *table], *([name, *(shown(column.get(name, "")) for column in table.values())] for name in names)])
    print()
    show([["measured", ""], *([name, shown(value)] for name, value in numbers.items())])
    print()
    show([["to show", "got", "wanted", ""],
          *([each.name, shown(each.got, each.percent), each.wanted, "yes" if each.passed else "NO"]
            for each in criteria)])
    print(f"\nrun folder: {folder}, all on one page: {write_report(folder)}")
    print(f"NOT LEARNED: {', '.join(failed)}. {advice}" if failed else "LEARNED: every criterion is met.")
    return 1 if failed else 0
