"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import numpy as np
from by_hand import expect, likely

from tinytorch.ops.reductions import MatMul, Softmax, Sum
from tinytorch.ops.shapes import Index, Permute, Reshape

X = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


def test_a_sum_gives_its_gradient_to_all_that_went_into_it():
    operation = Sum(dim=1)
    operation.forward(X)
    with likely("the summed dims must come back with size 1 before the gradient is stretched: restore"):
        expect(
            "sum, gradient",
            operation.backward(np.array([1.0, 5.0]))[0],
            [[1, 1, 1], [5, 5, 5]],
            {"a mean where it should be a sum": np.array([[1, 1, 1], [5, 5, 5]]) / 3},
        )


def test_rows_read_twice_receive_both_gradients():
    operation = Index(np.array([0, 0, 2]))
    operation.forward(np.zeros(4))
    expect(
        "x[[0, 0, 2]], gradient",
        operation.backward(np.array([1.0, 10.0, 100.0]))[0],
        [11, 0, 100, 0],
        {
            "assigned where it should be added: rows read twice must receive both (scatter-add)": [10, 0, 100, 0],
            "of two additions to one place the first is kept: += is not scatter-add, np.add.at is": [1, 0, 100, 0],
        },
    )


def test_a_matrix_product():
    w, grad, operation = np.arange(12.0).reshape(3, 4), np.arange(8.0).reshape(2, 4), MatMul()
    operation.forward(X, w)
    with likely("is a transpose missing? dX = G W^T and dW = X^T G have the shapes of X and W"):
        dx, dw = operation.backward(grad)
    expect("X W, gradient of X", dx, grad @ w.T)
    expect("X W, gradient of W", dw, X.T @ grad)


def test_a_square_matrix_product():
    x, w, grad = np.array([[1.0, 2], [3, 4]]), np.array([[0.0, 1], [2, 5]]), np.array([[1.0, -1], [2, 7]])
    operation = MatMul()
    operation.forward(x, w)
    dx, dw = operation.backward(grad)
    expect(
        "X W, gradient of X",
        dx,
        grad @ w.T,
        {"is a transpose missing? dX = G W^T": grad @ w, "the order is wrong: dX = G W^T": w.T @ grad},
    )
    expect(
        "X W, gradient of W",
        dw,
        x.T @ grad,
        {"is a transpose missing? dW = X^T G": x @ grad, "the order is wrong: dW = X^T G": grad @ x.T},
    )


def test_softmax():
    operation, p, grad = Softmax(-1), np.array([0.5, 0.25, 0.25]), np.array([1.0, 0.0, 3.0])
    expect(
        "softmax of log(2), 0, 0",
        operation.forward(np.log([2.0, 1.0, 1.0])),
        p,
        {
            "divide by the sum": np.array([2.0, 1, 1]),
            "divide by the sum of the shares, not of the scores": [1, 0.5, 0.5],
        },
    )
    expect(
        "softmax, gradient",
        operation.backward(grad)[0],
        p * (grad - grad @ p),
        {
            "a term is missing: each share depends on all scores, subtract the average gradient": p * grad,
            "a term is missing: a share depends on the other scores as well": grad * p * (1 - p),
        },
    )


def test_softmax_of_large_scores():
    with np.errstate(all="ignore"):
        got = Softmax(-1).forward(np.array([1000.0, 1000.0]))
    expect(
        "softmax of 1000, 1000",
        got,
        [0.5, 0.5],
        {"exp overflows: subtract the largest score first": [np.nan, np.nan]},
    )


def test_the_way_back_of_views():
    x = np.arange(24.0).reshape(2, 3, 4)
    for dims in ((2, 0, 1), (1, 2, 0), (0, 2, 1)):
        out, operation = x.transpose(dims), Permute(*dims)
        operation.forward(x)
        expect(
            f"Permute{dims}, forward and back",
            operation.backward(out)[0],
            x,
            {"the way back is the inverse permutation: np.argsort of the dims": out.transpose(dims)},
        )
    operation = Reshape(6, 4)
    out = operation.forward(x)
    expect("Reshape, forward and back", operation.backward(out)[0], x, {"the old shape must come back": out})
