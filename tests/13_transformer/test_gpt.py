"""The GPT as a whole: causality, positions, start, dropout, and a backward pass that does not repeat itself."""
import dataclasses
import math
from collections import Counter

import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, no_grad
from tinytorch.nn.losses import cross_entropy
from tinytorch.nn.transformer import GPT, GPTConfig, Transformer, TransformerBlock, TransformerConfig
from tinytorch.ops.elementwise import Function

SIZE = dict(vocab_size=13, context=10, d_model=12, num_layers=2, num_heads=3)
POSITIONS = ["learned", "sinusoidal", "rotary"]
IDS = np.random.default_rng(0).integers(0, 13, (3, 10))


def loss_of(model, ids=IDS):
    logits = model(ids[:, :-1])
    return cross_entropy(logits.reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1))


# ---- causality


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("loudness", [1, 10, 1000])
def test_a_later_token_leaves_earlier_logits_bit_identical(positions, loudness):
    model = GPT(GPTConfig(**SIZE, positions=positions))
    for block in model.transformer.blocks:  # loud: scores of a million
        block.attention.in_proj.weight.data *= loudness
    logits = model(IDS).data
    assert np.isfinite(logits).all()
    for t in range(1, 10):
        changed = IDS.copy()
        changed[:, t:] = (changed[:, t:] + 5) % 13
        after = model(changed).data
        assert np.array_equal(after[:, :t], logits[:, :t]), f"token {t} changed what stands before it"
        assert np.abs(after[:, t:] - logits[:, t:]).min(axis=-1).max() > 0


def test_no_gradient_flows_from_earlier_losses_to_later_tokens():
    model = GPT(GPTConfig(**SIZE, tied_head=False))
    ids = np.arange(10)[None] % 13
    cross_entropy(model(ids)[:, :4].reshape(-1, 13), ids[0, 1:5]).backward()
    reached = np.abs(model.token_embedding.weight.grad.data).max(axis=1) > 0
    np.testing.assert_array_equal(reached, np.arange(13) < 4)
    np.testing.assert_array_equal(np.abs(model.position_embedding.weight.grad.data).max(axis=1) > 0, np.arange(10) < 4)


def test_without_the_mask_everybody_sees_everybody():
    x = Tensor(np.random.default_rng(0).standard_normal((1, 6, 12)), requires_grad=True)
    Transformer(TransformerConfig(d_model=12, num_layers=1, num_heads=3)).double()(x)[0, 0, 1].backward()
    assert np.all(np.abs(x.grad.data).max(axis=-1) > 0)


def test_padding_does_not_reach_the_rest():
    stack = Transformer(TransformerConfig(d_model=12, num_layers=2, num_heads=3)).double()
    x = np.random.default_rng(0).standard_normal((2, 6, 12))
    real = np.array([[True] * 4 + [False] * 2, [True] * 6])
    out = stack(Tensor(x), attn_mask=real[:, None, None, :]).data
    x[0, 4:] += 3.0
    after = stack(Tensor(x), attn_mask=real[:, None, None, :]).data
    np.testing.assert_array_equal(out[0, :4], after[0, :4])
    np.testing.assert_array_equal(out[1], after[1])
    np.testing.assert_allclose(out[0, :4], stack(Tensor(x[0, :4])).data, atol=1e-12)


@pytest.mark.parametrize("positions", POSITIONS)
def test_order_matters(positions):
    model = GPT(GPTConfig(**SIZE, positions=positions))
    for block in model.transformer.blocks:
        block.attention.in_proj.weight.data *= 10
    swapped = IDS[:, [1, 0, *range(2, 10)]]
    assert np.abs(model(swapped).data[:, -1] - model(IDS).data[:, -1]).max() > 1e-5


@pytest.mark.parametrize("positions", POSITIONS)
def test_a_shorter_sequence_is_the_beginning_of_a_longer_one(positions):
    model = GPT(GPTConfig(**SIZE, positions=positions)).double()
    np.testing.assert_allclose(model(IDS[:, :4]).data, model(IDS).data[:, :4], atol=1e-12)


# ---- backward


