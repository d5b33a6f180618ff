"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import numpy as np
from by_hand import expect, likely

from tinytorch import Tensor
from tinytorch.nn.attention import Attention, MultiHeadAttention, attention_weights, causal_mask, softmax_over_keys

rng = np.random.default_rng(0)
Q, K, V, GRAD = (rng.standard_normal(shape) for shape in ((2, 4), (3, 4), (3, 5), (2, 5)))


def test_nobody_sees_a_later_token():
    below = [[True, False, False], [True, True, False], [True, True, True]]
    expect(
        "causal_mask(3)",
        causal_mask(3).data,
        below,
        {
            "the mask is inverted: a query sees later tokens": ~np.array(below),
            "the mask is inverted: a query sees later tokens; rows are queries, columns keys": np.array(below).T,
            "a query may see itself": np.tril(np.ones((3, 3), bool), -1),
        },
    )


def test_weights_of_a_query():
    with np.errstate(all="ignore"):
        weights = attention_weights(Tensor(Q), Tensor(K), Tensor([[True, False, True], [False] * 3])).data
    shares = np.exp(Q[0] @ K.T / 2) * [1, 0, 1]
    expect(
        "weights of query 0, key 1 masked",
        weights[0],
        shares / shares.sum(),
        {
            "the sum of the shares is at least 1 only after the largest score is subtracted": shares
            / max(shares.sum(), 1)
        },
    )
    expect(
        "weights of a query that may see nothing",
        weights[1],
        [0, 0, 0],
        {"0 / 0: divide by the sum or 1, whichever is larger": [np.nan] * 3},
    )


def test_softmax_over_the_keys():
    scores = np.array([[0.0, -np.inf], [0.0, -np.inf]])  # (keys, queries)
    with np.errstate(all="ignore"):
        got = softmax_over_keys(scores.copy())
    expect(
        "softmax of 0, 0, and of nothing",
        got,
        [[0.5, 0], [0.5, 0]],
        {
            "a query that may attend to nothing: 0 / 0, divide by the sum or 1": [[0.5, np.nan], [0.5, np.nan]],
            "over the queries, not over the keys (axis -2)": [[1, 0], [1, 0]],
        },
    )
    with np.errstate(all="ignore"):
        got = softmax_over_keys(np.array([[1000.0], [1000.0]]))
    expect(
        "softmax of 1000, 1000", got, [[0.5], [0.5]], {"exp overflows: subtract the largest": [[np.nan], [np.nan]]}
    )


def test_the_way_back():
    scores = Q @ K.T / 2
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    dp = GRAD @ V.T
    average = (p * dp).sum(1, keepdims=True)
    ds, without, unscaled = p * (dp - average) / 2, p * dp / 2, p * (dp / 2 - average)
    operation = Attention()
    operation.forward(Q, K, V)
    with likely("dkey and dquery are written with out=, in the shapes of key and query: is a transpose missing?"):
        dq, dk, dv = operation.backward(GRAD)
    expect("attention, gradient of the values", dv, p.T @ GRAD)
    no_average, no_scale = (
        "a term is missing: the average of the gradients must be subtracted",
        "a term is wrong: the average needs the scale, too",
    )
    expect(
        "attention, gradient of the keys",
        dk,
        ds.T @ Q,
        {no_average: without.T @ Q, no_scale: unscaled.T @ Q, "the weights are missing": (dp - average).T @ Q / 2},
    )
    expect("attention, gradient of the queries", dq, ds @ K, {no_average: without @ K, no_scale: unscaled @ K})


def test_heads_lie_side_by_side():
    layer, x = MultiHeadAttention(6, 2), np.arange(24.0).reshape(1, 4, 6)
    heads = layer.split(Tensor(x)).data
    expected = np.stack([x[..., :3], x[..., 3:]], axis=1)
    expect(
        "split (1, 4, 6) into two heads",
        heads,
        expected,
        {
            "each head gets its features of every token, side by side: reshape, then transpose": x.reshape(
                1, 2, 4, 3
            ),
            "the heads stand in front of the tokens: transpose": x.reshape(1, 4, 2, 3),
            "features of a head lie side by side": x.reshape(1, 4, 3, 2).transpose(0, 3, 1, 2),
        },
    )
    expect(
        "merge",
        layer.merge(Tensor(expected)).data,
        x,
        {"bring the heads back in front of their features before the reshape": expected.reshape(1, 4, 6)},
    )
