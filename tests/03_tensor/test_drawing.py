"""The drawing of a graph: every operation and every named leaf is in it."""
from xml.etree import ElementTree

import pytest

from tinytorch import Tensor, draw


def test_operations_leaves_and_arrows():
    x, w = Tensor([[1.0, 2.0]], requires_grad=True), Tensor([[3.0], [4.0]], requires_grad=True)
    hidden = x @ w
    loss = (hidden * hidden).sum()
    picture = draw(loss, x=x, w=w)
    assert sorted(picture.labels.values()) == ["MatMul (1, 1)", "Mul (1, 1)", "Sum ()", "w (2, 1)", "x (1, 2)"]
    assert len(picture.edges) == 5  # x, w -> MatMul; MatMul -> Mul twice; Mul -> Sum
    names = [[picture.labels[node].split()[0] for node in row] for row in picture.rows()]
    assert sorted(names[0]) == ["w", "x"] and names[1:] == [["MatMul"], ["Mul"], ["Sum"]]
    assert picture._repr_svg_() == picture.svg  # what a notebook shows
    svg = ElementTree.fromstring(picture.svg)
    words = [element.text for element in svg.iter() if element.text]
    assert {"MatMul (1, 1)", "x (1, 2)"} <= set(words)
    loss.backward()  # a drawing runs nothing and frees nothing
    assert x.grad is not None


def test_what_has_no_graph_cannot_be_drawn():
    x = Tensor([1.0], requires_grad=True)
    with pytest.raises(ValueError):
        draw(x)
    y = (x * 2).sum()
    y.backward()
    with pytest.raises(ValueError):
        draw(y)
