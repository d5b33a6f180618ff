"""Small models; a failure names the mistake that would give what it got."""

import math

import numpy as np
from by_hand import expect, likely

from tinytorch import Tensor
from tinytorch.nn.activations import silu
from tinytorch.nn.transformer import (
    GPT,
    MLP,
    GPTConfig,
    Transformer,
    TransformerBlock,
    TransformerConfig,
)

rng = np.random.default_rng(0)
X = Tensor(rng.standard_normal((2, 4, 6)))


def test_mlp():
    mlp = MLP(TransformerConfig(d_model=6, activation="swiglu")).double()
    gate, fc1, fc2 = mlp.gate(X), mlp.fc1(X), mlp.fc2
    expect(
        "MLP with swiglu",
        mlp(X).data,
        fc2(silu(gate) * fc1).data,
        {
            "the gate is activated, not fc1": fc2(gate * silu(fc1)).data,
            "the gate is ignored": fc2(silu(fc1)).data,
            "only the gate is activated": fc2(silu(gate * fc1)).data,
        },
    )
    mlp = MLP(TransformerConfig(d_model=6, activation="relu")).double()
    expect(
        "MLP with relu",
        mlp(X).data,
        mlp.fc2(mlp.fc1(X).relu()).data,
        {"the activation is missing": mlp.fc2(mlp.fc1(X)).data},
    )


def test_blocks():
    for pre_norm in (True, False):
        block = TransformerBlock(TransformerConfig(d_model=6, num_heads=2, pre_norm=pre_norm)).double()
        n1, n2, attend, mlp = block.norm1, block.norm2, block.attention, block.mlp
        a = X + attend(n1(X), is_causal=True)
        pre, no_path = a + mlp(n2(a)), mlp(n2(attend(n1(X), is_causal=True)))
        b = n1(X + attend(X, is_causal=True))
        post, blind = n2(b + mlp(b)), X + attend(n1(X))
        expected, other = (pre, post) if pre_norm else (post, pre)
        expect(
            f"block with pre_norm={pre_norm}",
            block(X, is_causal=True).data,
            expected.data,
            {
                "the residual path is missing: add to x, do not replace it": no_path.data,
                "the residual path around the MLP is missing": mlp(n2(a)).data,
                "pre-norm and post-norm are swapped": other.data,
                "the mask is not handed on: **options": (blind + mlp(n2(blind))).data,
            },
        )


def test_what_writes_to_the_residual_path_starts_smaller():
    block = Transformer(TransformerConfig(d_model=64, num_layers=8, num_heads=4)).blocks[0]
    for name, layer in (("attention.out_proj", block.attention.out_proj), ("mlp.fc2", block.mlp.fc2)):
        std = float(layer.weight.data.std())
        likely_mistake = {
            "it starts as loud as all others": 0.02,
            "two additions a block: sqrt(2 L)": 0.02 / math.sqrt(8),
        }
        named = [words for words, value in likely_mistake.items() if abs(std / value - 1) < 0.1]
        assert abs(std / 0.005 - 1) < 0.1, f"{name}: expected 0.02 / sqrt(16) = 0.005, got {std:.4f}: {named}"


def test_gpt_does_not_look_ahead_and_knows_the_places():
    ids = np.array([[1, 2, 3, 4]])
    for positions in ("learned", "sinusoidal", "rotary"):
        config = GPTConfig(vocab_size=7, context=8, d_model=8, num_layers=2, num_heads=2, positions=positions)
        model = GPT(config).double()
        with likely(
            f"GPT with positions={positions!r}: rotary ones are not added, position_embedding is None then"
        ):
            logits = model(ids).data
        later = model(np.array([[1, 2, 3, 5]])).data
        assert np.allclose(logits[:, :3], later[:, :3]), "an earlier place has seen a later token: is_causal=True"
        swapped = model(np.array([[2, 1, 3, 4]])).data
        assert np.abs(swapped[0, 3] - logits[0, 3]).max() > 1e-9, (
            f"{positions}: the order of the tokens makes no difference: is the position added?"
        )
    config = GPTConfig(vocab_size=7, context=8, d_model=16, num_layers=1, num_heads=2, positions="sinusoidal")
    model = GPT(config).double()
    tokens, places = model.token_embedding.weight.data[[1, 2]], model.position_embedding(2, 3).data
    expect(
        "embed",
        model.embed(np.array([[1, 2]]), offset=3).data[0],
        4 * tokens + places,
        {
            "token_scale is missing": tokens + places,
            "the offset is ignored": 4 * tokens + model.position_embedding(2).data,
            "the position is not added": 4 * tokens,
            "only tokens are scaled, not places": 4 * (tokens + places),
        },
    )
