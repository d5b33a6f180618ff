"""Folders that are damaged, or made to do harm: refused in one message, and nothing is allocated beyond the headers."""
import json
import os
import tracemalloc

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tinytorch.nn.transformer import GPT, GPTConfig
from tinytorch.pretrained import from_pretrained, save_pretrained

LLAMA = dict(vocab_size=23, context=8, d_model=16, num_layers=2, num_heads=4, num_kv_heads=2, mlp_hidden=24, bias=False,
             norm="rms_norm", activation="swiglu", positions="rotary", tied_head=False)
WEIGHTS, INDEX, CONFIG = "model.safetensors", "model.safetensors.index.json", "config.json"
HUGE, ATTACKS = 10 ** 13, {}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    "{name: bytes} of a folder that is right"
    folder = tmp_path_factory.mktemp("good")
    save_pretrained(GPT(GPTConfig(**LLAMA)), folder)
    from_pretrained(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def attack(words):
    "Register a function that damages a folder; `words` are in the message."
    def register(function):
        ATTACKS[function.__name__.replace("_", " ")] = function, words
        return function
    return register


def entries(folder, **changes):
    given = json.loads((folder / CONFIG).read_text()) | changes
    (folder / CONFIG).write_text(json.dumps(given))


def header(folder, change, keep=True):
    "Rewrite the header of the weights; `change` gets its dict, and may return a text instead."
    data = (folder / WEIGHTS).read_bytes()
    size = int.from_bytes(data[:8], "little")
    given = json.loads(data[8:8 + size])
    text = change(given)
    text = (json.dumps(given) if text is None else text).encode()
    (folder / WEIGHTS).write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size:] * keep)


def first(given):
    return next(name for name in given if name != "__metadata__")


def sharded(folder, change=None, **places):
    "Two shards and their index, into which `change` and `places` are written."
    arrays = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    names, parts = sorted(arrays), {"a.safetensors": {}, "b.safetensors": {}}
    weight_map = {name: sorted(parts)[n % 2] for n, name in enumerate(names)}
    for name, part in weight_map.items():
        parts[part][name] = arrays[name]
    if change:
        change(parts, weight_map)
    for part, content in parts.items():
        save_file(content, folder / part)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map | places}))


# ---- config.json

@attack("config.json")
def no_config(folder): (folder / CONFIG).unlink()

@attack("expected at most 1,048,576")
def a_config_of_ten_gigabytes(folder): os.truncate(folder / CONFIG, 10 ** 10)

@attack("expected JSON")
def an_empty_config(folder): (folder / CONFIG).write_text("")

@attack("expected JSON")
def a_config_that_is_not_utf8(folder): (folder / CONFIG).write_bytes(b'{"model_type": "\xff\xfe"}')

@attack("expected an object")
def a_config_that_is_a_list(folder): (folder / CONFIG).write_text("[1, 2]")

@attack("expected JSON")
def a_config_nested_without_end(folder): (folder / CONFIG).write_text("[" * 200_000)

@attack("there twice")
def an_option_twice(folder): (folder / CONFIG).write_text('{"model_type": "llama", "model_type": "gpt2"}')

@attack("config.json")
def a_config_that_is_a_folder(folder):
    (folder / CONFIG).unlink()
    (folder / CONFIG).mkdir()

@attack("pipe or device")
def a_config_that_is_a_pipe(folder):
    (folder / CONFIG).unlink()
    os.mkfifo(folder / CONFIG)

@attack("pipe or device")
def a_config_that_is_a_device(folder):
    (folder / CONFIG).unlink()
    (folder / CONFIG).symlink_to("/dev/zero")

@attack("model_type")
def another_kind_of_model(folder): entries(folder, model_type="../../llama")

@attack("model_type")
def a_kind_that_is_a_list(folder): entries(folder, model_type=["llama"])

@attack("vocab_size")
def a_vocabulary_without_end(folder): entries(folder, vocab_size=10 ** 30)

@attack("lm_head.weight: got")
def a_vocabulary_of_a_terabyte(folder): entries(folder, vocab_size=2 ** 31)

