"""Files of published models: their names and layouts, what is refused, and the way back."""
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import tinytorch
from tinytorch import Tensor, nn
from tinytorch.nn.lora import add_lora
from tinytorch.nn.transformer import GPT, GPTConfig
from tinytorch.pretrained import from_pretrained, gpt2_weights, llama_weights, place_of, save_pretrained, shapes_of

SIZES = dict(vocab_size=31, context=12, d_model=24, num_layers=2, num_heads=6, mlp_hidden=40, norm_eps=1e-5)
LLAMA = dict(norm="rms_norm", activation="swiglu", positions="rotary", bias=False)
MODELS = {
    "gpt2": {}, "gpt2-untied-relu": dict(tied_head=False, activation="relu"),
    "llama": dict(**LLAMA), "llama-grouped-untied": dict(LLAMA, num_kv_heads=2, tied_head=False, rotary_base=5e4),
    "llama-biases": dict(LLAMA, bias=True), "llama-mlp-bias": dict(LLAMA, mlp_bias=True),
    "qwen2": dict(LLAMA, num_kv_heads=3, qkv_bias=True), "multi-query": dict(LLAMA, num_kv_heads=1)}


def made(name="llama-grouped-untied", seed=0, **options):
    "A GPT with numbers everywhere, biases and norms included."
    tinytorch.manual_seed(seed)
    model = GPT(GPTConfig(**SIZES | MODELS[name] | options))
    for parameter in model.parameters():
        parameter.data += 0.1 * np.random.default_rng(seed).standard_normal(parameter.shape).astype(np.float32)
    return model


IDS = Tensor(np.random.default_rng(3).integers(0, 31, (2, 12)))


@pytest.fixture(params=MODELS)
def name(request):
    return request.param


# ---- there and back

def test_what_is_saved_says_the_same_when_it_is_loaded(name, tmp_path):
    model = made(name)
    model.save_pretrained(tmp_path / "there")
    again = nn.GPT.from_pretrained(tmp_path / "there")
    assert np.array_equal(again(IDS).data, model(IDS).data)
    state, expected = again.state_dict(), model.state_dict()
    assert list(state) == list(expected) and repr(again) == repr(model)
    assert all(np.array_equal(state[key], expected[key]) for key in state)


def test_the_maps_name_each_number_once(name):
    config = GPTConfig(**SIZES | MODELS[name])
    parameters = dict(GPT(config).named_parameters())
    assert {path: parameter.shape for path, parameter in parameters.items()} == shapes_of(config)
    seen = {path: np.zeros(parameter.shape, int) for path, parameter in parameters.items()}
    for weight in (gpt2_weights if config.norm == "layer_norm" else llama_weights)(config).values():
        place_of(seen[weight.path], weight)[...] += 1
    assert all((count == 1).all() for count in seen.values())


def test_loading_draws_nothing_and_leaves_the_generator(tmp_path):
    save_pretrained(made(), tmp_path)
    tinytorch.manual_seed(5)
    expected = tinytorch.rand(3).data
    tinytorch.manual_seed(5)
    model = from_pretrained(tmp_path)
    assert np.array_equal(tinytorch.rand(3).data, expected)
    assert all(p.requires_grad and p.data.flags.writeable and p.data.flags.c_contiguous for p in model.parameters())


