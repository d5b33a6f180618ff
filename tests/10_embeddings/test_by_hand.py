"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import numpy as np
from by_hand import expect, likely

from tinytorch import Tensor
from tinytorch.nn.embedding import (
    Embedding,
    EmbeddingFunction,
    LearnedPositions,
    Rotary,
    RotaryFunction,
    SinusoidalPositions,
    embedding,
    position_angles,
    rotate,
    scatter_add_rows,
    sinusoidal_table,
)

ROWS = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])


def test_rows_used_twice_receive_both_gradients():
    expect(
        "rows to 2, 0, 2",
        scatter_add_rows(ROWS, np.array([2, 0, 2]), 4),
        [[2, 20], [0, 0], [4, 40], [0, 0]],
        {
            "assignment instead of scatter-add: rows used twice must receive both": [
                [2, 20],
                [0, 0],
                [3, 30],
                [0, 0],
            ],
            "only the first use counts: scatter-add": [[2, 20], [0, 0], [1, 10], [0, 0]],
        },
    )


def test_the_gradient_of_an_embedding():
    for padding, expected in (
        (None, [[2, 20], [0, 0], [4, 40]]),
        (0, [[0, 0], [0, 0], [4, 40]]),
        (2, [[2, 20], [0, 0], [0, 0]]),
    ):
        operation = EmbeddingFunction(padding)
        operation.forward(np.array([2, 0, 2]), np.ones((3, 2)))
        with likely("backward returns None for the indices and (V, D) for the weight"):
            nothing, dweight = operation.backward(ROWS)
        expect(
            f"embedding, padding_idx={padding}",
            dweight,
            expected,
            {
                "the row of padding_idx gets no gradient; 0 is a row too, and not None": [[2, 20], [0, 0], [4, 40]],
                "assignment instead of scatter-add": [[2, 20], [0, 0], [3, 30]],
            },
        )
        assert nothing is None, "integer indices have no gradient: None"


def test_the_rows_of_an_embedding():
    table = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    out = EmbeddingFunction().forward(np.array([[2, 0]]), table)
    expect("rows 2 and 0", out, [[[5, 6], [1, 2]]], {"the shape of the ids stays": [[5, 6], [1, 2]]})
    weight = Tensor(table, requires_grad=True)
    embedding(Tensor([2, 2, 0]), weight, padding_idx=-1).sum().backward()
    expect(
        "uses of each row, where -1, the last, is padding",
        weight.grad.data[:, 0],
        [1, 0, 0],
        {"padding_idx is ignored (-1 is the last row)": [1, 0, 2], "the other end is taken": [0, 0, 2]},
    )


def test_an_embedding_layer():
    layer = Embedding(3, 2, padding_idx=0)
    assert not layer.weight.data[0].any(), "the row padding_idx starts at 0; 0 is a row too, and not None"
    assert layer.weight.data[1:].all(), "the other rows are normal random numbers"
    layer(Tensor([0, 1, 1])).sum().backward()
    mistakes = {"padding_idx does not reach embedding": [1, 2, 0]}
    expect("uses of each row, without padding", layer.weight.grad.data[:, 0], [0, 2, 0], mistakes)
    assert Embedding(4, 2, padding_idx=-1).padding_idx == 3, "padding_idx is counted from the front"


def test_learned_positions_learn():
    positions = LearnedPositions(5, 2)
    out = positions(2, offset=1)
    assert out.requires_grad, "these rows have no graph: were they taken from .data? Index the Parameter itself"
    expect(
        "rows 1 and 2", out.data, positions.weight.data[1:3], {"the offset is ignored": positions.weight.data[:2]}
    )
    out.sum().backward()
    expect("gradient of the table, by row", positions.weight.grad.data[:, 0], [0, 1, 1, 0, 0])


def test_angles_of_places():
    expect(
        "position_angles(2, 4, base=100)",
        position_angles(2, 4, base=100.0),
        [[0, 0], [1, 0.1]],
        {
            "the base is an option": [[0, 0], [1, 0.01]],
            "the speeds shrink: base^(-2i / dim)": [[0, 0], [1, 10]],
            "pairs are counted in twos: 2i": [[0, 0], [1, 100**-0.25]],
        },
    )


def test_rotary_tables():
    rotary = Rotary(2, max_len=4)
    cos, sin = np.cos(2.0), np.sin(2.0)
    expect("cosines of place 2", rotary.cos.data[2], [cos, cos])
    mistakes = {"the sines of the first half have a minus": [sin, sin], "the minus is in the first half": [sin, -sin]}
    expect("sines of place 2", rotary.sin.data[2], [-sin, sin], mistakes)
    x = np.array([[1.0, 0.0]])
    turned = rotary(Tensor(x), offset=3).data
    mistakes = {"the offset is ignored": x, "it turns the other way": [[np.cos(3.0), -np.sin(3.0)]]}
    expect("(1, 0) at place 3", turned, [[np.cos(3.0), np.sin(3.0)]], mistakes)
    assert rotary.tables(1, 0, np.float32)[0].dtype == np.float32, "tables of the dtype that is asked for"


def test_fixed_positions():
    positions = SinusoidalPositions(5, 2)
    got = positions(2, offset=1).data
    expect("places 1 and 2", got, [[np.sin(t), np.cos(t)] for t in (1, 2)], {"the offset is ignored": [
        [np.sin(t), np.cos(t)] for t in (0, 1)]})
    assert not positions.state_dict(), "the table is not saved: persistent=False"


def test_the_sinusoidal_table():
    angles = position_angles(3, 4)
    sines, cosines = np.sin(angles), np.cos(angles)
    expected = [[f(t * w) for w in (1, 0.01) for f in (np.sin, np.cos)] for t in range(3)]
    with likely("the table has the shape (max_len, dim)"):
        expect(
            "sinusoidal_table(3, 4)",
            sinusoidal_table(3, 4),
            expected,
            {
                "sines in the even columns, cosines in the odd: interleaved": np.concatenate([sines, cosines], -1),
                "sines and cosines are swapped": np.stack([cosines, sines], -1).reshape(3, 4),
            },
        )


def test_a_quarter_turn():
    x, cos, sin = np.array([[1.0, 2.0, 3.0, 4.0]]), np.zeros((1, 4)), np.array([[-1.0, -1.0, 1.0, 1.0]])
    expect(
        "rotate by a quarter",
        rotate(x.copy(), cos, sin),
        [[-3, -4, 1, 2]],
        {
            "`sin` brings its sign along": [[3, 4, 1, 2]],
            "the halves are not swapped": [[-1, -2, 3, 4]],
            "pairs are (x[i], x[i + D/2]), not neighbours": [[-2, -1, 4, 3]],
        },
    )
    (back,) = RotaryFunction(cos, sin).backward(np.array([[-3.0, -4.0, 1.0, 2.0]]))
    expect("rotary, gradient", back, x, {"the gradient must be turned back: the opposite angle, minus sin": -x})
    kept = x.copy()
    rotate(x, cos, sin)
    assert np.array_equal(x, kept), "rotate changed x in place: the caller still needs it"
