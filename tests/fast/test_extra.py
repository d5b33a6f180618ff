"""The levels as a whole: numba found, lazy, switched off, broken, its code cached; never in the way of a student.

The switch is read when tinytorch is imported, so each of these is a process of its own.
"""
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tinytorch

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def fast(tmp_path_factory):
    "A function that runs a program with the extra in use and returns what it prints, as JSON."
    if importlib.util.find_spec("numba") is None:
        assert not os.environ.get("CI"), "numba must be there in CI: pip install -e '.[test]'"
        pytest.skip("the compiled kernels need numba: pip install numba")
    cache = tmp_path_factory.mktemp("cache")

    def run(program, cache=cache, **environment):
        return json.loads(process([sys.executable, "-c", program], TINYTORCH_CACHE=str(cache), **environment).stdout)

    run.cache = cache
    return run


def process(command, **environment):
    environment = {**os.environ, "TINYTORCH_FAST": "compiled", **environment}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(tinytorch.__file__).parents[1]), *sys.path])
    result = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=TESTS.parent)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result


def pytest_run(*paths, cache, level):
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *paths]
    return process(command, TINYTORCH_CACHE=str(cache), TINYTORCH_FAST=level).stdout


REPLACED = ["softmax", "cross_entropy", "gelu", "silu", "relu_squared", "norm", "embedding", "attention", "rotary",
            "linear", "matmul", "conv", "pool"]


@pytest.mark.parametrize("level, left_out", [("numpy", "slope"), ("compiled", "float64 and not slope")])
def test_the_table_of_operations_again(fast, level, left_out):
    "PyTorch's values and gradients, layouts, dtypes, extremes: as for the plain operations, where there is a form"
    table = TESTS / "operations"
    chosen = f"({' or '.join(REPLACED)}) and not ({left_out.replace(' and not ', ' or ')})"
    output = pytest_run(str(table / "test_table.py"), str(table / "test_extremes.py"), "-k", chosen, cache=fast.cache,
                        level=level)
    passed = re.search(r"(\d+) passed", output)
    assert passed and int(passed[1]) > 300, output[-1000:]


TRAIN = """
import json, numpy as np, tinytorch
from tinytorch import Tensor, fast, nn, optim
from tinytorch.nn import functional as F
losses = []
for options in ({"dropout": 0.1}, {"norm": "rms_norm", "activation": "swiglu", "positions": "rotary", "bias": False},
                {"activation": "relu_squared", "tied_head": False}):
    tinytorch.manual_seed(0)
    model = nn.GPT(nn.GPTConfig(vocab_size=17, context=12, d_model=24, num_layers=2, num_heads=3, **options))
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(6):
        ids = np.random.default_rng(step).integers(17, size=(4, 13))
        loss = F.cross_entropy(model(Tensor(ids[:, :-1])).flatten(0, 1), Tensor(ids[:, 1:].flatten()))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
state = fast.status()
print(json.dumps({"losses": losses, "level": state["level"], "forms": state["forms"], "loading": state["loading"]}))
"""


def test_a_gpt_trains_alike_at_every_level(fast):
    plain, numpys, compiled = (fast(TRAIN, TINYTORCH_FAST=level) for level in ("plain", "numpy", "compiled"))
    assert (plain["level"], plain["forms"], plain["loading"]) == ("plain", {}, None)
    assert numpys["loading"] is None and numpys["forms"]["LayerNormFunction"] == "RowsLayerNorm"
    assert compiled["loading"] > 0 and compiled["forms"]["LayerNormFunction"] == "CompiledLayerNorm"
    assert len(plain["losses"]) == 18 and numpys["losses"] == pytest.approx(plain["losses"], rel=1e-5)
    assert compiled["losses"] == pytest.approx(plain["losses"], rel=1e-5)
    assert plain["losses"] != numpys["losses"] != compiled["losses"], "the very same digits: did the forms run at all?"