LOAD = """
import sys
from tinytorch.pretrained import from_pretrained

def peak():
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024

before = peak()
model = from_pretrained(sys.argv[1])
print((peak() - before) / sum(parameter.data.nbytes for parameter in model.parameters()))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells how much memory a process had at most")
@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_a_model_is_never_in_memory_twice(kind, tmp_path):
    config = GPTConfig(vocab_size=8_000, context=64, d_model=256, num_layers=10, num_heads=4)  # 10 million numbers
    save_pretrained(GPT(config), tmp_path)
    arrays = load_file(tmp_path / "model.safetensors")
    save_file({name: array.astype(kind) for name, array in arrays.items()}, tmp_path / "model.safetensors")
    done = subprocess.run([sys.executable, "-c", LOAD, tmp_path], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1.3, "times its own bytes; GPT-2, beside which buffers weigh less, needs 1.04"


def test_it_can_be_trained_and_has_dropout_if_wanted(tmp_path):
    save_pretrained(made("gpt2"), tmp_path)
    model = from_pretrained(tmp_path, dropout=0.5)
    assert not np.array_equal(model(IDS).data, model(IDS).data)
    model(IDS).sum().backward()
    assert all(p.grad is not None and p.grad.data.any() for p in model.parameters())


def test_less_context_for_less_memory(tmp_path):
    model = made()
    save_pretrained(model, tmp_path)
    short = from_pretrained(tmp_path, context=5)
    assert short.context == 5 and np.allclose(short(IDS[:, :5]).data, model(IDS[:, :5]).data, atol=1e-6)
    with pytest.raises(ValueError, match="context is 13, expected at most 12"):
        from_pretrained(tmp_path, context=13)
    save_pretrained(made("gpt2"), tmp_path)
    with pytest.raises(ValueError, match="context is 5, expected 12"):
        from_pretrained(tmp_path, context=5)


def test_the_base_is_written_where_old_and_new_readers_look_for_it(tmp_path):
    save_pretrained(made(), tmp_path)
    given = json.loads((tmp_path / "config.json").read_text())
    assert given["rope_theta"] == given["rope_parameters"]["rope_theta"] == 5e4
    for gone in ("rope_theta", "rope_parameters"):
        changed(tmp_path, rope_theta=5e4, rope_parameters={"rope_theta": 5e4, "rope_type": "default"})
        changed(tmp_path, **{gone: "gone"})
        assert from_pretrained(tmp_path).config.rotary_base == 5e4


def test_float64_is_saved_as_float32(tmp_path):
    model = made().double()
    save_pretrained(model, tmp_path)
    assert {array.dtype for array in load_file(tmp_path / "model.safetensors").values()} == {np.dtype(np.float32)}
    assert np.allclose(from_pretrained(tmp_path)(IDS).data, model(IDS).data, atol=1e-5)


@pytest.mark.parametrize("options, words", [
    (dict(positions="sinusoidal"), "positions='sinusoidal'"), (dict(pre_norm=False), "pre_norm=False"),
    (dict(head_bias=True, tied_head=False), "head_bias=True"), (dict(bias=False), "bias=False"),
    (dict(num_kv_heads=2), "num_kv_heads=2"), (dict(mlp_bias=False), "mlp_bias=False"),
    (dict(LLAMA, activation="gelu"), "activation='gelu'"), (dict(LLAMA, positions="learned"), "positions='learned'"),
    (dict(LLAMA, bias=True, qkv_bias=False), "qkv_bias=False"),
    (dict(LLAMA, qkv_bias=True, mlp_bias=True), "mlp_bias=True")])
def test_what_no_layout_has_is_not_saved(options, words, tmp_path):
    model = GPT(GPTConfig(**SIZES | options))
    with pytest.raises(ValueError, match=words):
        save_pretrained(model, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_adapters_are_merged_first(tmp_path):
    with pytest.raises(ValueError, match="merge_lora"):
        save_pretrained(add_lora(made(), 2), tmp_path / "new")
    assert not (tmp_path / "new").exists()


# ---- files of others

def test_prefixes_buffers_and_a_tied_head_that_was_written(tmp_path):
    model = made("gpt2")
    save_pretrained(model, tmp_path)
    arrays = load_file(tmp_path / "model.safetensors")
    bare = {name.removeprefix("transformer."): array for name, array in arrays.items()}
    bare |= {"h.0.attn.bias": np.ones((1, 1, 12, 12), np.float32), "h.1.attn.masked_bias": np.float32([-1e4]),
             "h.1.attn.bias": np.ones((1, 1, 12, 12), bool),
             "lm_head.weight": bare["wte.weight"]}
    save_file(bare, tmp_path / "model.safetensors")
    assert np.array_equal(from_pretrained(tmp_path)(IDS).data, model(IDS).data)
    save_file(bare | {"lm_head.weight": bare["wte.weight"] + 1}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="lm_head.weight"):
        from_pretrained(tmp_path)
    save_file(bare | {"transformer.wpe.weight": bare["wpe.weight"]}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="wpe.weight: there twice"):
        from_pretrained(tmp_path)


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_other_floats_become_float32(kind, tmp_path):
    model = made()
    save_pretrained(model, tmp_path)
    arrays = {name: array.astype(kind) for name, array in load_file(tmp_path / "model.safetensors").items()}
    save_file(arrays, tmp_path / "model.safetensors")
    again = from_pretrained(tmp_path)
    assert again.head.weight.dtype == np.float32
    assert np.array_equal(again.head.weight.data, arrays["lm_head.weight"].astype(np.float32))


def changed(folder, **entries):
    given = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({k: v for k, v in (given | entries).items() if v != "gone"}))


@pytest.mark.parametrize("entries, words", [
    ({"sliding_window": 4096}, "sliding_window is 4096, expected None"),
    ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
    ({"head_dim": 8}, "head_dim is 8"), ({"layer_types": ["sliding_attention"]}, "layer_types is 'sliding_attention'"),
    ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rope_scaling is 'llama3'"),
    ({"rope_scaling": {"type": "linear", "factor": 8.0}}, "rope_scaling is 'linear'"),
    ({"rope_parameters": {"rope_type": "yarn"}}, "rope_parameters is 'yarn'"),
    ({"rope_parameters": [1]}, "rope_parameters is .1."), ({"quantization_config": {"bits": 4}}, "quantization_config"),
    ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
    ({"model_type": "gemma"}, "model_type is 'gemma'"),
    ({"model_type": "gone"}, "model_type.*gpt2, llama"), ({"model_type": ["llama"]}, "model_type"),
    ({"num_key_value_heads": 4}, "num_heads.* 6.* 4"), ({"layer_types": 3}, "another kind"),
    ({"num_attention_heads": 5}, "num_heads 5"), ({"rms_norm_eps": 0}, "rms_norm_eps is 0"),
    ({"rms_norm_eps": "1e-5"}, "rms_norm_eps is '1e-5', expected a number"),
    ({"vocab_size": 31.5}, "vocab_size is 31.5"),
    ({"hidden_size": True}, "hidden_size.*True"), ({"num_hidden_layers": -1}, "num_hidden_layers is -1"),
    ({"max_position_embeddings": 10 ** 12}, "max_position_embeddings is 1000000000000, .* at most 2,147,483,648"),
    ({"max_position_embeddings": 10 ** 7}, "10,000,000.*context"),
    ({"attention_bias": 1}, "attention_bias is 1"), ({"tie_word_embeddings": "yes"}, "tie_word_embeddings is 'yes'"),
    ({"rope_theta": float("nan")}, "rope_theta.*nan")], ids=str)
def test_options_that_a_gpt_has_not_are_refused_by_name(entries, words, tmp_path):
    save_pretrained(made(), tmp_path)
    changed(tmp_path, **entries)
    (tmp_path / "model.safetensors").write_bytes(b"no weights: they must not be looked at")
    with pytest.raises(ValueError, match=words) as caught:
        from_pretrained(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}: refused: ")


@pytest.mark.parametrize("entries, words", [
    ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
    ({"scale_attn_weights": False}, "scale_attn_weights"), ({"add_cross_attention": True}, "add_cross_attention"),
    ({"activation_function": "gelu"}, "activation_function is 'gelu', expected 'gelu_new'"),
    ({"n_head": 0}, "n_head is 0"),
    ({"n_inner": "wide"}, "n_inner is 'wide'")], ids=str)
def test_so_are_those_of_gpt2(entries, words, tmp_path):
    save_pretrained(made("gpt2"), tmp_path)
    changed(tmp_path, **entries)
    with pytest.raises(ValueError, match=words):
        from_pretrained(tmp_path)


def test_more_layers_than_arrays_are_not_counted_out(tmp_path):
    save_pretrained(made(), tmp_path)
    changed(tmp_path, num_hidden_layers=10 ** 8)
    with pytest.raises(ValueError, match="100,000,000.*21"):
        from_pretrained(tmp_path)


@pytest.mark.parametrize("change, words", [
    (lambda arrays: arrays.pop("model.norm.weight"), "norm.weight: missing"),
    (lambda arrays: arrays.update({"model.more": np.zeros(3, np.float32)}), "'more': unexpected"),
    (lambda arrays: arrays.update({"model.norm.weight": np.zeros(23, np.float32)}),
     r"norm.weight: got F32 \(23,\), expected floats \(24,\)"),
    (lambda arrays: arrays.update({"lm_head.weight": arrays["lm_head.weight"].T.copy()}),
     r"lm_head.weight: got F32 \(24, 31\)"),
    (lambda arrays: arrays.update({"model.norm.weight": np.zeros(24, np.int8)}),
     r"norm.weight: got I8 \(24,\), expected floats"),
])
def test_weights_that_do_not_fit_are_named(change, words, tmp_path):
    save_pretrained(made(), tmp_path)
    arrays = load_file(tmp_path / "model.safetensors")
    change(arrays)
    save_file(arrays, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=words):
        from_pretrained(tmp_path)


def test_what_is_no_folder_is_said():
    with pytest.raises(ValueError, match="no such folder, and no model of that name"):
        from_pretrained("no-such-model")
