"""Tokenizers in files: ids equal to those of the package `tokenizers`, and what is not known is refused by name."""
import json
import random
import sys
import unicodedata
from pathlib import Path

import pytest

from tinytorch.tokenizer_files import STEPS, PublishedTokenizer, tokenizer_from_pretrained
from tinytorch.tokenizers import Tokenizer

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im|>"]
SCRIPTS = """The quick brown fox, it's 2024: they'LL've naïve   tabs\t\tand\r\n\r\n  lines\n Ünïcödé ſ's K's
Ελληνικά кириллица עברית العربية हिन्दी ไทย 한국어 日本語 中文 ქართული አማርኛ தமிழ் Tiếng Việt e\u0301 ﬁ ½ Ⅷ ٣٤٥ १२३
def f(x_1, *args):\n\treturn {'a': x_1 ** 2 != 3.14e-10}  # größer\n\n\n
👩‍👩‍👧‍👦 🇩🇪 👍🏽 ☃️ \u200d\ufeff\u00a0\u2028\u3000\x1c\x1d\x85 \x00\x07 zero 12345678 1,000,000.00\n"""


@pytest.fixture(scope="module")
def tokenizers():
    return pytest.importorskip("tokenizers", reason="needs the extra: pip install -e '.[parity]'")


def made(tokenizers, kind, alphabet=True):
    "A small tokenizer of one of the kinds that are known, as the package writes it."
    t = tokenizers
    pre, by_bytes = t.pre_tokenizers, t.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer = t.Tokenizer(t.models.BPE(ignore_merges=kind == "llama3"))
    if kind == "gpt2":
        tokenizer.pre_tokenizer = pre.ByteLevel(add_prefix_space=False)
    elif kind == "smollm":
        tokenizer.pre_tokenizer = pre.Sequence([pre.Digits(individual_digits=True),
                                                pre.ByteLevel(add_prefix_space=False)])
    else:
        split = pre.Split(t.Regex(STEPS[kind]), behavior="isolated")
        tokenizer.pre_tokenizer = pre.Sequence([split, by_bytes])
    if kind == "qwen2":
        tokenizer.normalizer = t.normalizers.NFC()
    tokenizer.decoder, tokenizer.post_processor = t.decoders.ByteLevel(), t.processors.ByteLevel(trim_offsets=False)
    start = pre.ByteLevel.alphabet() if alphabet else []
    trainer = t.trainers.BpeTrainer(vocab_size=700, special_tokens=SPECIAL[:1], initial_alphabet=start,
                                    show_progress=False)
    tokenizer.train_from_iterator([SCRIPTS, Path(json.__file__).read_text(encoding="utf-8")], trainer)
    tokenizer.add_special_tokens([t.AddedToken(name, normalized=False, special=True) for name in SPECIAL[1:3]])
    tokenizer.add_tokens([t.AddedToken(SPECIAL[3], normalized=False)])
    if kind == "llama3":
        tokenizer.post_processor = t.processors.Sequence([
            t.processors.ByteLevel(trim_offsets=True),
            t.processors.TemplateProcessing(single="<|im_start|> $A <|im_end|>", special_tokens=[
                (name, tokenizer.token_to_id(name)) for name in SPECIAL[1:3]])])
    return tokenizer


@pytest.fixture(scope="module", params=["gpt2", "smollm", "llama3", "qwen2"])
def pair(request, tokenizers, tmp_path_factory):
    "(theirs, ours, the folder)"
    theirs, folder = made(tokenizers, request.param), tmp_path_factory.mktemp(request.param)
    theirs.save(str(folder / "tokenizer.json"))
    return theirs, tokenizer_from_pretrained(folder), folder


def texts():
    "Lines of every script, code, special tokens, and random characters: of Unicode 3.2, which all tables of NFC know."
    dice = random.Random(0)
    planes = [c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.ucd_3_2_0.category(c) not in ("Cn", "Cs")]
    yield from SCRIPTS.split("\n")
    yield from (SCRIPTS, "", " ", "\n", "<|endoftext|>", "<|im_start|>user\n Hi!<|im_end|>\n<|im|><|im_", "'Ss'ſ 'lL")
    yield Path(random.__file__).read_text(encoding="utf-8")
    common = [c for c in planes if ord(c) < 0x3000] + list(" \n\t'1<|>" * 300)
    for pool in (planes, common, list("ab1 \n\r\t'sſKdD.\x1c\x85\u00a0")):
        for _ in range(150):
            yield "".join(dice.choices(pool, k=dice.randint(1, 25)))


def test_ids_are_those_of_the_package(pair):
    theirs, ours, _ = pair
    assert ours.vocab_size == theirs.get_vocab_size()
    for text in texts():
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids, ascii(text)


def test_decoding_and_special_tokens_around(pair):
    theirs, ours, _ = pair
    for text in texts():
        ids = ours.encode(text, add_special_tokens=True)
        assert ids == theirs.encode(text).ids, ascii(text)
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=False)
        assert ours.normalizer or ours.decode(ours.encode(text)) == text


