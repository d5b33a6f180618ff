"""The seam between plain and fast forms: one registry, one switch, and never behind a student's back."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, fast
from tinytorch.dispatch import chosen, replaceable
from tinytorch.fast.registry import registry
from tinytorch.ops.elementwise import Function
from tinytorch.tensor import apply

PACKAGE = Path(tinytorch.__file__).parent


class Twice(Function):
    def forward(self, x):
        return x + x

    def backward(self, grad):
        return (grad + grad,)


@replaceable
def shifted(x):
    return x + 1


@pytest.fixture(autouse=True)
def nothing_stays():
    "Forms that a test registers, and the level that it switches to, end with it."
    before = {operation: dict(forms) for operation, forms in registry.items()}
    with fast.use("plain"):
        yield
        registry.clear()
        registry.update(before)


def register():
    @fast.implements(Twice, "numpy")
    class FastTwice(Twice):
        def forward(self, x):
            return 2 * x

        def backward(self, grad):
            return (2 * grad,)

    fast.implements(shifted, "numpy")(lambda x: shifted.__wrapped__(x) + 100)
    return FastTwice


def test_a_form_runs_where_its_level_is_switched_on():
    form = register()
    assert type(Twice()) is Twice and shifted(1) == 2
    with fast.use("numpy"):
        assert type(Twice()) is form and shifted(1) == 102
        x = Tensor([1.0], requires_grad=True)
        y = apply(Twice(), x)
        assert "grad_fn=Twice)" in repr(y)
        with fast.use("plain"):
            assert type(Twice()) is Twice
        assert fast.status()["level"] == "numpy" and fast.status()["forms"]["Twice"] == "FastTwice"
    assert type(Twice()) is Twice and shifted(1) == 2
    y.backward()
    assert x.grad.tolist() == [2.0]


def test_a_subclass_is_not_replaced():
    register()

    class Mine(Twice):
        pass

    with fast.use("numpy"):
        assert type(Mine()) is Mine


def test_compiled_takes_numpys_form_where_it_has_none():
    form = register()
    with fast.use("numpy"):
        pass
    if fast.status()["numba"]:
        with fast.use("compiled"):
            assert type(Twice()) is form


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="cuda.*plain"):
        fast.use("cuda")
    with pytest.raises(ValueError, match="plain"):
        fast.implements(Twice, "plain")
    with pytest.raises(TypeError, match="subclass of Twice"):
        fast.implements(Twice, "numpy")(Function)
    with pytest.raises(TypeError, match="backward"):
        fast.implements(Twice, "numpy")(type("Half", (Twice,), {"forward": lambda self, x: x}))
    assert not chosen


def test_without_the_folder_everything_works(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "tinytorch", ignore=shutil.ignore_patterns("fast", "__pycache__"))
    program = ("import tinytorch, tinytorch.nn as nn\n"
               "y = nn.Linear(3, 2)(tinytorch.ones(4, 3)).sum()\ny.backward()\n"
               "print(y.shape, hasattr(tinytorch, 'fast'))")
    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True,
                            env={"PYTHONPATH": str(tmp_path), "PATH": ""})
    assert result.stdout == "() False\n", result.stderr


def test_arrays_are_not_touched_by_the_switch():
    x = Tensor(np.arange(3.0))
    with fast.use("numpy"):
        assert (x * 2).tolist() == [0.0, 2.0, 4.0]
