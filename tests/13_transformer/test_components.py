"""When a transformer does not learn: look at it part by part. Every part hands its gradient on, to every parameter.

These are the checks that the sequence reversal task asks for: embedding, attention, feed-forward, residual
connection, the whole model, and one step of training. Each prints how many parameters it reached (see `pytest -s`).
"""
import numpy as np
import pytest

from tinytorch import Tensor
from tinytorch.gradcheck import gradcheck
from tinytorch.nn.attention import MultiHeadAttention, scaled_dot_product_attention
from tinytorch.nn.embedding import Embedding, LearnedPositions
from tinytorch.nn.layers import Linear
from tinytorch.nn.losses import cross_entropy
from tinytorch.nn.module import Module
from tinytorch.nn.transformer import MLP, Transformer, TransformerBlock, TransformerConfig
from tinytorch.optim import SGD, AdamW

VOCABULARY, LENGTH, WIDTH, HEADS = 11, 8, 32, 4
IDS = np.random.default_rng(0).integers(0, VOCABULARY, (32, LENGTH))
ACTIVATIONS = ["gelu", "relu", "relu_squared", "swiglu"]


class Reverser(Module):
    "The model of the reversal task, from its parts."
    def __init__(self):
        self.tokens = Embedding(VOCABULARY, WIDTH)
        self.positions = LearnedPositions(LENGTH, WIDTH)
        self.transformer = Transformer(TransformerConfig(d_model=WIDTH, num_layers=1, num_heads=HEADS))
        self.output = Linear(WIDTH, VOCABULARY)

    def forward(self, ids):
        x = self.tokens(ids) + self.positions(ids.shape[1])
        return self.output(self.transformer(x))


def random(*shape, seed=0):
    return Tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


def reached(module):
    "The names of the parameters with a gradient that is not zero; prints their count."
    every = dict(module.named_parameters())
    found = [name for name, p in every.items() if p.grad is not None and np.abs(p.grad.data).max() > 0]
    print(f"{type(module).__name__}: {len(found)}/{len(every)} parameters have a gradient")
    return found


def assert_all_reached(module):
    missing = set(dict(module.named_parameters())) - set(reached(module))
    assert not missing, f"no gradient reaches {sorted(missing)}"


def reversal_loss(model):
    return cross_entropy(model(IDS).reshape(-1, VOCABULARY), IDS[:, ::-1].reshape(-1))


def test_embedding():
    tokens, positions = Embedding(VOCABULARY, WIDTH), LearnedPositions(LENGTH, WIDTH)
    out = tokens(IDS) + positions(LENGTH)
    assert out.shape == (32, LENGTH, WIDTH)
    out.backward(np.ones(out.shape, np.float32))
    assert_all_reached(tokens)
    assert_all_reached(positions)
    np.testing.assert_array_equal(tokens.weight.grad.data[:, 0], np.bincount(IDS.ravel(), minlength=VOCABULARY))
    np.testing.assert_array_equal(positions.weight.grad.data, 32)


def test_attention():
    attention, x = MultiHeadAttention(WIDTH, HEADS).double(), random(2, LENGTH, WIDTH)
    out = attention(x)
    assert out.shape == x.shape
    out.backward(np.random.default_rng(1).standard_normal(out.shape))
    assert_all_reached(attention)
    for part, name in zip(np.split(attention.in_proj.weight.grad.data, 3), ("query", "key", "value")):
        assert np.abs(part).max() > 1e-3, f"no gradient in the part of in_proj that makes {name}"


def test_attention_responds_to_its_queries():
    "dL/dQ by finite differences is not 0, and it is what backward says."
    query, key, value = (random(2, 3, 4, seed=seed) for seed in range(3))
    weight = np.random.default_rng(3).standard_normal((2, 3, 4))

    def loss():
        return (scaled_dot_product_attention(query, key, value) * weight).sum()

    loss().backward()
    query.data[1, 2, 0] += 1e-6
    above = loss().item()
    query.data[1, 2, 0] -= 2e-6
    slope = (above - loss().item()) / 2e-6
    assert abs(slope) > 1e-3
    assert slope == pytest.approx(query.grad.data[1, 2, 0], rel=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_feed_forward(activation):
    mlp, x = MLP(TransformerConfig(d_model=6, activation=activation)).double(), random(2, 3, 6)
    out = mlp(x)
    assert out.shape == x.shape
    out.backward(np.random.default_rng(1).standard_normal(out.shape))
    assert_all_reached(mlp)
    assert np.all(x.grad.data != 0)
    gradcheck(lambda x, *_: mlp(x), x, *mlp.parameters())


def test_feed_forward_is_its_formula():
    x = random(3, 6).data

    def layer(linear, x):
        return x @ linear.weight.data.T + linear.bias.data

    def gelu(h):
        return h / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (h + 0.044715 * h ** 3)))

    formulas = {"gelu": gelu, "relu": lambda h: np.maximum(h, 0), "relu_squared": lambda h: np.maximum(h, 0) ** 2}
    for activation, formula in formulas.items():
        mlp = MLP(TransformerConfig(d_model=6, activation=activation)).double()
        np.testing.assert_allclose(mlp(Tensor(x)).data, layer(mlp.fc2, formula(layer(mlp.fc1, x))), atol=1e-12)
    mlp = MLP(TransformerConfig(d_model=6, activation="swiglu")).double()
    gate = layer(mlp.gate, x)
    hidden = gate / (1 + np.exp(-gate)) * layer(mlp.fc1, x)
    np.testing.assert_allclose(mlp(Tensor(x)).data, layer(mlp.fc2, hidden), atol=1e-12)


