"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import numpy as np
from by_hand import expect, likely

from tinytorch import Tensor
from tinytorch.nn.attention import (
    Attention,
    attention_weights,
    causal_mask,
    mask_scores,
    masked_softmax,
    merge_heads,
    split_heads,
)

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


def test_the_last_two_of_three():
    expect(
        "causal_mask(2, 3)",
        causal_mask(2, 3).data,
        [[True, True, False], [True, True, True]],
        {
            "the queries are the last two of three tokens": [[True, False, False], [True, True, False]],
            "shape (T, S): rows are queries": np.tril(np.ones((3, 2), bool)),
        },
    )


def test_masked_scores():
    scores = np.array([[1.0, 2.0], [3.0, 4.0]])
    expect(
        "scores, causal",
        mask_scores(scores, is_causal=True),
        [[1, -np.inf], [3, 4]],
        {"the mask is inverted": [[-np.inf, 2], [-np.inf, -np.inf]], "masked scores are -inf, not 0": [[1, 0], [3, 4]]},
    )
    expect(
        "scores, False hides",
        mask_scores(scores, np.array([[True, False]])),
        [[1, -np.inf], [3, -np.inf]],
        {"True means may attend": [[-np.inf, 2], [-np.inf, 4]], "booleans were added": [[2, 2], [4, 4]]},
    )
    expect("scores plus floats", mask_scores(scores, np.array([[0.5, -1.0]])), [[1.5, 1], [3.5, 3]])


def test_softmax_over_the_keys():
    scores = np.array([[0.0, 0.0], [-np.inf, -np.inf]])  # (queries, keys)
    with np.errstate(all="ignore"):
        got = masked_softmax(scores)
    expect(
        "softmax of 0, 0, and of nothing",
        got,
        [[0.5, 0.5], [0, 0]],
        {
            "a query that may attend to nothing: 0 / 0, divide by the sum or 1": [[0.5, 0.5], [np.nan, np.nan]],
            "over the queries, not over the keys (the last axis)": [[1, 1], [0, 0]],
        },
    )
    with np.errstate(all="ignore"):
        got = masked_softmax(np.array([[1000.0, 1000.0]]))
    expect("softmax of 1000, 1000", got, [[0.5, 0.5]], {"exp overflows: subtract the largest": [[np.nan, np.nan]]})


def test_the_backward_pass():
    scores = Q @ K.T / 2
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    dp = GRAD @ V.T
    average = (p * dp).sum(1, keepdims=True)
    ds, without = p * (dp - average) / 2, p * dp / 2
    operation = Attention()
    operation.forward(Q, K, V)
    with likely("dscores is (T, S), key (S, d), query (T, d): is a transpose missing?"):
        dq, dk, dv, dmask = operation.backward(GRAD)
    assert dmask is None, "without a mask the fourth gradient is None"
    expect("attention, gradient of the values", dv, p.T @ GRAD)
    no_average = "a term is missing: the average of the gradients must be subtracted"
    no_scale = "the scale is missing: the scores are query @ key^T * scale"
    expect(
        "attention, gradient of the keys",
        dk,
        ds.T @ Q,
        {no_average: without.T @ Q, no_scale: 2 * ds.T @ Q, "the weights are missing": (dp - average).T @ Q / 2},
    )
    expect("attention, gradient of the queries", dq, ds @ K, {no_average: without @ K, no_scale: 2 * ds @ K})


def test_heads_lie_side_by_side():
    x = np.arange(24.0).reshape(1, 4, 6)
    heads = split_heads(Tensor(x), 2).data
    expected = np.stack([x[..., :3], x[..., 3:]], axis=1)
    expect(
        "split_heads (1, 4, 6) into two",
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
        "merge_heads",
        merge_heads(Tensor(expected)).data,
        x,
        {"bring the heads back in front of their features before the reshape": expected.reshape(1, 4, 6)},
    )