def every_subclass(cls):
    return {cls}.union(*map(every_subclass, cls.__subclasses__()))


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_backward_visits_each_operation_once_in_models_of_1_to_12_blocks(monkeypatch, positions):
    visits = []  # the operations themselves: an id alone could be used again

    def recording(backward):
        def recorded(self, grad):
            visits.append(self)
            return backward(self, grad)
        return recorded

    for cls in every_subclass(Function):
        if "backward" in vars(cls):
            monkeypatch.setattr(cls, "backward", recording(cls.backward))
    counts = []
    for num_layers in range(1, 13):
        visits.clear()
        loss_of(GPT(GPTConfig(**SIZE | dict(num_layers=num_layers), positions=positions))).backward()
        assert set(Counter(map(id, visits)).values()) == {1}
        counts.append(len(visits))
    print("operations in the backward pass of 1 to 12 blocks:", counts)
    assert len(set(np.diff(counts))) == 1, "each block should add as many operations as any other"


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("options", [
    dict(), dict(norm="rms_norm", activation="swiglu", bias=False), dict(activation="relu_squared", pre_norm=False)])
def test_float32_stays_float32(positions, options):
    model = GPT(GPTConfig(**SIZE, positions=positions, dropout=0.1, **options))
    loss = loss_of(model)
    loss.backward()
    assert model(IDS).dtype == np.float32 and loss.dtype == np.float32
    assert {p.dtype for p in model.parameters()} == {np.dtype(np.float32)}
    assert {p.grad.dtype for p in model.parameters()} == {np.dtype(np.float32)}


# ---- how it starts


def test_gpt2_initialisation():
    model = GPT(GPTConfig(vocab_size=200, context=64, d_model=96, num_layers=8, num_heads=4, tied_head=False))
    for name, parameter in model.named_parameters():
        if "norm" in name:
            np.testing.assert_array_equal(parameter.data, 1.0 if name.endswith("weight") else 0.0)
        elif name.endswith("bias"):
            assert np.all(parameter.data == 0), name
        else:
            std = 0.02 / math.sqrt(16) if "out_proj" in name or "fc2" in name else 0.02
            assert parameter.data.std() == pytest.approx(std, rel=0.05), name
            assert abs(parameter.data.mean()) < std / 10, name


@pytest.mark.parametrize("positions", POSITIONS)
def test_an_untrained_model_expects_every_token_equally(positions):
    model = GPT(GPTConfig(vocab_size=50, context=16, d_model=32, num_layers=2, num_heads=4, positions=positions))
    ids = np.random.default_rng(0).integers(0, 50, (16, 17))
    assert loss_of(model, ids).item() == pytest.approx(math.log(50), abs=0.1)


def test_the_seed_decides_everything():
    models = []
    for seed in (1, 1, 2):
        tinytorch.manual_seed(seed)
        models.append(GPT(GPTConfig(**SIZE)).state_dict())
    assert all(np.array_equal(models[0][name], models[1][name]) for name in models[0])
    assert not np.array_equal(models[0]["token_embedding.weight"], models[2]["token_embedding.weight"])


def test_a_tied_head_is_one_parameter_with_two_names():
    model = GPT(GPTConfig(**SIZE))
    names = [name for name, _ in model.named_parameters()]
    assert "token_embedding.weight" in names and "head.weight" not in names
    assert {"token_embedding.weight", "head.weight"} <= set(model.state_dict())
    assert model.head.weight is model.token_embedding.weight
    untied = GPT(GPTConfig(**SIZE, tied_head=False))
    assert len(list(untied.parameters())) == len(names) + 1
    other = GPT(GPTConfig(**SIZE))
    other.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(other(IDS).data, model(IDS).data)


def test_a_config_is_equal_to_its_copy_and_stays_as_it_is():
    config = GPTConfig(**SIZE, dropout=0.1)
    assert GPT(config).config == GPTConfig(**dataclasses.asdict(config)) != GPTConfig(**SIZE)
    assert config.tied_head and config.positions == "learned" and config.norm == "layer_norm" and config.bias
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.dropout = 0.2
    with pytest.raises(TypeError):
        GPTConfig(context=10, d_model=12)  # no vocabulary
    with pytest.raises(TypeError):
        TransformerConfig(12, 2, 3)  # which number is which?


def test_last_only_is_the_last_of_all():
    model = GPT(GPTConfig(**SIZE)).double()
    np.testing.assert_allclose(model(IDS, last_only=True).data, model(IDS).data[:, -1:], atol=1e-12)
    np.testing.assert_allclose(model(IDS[0], last_only=True).data, model(IDS[0]).data[-1:], atol=1e-12)


def test_names_and_sizes():
    d, model = 12, GPT(GPTConfig(**SIZE, tied_head=False))
    of_block = {"norm1.weight", "norm1.bias", "attention.in_proj.weight", "attention.in_proj.bias",
                "attention.out_proj.weight", "attention.out_proj.bias", "norm2.weight", "norm2.bias", "mlp.fc1.weight",
                "mlp.fc1.bias", "mlp.fc2.weight", "mlp.fc2.bias"}
    assert set(model.state_dict()) == {
        "token_embedding.weight", "position_embedding.weight", "transformer.norm.weight", "transformer.norm.bias",
        "head.weight", *(f"transformer.blocks.{i}.{name}" for i in range(2) for name in of_block)}
    assert sum(p.numel() for p in model.transformer.blocks[0].parameters()) == 12 * d * d + 13 * d
    assert "position" not in " ".join(GPT(GPTConfig(**SIZE, positions="rotary")).state_dict())