def test_it_is_a_tokenizer_like_the_others(pair, tmp_path):
    _, ours, folder = pair
    ours.save(tmp_path / "ours.json")
    again = Tokenizer.load(tmp_path / "ours.json")
    assert type(again) is PublishedTokenizer and again.encode(SCRIPTS) == ours.encode(SCRIPTS)
    assert again.encode("a", add_special_tokens=True) == ours.encode("a", add_special_tokens=True)
    assert list(ours.encode_iterable(SCRIPTS.splitlines(keepends=True), chunk=64)) == ours.encode(SCRIPTS)
    assert tokenizer_from_pretrained(folder / "tokenizer.json").encode(SCRIPTS) == ours.encode(SCRIPTS)


def test_vocab_and_merges(tokenizers, tmp_path):
    theirs = made(tokenizers, "gpt2")
    theirs.model.save(str(tmp_path))
    ours = tokenizer_from_pretrained(tmp_path)
    for text in texts():
        if "<|im" not in text:
            assert ours.encode(text) == theirs.encode(text).ids


def test_a_vocabulary_without_all_bytes_says_what_it_cannot_write(tokenizers, tmp_path):
    theirs = made(tokenizers, "gpt2", alphabet=False)
    theirs.save(str(tmp_path / "tokenizer.json"))
    ours = tokenizer_from_pretrained(tmp_path)
    assert ours.encode(SCRIPTS) == theirs.encode(SCRIPTS).ids
    with pytest.raises(ValueError, match=r"cannot write '\\x1b' \(U\+001B\)"):
        ours.encode("an escape \x1b[1m")
    assert ours.encode("and on it goes") == theirs.encode("and on it goes").ids


@pytest.mark.parametrize("path, value, words", [
    ("model.type", "WordPiece", "model.type is 'WordPiece', expected 'BPE'"), ("model.dropout", 0.1, "model.dropout"),
    ("model.unk_token", "<unk>", "model.unk_token is '<unk>'"), ("model.byte_fallback", True, "model.byte_fallback"),
    ("model.end_of_word_suffix", "</w>", "end_of_word_suffix"),
    ("normalizer", {"type": "NFKC"}, "normalizer.type is 'NFKC'"),
    ("normalizer", {"type": "Sequence", "normalizers": [{"type": "Lowercase"}]}, "Lowercase"),
    ("normalizer", 3, "normalizer is"),
    ("pre_tokenizer", {"type": "Metaspace"}, "pre_tokenizer.type is 'Metaspace'"),
    ("pre_tokenizer", None, "no ByteLevel"),
    ("pre_tokenizer.add_prefix_space", True, "add_prefix_space is 'True'"),
    ("decoder", {"type": "WordPiece"}, "decoder.type"),
    ("pre_tokenizer", {"type": "Split", "pattern": {"Regex": "(a+)+"}, "behavior": "Isolated"},
     r"Regex is '\(a\+\)\+'"),
    ("pre_tokenizer", {"type": "Split", "pattern": {"Regex": GPT2}, "behavior": "Removed"}, "behavior is 'Removed'"),
    ("pre_tokenizer", {"type": "Digits", "individual_digits": False}, "individual_digits"),
    ("truncation", {}, "truncation"),
    ("post_processor", {"type": "BertProcessing"}, "post_processor.type"),
    ("padding", {"length": 5}, "padding"),
    ("added_tokens", [{"id": 0, "content": "x", "lstrip": True}], "lstrip is 'True'"),
    ("model", None, "model is 'None'"),
    ("added_tokens", [{"id": 0, "content": "x"}], "two tokens have one id"),
    ("model.merges", ["a b", "c"], "2.* 1"),
    ("added_tokens", [{"id": 9999, "content": "x"}], "whose ids are not 0 to"),
    ("model.merges", [["Ġ", "zzz"]], "'zzz'"),
    ("model.vocab", {"中": 0}, "'中' is no token"),
    ("model.vocab", [], "kind|attribute"), ("added_tokens", 3, "not iterable"),
], ids=str)
def test_what_is_not_known_is_refused_by_name(path, value, words, tokenizers, tmp_path):
    given = json.loads(made(tokenizers, "gpt2").to_str())
    *parents, last = path.split(".")
    place = given
    for name in parents:
        place = place[name]
    place[last] = value
    if path == "model.vocab":
        given["added_tokens"] = []
    (tmp_path / "tokenizer.json").write_text(json.dumps(given))
    with pytest.raises(ValueError, match=words) as caught:
        tokenizer_from_pretrained(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'tokenizer.json'}: no tokenizer that is known here: ")


def test_names_that_come_twice_and_files_that_are_none(tmp_path):
    for content in ('{"model": 1, "model": 2}', "[1]", "", "nonsense", "[" * 100_000):
        (tmp_path / "tokenizer.json").write_text(content)
        with pytest.raises(ValueError, match="no tokenizer that is known here") as caught:
            tokenizer_from_pretrained(tmp_path)
        assert len(str(caught.value)) < 600 and "\n" not in str(caught.value)
