"""When something is wrong, the message says what: a failed gradient check through a graph, and calls that do not fit.

`tests/01_elementwise/test_gradcheck.py` checks single operations, `tests/operations/test_errors.py` most of the errors.
"""
import numpy as np
import pytest
from said import said

import tinytorch
from tinytorch import Tensor, nn, ones
from tinytorch.gradcheck import GradientError, check_function, gradcheck
from tinytorch.nn import functional as F
from tinytorch.nn.layers import LinearFunction
from tinytorch.ops.elementwise import Exp
from tinytorch.tensor import apply


def random(*shape):
    return Tensor(np.random.default_rng(0).standard_normal(shape), requires_grad=True)


@pytest.mark.parametrize("change, words", [
    (lambda g: 2 * g, "ratio 2 factor of 2 too much"),
    (lambda g: -g, "ratio -1 sign"),
    (lambda g: g / 2, "ratio 0.5 factor of 2 is missing"),
    (lambda g: 1.001 * g, "ratio 1.001"),
    (lambda g: 5 * g, "ratio 5 size (4, 5) sum where it should be mean"),
    (lambda g: g / 4, "ratio 0.25 size (4, 5) mean where it should be sum"),
    (lambda g: 0.3 * g, "ratio 0.3 constant factor"),
    (lambda g: 0 * g, "all zeros"),
], ids=["twice", "sign", "half", "off by a thousandth", "sum", "mean", "factor", "zeros"])
def test_a_wrong_gradient_inside_a_graph(change, words):
    class Wrong(Exp):
        def backward(self, grad):
            return (change(*super().backward(grad)),)

    def f(x, y):
        return apply(Wrong(), y).log() + x

    with pytest.raises(GradientError) as raised:
        gradcheck(f, random(5), random(4, 5))
    message = said(raised.value)
    culprit = "tensor 1, (4, 5), in an expression that ends with Add: gradient of input 1"
    assert message.startswith(f"{culprit} is wrong at 20 of 20 places, most at ("), message
    assert "expected " in message and "got " in message
    assert all(word in message for word in words.split()), message


@pytest.mark.parametrize("change, words", [
    (lambda db, rows: db / rows, r"ratio 0.1429 \(everywhere 0.1429: 1 / 7, a size of .*mean where it should be sum"),
    (lambda db, rows: db * rows, r"ratio 7 \(everywhere 7: 7 is a size of .*sum where it should be mean"),
], ids=["mean", "sum"])
def test_the_batch_size_is_recognised_in_a_gradient_that_has_no_batch(change, words):
    class Wrong(LinearFunction):
        def backward(self, grad):
            dx, dweight, dbias = super().backward(grad)
            return dx, dweight, change(dbias, len(self.rows))

    arrays = [random(*shape).data for shape in ((7, 3), (2, 3), (2,))]
    with pytest.raises(GradientError, match=r"^Wrong: gradient of input 2 is wrong at 2 of 2 places, .*" + words):
        check_function(Wrong, *arrays)


def test_the_ratio_is_told_also_where_it_differs():
    class Wrong(Exp):
        def backward(self, grad):
            gradient = super().backward(grad)[0]
            gradient[1] *= 3
            return (gradient,)

    with pytest.raises(GradientError, match=r"wrong at 2 of 4 places, most at \(1, .*ratio 3 \(the ratio differs"):
        check_function(Wrong, random(2, 2).data)


@pytest.mark.parametrize("seed", range(3))
def test_inputs_from_the_same_seed_hide_nothing(seed):
    "Were the cotangent x itself, grad.T @ x would be symmetric, and a transposed gradient right."
    class Transposed(LinearFunction):
        def backward(self, grad):
            dx, dweight, dbias = super().backward(grad)
            return dx, dweight.T, dbias

    x = np.random.default_rng(seed).standard_normal((7, 3))
    with pytest.raises(GradientError, match="input 1 .* transpose of expected"):
        check_function(Transposed, x, np.eye(3), None, seed=seed)


def test_a_gradient_where_there_is_no_influence():
    class Wrong(Exp):
        def forward(self, x):
            return np.ones_like(x)

        def backward(self, grad):
            return (grad,)

    with pytest.raises(GradientError, match="expected 0, got .* this input has no influence"):
        check_function(Wrong, np.ones((2, 3)))


def test_a_transposed_weight_gradient_does_not_fit():
    class Transposed(LinearFunction):
        def backward(self, grad):
            dx, dweight, dbias = super().backward(grad)
            return dx, dweight.T, dbias

    generator = np.random.default_rng(1)
    x, weight = generator.standard_normal((7, 3)), generator.standard_normal((2, 3))
    with pytest.raises(GradientError, match=r"Transposed: gradient of input 1: expected shape \(2, 3\), got \(3, 2\)"):
        check_function(Transposed, x, weight, None)


