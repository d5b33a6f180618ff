"""Checks as questions: what leaves the sandbox, what is decided outside, and what is not data."""
import math

import numpy as np
import pytest

from tinytorch import Tensor
from tito.grading.checks import ASK, check_of
from tito.grading.plain import MOST_BYTES, Opaque, decode, encode


@pytest.mark.parametrize("source, tests, sent", [
    ("assert np.allclose(f(1), [1, 2])", ["np.allclose(_0, [1, 2])"], ["f(1)"]),
    ("assert f(1).tolist() == [1] and f(2) is None", ["_0 == [1]", "_0 is None"], ["f(1).tolist()", "f(2)"]),
    ("assert f(1) is x", ["_0"], ["f(1) is x"]),
    ("assert 0 < g(x) <= math.exp(2), 'far'", ["0 < _0 <= math.exp(2)"], ["g(x)"]),
    ("assert (f(x) == 0).all()", ["(_0 == 0).all()"], ["f(x)"]),
    ("assert y.dtype == bool", ["_0 == bool"], ["y.dtype"]),
    ("bool = f\nassert y.dtype == bool", ["_0 == _1"], ["y.dtype, bool"]),
    ("assert all(x > 0 for x in y)", ["_0"], ["all((x > 0 for x in y))"]),
    ("assert not f(x) or g(x)", ["_0"], ["not f(x) or g(x)"]),
    ("np.testing.assert_allclose(f(x), [1], rtol=0.1)", ["np.testing.assert_allclose(_0, [1], rtol=0.1) is None"],
     ["f(x)"]),
])
def test_what_is_sent_and_what_is_decided(source, tests, sent):
    check = check_of(source)
    assert [question.test for question in check.questions] == tests
    lines = [line for line in check.program.split("\n") if ASK in line]
    assert lines == [f"{ASK}({number}, {values})" for number, values in enumerate(sent)]
    assert "far" not in check.program and "[1, 2]" not in check.program


def test_a_trusted_question_is_decided_inside():
    check = check_of("assert f(1) == [1, 2]", frozenset([0]))
    assert check.program == f"{ASK}(0, bool(f(1) == [1, 2]))"
    (question,) = check.questions
    assert question.holds([True]) and not question.holds([np.array([True])]) and not question.holds([1])


@pytest.mark.parametrize("value", [
    None, True, 3, -(1 << 100), 0.1, -math.inf, "é", b"\0", [1, [2.5]], (1, "a"), {1, 2}, {"a": [1], 2: None},
    np.float32, bool, np.dtype("int32"), np.float64(0.1), np.array([[1, 2]], np.int16), np.zeros((0, 3)),
    np.array("abc"),
], ids=repr)
def test_data_arrives_as_it_is(value):
    made = decode(encode(value))
    assert type(made) is type(value) and np.all(made == value)
    assert getattr(made, "dtype", None) == getattr(value, "dtype", None)


def test_a_tensor_is_its_numbers():
    assert decode(encode(Tensor([1.0, 2.0]))).tolist() == [1, 2]


class Equal(float):
    def __eq__(self, other):
        return True

    __hash__ = None


@pytest.mark.parametrize("value", [Equal(1), object(), [Equal(1)], {"a": Equal(2)}, lambda: 1, 1 << 600, ValueError(1),
                                   np.array([None]), np.broadcast_to(np.float64(0), (MOST_BYTES,))], ids=type)
def test_what_is_no_data_equals_nothing_but_itself(value):
    made, other = decode(encode(value)), decode(encode(object()))
    assert made == decode(encode(value)) and made != other and made not in (1, 2, [1.0], {"a": 2.0})


@pytest.mark.parametrize("said", [
    3, [], {}, {"int": "x"}, {"a": 1, "b": 2}, {"array": ["<f8", [2], "AAAA"]}, {"array": ["O", [1], "AAAAAAAAAAA="]},
    {"array": ["<f8", [-1], ""]}, {"array": ["<f8", [1 << 62], ""]}, {"type": ["os", "system"]}, {"dict": [[[], 1]]},
    {"type": ["numpy", "load"]}, {"float": "nix"}, {"set": [{"list": []}]}, {"list": 3},
], ids=repr)
def test_what_is_none_of_ours_is_opaque_and_equals_not_even_itself(said):
    made = decode(said)
    assert isinstance(made, Opaque) and made != made
