"""Integers in place of weights: exact where they can be, near where not, like PyTorch's fake quantization."""
import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, fast, nn
from tinytorch.checkpoint import load_weights, save_weights
from tinytorch.generation import generate
from tinytorch.gradcheck import gradcheck
from tinytorch.nn.lora import add_lora, lora_parameters
from tinytorch.optim import AdamW
from tinytorch.quantization import (
    IntegerProduct,
    QATLinear,
    QuantizedLinear,
    calibrate,
    fake_quantize,
    find_scales,
    integer_linear,
    linear_layers,
    pack,
    prepare_qat,
    quantize,
    size_in_bytes,
    to_floats,
    to_integers,
    unpack,
)
from tinytorch.tensor import apply


def numbers(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def gpt(**options):
    tinytorch.manual_seed(3)
    config = dict(vocab_size=11, context=8, d_model=16, num_layers=2, num_heads=4, tied_head=False)
    return nn.GPT(nn.GPTConfig(**config | options))


def layer(dtype=np.float32, bias=True):
    tinytorch.manual_seed(1)
    return nn.Linear(24, 5, bias=bias).to(dtype)


# ---- numbers

@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("group", [None, 1, 3, 12])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_off_by_half_a_mark_at_most(bits, group, dtype):
    weight = numbers(4, 12, dtype=dtype)
    weight[1] = 0
    scales = find_scales(weight, bits, group)
    integers = to_integers(weight, scales, bits)
    back = to_floats(integers, scales)
    assert scales.dtype == back.dtype == dtype and integers.dtype == np.int8 and not back[1].any()
    assert (abs(back - weight).reshape(*scales.shape[:2], -1) <= scales * (0.5 + 1e-5)).all()
    assert np.array_equal(to_integers(back, scales, bits), integers)  # marks stay where they are
    assert abs(integers).max() == 2 ** (bits - 1) - 1


@pytest.mark.parametrize("groups", [1, 2, 5])
def test_packing_loses_nothing(groups):
    integers = np.random.default_rng(0).integers(-8, 8, (7, 20)).astype(np.int8)
    packed = pack(integers, groups)
    assert packed.nbytes * 2 == integers.nbytes and np.array_equal(unpack(packed, groups), integers)
    assert set(np.unique(unpack(np.arange(256, dtype=np.uint8).reshape(16, 16), 2))) == set(range(-8, 8))


@pytest.mark.parametrize("bits", [4, 8])
def test_fake_quantization_is_pytorchs(bits, torch):
    end = 2 ** (bits - 1) - 1
    x, scales = numbers(6, 9) * 3, np.array([0.5, 0.25, 0.125, 0.0625, 0.03125, 0.4], np.float32)
    ours = Tensor(x, requires_grad=True)
    out = fake_quantize(ours, scales[:, None, None], bits)
    out.backward(numbers(6, 9, seed=1))
    theirs = torch.from_numpy(x).requires_grad_()
    zeros = torch.zeros(6, dtype=torch.int32)
    expected = torch.fake_quantize_per_channel_affine(theirs, torch.from_numpy(scales), zeros, 0, -end, end)
    expected.backward(torch.from_numpy(numbers(6, 9, seed=1)))
    np.testing.assert_allclose(out.data, expected.detach().numpy(), atol=1e-7)
    assert np.array_equal(ours.grad, theirs.grad.numpy())


def test_a_product_of_integers_is_exact():
    "the sum of 3,001 products of integers, an odd number beyond those that float32 holds"
    integers, scales, x = np.full((1, 3001), 127, np.int8), np.ones((1, 1, 1)), np.full((1, 3001), 127.0)
    assert integer_linear(x, integers, scales).tolist() == [[3001 * 127 * 127]]


# ---- layers

@pytest.mark.parametrize("bits, group", [(8, None), (8, 6), (4, None), (4, 8), (3, 2)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_computes_with_its_weight(bits, group, bias):
    base, x = layer(bias=bias), Tensor(numbers(2, 3, 24))
    quantized = QuantizedLinear(base, bits, group)
    expected = x.data @ quantized.weight.data.T + (base.bias.data if bias else 0)
    np.testing.assert_allclose(quantized(x).data, expected, atol=1e-5)
    assert abs(quantized.weight.data - base.weight.data).max() < 0.1
    assert quantized.integers.data.nbytes == 24 * 5 // (1 if bits > 4 else 2)


@pytest.mark.parametrize("quantize_input", [False, True])
def test_the_gradient_of_the_input(quantize_input):
    quantized = QuantizedLinear(layer(np.float64), quantize_input=quantize_input)
    x = Tensor(numbers(3, 24, dtype=np.float64), requires_grad=True)
    cotangent = numbers(3, 5, seed=4, dtype=np.float64)
    quantized(x).backward(cotangent)
    np.testing.assert_allclose(x.grad, cotangent @ quantized.weight.data, rtol=1e-12)
    if not quantize_input:
        gradcheck(quantized, x)
    assert [name for name, _ in quantized.named_parameters()] == ["bias"]


@pytest.mark.parametrize("bits, group", [(8, None), (8, 6), (4, None), (4, 8)])
@pytest.mark.parametrize("rows", [0, 1, 3, 4, 5])
def test_the_compiled_form_says_the_same(bits, group, rows):
    pytest.importorskip("numba", reason="the compiled form needs the extra: pip install -e '.[fast]'")
    quantized, x = QuantizedLinear(layer(), bits, group), Tensor(numbers(rows, 24))
    with tinytorch.no_grad():
        with fast.use("plain"):
            plain = quantized(x).data
        with fast.use("compiled"):
            compiled = quantized(x).data
    np.testing.assert_allclose(compiled, plain, atol=1e-5)
    assert compiled.shape == (rows, 5)


def test_float64_and_gradients_are_left_to_the_plain_form():
    pytest.importorskip("numba", reason="the compiled form needs the extra: pip install -e '.[fast]'")
    with fast.use("compiled"):
        x = Tensor(numbers(2, 24, dtype=np.float64), requires_grad=True)
        QuantizedLinear(layer(np.float64), 4, 8)(x).sum().backward()
        assert x.grad.dtype == np.float64


# ---- models

@pytest.mark.parametrize("options", [{}, {"bits": 4, "group": 8}, {"inputs": "dynamic"}, {"skip": ("head",)}])
def test_a_gpt_says_nearly_the_same(options):
    model, ids = gpt(), Tensor(np.arange(8)[None] % 11)
    before, bytes_before = model(ids).data, size_in_bytes(model)
    quantize(model, **options)
    assert 0 < abs(model(ids).data - before).max() < 0.02 * (1 if options.get("bits", 8) == 8 else 8)
    assert size_in_bytes(model) < 0.5 * bytes_before
    linear = [path for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    assert linear == (["head"] if "skip" in options else [])
    assert len(generate(model, [1, 2], 5, temperature=0)) == 7  # with its cache


def test_calibrated_inputs():
    model, ids = gpt(), Tensor(np.arange(8)[None] % 11)
    scales = calibrate(model, [ids])
    assert set(scales) == {path for path, *_ in linear_layers(model)}
    assert all(0 < scale < 1 for scale in scales.values())
    assert not any(module._pre_hooks for module in model.modules())
    before = model(ids).data
    quantize(model, inputs=scales)
    assert 0 < abs(model(ids).data - before).max() < 0.02
    with pytest.raises(ValueError, match="batches"):
        calibrate(gpt(), [])


def test_calibration_leaves_the_model_as_it_was():
    model = gpt(dropout=0.5)
    model.train()
    with pytest.raises(IndexError):
        calibrate(model, [Tensor(np.arange(8)[None]), Tensor([[99]])])
    assert not any(module._pre_hooks for module in model.modules()) and model.training
    once, again = (calibrate(model, [Tensor(np.arange(8)[None])]) for _ in range(2))
    assert once == again  # no dropout


def test_only_integers_wait_for_the_backward_pass():
    quantized, x = QuantizedLinear(layer(), 4, 8), Tensor(numbers(2, 24), requires_grad=True)
    saved = [value for value in vars(quantized(x).grad_fn.parents[0]).values() if isinstance(value, np.ndarray)]
    assert [array.nbytes for array in saved] == [24 * 5 // 2, 3 * 5 * 4]


def test_a_shared_weight_stays():
    model = gpt(tied_head=True)
    quantize(model)
    assert type(model.head) is nn.Linear and model.head.weight is model.token_embedding.weight


def test_cross_attention_finds_a_weight():
    tinytorch.manual_seed(0)
    attention = nn.MultiHeadAttention(16, 4)
    x, y = Tensor(numbers(1, 3, 16)), Tensor(numbers(1, 5, 16, seed=1))
    before = attention(x, y).data
    quantize(attention)
    assert 0 < abs(attention(x, y).data - before).max() < 0.02


def test_a_file_holds_integers(tmp_path):
    one, two = quantize(gpt(), bits=4, group=8), quantize(gpt(), bits=4, group=8)
    for scales in [module.scales for module in two.modules() if isinstance(module, QuantizedLinear)]:
        scales.data[...] = 0
    save_weights(tmp_path / "model.safetensors", one)
    load_weights(tmp_path / "model.safetensors", two)
    ids = Tensor(np.arange(8)[None])
    assert np.array_equal(one(ids).data, two(ids).data)
    assert (tmp_path / "model.safetensors").stat().st_size < size_in_bytes(one) + 8000


def test_adapters_on_quantized_layers():
    "QLoRA (Dettmers et al. 2023): integers below, adapters that learn above"
    model, ids = add_lora(gpt(), 2), Tensor(np.arange(8)[None])
    quantize(model)
    before = model(ids).data
    model(ids).sum().backward()
    optimizer = AdamW(lora_parameters(model), lr=0.1)
    optimizer.step()
    assert all(p.grad is not None for p in lora_parameters(model)) and abs(model(ids).data - before).max() > 1e-3


# ---- training through the rounding

def test_training_moves_the_floats_behind():
    model = prepare_qat(nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)), bits=3, group=2)
    assert [type(part) for part in model] == [QATLinear, nn.ReLU, QATLinear]
    assert [name for name, _ in model.named_parameters()][:2] == ["0.base.weight", "0.base.bias"]
    x, target = Tensor(numbers(32, 6)), numbers(32, 2, seed=2) * 0.1
    optimizer, losses = AdamW(model.parameters(), lr=0.02), []
    for _ in range(60):
        loss = ((model(x) - target) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    trained = model(x).data
    quantize(model, bits=3, group=2)
    np.testing.assert_allclose(model(x).data, trained, atol=1e-5)  # nothing more is lost


# ---- what cannot be

@pytest.mark.parametrize("make, error, says", [
    (lambda: find_scales(numbers(2, 6), 8, 4), ValueError, "6.*4"),
    (lambda: find_scales(numbers(2, 6), 9), ValueError, "9"),
    (lambda: find_scales(numbers(2, 6), 1), ValueError, "1"),
    (lambda: QuantizedLinear(nn.ReLU()), TypeError, "ReLU"),
    (lambda: QuantizedLinear(nn.Linear(9, 2), 4), ValueError, "9"),
    (lambda: QuantizedLinear(nn.Linear(8, 2), 8, 4, quantize_input=True), ValueError, "group"),
    (lambda: quantize(nn.Sequential(nn.ReLU())), ValueError, "Sequential"),
    (lambda: quantize(gpt(), inputs={"head": 0.1}), KeyError, "in_proj"),
    (lambda: quantize(gpt(), inputs="dynamisch"), ValueError, "inputs.*dynamisch"),
    (lambda: quantize(quantize(gpt())), ValueError, "GPT")])
def test_what_cannot_be(make, error, says):
    with pytest.raises(error, match=says):
        make()


def test_an_error_leaves_the_model_whole():
    model = nn.Sequential(nn.Linear(8, 6), nn.Linear(6, 3))
    for change in (quantize, prepare_qat):
        with pytest.raises(ValueError, match="6"):
            change(model, bits=4, group=4)
        assert [type(part) for part in model] == [nn.Linear, nn.Linear]


def test_the_operation_alone():
    integers, scales = np.array([[1, -1]], np.int8), np.full((1, 1, 1), 0.5, np.float32)
    out = apply(IntegerProduct(), Tensor([[1.0, 2.0]]), integers, scales)
    assert out.tolist() == [[-0.5]]
