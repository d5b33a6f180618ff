"""The clinic as a game: a patient, its curve, three guesses; folded away, what the examination finds and the repair.

Curve and finding come from a run, made once for each version of the patient and of the package.
"""

import difflib
import importlib
import json
import random
import re
import sys
from html import escape
from pathlib import Path

from tito.files import digest, write_whole
from tito.project import TitoError
from tito.report import WIDE, chart
from tito.runs import is_number
from tito.site.outputs import package_version
from tito.site.pages import Page, fenced

STEPS = 100  # of training, for the curve
GUESSES = 3
OWN_RATE = 1e-3  # of AdamW, for a patient that brings no optimizer
NO_GUESS = ("skipped", "unused", "does-not-run", "does-not-generalize")


def clinic_pages(root: Path, cache: Path, chosen: frozenset[str] | None = None) -> list[Page]:
    """The ward's list, and a page for each patient; only those whose number is `chosen`, if given.

    Raises: TitoError for a number that no patient has.
    """
    if str(root) not in sys.path:
        sys.path.append(str(root))  # behind everything else: only `clinic` is to be found there
    clinic = importlib.import_module("clinic")
    patients = [name for name in clinic.PATIENTS if chosen is None or name.split("_")[0] in chosen]
    if unknown := sorted((chosen or frozenset()) - {name.split("_")[0] for name in patients}):
        raise TitoError(f"no patient {', '.join(unknown)}; there are 01 to {clinic.PATIENTS[-1].split('_')[0]}")
    pages = [patient_page(name, examined(name, root, cache)) for name in patients]
    return [ward(pages, len(clinic.PATIENTS)), *pages]


def ward(pages: list[Page], every: int) -> Page:
    page = Page("index", "The clinic")
    page.lines = [
        "# The clinic",
        "Each patient is a small model with a training script, and one fault. Somebody complains; you see the code and "
        "the curve of its loss. Where is the fault? Three guesses, one of them right. Then look at what "
        "[`diagnose`](../reference/tinytorch.diagnosis.md#tinytorch.diagnosis.diagnose) finds by experiments, and at "
        "the repair. [Chapter 15](../chapters/15_diagnosis.md) builds it.",
        '<p class="score" hidden></p>',
    ]
    listed = [f"- [{one.title}]({one.name}.md){{ data-patient={one.name} }}: {one.about}" for one in pages]
    page.lines.append("\n".join(listed))
    if len(pages) < every:
        page.lines.append(f"{len(pages)} of {every} patients were examined for this build.")
    return page


def patient_page(name: str, found: dict) -> Page:
    page = Page(name, title(name))
    complaint, source = found["complaint"], found["source"]
    page.about = complaint
    page.lines = [f"# {page.title}", f"> {complaint}", fenced(source, title=f"clinic/{name}.py")]
    page.lines += ["## Its curve", curve(found)]
    page.lines += ["## Where is the fault?", *guesses(name, found["fault"], found["named"])]
    page.lines += [folded("What the examination finds", finding(found))]
    return page


def title(name: str) -> str:
    number, _, words = name.partition("_")
    return f"{number} {words.replace('_', ' ').capitalize()}"


def curve(found: dict) -> str:
    sick = drawn({"loss": found["losses"]})
    how = f"{len(found['losses'])} steps on its batch, with {found['optimizer']}."
    failed = f"\n\n{fenced(found['error'], 'text')}" if found["error"] else ""
    return (f"{sick}\n\n{how}" if sick else "It does not come as far as a loss.") + failed


def drawn(curves: dict[str, list[float]]) -> str:
    """Curves of losses as an SVG, "" for none that could be drawn."""
    parts = [(name, pair) for name, losses in curves.items() if len((pair := points(losses))[0]) > 1]
    return f'<div class="curves">{chart(list(curves), parts, WIDE)}</div>' if parts else ""


def points(losses: list) -> tuple[list[int], list[float]]:
    kept = [(step, loss) for step, loss in enumerate(losses, 1) if is_number(loss)]
    return [step for step, _ in kept], [loss for _, loss in kept]


