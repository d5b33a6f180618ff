"""Find where an inf or a nan came from: run the computation once more and watch every operation."""
__all__ = ["Call", "users_line", "watched", "path_to_origin", "first_nonfinite", "described"]

import os
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np

from tinytorch.ops.elementwise import Function
from tinytorch.state import observed_by


@dataclass(eq=False)
class Call:
    operation: Function
    half: str
    inputs: list
    outputs: list
    line: str


def users_line():
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == "tinytorch":
        frame = frame.f_back
    return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"


def _floats(values):
    return [value for value in values if isinstance(value, np.ndarray) and value.dtype.kind == "f"]


def _finite(arrays):
    return all(np.isfinite(array).all() for array in arrays)


class _Calls(list):
    loss_is_finite = True  # of the last forward
    blamed = None  # the first backward that turned a finite loss into something else


@contextmanager
def watched():
    calls = _Calls()

    def observer(half, *arrays):
        result = half(*arrays)
        if isinstance(result, tuple):
            result = given = tuple(None if part is None else np.asarray(part) for part in result)
        else:
            result = np.asarray(result)
            given = (result,)
        outputs, name = _floats(given), half.__name__
        fine = _finite(outputs)
        if name == "forward":
            calls.loss_is_finite = fine
        if not fine:
            calls.append(Call(half.__self__, name, _floats(arrays), outputs, users_line()))
            if name == "backward" and calls.loss_is_finite and calls.blamed is None:
                calls.blamed = calls[-1]
        return result

    with observed_by(observer):
        yield calls


def path_to_origin(calls):
    path, at = [], len(calls) - 1
    while at is not None and at >= 0:
        path.append(calls[at])
        wanted = {id(array) for array in calls[at].inputs}
        at = next((i for i in range(at) if wanted & {id(array) for array in calls[i].outputs}), None)
    return path


def described(array, names):
    name = names.get(id(array), "")
    facts = [f"{count} {word}" for word, found in (("nan", np.isnan), ("inf", np.isinf))
             if (count := int(found(array).sum()))]
    if not facts and array.size:
        facts = [f"{array.min():.3g} to {array.max():.3g}"]
    shape = "x".join(map(str, array.shape)) or "scalar"
    return f"{name}{array.dtype} {shape}, {' and '.join(facts) or 'empty'}"


def _told(call, names):
    given = "; ".join(described(array, names) for array in call.inputs)
    bad = next(array for array in call.outputs if not _finite([array]))
    return f"{call.operation.name}.{call.half} at {call.line} gave {described(bad, {})} from inputs ({given})"


def first_nonfinite(run, names=None):
    with watched() as calls, suppress(FloatingPointError):
        run()
    if calls.blamed is not None:
        story = [calls.blamed]
    else:
        story = path_to_origin([call for call in calls if call.half == "forward"] or calls)[::-1]
    if not story:
        return None
    known = {id(tensor.data): f"{name}: " for name, tensor in (names or {}).items()}
    became_nan = next((call for call in story if any(np.isnan(array).any() for array in call.outputs)), story[0])
    chapters = [story[0]] if became_nan is story[0] else [story[0], became_nan]
    text = "; then ".join(_told(call, known) for call in chapters)
    return text
