"""Models that `transformers` wrote say the same here: logits, the tokens they write, gradients; and the way back."""
import os

import numpy as np
import pytest

from tinytorch import Tensor, no_grad
from tinytorch.generation import generate
from tinytorch.nn import functional as F
from tinytorch.pretrained import from_pretrained, save_pretrained

LENGTH, NEW, VOCABULARY = 512, 64, 97
SMALL = dict(vocab_size=VOCABULARY, bos_token_id=None, eos_token_id=None, pad_token_id=None)
LLAMA = dict(SMALL, hidden_size=48, intermediate_size=88, num_hidden_layers=2, num_attention_heads=6,
             max_position_embeddings=640, num_key_value_heads=2)
GPT2 = dict(SMALL, n_embd=48, n_layer=2, n_head=3, n_positions=640)


def kinds(transformers):
    "{name: (class, config, dtype, options of save_pretrained)}"
    t = transformers
    return {
        "gpt2": (t.GPT2LMHeadModel, t.GPT2Config(**GPT2), "float32", {}),
        "gpt2-untied-sharded": (t.GPT2LMHeadModel, t.GPT2Config(**GPT2, tie_word_embeddings=False, n_inner=100),
                                "float32", {"max_shard_size": "50KB"}),
        "llama-tied-float16": (t.LlamaForCausalLM, t.LlamaConfig(**LLAMA, tie_word_embeddings=True, rms_norm_eps=1e-5),
                               "float16", {}),
        "llama-biases-sharded": (t.LlamaForCausalLM, t.LlamaConfig(**LLAMA, attention_bias=True, mlp_bias=True,
                                 rope_parameters={"rope_type": "default", "rope_theta": 5e5}),
                                 "float32", {"max_shard_size": "50KB"}),
        "qwen2-bfloat16": (t.Qwen2ForCausalLM, t.Qwen2Config(**LLAMA), "bfloat16", {}),
        "mistral": (t.MistralForCausalLM, t.MistralConfig(**LLAMA, sliding_window=None), "float32", {}),
    }


@pytest.fixture(scope="session")
def transformers(torch):
    os.environ["HF_HUB_OFFLINE"] = "1"
    if os.environ.get("CI"):
        import transformers
    else:
        transformers = pytest.importorskip("transformers", reason="needs the extra: pip install -e '.[parity]'")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


NAMES = ["gpt2", "gpt2-untied-sharded", "llama-tied-float16", "llama-biases-sharded", "qwen2-bfloat16", "mistral"]


@pytest.fixture(scope="session", params=NAMES)
def pair(request, torch, transformers, tmp_path_factory):
    "(a folder, transformers' model as loaded from there in float32, ours)"
    kind, config, dtype, options = kinds(transformers)[request.param]
    torch.manual_seed(0)
    model, folder = kind(config).to(getattr(torch, dtype)), tmp_path_factory.mktemp(request.param)
    with torch.no_grad():
        for parameter in model.parameters():  # no norm is all ones, no bias 0, and attention looks somewhere
            parameter += 0.1 * torch.randn(parameter.shape).to(parameter.dtype)
    model.save_pretrained(folder, **options)
    assert len(list(folder.glob("*.safetensors"))) > 1 or not options, "it was to be sharded"
    theirs = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    return folder, theirs, from_pretrained(folder)


@pytest.fixture(scope="session")
def ids():
    return np.random.default_rng(1).integers(0, VOCABULARY, (1, LENGTH))


def test_logits(pair, torch, ids):
    _, theirs, ours = pair
    with torch.no_grad(), no_grad():
        expected, found = theirs(torch.tensor(ids)).logits.numpy(), ours(Tensor(ids)).data
    assert abs(expected).max() > 1
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_next_tokens(pair, torch, ids):
    _, theirs, ours = pair
    expected = theirs.generate(torch.tensor(ids), max_new_tokens=NEW, do_sample=False)[0].numpy()
    assert len(expected) == LENGTH + NEW
    for use_cache in (True, False):
        assert np.array_equal(generate(ours, ids[0], NEW, temperature=0, use_cache=use_cache), expected), use_cache


def test_gradients_of_all_parameters(pair, torch, ids):
    folder, theirs, ours = pair
    theirs.zero_grad()
    loss = torch.nn.functional.cross_entropy(theirs(torch.tensor(ids[:, :64])).logits[0], torch.tensor(ids[0, 1:65]))
    loss.backward()
    ours.zero_grad()
    mine = F.cross_entropy(ours(Tensor(ids[:, :64]))[0], Tensor(ids[0, 1:65]))
    mine.backward()
    assert abs(mine.item() - loss.item()) < 1e-5
    shown = from_pretrained(folder)  # a model whose weights are the gradients: the same names and layouts
    for own, parameter in zip(ours.parameters(), shown.parameters()):
        parameter.data[...] = own.grad.data
    save_pretrained(shown, folder / "gradients")
    reference = type(theirs).from_pretrained(folder / "gradients", dtype=torch.float32)
    for (name, expected), found in zip(theirs.named_parameters(), reference.parameters()):
        scale = expected.grad.abs().max()
        assert scale > 0 and (found - expected.grad).abs().max() <= 1e-4 * scale, name


def test_transformers_loads_what_is_saved_here(pair, torch, ids, tmp_path):
    _, theirs, ours = pair
    save_pretrained(ours, tmp_path)
    again, report = type(theirs).from_pretrained(tmp_path, output_loading_info=True, attn_implementation="eager")
    assert not any(report.values()), report
    for (name, expected), found in zip(theirs.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(expected, found), name
    with torch.no_grad():
        assert torch.equal(again.eval()(torch.tensor(ids)).logits, theirs(torch.tensor(ids)).logits)