@attack("hidden_size")
def a_width_below_zero(folder): entries(folder, hidden_size=-16)

@attack("got F32")
def a_width_of_terabytes(folder): entries(folder, hidden_size=2 ** 30, head_dim=2 ** 28)

@attack("layers, but only")
def a_billion_layers(folder): entries(folder, num_hidden_layers=10 ** 9)

@attack("places would need large tables")
def a_billion_places(folder): entries(folder, max_position_embeddings=10 ** 9)

@attack("num_attention_heads is 0")
def no_heads(folder): entries(folder, num_attention_heads=0)

@attack("no multiple")
def more_heads_of_keys(folder): entries(folder, num_key_value_heads=8)

@attack("rms_norm_eps")
def an_eps_that_is_nan(folder): entries(folder, rms_norm_eps=float("nan"))

@attack("rope_theta")
def a_base_that_is_infinite(folder): entries(folder, rope_theta=float("inf"))

@attack("is no multiple|hidden_act|layer_types|another kind")
def a_number_where_a_list_belongs(folder): entries(folder, layer_types=7)

@attack("quantization_config")
def quantized_weights(folder): entries(folder, quantization_config={"quant_method": "gptq", "bits": 4})


# ---- model.safetensors

@attack("no safetensors file")
def no_weights(folder): (folder / WEIGHTS).unlink()

@attack("in a file of 0")
def empty_weights(folder): (folder / WEIGHTS).write_bytes(b"")

@attack("in a file of 5")
def five_bytes(folder): (folder / WEIGHTS).write_bytes(b"12345")

@attack("a header of 9,223,372,036,854,775,807 bytes")
def a_header_of_exabytes(folder): (folder / WEIGHTS).write_bytes((2 ** 63 - 1).to_bytes(8, "little") + b"{}")

@attack("a header of 200,000,000 bytes")
def a_header_of_200_megabytes(folder):
    (folder / WEIGHTS).write_bytes((200_000_000).to_bytes(8, "little") + b"{}")
    os.truncate(folder / WEIGHTS, 300_000_000)

@attack("no safetensors file")
def weights_of_pickle(folder): (folder / WEIGHTS).write_bytes(b"\x80\x04\x95" + b"cos\nsystem\n(S'true'\ntR." * 9)

@attack("no safetensors file")
def a_header_that_is_cut_off(folder): header(folder, lambda given: json.dumps(given)[:-9])

@attack("no safetensors file")
def a_header_that_is_a_list(folder): header(folder, lambda given: "[]")

@attack("there twice")
def an_array_twice_in_the_header(folder):
    header(folder, lambda given: json.dumps(given)[:-1] + f', "{first(given)}": {json.dumps(given[first(given)])}}}')

@attack("the file at")
def arrays_that_are_cut_off(folder): os.truncate(folder / WEIGHTS, os.path.getsize(folder / WEIGHTS) - 100)

@attack("the file at")
def bytes_that_are_left_over(folder): (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes() + b"more")

@attack("begins at byte")
def arrays_that_overlap(folder):
    def overlap(given):
        names = sorted((n for n in given if n != "__metadata__"), key=lambda n: given[n]["data_offsets"])
        same = [n for n in names if given[n]["shape"] == given[names[-1]]["shape"]]
        given[same[0]]["data_offsets"] = given[names[-1]]["data_offsets"]
    header(folder, overlap)

@attack("offsets")
def offsets_before_the_file(folder): header(folder, lambda given: given[first(given)].update(data_offsets=[-64, 0]))

@attack("no safetensors file")
def offsets_that_are_words(folder): header(folder, lambda given: given[first(given)].update(data_offsets=["a", "b"]))

@attack("no safetensors file")
def three_offsets(folder): header(folder, lambda given: given[first(given)].update(data_offsets=[0, 1, 2]))

@attack("bytes for F32 of shape")
def a_shape_of_terabytes(folder): header(folder, lambda given: given[first(given)].update(shape=[HUGE, HUGE]))

@attack("expected integers from 0")
def a_shape_below_zero(folder): header(folder, lambda given: given[first(given)].update(shape=[-16, -23]))

