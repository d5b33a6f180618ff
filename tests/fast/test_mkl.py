"""Products by MKL: the numbers of NumPy's, its threads limited with the others, nothing where it is not there."""
import numpy as np
import pytest
from fast.forms import CLOSE, check_form, numbers

import tinytorch
from tinytorch import Tensor, fast, nn
from tinytorch.fast import mkl
from tinytorch.fast.registry import best_level
from tinytorch.nn import functional as F
from tinytorch.nn.layers import LinearFunction
from tinytorch.optim import AdamW
from tinytorch.threads import blas, one_blas_thread

pytest.importorskip("numba", reason="the compiled forms need the extra: pip install -e '.[fast]'")
needs_mkl = pytest.mark.skipif(mkl.path() is None, reason="products by MKL: pip install mkl")


@pytest.fixture
def level():
    with fast.use("mkl"):
        yield "mkl"


MATRICES = {"rows": lambda n, m: numbers(n, m), "columns": lambda n, m: numbers(m, n).T}


@needs_mkl
@pytest.mark.parametrize("right", MATRICES)
@pytest.mark.parametrize("left", MATRICES)
@pytest.mark.parametrize("given", [False, True])
def test_products_of_every_layout(level, left, right, given):
    a, b = MATRICES[left](130, 90), MATRICES[right](90, 110)
    out = np.full((130, 110), np.nan, np.float32) if given else None
    found = mkl.product(a, b, out)
    assert found.dtype == np.float32 and (not given or found is out)
    assert np.allclose(found, a.astype(np.float64) @ b, **CLOSE)


@needs_mkl
def test_numpy_does_the_rest(level):
    large, wide = numbers(128, 128), numbers(128, 256)
    for a, b in ((large[:4], large), (large.astype(np.float64), large), (wide[:, ::2], large), (large, wide[:, ::2].T)):
        assert np.array_equal(mkl.product(a, b), a.dot(b))


@needs_mkl
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(256, 64), (4, 64, 64), (2, 64)])
def test_a_linear_layer(level, shape, bias):
    check_form(level, LinearFunction, numbers(*shape), numbers(96, 64, seed=1), numbers(96, seed=2) if bias else None)


def losses(level):
    with fast.use(level):
        tinytorch.manual_seed(0)
        model = nn.GPT(nn.GPTConfig(vocab_size=50, context=32, d_model=64, num_layers=2, num_heads=4))
        optimizer = AdamW(model.parameters(), lr=1e-2)
        found = []
        for step in range(4):
            ids = np.random.default_rng(step).integers(50, size=(8, 33))
            loss = F.cross_entropy(model(Tensor(ids[:, :-1])).flatten(0, 1), Tensor(ids[:, 1:].flatten()))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            found.append(loss.item())
    return found


@needs_mkl
def test_a_gpt_trains_alike():
    compiled, by_mkl = losses("compiled"), losses("mkl")
    assert by_mkl == pytest.approx(compiled, rel=1e-5)
    assert by_mkl != compiled, "the very same digits: did it run at all?"


@needs_mkl
def test_its_threads_are_limited_with_all_others(level):
    def threads():
        return {library.internal_api: library.num_threads for library in blas().lib_controllers}
    with blas().limit(limits=2):
        assert threads()["mkl"] == 2 and "mkl" in fast.status()["blas"]
        with one_blas_thread():
            assert set(threads().values()) == {1}


def test_without_it_nothing_happens(monkeypatch):
    monkeypatch.setattr(mkl, "path", lambda: None)
    assert best_level() == best_level("mkl") == "compiled"
    with pytest.raises(ImportError, match='"mkl" needs MKL; pip install mkl .*or use "compiled"'):
        fast.use("mkl")


@pytest.mark.parametrize("home", [True, False])
def test_it_is_taken_unasked_on_processors_of_its_maker_alone(monkeypatch, home):
    monkeypatch.setattr(mkl, "path", lambda: "libmkl_rt.so")
    monkeypatch.setattr(mkl, "is_home", lambda: home)
    assert best_level() == ("mkl" if home else "compiled")
    assert best_level("compiled") == "compiled" and best_level("mkl") == "mkl"
