"""Tokenizers of published models: byte-level BPE in tokenizer.json, in vocab.json and merges.txt, or in a GGUF file."""
import unicodedata
from functools import lru_cache
from pathlib import Path

from tinytorch.patterns import compiled
from tinytorch.published import open_published
from tinytorch.regular_files import read_text
from tinytorch.tokenizers import GPT2_PATTERN, Tokenizer, byte_characters, merge_by_rank, split_special
from tinytorch.weight_files import read_json

MOST = 100 << 20  # bytes of a file
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LETTERS, REST = r"[^\r\n\p{L}\p{N}]?\p{L}+", r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
STEPS = {  # ways to cut text, each of which cuts what the one before it left
    "gpt2": GPT2_PATTERN, "llama3": rf"{CONTRACTIONS}|{LETTERS}|\p{{N}}{{1,3}}|{REST}",
    "qwen2": rf"{CONTRACTIONS}|{LETTERS}|\p{{N}}|{REST}", "digits": r"\p{N}"}
GGUF_STEPS = {"gpt-2": ("gpt2",), "smollm": ("digits", "gpt2"), "llama-bpe": ("llama3",), "qwen2": ("qwen2",)}
SPECIAL_KINDS = (3, 4)  # of GGUF's tokens: control, and added by users


class PublishedTokenizer(Tokenizer):
    """Encode as the tokenizer of a published model. tokens: by id, `visible` text for bytes, special ones by name.
    merges: pairs of tokens, the first learned first. steps: names among STEPS. normalizer: None or "NFC". whole: a
    piece that is a token is not merged (Llama 3). before, after: names of special tokens around a text, for
    encode(text, add_special_tokens=True). Not all 256 bytes need be tokens.
    Raises: ValueError for what is no token, or there twice; ImportError without `regex`."""
    options = ("merges", "steps", "normalizer", "whole", "before", "after")

    def __init__(self, tokens, merges, special_tokens=(), steps=("gpt2",), normalizer=None, whole=False, before=(),
                 after=()):
        self.names, self.merges, self.steps = list(tokens), [list(pair) for pair in merges], list(steps)
        self.normalizer, self.whole, self.before, self.after = normalizer, whole, list(before), list(after)
        known = set(self.names)
        if "" in known:
            raise ValueError("tokenizer: expected no token that is empty")
        if lacking := [name for name in special_tokens if name not in known]:
            raise ValueError(f"tokenizer: the special token {lacking[0]!r} is no token")
        super().__init__(self.names, special_tokens)
        self.ids = {name: i for i, name in enumerate(self.names)}
        self.patterns = [compiled(STEPS[step]) for step in self.steps]
        byte_of = {character: byte for byte, character in enumerate(byte_characters())}
        try:
            self.around = [[self.special_ids[name] for name in names] for names in (self.before, self.after)]
            self.tokens = [name.encode() if name in self.special_ids else bytes(byte_of[c] for c in name)
                           for name in self.names]
            self.ranks = {(self.ids[a], self.ids[b]): (rank, self.ids[a + b])
                          for rank, (a, b) in enumerate(self.merges)}
        except KeyError as error:
            raise ValueError(f"tokenizer: {error} is no token; do vocabulary and merges belong together?") from None
        self.byte_ids = [self.ids.get(character) for character in byte_characters()]
        self.ids_of_piece = lru_cache(1 << 15)(self.encode_piece)  # most pieces of a text were seen before

    def state(self):
        return {"tokens": self.names, "special_tokens": list(self.special_ids)} | {
            name: getattr(self, name) for name in self.options}

    def encode_piece(self, piece):
        "Return the ids of a piece. Raises: ValueError that names a character which the vocabulary cannot write."
        data = piece.encode()
        if self.whole and (name := "".join(byte_characters()[b] for b in data)) in self.ids:
            return [self.ids[name]]
        ids = [self.byte_ids[b] for b in data]
        if None in ids:
            lacking = next(c for c in piece if None in [self.byte_ids[b] for b in c.encode()])
            raise ValueError(f"tokenizer: the vocabulary cannot write {lacking!r} (U+{ord(lacking):04X})")
        return merge_by_rank(ids, self.ranks)

    def pieces(self, text):
        "Return plain text, cut by one step after the other; what a step does not match is a piece as well."
        parts = [text]
        for pattern in self.patterns:
            parts = [piece for part in parts for piece in cut(pattern, part)]
        return parts

    def encode_pieces(self, text):
        "Yield (ids, end of it in `text`) for each piece and special token."
        end = 0
        for part in split_special(text, self.special_ids):
            if part in self.special_ids:
                end += len(part)
                yield [self.special_ids[part]], end
                continue
            for piece in self.pieces(unicodedata.normalize(self.normalizer, part) if self.normalizer else part):
                end += len(piece)
                yield self.ids_of_piece(piece), end

    def encode(self, text, add_special_tokens=False):
        "Return the ids of `text`; with special tokens around it, if wanted. Raises: as `encode_piece`."
        ids, (before, after) = super().encode(text), self.around
        return [*before, *ids, *after] if add_special_tokens else ids

    def encode_iterable(self, texts, chunk=1 << 14):
        "As in Tokenizer; with a normalizer, whose characters depend on what follows them, all texts are joined first."
        if self.normalizer:
            return iter(self.encode("".join(texts)))
        return super().encode_iterable(texts, chunk)

    def decode_bytes(self, ids):
        "Return the bytes that `ids` stand for. Raises: IndexError for an id outside of the vocabulary."
        return b"".join(self.tokens_of(ids))

    def decode(self, ids):
        "Return the text; where ids end inside of a character, it has a replacement mark U+FFFD."
        return self.decode_bytes(ids).decode("utf-8", errors="replace")