@attack("expected integers from 0")
def a_shape_of_fractions(folder): header(folder, lambda given: given[first(given)].update(shape=[16.0, 23.0]))

@attack("dtype F4, expected one of")
def a_dtype_that_does_not_exist(folder): header(folder, lambda given: given[first(given)].update(dtype="F4"))

@attack("expected floats")
def integers_for_weights(folder): header(folder, lambda given: given[first(given)].update(dtype="I32"))

@attack("bytes for F16")
def half_of_the_bytes(folder): header(folder, lambda given: given[first(given)].update(dtype="F16"))

@attack("no safetensors file")
def an_entry_that_is_a_number(folder): header(folder, lambda given: given.update({first(given): 3}))

@attack("unexpected")
def a_name_that_controls_the_terminal(folder):
    header(folder, lambda given: given.update({"\x1b[2J\x07": given.pop(first(given))}))

@attack("got F32")
def an_array_of_another_shape(folder):
    header(folder, lambda given: given["lm_head.weight"]["shape"].reverse())

@attack("missing")
def an_array_that_is_missing(folder):
    arrays = load_file(folder / WEIGHTS)
    del arrays["model.layers.1.mlp.up_proj.weight"]
    save_file(arrays, folder / WEIGHTS)


# ---- the index

@attack("lacks")
def a_shard_that_lacks_what_the_index_names(folder): sharded(folder, **{"model.more.weight": "a.safetensors"})

@attack("no safetensors file")
def a_shard_that_is_missing(folder): sharded(folder, **{"model.more.weight": "c.safetensors"})

@attack("is not the name of a safetensors file in this folder")
def a_shard_outside_of_the_folder(folder): sharded(folder, **{"model.more.weight": "../secret.safetensors"})

@attack("is not the name of a safetensors file in this folder")
def a_shard_at_an_absolute_place(folder): sharded(folder, **{"model.more.weight": "/etc/secret.safetensors"})

@attack("is not the name of a safetensors file in this folder")
def a_shard_at_a_drive(folder): sharded(folder, **{"model.more.weight": "C:\\secret.safetensors"})

@attack("is not the name of a safetensors file in this folder")
def a_shard_that_is_no_safetensors(folder): sharded(folder, **{"model.more.weight": "/etc/passwd"})

@attack("which the index does not have there")
def an_array_in_two_shards(folder):
    sharded(folder, lambda parts, places: parts["b.safetensors"].update(parts["a.safetensors"]))

@attack("which the index does not have there")
def an_array_that_the_index_does_not_name(folder):
    sharded(folder, lambda parts, places: parts["a.safetensors"].update(more=np.zeros(3, np.float32)))

@attack("weight_map")
def an_index_without_a_map(folder):
    sharded(folder)
    (folder / INDEX).write_text('{"metadata": {}}')

@attack("weight_map")
def an_index_of_numbers(folder): sharded(folder, **{"model.more.weight": 3})

@attack("there twice")
def an_index_that_names_an_array_twice(folder):
    sharded(folder)
    (folder / INDEX).write_text('{"weight_map": {"a": "a.safetensors", "a": "b.safetensors"}}')

@attack("expected at most")
def an_index_of_ten_gigabytes(folder):
    sharded(folder)
    os.truncate(folder / INDEX, 10 ** 10)

@attack("pipe or device")
def a_shard_that_is_a_pipe(folder):
    sharded(folder)
    (folder / "b.safetensors").unlink()
    os.mkfifo(folder / "b.safetensors")


@pytest.mark.parametrize("name", ATTACKS)
def test_it_is_refused_and_nothing_is_allocated(name, good, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for file, content in good.items():
        (folder / file).write_bytes(content)
    damage, words = ATTACKS[name]
    damage(folder)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=words) as caught:
            from_pretrained(folder)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert str(folder) in message and len(message) < 1000 and message.isprintable()
    assert peak < 3_000_000, f"{peak:,} bytes at the peak"


def test_there_are_fifty():
    assert len(ATTACKS) >= 50