def guesses(name: str, fault: str, named: list[str]) -> list[str]:
    """Three causes, in an order that the patient's name decides; what the examination names is no wrong answer."""
    from clinic.solutions import SOLUTIONS
    from tinytorch.diagnosis import CATALOGUE

    usual = sorted({solution.fault for solution in SOLUTIONS.values()} - {*named, *NO_GUESS, fault})
    near = [other for other in usual if CATALOGUE[other].stage == CATALOGUE[fault].stage]
    draw = random.Random(name)
    wrong = draw.sample(near, min(len(near), GUESSES - 1))
    wrong += draw.sample([other for other in usual if other not in wrong], GUESSES - 1 - len(wrong))
    shown = sorted([fault, *wrong], key=lambda _: draw.random())
    return [guess(CATALOGUE[one].cause, one == fault, name) for one in shown]


def guess(cause: str, right: bool, patient: str) -> str:
    verdict = "**Right.** Below is how it is found." if right else "**No.** Look again."
    kind = "right" if right else "wrong"
    return (f'<details class="guess {kind}" name="guess" data-patient="{patient}" markdown="1">\n'
            f"<summary>{escape(cause)}</summary>\n\n{verdict}\n\n</details>")  # fmt: skip


def finding(found: dict) -> str:
    both = drawn({"loss of the patient": found["losses"], "loss, repaired": found["repaired"]})
    parts = [fenced(found["report"], "text"), found["story"], fenced(found["repair"], "diff"), both]
    return "\n\n".join(filter(None, parts))


def folded(summary: str, text: str) -> str:
    return f'<details class="finding" markdown="1">\n<summary>{summary}</summary>\n\n{text}\n\n</details>'


# ---- the examination


def examined(name: str, root: Path, cache: Path) -> dict:
    """What is shown of a patient, from the cache or from a run."""
    texts = [(root / "clinic" / file).read_bytes() for file in (f"{name}.py", "parts.py", "solutions.py")]
    version = digest(b"".join([*texts, Path(__file__).read_bytes(), package_version(root).encode()]))[:16]
    kept = cache / "clinic" / f"{name}-{version}.json"
    if not kept.is_file():
        write_whole(kept, json.dumps(examine(name)).encode())
    return json.loads(kept.read_text(encoding="utf-8"))


def examine(name: str) -> dict:
    from clinic import examine, source_of
    from clinic.solutions import SOLUTIONS

    report, solution = examine(name), SOLUTIONS[name]
    both = [source_of(name, healthy).splitlines() for healthy in (False, True)]
    losses, error, optimizer = trained(name)
    return {
        "complaint": " ".join(source_of(name).split('"""')[1].split()),
        "source": source_of(name), "fault": solution.fault, "story": solution.story,
        "named": [found.fault for found in report.findings],
        "report": re.sub(r", [\d.]+ s$", "", str(report), count=1, flags=re.MULTILINE),
        "repair": "\n".join(difflib.unified_diff(*both, "broken", "repaired", lineterm="", n=1)),
        "losses": losses, "error": error, "optimizer": optimizer, "repaired": trained(name, healthy=True)[0],
    }  # fmt: skip


def trained(name: str, healthy: bool = False) -> tuple[list[float], str, str]:
    """The loss of each step of training, the error that ended it ("" for none), and the optimizer in words."""
    import numpy as np

    from clinic import build
    from tinytorch.diagnosis import Case
    from tinytorch.optim import AdamW

    case, losses = Case(**build(name, 0, healthy)), []
    optimizer = case.optimizer or AdamW(case.parameters.values(), lr=OWN_RATE)

    def recorded(*given):
        loss = case.loss_fn(*given)
        losses.append(float(loss.item()))
        return loss

    error = ""
    try:
        with np.errstate(all="ignore"):
            for _ in range(STEPS):
                case.step(case.model, case.batch, recorded, optimizer)
    except Exception as raised:  # whatever the patient dies of is what is shown
        error = f"{type(raised).__name__}: {raised}"
    whose = "its own optimizer" if case.optimizer else "AdamW, for it brings no optimizer"
    return losses, error, f"{whose} ({type(optimizer).__name__}, learning rate {optimizer.param_groups[0]['lr']:g})"