def cut(pattern, text):
    "Return the matches of a pattern in `text`, and what lies between them."
    parts, end = [], 0
    for match in pattern.finditer(text):
        parts += [text[end:match.start()], match.group()]
        end = match.end()
    return [part for part in [*parts, text[end:]] if part]


# ---- tokenizer.json

def has(part, path, **expected):
    "Check entries of an object that may be missing. Raises: ValueError that names one with another value."
    if not isinstance(part, dict):
        raise ValueError(f"{path} is {str(part)[:80]!r}, expected an object")
    for name, values in expected.items():
        if part.get(name, values[0]) not in values:
            raise ValueError(f"{path}.{name} is {str(part[name])[:80]!r}, expected {' or '.join(map(repr, values))}")


def sequence(part, path, of):
    "Return the parts of a Sequence; or of what is none, or null."
    if part is None:
        return []
    has(part, path)
    return part[of] if part.get("type") == "Sequence" else [part]


def normalizer_of(given):
    "Return None or 'NFC'."
    found = sequence(given.get("normalizer"), "normalizer", "normalizers")
    for part in found:
        has(part, "normalizer", type=["NFC"])
    return "NFC" if found else None


def steps_of(given):
    "Return the names of the STEPS that a pre-tokenizer takes."
    steps, by_bytes = [], False
    known = {pattern: name for name, pattern in STEPS.items()}
    known[r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"] = "gpt2"
    for part in sequence(given.get("pre_tokenizer"), "pre_tokenizer", "pretokenizers"):
        has(part, "pre_tokenizer", type=["ByteLevel", "Split", "Digits"])
        if part["type"] == "ByteLevel":
            has(part, "pre_tokenizer", add_prefix_space=[False])
            by_bytes = True
            steps += ["gpt2"] * part.get("use_regex", True)
        elif part["type"] == "Digits":
            has(part, "pre_tokenizer", individual_digits=[True])
            steps.append("digits")
        else:
            has(part, "pre_tokenizer", behavior=["Isolated"], invert=[False])
            has(part.get("pattern"), "pre_tokenizer.pattern", Regex=list(known))
            steps.append(known[part["pattern"]["Regex"]])
    if not by_bytes:
        raise ValueError("pre_tokenizer has no ByteLevel: only byte-level BPE is known here")
    return steps


def around_of(given):
    "Return the names of the special tokens before and after a text."
    before, after, seen = [], [], False
    for part in sequence(given.get("post_processor"), "post_processor", "processors"):
        has(part, "post_processor", type=["ByteLevel", "TemplateProcessing"])
        for piece in part["single"] if part["type"] == "TemplateProcessing" else []:
            seen = seen or "Sequence" in piece
            if "SpecialToken" in piece:
                (after if seen else before).append(piece["SpecialToken"]["id"])
    return before, after


def added_of(given):
    "Return {id: name} of the tokens that are found in a text before all else."
    found = {}
    for token in given.get("added_tokens", []):
        has(token, "added_tokens", single_word=[False], lstrip=[False], rstrip=[False])
        if given.get("normalizer") is not None:
            has(token, "added_tokens", normalized=[False])
        found[token["id"]] = token["content"]
    return found


def by_id(vocabulary, added):
    "Return the names of all tokens in the order of their ids. Raises: ValueError where one is missing or there twice."
    names = {i: name for name, i in vocabulary.items()}
    if len(names) < len(vocabulary) or any(names.get(i, name) != name for i, name in added.items()):
        raise ValueError("vocabulary: two tokens have one id")
    names |= added
    if sorted(names) != list(range(len(names))):
        raise ValueError(f"vocabulary: {len(names):,} tokens, whose ids are not 0 to {len(names) - 1:,}")
    return [names[i] for i in range(len(names))]


def from_tokenizer_json(given):
    "Return the PublishedTokenizer that the entries of a tokenizer.json describe. Raises: ValueError."
    has(given, "tokenizer.json", truncation=[None], padding=[None])
    model = given.get("model")
    has(model, "model", type=["BPE"], dropout=[None, 0.0], unk_token=[None], continuing_subword_prefix=[None, ""],
        end_of_word_suffix=[None, ""], byte_fallback=[False], ignore_merges=[False, True])
    for part in sequence(given.get("decoder"), "decoder", "decoders"):
        has(part, "decoder", type=["ByteLevel"])
    added = added_of(given)
    merges = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    before, after = around_of(given)
    return PublishedTokenizer(by_id(model["vocab"], added), merges, list(added.values()), steps_of(given),
                              normalizer_of(given), model.get("ignore_merges", False), before, after)


def from_gguf(file):
    "Return the tokenizer in a GGUFFile. Raises: ValueError for one that is no byte-level BPE."
    field = {name: file.field(f"tokenizer.ggml.{name}") for name in ("model", "pre", "tokens", "merges", "token_type")}
    if field["model"] != "gpt2" or field["pre"] not in GGUF_STEPS:
        raise ValueError(f"tokenizer {field['model']}, {field['pre']}: expected gpt2, {' or '.join(GGUF_STEPS)}")
    special = [name for name, kind in zip(field["tokens"], field["token_type"]) if kind in SPECIAL_KINDS]
    return PublishedTokenizer(field["tokens"], [pair.split(" ") for pair in field["merges"]], special,
                              GGUF_STEPS[field["pre"]], "NFC" if field["pre"] == "qwen2" else None,
                              field["pre"] == "llama-bpe")


def from_vocabulary(folder):
    "Return the tokenizer of GPT-2's vocab.json and merges.txt."
    lines = read_text(folder / "merges.txt").split("\n")
    merges = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    vocabulary = read_json(folder / "vocab.json", MOST)
    special = [name for name in ("<|endoftext|>",) if name in vocabulary]
    return PublishedTokenizer(by_id(vocabulary, {}), merges, special)


def tokenizer_from_pretrained(source):
    """Return the tokenizer of a published model. source: a tokenizer.json; a folder with one, or with vocab.json and
    merges.txt; a .gguf file; or a name, see `open_published`.
    Raises: ValueError that names the file, and what in it is not known here."""
    path = Path(source)
    try:
        if path.is_dir() and not (path / "tokenizer.json").exists():
            return from_vocabulary(path)
        if path.is_dir() or path.suffix == ".json":
            path = path / "tokenizer.json" if path.is_dir() else path
            return from_tokenizer_json(read_json(path, MOST))
        files = open_published(source)
        if not hasattr(files, "reader"):
            return tokenizer_from_pretrained(files.where)
        path = files.where
        return from_gguf(files)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path}: no tokenizer that is known here: {why.removeprefix(f'{path}: ')}") from None
