"""Adapters: they change nothing at first, learn alone, are saved alone, and vanish into the weights."""
import math

import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor
from tinytorch.gradcheck import gradcheck
from tinytorch.nn.layers import Linear
from tinytorch.nn.lora import (
    LoRALinear,
    add_lora,
    load_lora_state_dict,
    lora_parameters,
    lora_state_dict,
    merge_lora,
)
from tinytorch.nn.module import Module, Sequential
from tinytorch.nn.transformer import GPT, GPTConfig
from tinytorch.optim import AdamW

EVERY = ("in_proj", "out_proj", "fc1", "fc2")


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def adapted(rank=3, alpha=6.0, dtype=np.float64, bias=True):
    "A layer whose adapter has learned something."
    layer = LoRALinear(Linear(7, 5, bias=bias).to(dtype), rank, alpha)
    layer.lora_A.data[...], layer.lora_B.data[...] = numbers(rank, 7), numbers(5, rank, seed=1)
    return layer


def gpt(seed=0, **options):
    tinytorch.manual_seed(seed)
    config = dict(vocab_size=11, context=8, d_model=12, num_layers=2, num_heads=3)
    return GPT(GPTConfig(**config | options))


def with_numbers(model, seed=2):
    for n, parameter in enumerate(lora_parameters(model)):
        parameter.data[...] = 0.3 * numbers(*parameter.shape, seed=seed + n)
    return model


@pytest.fixture
def ids():
    return Tensor(np.random.default_rng(5).integers(0, 11, (2, 8)))


# ---- a layer

@pytest.mark.parametrize("shape", [(7,), (4, 7), (2, 3, 7), (0, 7)])
@pytest.mark.parametrize("bias", [True, False])
def test_the_formula(shape, bias):
    layer, x = adapted(bias=bias), numbers(*shape)
    weight = layer.base.weight.data + 2 * layer.lora_B.data @ layer.lora_A.data
    expected = x @ weight.T + (layer.base.bias.data if bias else 0)
    assert np.allclose(layer(Tensor(x)).data, expected, atol=1e-12)
    assert np.allclose(layer.weight.data, weight, atol=1e-12) and layer.bias is layer.base.bias


def test_gradients_of_the_input_and_both_factors():
    layer, x = adapted(), Tensor(numbers(4, 7), requires_grad=True)
    gradcheck(lambda *_: layer(x), x, layer.lora_A, layer.lora_B)
    gradcheck(lambda *_: layer.weight, layer.lora_A, layer.lora_B)
    layer(x).sum().backward()
    assert layer.base.weight.grad is None and layer.base.bias.grad is None


def test_a_new_adapter_changes_nothing_and_can_learn():
    layer, x = LoRALinear(Linear(7, 5), 2), Tensor(numbers(4, 7).astype(np.float32))
    assert np.array_equal(layer(x).data, layer.base(x).data)
    layer(x).sum().backward()
    assert layer.lora_B.grad.any() and not layer.lora_A.grad.any()  # A's gradient has B, 0, as a factor
    layer.lora_B.data[...] = 1
    layer.zero_grad()
    layer(x).sum().backward()
    assert layer.lora_A.grad.any()


@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-6), (np.float64, 1e-14)])
def test_merge_and_unmerge(dtype, tolerance):
    layer, x = adapted(alpha=0.3, dtype=dtype), Tensor(numbers(9, 7).astype(dtype))
    before, out = layer.base.weight.data.copy(), layer(x).data
    layer.merge()
    assert layer.merged and abs(layer(x).data - out).max() <= 10 * tolerance
    assert layer.base.weight.dtype == layer(x).dtype == dtype and layer.weight is layer.base.weight
    layer.unmerge()
    assert not layer.merged and abs(layer.base.weight.data - before).max() <= tolerance
    assert abs(layer(x).data - out).max() <= 10 * tolerance


def test_merging_twice_is_refused_and_changes_nothing():
    layer = adapted()
    with pytest.raises(RuntimeError, match="merge"):
        layer.unmerge()
    layer.merge()
    before = layer.base.weight.data.copy()
    with pytest.raises(RuntimeError, match="merged already; call unmerge"):
        layer.merge()
    assert np.array_equal(layer.base.weight.data, before) and layer.merged


def test_merging_between_forward_and_backward_is_refused():
    layer, x = adapted(), Tensor(numbers(4, 7), requires_grad=True)
    out = layer(x).sum()
    layer.merge()
    with pytest.raises(RuntimeError, match="changed an array"):
        out.backward()


def test_alpha_and_the_spread_of_a():
    assert LoRALinear(Linear(7, 5), 2).scale == 1 and LoRALinear(Linear(7, 5), 2, 6).scale == 3
    tinytorch.manual_seed(0)
    layer = LoRALinear(Linear(900, 5), 5)
    assert abs(layer.lora_A.data.std() * 30 - 1) < 0.05 and abs(layer.lora_A.data.mean()) < 0.002


def test_what_is_no_linear_layer_or_rank():
    with pytest.raises(TypeError, match="Linear.*Sequential"):
        LoRALinear(Sequential(Linear(2, 2)), 1)
    with pytest.raises(TypeError, match="LoRALinear"):
        LoRALinear(adapted(), 1)
    for rank in (0, -1, 6):
        base = Linear(7, 5)
        with pytest.raises(ValueError, match=rf"{rank}\b.*5"):
            LoRALinear(base, rank)
        assert base.weight.requires_grad


# ---- a model

@pytest.mark.parametrize("options", [{}, {"norm": "rms_norm", "activation": "swiglu", "positions": "rotary"}],
                         ids=["gpt-2", "llama"])