SILU = """
import json, pathlib, numpy as np, tinytorch
from tinytorch.nn import functional as F
package = pathlib.Path(tinytorch.__file__).parent
before = sorted(map(str, package.rglob("*.nb*")))
y = F.silu(tinytorch.ones(3)).tolist()
state = tinytorch.fast.status()
print(json.dumps({"y": y, "compiling": state["compiling"], "cache": str(state["cache"]), "problem": state["problem"],
                  "level": state["level"],
                  "written": sorted(map(str, package.rglob("*.nb*"))) != before}))
"""


def test_compiled_once_and_kept_beside_the_user(fast, tmp_path):
    first, second = fast(SILU, cache=tmp_path), fast(SILU, cache=tmp_path)
    assert first["compiling"]["silu"] > 0 and second["compiling"] == {}
    assert first["y"] == second["y"] == pytest.approx([0.7310586] * 3)
    assert first["cache"] == str(tmp_path / "kernels-2") and list(tmp_path.rglob("*.nbi"))
    assert not first["written"], "nothing is written into the package: it may be installed where that is forbidden"


def test_without_any_place_to_write_it_still_compiles(fast, tmp_path):
    (tmp_path / "file").touch()
    nowhere = str(tmp_path / "file" / "below")  # cannot be made, not even by root
    assert fast(SILU, cache=nowhere)["y"] == pytest.approx([0.7310586] * 3)


def test_says_what_it_compiles(fast, tmp_path):
    environment = {"TINYTORCH_CACHE": str(tmp_path)}
    assert "tinytorch: compiled silu in" in process([sys.executable, "-c", SILU], **environment).stderr
    assert process([sys.executable, "-c", SILU], **environment).stderr == ""


def test_numba_is_imported_at_the_first_kernel(fast):
    seen = fast("""
import json, sys, tinytorch
imported = ["numba" in sys.modules]
x = tinytorch.ones(3) * 2
imported.append("numba" in sys.modules)
tinytorch.nn.functional.silu(x)
print(json.dumps(imported + ["numba" in sys.modules]))
""")
    assert seen == [False, False, True]


def test_the_switch_keeps_numba_away(fast):
    program = """
import json, sys, tinytorch
tinytorch.nn.functional.silu(tinytorch.ones(3))
print(json.dumps("numba" in sys.modules))
"""
    assert not fast(program, TINYTORCH_FAST="numpy") and not fast(program, TINYTORCH_FAST="plain")


def test_a_broken_numba_warns_once_and_numpy_goes_on(tmp_path):
    (tmp_path / "numba.py").write_text("raise ImportError('Numba needs NumPy 1.99 or less')\n")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + SILU
    result = process([sys.executable, "-c", program + "F.silu(tinytorch.ones(3))"])
    state = json.loads(result.stdout)
    assert state["y"] == pytest.approx([0.7310586] * 3) and "1.99" in state["problem"]
    assert state["level"] == "numpy"
    assert result.stderr.count("UserWarning") == 1 and "TINYTORCH_FAST=numpy" in result.stderr


def test_without_numba_nothing_is_missing(tmp_path):
    program = "import sys; sys.modules['numba'] = None\n" + SILU
    state = json.loads(process([sys.executable, "-c", program]).stdout)
    assert state["y"] == pytest.approx([0.7310586] * 3) and state["level"] == "numpy"


def test_a_students_operation_is_left_alone_unless_asked(fast, tmp_path):
    file = tmp_path / "exported" / "tinytorch" / "ops" / "reductions.py"
    file.parent.mkdir(parents=True)
    file.write_text((Path(tinytorch.__file__).parent / "ops" / "reductions.py").read_text())
    (tmp_path / ".tito").mkdir()
    (tmp_path / ".tito" / "workspace.json").write_text("{}")
    program = """
import json, tinytorch
from tinytorch.nn.normalization import LayerNormFunction
from tinytorch.ops.reductions import Softmax
print(json.dumps([type(Softmax(-1)).__name__, type(LayerNormFunction()).__name__]))
"""
    workspace = {"TINYTORCH_WORKSPACE": str(tmp_path)}
    assert fast(program, **workspace) == ["Softmax", "CompiledLayerNorm"]
    assert fast(program, **workspace, TINYTORCH_FAST_STUDENT="1") == ["CompiledSoftmax", "CompiledLayerNorm"]
