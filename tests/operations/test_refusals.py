"""What each operation must refuse: by both libraries, and ours says why."""
import pytest
from operations.refusals import NOTHING, column
from operations.rows import ROWS
from said import said

OURS = TypeError, ValueError, IndexError
CASES = [(name, refusal) for name, refusals in column().items() for refusal in refusals]


def tried(t, tensor, expression):
    names = {"t": t, "m": t.ones(2, 3), "v": t.ones(3), "cube": t.ones(2, 3, 4), "image": t.ones(1, 3, 5, 5),
             "i": tensor([0, 1]), "b": tensor([True, False])}
    return eval(expression, names)


@pytest.mark.parametrize("name, refusal", CASES, ids=lambda part: getattr(part, "expression", ""))
def test_is_refused(name, refusal, ours):
    with pytest.raises(OURS) as raised:
        tried(ours, ours.tensor, refusal.expression)
    message = said(raised.value).replace(", ", ",")
    missing = [word for word in refusal.words.replace(", ", ",").split() if word not in message]
    assert not missing, f"{type(raised.value).__name__}: {message!r} does not say {missing}"


@pytest.mark.parametrize("name, refusal", CASES, ids=lambda part: getattr(part, "expression", ""))
def test_pytorch_refuses_it_too_or_the_row_says_why_we_do(name, refusal, theirs):
    try:
        tried(theirs, theirs.tensor, refusal.expression)
        refused = False
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError):
        refused = True
    assert refused != bool(refusal.why)


def test_every_row_has_the_column():
    names = {row.name for row in ROWS}
    assert names - column().keys() == NOTHING and column().keys() <= names