def test_widths_of_the_feed_forward_network():
    assert MLP(TransformerConfig(d_model=12)).fc1.out_features == 48
    assert MLP(TransformerConfig(d_model=12, activation="swiglu")).fc1.out_features == 32
    mlp = MLP(TransformerConfig(d_model=12, mlp_hidden=20, activation="swiglu", bias=False))
    assert {name: p.shape for name, p in mlp.named_parameters()} == {
        "fc1.weight": (20, 12), "gate.weight": (20, 12), "fc2.weight": (12, 20)}
    assert MLP(TransformerConfig(d_model=12, dropout=1.0))(random(2, 12).float()).data.max() == 0


@pytest.mark.parametrize("pre_norm", [True, False])
def test_residual_connections(pre_norm):
    block = TransformerBlock(TransformerConfig(d_model=WIDTH, num_heads=HEADS, pre_norm=pre_norm)).double()
    x = random(2, LENGTH, WIDTH)
    out = block(x)
    out.backward(np.random.default_rng(1).standard_normal(out.shape))
    assert_all_reached(block)
    assert np.all(x.grad.data != 0)

    for layer in (block.attention.out_proj, block.mlp.fc2):  # now nothing is added to the residual path
        for parameter in layer.parameters():
            parameter.data[...] = 0
    x.grad, cotangent = None, np.random.default_rng(2).standard_normal(x.shape)
    silent = block(x)
    if pre_norm:
        np.testing.assert_array_equal(silent.data, x.data)
        silent.backward(cotangent)
        np.testing.assert_allclose(x.grad.data, cotangent)  # the gradient comes through whole
    else:
        np.testing.assert_allclose(silent.data, block.norm2(block.norm1(x)).data)


@pytest.mark.parametrize("options", [
    dict(), dict(pre_norm=False), dict(norm="rms_norm", activation="swiglu", bias=False),
    dict(activation="relu_squared", mlp_hidden=5)])
def test_gradients_of_a_block_are_finite_differences(options):
    block, x = TransformerBlock(TransformerConfig(d_model=4, num_heads=2, **options)).double(), random(2, 3, 4)
    gradcheck(lambda x, *_: block(x, is_causal=True), x, *block.parameters())


def test_full_forward():
    model = Reverser()
    logits = model(IDS)
    assert logits.shape == (32, LENGTH, VOCABULARY)
    loss = reversal_loss(model)
    assert 1.5 < loss.item() < 4
    loss.backward()
    assert_all_reached(model)


@pytest.mark.parametrize("make_optimizer", [lambda p: SGD(p, lr=0.1), lambda p: AdamW(p, lr=1e-3)])
def test_training_step(make_optimizer):
    model = Reverser()
    optimizer = make_optimizer(model.parameters())
    before, first = model.state_dict(), reversal_loss(model)
    first.backward()
    optimizer.step()
    changed = [name for name, array in model.state_dict().items() if not np.array_equal(array, before[name])]
    second = reversal_loss(model)
    print(f"{len(changed)}/{len(before)} parameters changed; loss {first.item():.4f} -> {second.item():.4f}")
    assert changed == list(before)
    assert second.item() < first.item()


def test_thirty_steps_learn_something():
    model = Reverser()
    optimizer = AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        loss = reversal_loss(model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize("depth", [1, 3])
def test_a_transformer_has_as_many_blocks_as_asked_for_each_with_weights_of_its_own(depth):
    stack = Transformer(TransformerConfig(d_model=12, num_layers=depth, num_heads=2))
    assert len(stack.blocks) == depth
    assert len({id(block.mlp.fc1.weight) for block in stack.blocks}) == depth
    assert len({id(norm.weight) for block in stack.blocks for norm in (block.norm1, block.norm2)}) == 2 * depth
