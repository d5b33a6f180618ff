"""The clinic: small models and training scripts, each with one fault. `python -m clinic` examines them all.

A patient is a file NN_name.py. Its docstring says what somebody complained about; its `build(seed)` returns the keyword
arguments of `tinytorch.diagnosis.diagnose`. Find the fault, repair the file, and ask `python -m clinic NN` again.
solutions.py says what is wrong and how to repair it: do not open it before you have looked yourself.
"""
from pathlib import Path

from tinytorch.diagnosis import diagnose

FOLDER = Path(__file__).parent
PATIENTS = sorted(path.stem for path in FOLDER.glob("[0-9][0-9]_*.py"))


def source_of(patient, healthy=False):
    "Return the text of a patient's file, or of its repaired twin. Raises: ValueError where the repair does not fit."
    text = (FOLDER / f"{patient}.py").read_text(encoding="utf-8")
    if not healthy:
        return text
    from clinic.solutions import SOLUTIONS
    for old, new in SOLUTIONS[patient].repair:
        if text.count(old) != 1:
            raise ValueError(f"{patient}: found {text.count(old)} times what is to be repaired, {old!r}")
        text = text.replace(old, new)
    return text


def build(patient, seed=0, healthy=False):
    "Return the keyword arguments for `diagnose`, of a patient or of its healthy twin."
    namespace = {"__name__": f"clinic.{patient}"}
    exec(compile(source_of(patient, healthy), f"{patient}.py", "exec"), namespace)
    return namespace["build"](seed)


def examine(patient, seed=0, healthy=False):
    "Return the Report of a patient, or of its healthy twin."
    return diagnose(**build(patient, seed, healthy))