# ---- dropout


def test_dropout_is_random_in_training_and_off_in_eval():
    model = GPT(GPTConfig(**SIZE, dropout=0.3))
    tinytorch.manual_seed(1)
    first, second = model(IDS).data, model(IDS).data
    assert not np.array_equal(first, second)
    tinytorch.manual_seed(1)
    np.testing.assert_array_equal(model(IDS).data, first)
    model.eval()
    whole = model(IDS).data
    np.testing.assert_array_equal(model(IDS).data, whole)
    without = GPT(GPTConfig(**SIZE))
    without.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(without(IDS).data, whole)


def test_dropout_acts_on_embedding_attention_and_residual():
    block = TransformerBlock(TransformerConfig(d_model=12, num_heads=3, dropout=1.0))
    x = Tensor(np.ones((2, 4, 12), np.float32))
    np.testing.assert_array_equal(block(x).data, x.data)  # all that would be added is dropped
    block.eval()
    assert not np.array_equal(block(x).data, x.data)
    model = GPT(GPTConfig(**SIZE, dropout=1.0))
    assert np.all(model.embed(IDS).data == 0)
    assert np.all(model.eval().embed(IDS).data != 0)
    for rate, seen in ((0.5, True), (0.0, False)):  # of the attention weights, alone
        block = TransformerBlock(TransformerConfig(d_model=12, num_heads=3, dropout=0.0))
        block.attention.dropout = rate
        rough = Tensor(np.random.default_rng(0).standard_normal((2, 4, 12)), dtype=np.float32)
        assert (not np.array_equal(block(rough).data, block(rough).data)) == seen


@pytest.mark.parametrize("pre_norm", [True, False])
def test_dropout_reaches_every_parameter_all_the_same(pre_norm):
    model = GPT(GPTConfig(**SIZE, dropout=0.2, pre_norm=pre_norm))
    loss_of(model).backward()
    assert all(np.abs(p.grad.data).max() > 0 for p in model.parameters())


# ---- inputs


def test_ids_may_be_a_tensor_an_array_or_one_sequence():
    model = GPT(GPTConfig(**SIZE))
    expected = model(IDS).data
    np.testing.assert_array_equal(model(Tensor(IDS)).data, expected)
    np.testing.assert_array_equal(model(IDS.astype(np.uint8)).data, expected)
    np.testing.assert_allclose(model(IDS[1]).data, expected[1], atol=1e-6)


def test_embed_with_an_offset_continues():
    for positions in POSITIONS:
        model = GPT(GPTConfig(**SIZE, positions=positions))
        np.testing.assert_array_equal(model.embed(IDS[:, 4:], offset=4).data, model.embed(IDS).data[:, 4:])


def test_errors():
    model = GPT(GPTConfig(**SIZE))
    with pytest.raises(ValueError, match="11.*10"):
        model(np.zeros((2, 11), int))
    with pytest.raises(ValueError, match="11|3.*8"):
        model.embed(np.zeros((2, 3), int), offset=8)
    with pytest.raises(IndexError, match="13"):
        model(np.full((2, 3), 13))
    with pytest.raises(TypeError, match="float64"):
        model(np.zeros((2, 3)))
    for wrong, says in [(dict(positions="relative"), "positions.*relative.*learned"),
                        (dict(norm="batch_norm"), "norm.*batch_norm.*layer_norm.*rms_norm"),
                        (dict(activation="tanh"), "activation.*tanh.*gelu.*relu"),
                        (dict(num_heads=5), "12.*5"), (dict(num_heads=5, positions="rotary"), "12.*5")]:
        with pytest.raises(ValueError, match=says):
            GPTConfig(**SIZE | wrong)


def test_no_graph_under_no_grad():
    with no_grad():
        logits = GPT(GPTConfig(**SIZE))(IDS)
    assert logits.grad_fn is None and not logits.requires_grad


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("shape", [(0, 4), (2, 0)])
def test_no_texts_or_no_tokens_give_no_scores(positions, shape):
    model = GPT(GPTConfig(**SIZE, positions=positions))
    scores = model(np.zeros(shape, int))
    assert scores.shape == (*shape, 13)
    scores.sum().backward()
    assert not any(p.grad.any() for p in model.parameters())
