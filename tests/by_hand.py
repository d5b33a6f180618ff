"""For small examples worked by hand: what was expected, what came, and which mistake would give just that."""

from contextlib import contextmanager

import numpy as np


def expect(what, got, expected, mistakes=()):
    """`got` is `expected`; else an AssertionError that names the mistake by which it would be what it is.

    `mistakes`: {what somebody may have done: the result of that}. Sign, factor, transpose and zeros are always tried.
    """
    expected = np.asarray(expected)
    if same(got, expected):
        return
    number = expected.astype(float)
    general = {
        "the sign is wrong": -number,
        "a factor of 2 is missing": number / 2,
        "a factor of 2 too much": 2 * number,
        "it is transposed": number.T,
        "nothing arrived, it is all zeros": 0 * number,
    }
    tried = dict(mistakes) | general
    likely = [mistake for mistake, result in tried.items() if same(got, np.asarray(result))]
    if np.shape(got) != expected.shape and not likely and got is not None:
        likely = [f"the shape is {np.shape(got)}, expected {expected.shape}"]
    shown = None if got is None else np.asarray(got).tolist()
    raise AssertionError(
        f"{what}: expected {expected.tolist()}, got {shown}" + (f": {likely[0]}" if likely else "")
    )


def same(got, expected):
    alike = got is not None and np.shape(got) == expected.shape
    return alike and np.allclose(got, expected, rtol=1e-5, atol=1e-7, equal_nan=True)


@contextmanager
def likely(mistake, *errors):
    "An error of these kinds inside becomes an AssertionError that says what probably caused it."
    kinds = errors or (ValueError, TypeError, RuntimeError, IndexError)
    try:
        yield
    except kinds as error:
        raise AssertionError(f"{mistake} ({type(error).__name__}: {error})") from error
