"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import numpy as np
from by_hand import expect, likely

from tinytorch.nn.embedding import (
    EmbeddingFunction,
    LearnedPositions,
    RotaryFunction,
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


def test_learned_positions_learn():
    positions = LearnedPositions(5, 2)
    out = positions(2, offset=1)
    assert out.requires_grad, "these rows have no graph: were they taken from .data? Index the Parameter itself"
    expect(
        "rows 1 and 2", out.data, positions.weight.data[1:3], {"the offset is ignored": positions.weight.data[:2]}
    )
    out.sum().backward()
    expect("gradient of the table, by row", positions.weight.grad[:, 0], [0, 1, 1, 0, 0])


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
