"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import numpy as np
from by_hand import expect, likely

from tinytorch.ops.reductions import (
    Amax,
    CumSum,
    Einsum,
    LogSoftmax,
    LogSumExp,
    MatMul,
    Mean,
    Prod,
    Softmax,
    Std,
    Sum,
    Var,
    positive_dims,
)
from tinytorch.ops.shapes import Cat, Expand, Gather, Index, Pad, Permute, Reshape, Roll, Tril

X = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


def gradients(operation, *arrays, grad):
    operation.forward(*arrays)
    return operation.backward(np.array(grad))


def test_dims_are_counted_from_the_front():
    assert positive_dims(-1, 3) == (2,), f"-1 of 3 dims is dim 2, counted from the front; got {positive_dims(-1, 3)}"
    assert positive_dims((2, 0), 3) == (0, 2), f"in ascending order; got {positive_dims((2, 0), 3)}"
    assert positive_dims(None, 2) == (0, 1), f"None means all; got {positive_dims(None, 2)}"


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


def test_a_mean_shares_its_gradient():
    expect(
        "mean over dim 1, gradient",
        gradients(Mean(dim=1), X, grad=[3.0, 6.0])[0],
        [[1, 1, 1], [2, 2, 2]],
        {"the gradient of a sum: divide by the count": [[3, 3, 3], [6, 6, 6]]},
    )


def test_variance():
    x, operation = np.array([1.0, 3.0, 8.0]), Var()
    expect(
        "variance of 1, 3, 8",
        operation.forward(x),
        13,
        {"the correction is missing: divide by n - 1": 26 / 3, "squares are missing": 0, "divide the sum": 26},
    )
    expect(
        "variance, gradient",
        operation.backward(np.array(1.0))[0],
        [-3, -1, 4],
        {"divide by n - 1": [-6, -2, 8], "the deviations, not x": x},
    )
    expect(
        "standard deviation of 1, 3, gradient",
        gradients(Std(), np.array([1.0, 3.0]), grad=1.0)[0],
        [-(0.5**0.5), 0.5**0.5],
        {"the root has a slope too, 1 / (2 out)": [-2, 2]},
    )


def test_elements_that_tie():
    expect(
        "largest of 5, 5, 1, gradient",
        gradients(Amax(1), np.array([[5.0, 5.0, 1.0]]), grad=[6.0])[0],
        [[3, 3, 0]],
        {"elements that tie share the gradient": [[6, 6, 0]], "elements that tie share equally": [[6, 0, 0]]},
    )


def test_products_and_running_sums():
    expect(
        "product of 2, 0, 5, gradient",
        gradients(Prod(), np.array([2.0, 0.0, 5.0]), grad=1.0)[0],
        [0, 10, 0],
        {"dividing by the factor fails at 0": [0, np.nan, 0]},
    )
    expect(
        "running sum, gradient",
        gradients(CumSum(0), np.zeros(3), grad=[1.0, 10.0, 100.0])[0],
        [111, 110, 100],
        {"the gradient runs from the other end": [1, 11, 111]},
    )


def test_log_softmax():
    with np.errstate(all="ignore"):
        far = LogSoftmax(0).forward(np.array([0.0, 1000.0]))
    expect("log_softmax of 0, 1000", far, [-1000, 0], {"log of a share that was rounded to 0": [-np.inf, 0]})
    expect(
        "log_softmax of 0, log 3, gradient",
        gradients(LogSoftmax(0), np.log([1.0, 3.0]), grad=[1.0, 3.0])[0],
        [0, 0],
        {
            "p is the exponential of the output": np.array([1, 3]) - 4 * np.log([0.25, 0.75]),
            "the sum of the gradients is missing": np.array([1, 3]) - [0.25, 0.75],
        },
    )
    expect(
        "logsumexp of 0, log 3, gradient",
        gradients(LogSumExp(0), np.log([1.0, 3.0]), grad=1.0)[0],
        [0.25, 0.75],
        {"the slope is the softmax: subtract the result": [1, 3]},
    )


def test_einsum():
    expect(
        "ij->j, gradient",
        gradients(Einsum("ij->j"), X, grad=[1.0, 2.0, 3.0])[0],
        [[1, 2, 3], [1, 2, 3]],
        {"a letter summed away: every element of the sum gets the gradient": [[1, 2, 3], [0, 0, 0]]},
    )
    w, grad = np.arange(12.0).reshape(3, 4), np.arange(8.0).reshape(2, 4)
    dx, dw = gradients(Einsum("ik,kj->ij"), X, w, grad=grad)
    expect("ik,kj->ij, gradient of the first", dx, grad @ w.T)
    expect("ik,kj->ij, gradient of the second", dw, X.T @ grad)


def test_places_that_are_picked_twice():
    expect(
        "gather 1, 1 of a row of three, gradient",
        gradients(Gather(1), np.zeros((1, 3)), np.array([[1, 1]]), grad=[[1.0, 10.0]])[0],
        [[0, 11, 0]],
        {"assigned where it should be added: a place picked twice receives both": [[0, 10, 0]]},
    )
    expect(
        "expand, gradient",
        gradients(Expand(2, 3), np.zeros((2, 1)), grad=X)[0],
        [[6], [15]],
        {"the gradients of all copies are summed": X[:, :1]},
    )


def test_joined_turned_padded_cut():
    grad = np.arange(6.0)
    pieces = gradients(Cat(0), np.zeros(1), np.zeros(2), np.zeros(3), grad=grad)
    with likely("cut where the arrays end: running sums of their sizes"):
        for i, expected in enumerate(([0], [1, 2], [3, 4, 5])):
            expect(f"cat of sizes 1, 2, 3, gradient {i}: cut where the arrays end", pieces[i], expected)
    expect(
        "roll by 1, gradient",
        gradients(Roll(1), np.zeros(3), grad=[7.0, 8.0, 9.0])[0],
        [8, 9, 7],
        {"backward rolls the other way": [9, 7, 8]},
    )
    border = Pad([(1, 2)])
    expect("pad", border.forward(np.array([5.0, 6.0])), [0, 5, 6, 0, 0])
    grad = np.arange(5.0)
    expect("pad, gradient", border.backward(grad)[0], [1, 2], {"the border's gradient is dropped": grad})
    expect(
        "pad by -1 and 1, gradient",
        gradients(Pad([(-1, 1)]), np.array([5.0, 6.0]), grad=[1.0, 2.0])[0],
        [0, 1],
        {"what was cropped has the gradient 0": [1, 2], "the shape of x must come back": [1]},
    )
    square = np.array([[1.0, 2.0], [3.0, 4.0]])
    expect(
        "tril, gradient",
        gradients(Tril(), square, grad=square)[0],
        [[1, 0], [3, 4]],
        {"the gradient comes through the zeros": square},
    )
