"""How a fast form is compared with the plain one: values, gradients, twice; no input is written to."""
import numpy as np

from tinytorch import fast

CLOSE = {"rtol": 1e-5, "atol": 3e-5, "equal_nan": True}
EXACT = {"rtol": 1e-9, "atol": 1e-10, "equal_nan": True}


def numbers(*shape, seed=0, scale=2.0, dtype=np.float32):
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def made(level, make):
    with fast.use(level):
        return make()


def assert_same(got, expected):
    assert len(got) == len(expected)
    for a, b in zip(got, expected):
        if b is None:
            assert a is None
            continue
        assert a.shape == b.shape and a.dtype == b.dtype, f"{a.shape} {a.dtype}, expected {b.shape} {b.dtype}"
        close = EXACT if b.dtype == np.float64 else CLOSE
        assert np.allclose(a, b, **close), f"differs by {np.nanmax(np.abs(a - b)):.2g}"


def check_form(level, make, *arrays, seed=1):
    "Compare outputs and gradients of make(), plain and at `level`, on `arrays` (None: an absent input)."
    kept = [None if a is None else a.copy() for a in arrays]
    plain, form = made("plain", make), made(level, make)
    assert type(form) is not type(plain), f"{type(plain).__name__} has no form at {level}"
    expected, got = plain.forward(*arrays), form.forward(*arrays)
    assert_same([got], [expected])
    grad = np.asarray(np.random.default_rng(seed).standard_normal(np.shape(expected)), expected.dtype)
    gradients = form.backward(grad)
    assert_same(gradients, plain.backward(grad))
    assert_same(form.backward(grad), gradients)  # a graph may be walked again
    assert all(a is b or np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(arrays, kept)), \
        "an input was written to"
