"""Checks as questions: what leaves the sandbox, what is decided outside, and what is not data."""
import ast
import math
import re
from pathlib import Path

import numpy as np
import pytest

from tinytorch import Tensor
from tito.grading.checks import ASK, check_of
from tito.grading.plain import MOST_BYTES, Opaque, decode, encode
from tito.grading.prepared import code_cells
from tito.strip import read_notebook

CLOSE = ("allclose", "isclose", "array_equal", "assert_allclose")
NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "modules").glob("*.ipynb"))


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


# ---- what the answer must be stands in the check alone, somewhere: nowhere can it be looked up or changed

@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_graded_check_has_a_number_or_a_text_of_its_own(notebook):
    checks = [(name, check_of(source)) for name, source in code_cells(read_notebook(notebook)) if name]
    assert checks and [name for name, check in checks if not any(map(has_its_own, check.questions))] == []


def has_its_own(question):
    "Whether what was sent is compared with a number or a text, and is not just a shape or a dtype."
    if re.search("shape|ndim|dtype", question.inside):
        return False
    return any(is_own(side) for node in ast.walk(ast.parse(question.test)) for side in sides(node))


def sides(node):
    "The two that a comparison compares."
    match node:
        case ast.Compare(ops=[ast.Eq() | ast.In()], left=left, comparators=[right]):
            return left, right
        case ast.Compare(ops=[ast.Lt()], left=ast.Call(args=[ast.BinOp(op=ast.Sub(), left=left, right=right)])):
            return left, right  # abs(left - right) <
        case ast.Call(func=ast.Attribute(attr=name), args=[left, right, *_]) if name in CLOSE:
            return left, right
    return ()


def is_own(side):
    parts = list(ast.walk(side))
    constants = [part.value for part in parts if isinstance(part, ast.Constant)]
    sent = [part for part in parts if isinstance(part, ast.Name) and re.fullmatch(r"_\d+", part.id)]
    return not sent and any(type(value) in (int, float, str) for value in constants)


@pytest.mark.parametrize("source, own", [
    ("assert f(x) == 3", True), ("assert np.allclose(f(x), [1, 2])", True), ("assert abs(f(x) - 0.5) < 1e-6", True),
    ("assert 'scale' in str(error)", True), ("assert f(x) is None", False), ("assert f(x) == True", False),
    ("assert np.allclose(f(x), g(x), atol=1e-6)", False), ("assert abs(f(x) - y) < 1e-6", False),
    ("assert f(x).shape == (2, 3)", False), ("assert f(x) > 0", False), ("assert (f(x) == y).all()", False),
])
def test_what_is_of_its_own(source, own):
    assert any(map(has_its_own, check_of(source).questions)) == own