def test_a_model_with_new_adapters_says_what_it_said(options, ids):
    model = gpt(**options)
    before, whole = model(ids).data, sum(p.numel() for p in model.parameters())
    assert add_lora(model, 2, 4, EVERY) is model
    assert np.array_equal(model(ids).data, before)
    learned = {name for name, p in model.named_parameters() if p.requires_grad}
    assert len(learned) == 2 * 2 * len(EVERY) and all(name.endswith(("lora_A", "lora_B")) for name in learned)
    assert sum(p.numel() for p in model.parameters()) == whole + sum(p.numel() for p in lora_parameters(model))


def test_training_moves_the_adapters_alone(ids):
    model = add_lora(gpt(), 2, targets=EVERY)
    before = model.state_dict()
    optimizer, losses = AdamW(lora_parameters(model), lr=1e-2), []
    for _ in range(30):
        loss = tinytorch.nn.functional.cross_entropy(model(ids).reshape(-1, 11), ids.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.05
    for name, array in model.state_dict().items():
        assert np.array_equal(array, before[name]) != name.endswith(("lora_A", "lora_B")), name


def test_the_adapters_travel_alone(ids):
    one, two = (with_numbers(add_lora(gpt(), 2, targets=EVERY), seed) for seed in (2, 50))
    state = lora_state_dict(one)
    assert sorted(state) == sorted(name for name, _ in one.named_parameters() if "lora_" in name)
    assert not np.array_equal(one(ids).data, two(ids).data)
    load_lora_state_dict(two, state)
    assert np.array_equal(one(ids).data, two(ids).data)
    state[next(iter(state))][...] = math.nan
    assert np.isfinite(one(ids).data).all() and np.isfinite(two(ids).data).all()


def test_a_merged_model_is_a_plain_one(ids):
    plain, model = gpt(), with_numbers(add_lora(gpt(), 2, 4, EVERY))
    before = model(ids).data
    model.transformer.blocks[1].mlp.fc1.merge()
    assert merge_lora(model) is model
    assert abs(model(ids).data - before).max() < 1e-5
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in plain.named_parameters()]
    assert all(p.requires_grad for p in model.parameters())
    plain.load_state_dict(model.state_dict())
    assert np.array_equal(plain(ids).data, model(ids).data)


def test_an_adapter_acts_where_attention_takes_the_weight_itself(ids):
    model = with_numbers(add_lora(gpt(), 2, 4))
    attention, x = model.transformer.blocks[0].attention, Tensor(numbers(2, 8, 12).astype(np.float32))
    merged = merge_lora(with_numbers(add_lora(gpt(), 2, 4))).transformer.blocks[0].attention
    assert np.allclose(attention.weights(x).data, merged.weights(x).data, atol=1e-5)
    assert np.allclose(attention(x, Tensor(x.data.copy())).data, merged(x).data, atol=1e-5)


@pytest.mark.parametrize("options, error, words", [
    ({"rank": 2, "targets": ("in_proj", "no_such")}, ValueError, "no_such.*fc1, fc2, head"),
    ({"rank": 2, "targets": ("in_proj", "head")}, ValueError, "head"),
    ({"rank": 13}, ValueError, "rank 13, expected 1 to 12"),
    ({"rank": 0}, ValueError, "rank 0, expected 1 to 12"),
])
def test_what_cannot_be_adapted_leaves_the_model_as_it_was(options, error, words):
    model = gpt()
    with pytest.raises(error, match=words):
        add_lora(model, **options)
    assert all(p.requires_grad for p in model.parameters())
    assert not [module for module in model.modules() if isinstance(module, LoRALinear)]


def test_an_untied_head_can_be_adapted(ids):
    model = gpt(tied_head=False)
    before = model(ids).data
    assert np.array_equal(add_lora(model, 2, targets=("head",))(ids).data, before)


def test_a_second_time_is_refused():
    model = add_lora(gpt(), 2)
    with pytest.raises(ValueError, match="GPT.*merge_lora"):
        add_lora(model, 2, targets=("fc1",))
    assert len([p for p in model.parameters() if p.requires_grad]) == len(lora_parameters(model)) == 8


def test_without_adapters_it_is_said():
    for function in (lora_parameters, lora_state_dict, merge_lora):
        with pytest.raises(ValueError, match="GPT.*add_lora"):
            function(gpt())


def test_a_state_that_does_not_fit_is_refused_whole():
    model = with_numbers(add_lora(gpt(), 2))
    before, good = model.state_dict(), lora_state_dict(with_numbers(add_lora(gpt(), 2), 90))
    name = list(good)[-1]
    for bad, words in (({key: good[key] for key in good if key != name}, f"{name}: missing"),
                       (good | {"more": good[name]}, "more: unexpected"), (good | {name: np.zeros((3, 3))}, "shape")):
        with pytest.raises(RuntimeError, match=words):
            load_lora_state_dict(model, bad)
    model.transformer.blocks[0].attention.in_proj.merge()
    with pytest.raises(RuntimeError, match="transformer.blocks.0.attention.in_proj"):
        load_lora_state_dict(model, good)
    model.transformer.blocks[0].attention.in_proj.unmerge()
    assert all(np.allclose(array, before[key], atol=1e-6) for key, array in model.state_dict().items())


def test_a_layer_under_two_names_is_adapted_under_neither():
    class Twice(Module):
        def __init__(self):
            self.a = Linear(3, 3)
            self.b = self.a
        def forward(self, x):
            return self.b(self.a(x))
    with pytest.raises(ValueError, match="weight"):
        add_lora(Twice(), 1, targets=("a",))


def test_the_repr_names_rank_and_scale():
    assert repr(adapted()).startswith("LoRALinear(rank=3, scale=2.0\n  (base): Linear(in_features=7, out_features=5")
