"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""
import numpy as np
from by_hand import expect, likely

from tinytorch import Tensor
from tinytorch.nn.grouped import share_heads, split_packed
from tinytorch.nn.transformer import GPTConfig
from tinytorch.pretrained import Weight, gpt2_weights, halves_of, interleaved_of, llama_rows, place_of

ONE_BLOCK = GPTConfig(vocab_size=5, context=4, d_model=24, num_layers=1, num_heads=6, num_kv_heads=2)


def test_which_keys_a_head_reads():
    keys = np.arange(2.0).reshape(2, 1, 1)  # a head of zeros, a head of ones
    with likely("heads are dim -3, before tokens and features"):
        got = share_heads(Tensor(keys), 6).data.ravel()
    expect("the keys of six heads, in two groups", got, [0, 0, 0, 1, 1, 1],
           {"neighbours belong to a group: 0, 0, 0, 1, 1, 1, not 0, 1, 0, 1": [0, 1] * 3})
    expect("the keys of an array", share_heads(keys, 2).ravel(), [0, 1])


def test_what_is_packed():
    packed = Tensor(np.arange(10.0))  # 6 heads of one number, then 2 of keys, 2 of values
    with likely("the three are of different sizes: num_heads, and twice num_kv_heads, times the size of a head"):
        query, key, value = (part.data for part in split_packed(packed, 6, 2))
    expect("the queries", query, np.arange(6), {"thirds, as if there were six heads of keys": np.arange(4)})
    expect("the keys", key, [6, 7], {"keys and values are swapped": [8, 9]})
    expect("the values", value, [8, 9])


def test_names():
    found = gpt2_weights(ONE_BLOCK)
    assert "h.0.mlp.c_proj.weight" in found, f"a block's modules are h.0.<name in GPT2_BLOCK>, got {sorted(found)}"
    assert found["h.0.mlp.c_proj.weight"].path == "transformer.blocks.0.mlp.fc2.weight", "c_proj of the MLP is fc2"
    square = found["h.0.attn.c_proj.weight"]
    assert square.transposed, "attn.c_proj is square, and transposed all the same: go by the name, not by the shape"
    assert not found["h.0.attn.c_proj.bias"].transposed, "a bias is not transposed"
    assert not found["wte.weight"].transposed, "the embeddings are tables in both, not transposed"
    assert "lm_head.weight" not in found, "a tied head has no array of its own in the file"
    assert len(found) == 16, f"12 arrays of a block, 2 tables, weight and bias of the last norm: got {len(found)}"


def test_places():
    array, stored = np.zeros((4, 2)), np.array([[1.0, 2], [3, 4]])
    with likely("rows are those of the parameter: first its rows, then transposed"):
        place_of(array, Weight("", slice(1, 3), transposed=True))[...] = stored
    assert array.any(), "place_of must return a view, so that what is written to it arrives"
    mistakes = {"not transposed": [[0, 0], [1, 2], [3, 4], [0, 0]],
                "the rows are left out of account": [[1, 3], [2, 4], [0, 0], [0, 0]]}
    expect("the parameter", array, [[0, 0], [1, 3], [2, 4], [0, 0]], mistakes)


def test_rows_of_queries_keys_and_values():
    rows = llama_rows(ONE_BLOCK)
    found = [(rows[name].start, rows[name].stop) for name in ("q_proj", "k_proj", "v_proj")]
    expect("rows of q_proj, k_proj, v_proj", found, [(0, 24), (24, 32), (32, 40)],
           {"two heads of keys have 2 * 4 rows, not 24": [(0, 24), (24, 48), (48, 72)]})


def test_halves():
    weight = np.arange(8.0)[:, None]
    with likely("reshape to (heads, pairs, 2, D)"):
        one, two = halves_of(weight, 1).ravel(), halves_of(weight, 2).ravel()
    expect("one head", one, [0, 2, 4, 6, 1, 3, 5, 7],
           {"that is the inverse: neighbours are made of halves": [0, 4, 1, 5, 2, 6, 3, 7]})
    expect("two heads", two, [0, 2, 1, 3, 4, 6, 5, 7],
           {"across the heads, not inside of each": [0, 2, 4, 6, 1, 3, 5, 7]})
    expect("and back", interleaved_of(weight, 1).ravel(), [0, 4, 1, 5, 2, 6, 3, 7],
           {"the same order again, not the inverse": [0, 2, 4, 6, 1, 3, 5, 7]})