M = ones(2, 3)
REFUSED = [  # what is called, the error, and words that it must contain
    ("nll_loss class", lambda: F.nll_loss(M, Tensor([0, 3])), IndexError, "nll_loss target 3 at (1,) 3 classes"),
    ("nll_loss shape", lambda: F.nll_loss(M, Tensor([0, 1, 2])), ValueError, "nll_loss (2, 3) (3,)"),
    ("l1_loss", lambda: F.l1_loss(M, ones(2)), ValueError, "l1_loss (2, 3) (2,)"),
    ("bce", lambda: F.binary_cross_entropy(M, ones(2)), ValueError, "binary_cross_entropy (2, 3) (2,)"),
    ("bce with logits", lambda: F.binary_cross_entropy_with_logits(M, ones(2)), ValueError, "with_logits (2, 3) (2,)"),
    ("normalize", lambda: F.normalize(M, p=-1), ValueError, "normalize p=-1"),
    ("softmax of integers", lambda: F.softmax(Tensor([1, 2]), 0), TypeError, "softmax int64 (2,) .float()"),
    ("where of floats", lambda: tinytorch.where(M, M, M), TypeError, "where booleans float32"),
    ("masked_fill of floats", lambda: M.masked_fill(M, 0.0), TypeError, "booleans float32"),
    ("split", lambda: M.split(0), ValueError, "split 0"),
    ("chunk", lambda: M.chunk(0), ValueError, "chunk 0"),
    ("repeat", lambda: M.repeat(-1, 1), ValueError, "repeat (2, 3) (-1, 1)"),
    ("roll", lambda: M.roll((1, 2), (0,)), ValueError, "roll (1, 2) (0,)"),
    ("outer", lambda: M.outer(M), ValueError, "outer (2, 3)"),
    ("matmul of a number", lambda: M @ 3, ValueError, "matmul (2, 3) ()"),
    ("silu", lambda: F.silu(Tensor([1, 2])), TypeError, "silu int64 (2,) .float()"),
    ("softplus", lambda: F.softplus(Tensor([1, 2])), TypeError, "softplus int64 (2,)"),
    ("logsigmoid", lambda: F.logsigmoid(Tensor([1, 2])), TypeError, "logsigmoid int64 (2,)"),
    ("linear of integers", lambda: F.linear(Tensor([[1, 2, 3]]), M), TypeError, "linear int64 (1, 3)"),
    ("layer_norm of integers", lambda: F.layer_norm(Tensor([1, 2]), (2,)), TypeError, "layer_norm int64"),
    ("clamp", lambda: M.clamp(), ValueError, "clamp lower upper"),
    ("triu", lambda: ones(3).triu(), ValueError, "triu (3,)"),
    ("matmul of nothing", lambda: ones(0) @ ones(3), ValueError, "matmul (0,) (3,)"),
    ("add a list", lambda: M + [1, 2], ValueError, "add (2, 3) (2,)"),
    ("add a word", lambda: M + "a", TypeError, "expected numbers, got str"),
    ("diagonal by einsum", lambda: tinytorch.einsum("ii->i", ones(2, 3)), ValueError, "einsum 'i' (2, 3)"),
    ("pad by reflection", lambda: F.pad(M, (3, 3), mode="reflect"), ValueError, "pad 3 (2, 3) reflect"),
    ("gather by floats", lambda: M.gather(1, ones(2, 1)), IndexError, "gather integer (2, 3) (2, 1)"),
    ("attention mask", lambda: F.scaled_dot_product_attention(M, M, M, attn_mask=ones(5, 5)), ValueError,
        "attention (5, 5) (2, 2)"),
    ("Linear", lambda: nn.Linear(4, 2)(M), ValueError, "linear (2, 3) (2, 4)"),
    ("LayerNorm", lambda: nn.LayerNorm(4)(M), ValueError, "layer_norm (2, 3) (4,)"),
    ("Embedding", lambda: nn.Embedding(3, 2)(Tensor([[0, 3]])), IndexError, "embedding id 3 (0, 1) vocabulary of 3"),
    ("Rotary", lambda: nn.Rotary(4, 3)(ones(5, 4)), ValueError, "rotary length 5 max_len=3"),
    ("MultiHeadAttention", lambda: nn.MultiHeadAttention(4, 2)(ones(2, 3, 5)), ValueError, "(2, 3, 5) (12, 4)"),
    ("GPT", lambda: nn.GPT(nn.GPTConfig(vocab_size=5, context=4, d_model=4, num_heads=2))(np.zeros((1, 5), int)),
     ValueError, "gpt 5 tokens context=4"),
    ("backward of a matrix", lambda: (random(2, 3) * 2).backward(), RuntimeError, "backward (2, 3) .sum()"),
] + [
    (f"{name} dim", lambda name=name: getattr(M, name)(4), IndexError, f"{name} 4 (2, 3)")
    for name in ("sum", "mean", "var", "std", "prod", "amax", "amin", "logsumexp")
]


@pytest.mark.parametrize("call, error, words", [pytest.param(*rest, id=name) for name, *rest in REFUSED])
def test_an_error_names_the_operation_and_what_it_got(call, error, words):
    with pytest.raises(error) as raised:
        call()
    message = said(raised.value).lower().replace(", ", ",")
    missing = [piece for piece in words.lower().replace(", ", ",").split() if piece not in message]
    assert not missing, f"{message!r} does not say {missing}"
