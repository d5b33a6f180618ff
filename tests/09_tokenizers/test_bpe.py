"""Byte pairs: merging, training, losing nothing, and agreeing with tokenizers and tiktoken."""
import json
import sys
from collections import Counter
from pathlib import Path

import _pytest.python
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.tokenizers import (
    BPETokenizer,
    byte_characters,
    find_merges,
    gpt2_pattern,
    invisible,
    merge_by_rank,
    merge_pair,
    visible,
)

SOURCE = Path(_pytest.python.__file__).read_text(encoding="utf-8")[:52_000]  # some text: code
END = "<|endoftext|>"


@pytest.fixture(scope="module")
def trained():
    return BPETokenizer.train(SOURCE, 256 + 500 + 1, special_tokens=[END])


# ---- merging


def test_merge_pair():
    assert merge_pair([1, 2, 1, 2, 2], (1, 2), 9) == [9, 9, 2]
    assert merge_pair([1, 1, 1, 1, 1], (1, 1), 9) == [9, 9, 1]
    assert merge_pair([2, 1], (1, 2), 9) == [2, 1]
    assert merge_pair([1], (1, 2), 9) == [1] and merge_pair([], (1, 2), 9) == []


def merged_simply(ids, merges):
    while True:
        possible = [pair for pair in zip(ids, ids[1:]) if pair in merges]
        if not possible:
            return ids
        pair = min(possible, key=merges.__getitem__)
        ids = merge_pair(ids, pair, merges[pair][1])


@settings(max_examples=100)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_the_heap_merges_as_the_definition_does(text, other):
    found = find_merges({bytes(other): 1, bytes(text): 2}, 20, min_count=1)
    merges = {pair: (rank, 256 + rank) for rank, pair in enumerate(found)}
    assert merge_by_rank(text, merges) == merged_simply(text, merges)


# ---- training


def find_merges_simply(weights, n, min_count):
    pieces, merges = [(list(piece), weight) for piece, weight in weights.items()], []
    while len(merges) < n:
        counts = Counter()
        for ids, weight in pieces:
            for pair in zip(ids, ids[1:]):
                counts[pair] += weight
        pair = min(counts, key=lambda pair: (-counts[pair], pair), default=None)
        if counts[pair] < min_count:
            break
        pieces = [(merge_pair(ids, pair, 256 + len(merges)), weight) for ids, weight in pieces]
        merges.append(pair)
    return merges


@settings(max_examples=100)
@given(st.dictionaries(st.binary(min_size=1, max_size=12), st.integers(1, 5), min_size=1), st.integers(1, 3))
def test_training_finds_what_counting_again_finds(weights, min_count):
    assert find_merges(weights, 30, min_count) == find_merges_simply(weights, 30, min_count)


def test_training_on_text_finds_what_counting_again_finds():
    weights = Counter(piece.encode() for piece in gpt2_pattern().findall(SOURCE[:8000]))
    assert find_merges(weights, 100) == find_merges_simply(weights, 100, 2)


def test_the_vocabulary(trained):
    assert trained.vocab_size == 757
    assert trained.tokens[:256] == [bytes([b]) for b in range(256)]
    assert trained.tokens[256:756] == [a + b for a, b in trained.merge_list]
    assert trained.special_ids == {END: 756}
    assert len(trained.encode(SOURCE)) < 0.45 * len(SOURCE)
    assert BPETokenizer.train("abc", 300).vocab_size == 256  # no pair occurs twice
    assert BPETokenizer.train("abc", 257, [END]).vocab_size == 257


def test_special_tokens_are_no_text_to_train_on():
    tokenizer = BPETokenizer.train(f"{END}abab{END}" * 50, 300, [END])
    assert b"ab" in tokenizer.tokens and not any(b"end" in token for token in tokenizer.tokens[:-1])


def test_too_small_a_vocabulary():
    with pytest.raises(ValueError, match="(?=.*256).*257"):
        BPETokenizer.train(SOURCE, 256, [END])


# ---- nothing is lost


@settings(max_examples=100)
@given(st.text())
def test_every_text_comes_back(trained, text):
    assert trained.decode(trained.encode(text)) == text


@settings(max_examples=100)
@given(st.binary(max_size=300))
def test_any_bytes_come_back(trained, data):
    assert trained.decode_bytes(trained.encode_bytes(data)) == data


def test_half_a_character_is_a_replacement_mark(trained):
    ids = trained.encode("語")
    assert len(ids) > 1 and trained.decode(ids) == "語" and "\ufffd" in trained.decode(ids[:1])


def test_a_long_piece_without_a_space(trained):
    text = "def" * 20_000
    assert trained.decode(trained.encode(text)) == text


# ---- as others do


TRICKY = [
    SOURCE, "", " ", "  \n\n  x", "\t\tif x:\n\t\t\treturn", "it's they'll we'd I'm 've 're 'S x'y''s",
    "a  b   c \n d  ", "x" * 1000, "   trailing   ", f"one{END}two {END} three",
    "naïve Ünïcödé Ελληνικά русский 日本語 العربية हिन्दी", "🙂🙃👩‍👩‍👧 e\u0301",
    "1234567890 12.5e-3 ½ ² Ⅷ", "...!?-- #$%^&*()",
    "\u00a0nbsp\u2003em\u3000full", "\r\nwindows\r\n",
]
ASSIGNED = st.characters(exclude_categories=["Cs", "Cn"], max_codepoint=0xFFFF)  # in every version of Unicode in use


@pytest.fixture(scope="module")
def files(tokenizers, tmp_path_factory):
    "vocab.json and merges.txt in GPT-2's format, as `tokenizers` trains and writes them."
    folder = tmp_path_factory.mktemp("gpt2")
    model = tokenizers.ByteLevelBPETokenizer()
    model.train_from_iterator([SOURCE, " ".join(TRICKY)], vocab_size=1500, min_frequency=2, special_tokens=[END],
                              show_progress=False)
    model.save_model(str(folder))
    return folder / "vocab.json", folder / "merges.txt"


@pytest.fixture(scope="module")
def ours(files):
    return BPETokenizer.from_files(*files)


@pytest.fixture(scope="module")
def theirs(tokenizers, files):
    model = tokenizers.ByteLevelBPETokenizer(*map(str, files))
    model.add_special_tokens([END])
    return lambda text: model.encode(text).ids


@pytest.fixture(scope="module")
def openai(tiktoken, ours):
    "tiktoken's gpt2, with the tokens of these files."
    ordinary = {token: i for token, i in ours.ids.items() if token != END.encode()}
    pattern = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""
    encoding = tiktoken.Encoding("ours", pat_str=pattern, mergeable_ranks=ordinary, special_tokens=ours.special_ids)
    return lambda text: encoding.encode(text, allowed_special="all")


@pytest.mark.parametrize("text", TRICKY)
def test_tricky_texts_as_tokenizers_and_tiktoken(ours, theirs, openai, text):
    assert ours.encode(text) == theirs(text) == openai(text)


@settings(max_examples=300, deadline=None)
@given(text=st.text(st.sampled_from("ab 'sltvred  \n\t.!12é語🙂\u00a0_\u0301") | ASSIGNED, max_size=40))
def test_any_text_as_tiktoken(ours, openai, text):
    assert ours.encode(text) == openai(text)


@pytest.mark.parametrize("text", ["a\ud83db", "\udc80", "\ude00\ud83d", "x\ud83d\ude00y", "\ud83d" * 3])
def test_surrogates_as_tiktoken(ours, openai, text):
    assert ours.encode(text) == openai(text)


def test_files_with_a_byte_order_mark(ours, files, tmp_path):
    marked = [tmp_path / path.name for path in map(Path, files)]
    for old, new in zip(files, marked):
        new.write_bytes(b"\xef\xbb\xbf" + Path(old).read_bytes())
    assert BPETokenizer.from_files(*marked).tokens == ours.tokens


def test_files_give_the_ids_of_the_files(ours, files):
    ids = json.loads(files[0].read_text())
    assert ours.vocab_size == len(ids)
    assert ours.encode(END) == [ids[END]] and ours.encode("a") == [ids["a"]] and ours.encode(" ") == [ids["Ġ"]]


def test_a_file_tokenizer_saves_and_loads(ours, tmp_path):
    ours.save(tmp_path / "t.json")
    again = BPETokenizer.load(tmp_path / "t.json")
    assert again.encode(SOURCE + END) == ours.encode(SOURCE + END) and again.special_ids == ours.special_ids


def test_a_special_token_that_the_files_do_not_have(files):
    tokenizer = BPETokenizer.from_files(*files, special_tokens=[END, "<|user|>"])
    assert tokenizer.encode("<|user|>") == [tokenizer.vocab_size - 1]


def test_byte_characters():
    characters = byte_characters()
    assert len(set(characters)) == 256 and characters[ord("A")] == "A"
    assert characters[ord(" ")] == "Ġ" and characters[ord("\n")] == "Ċ" and characters[0] == "Ā"


@given(st.binary())
def test_bytes_are_visible_and_come_back(data):
    assert len(visible(data)) == len(data) and visible(data).isprintable() and " " not in visible(data)
    assert invisible(visible(data)) == invisible(data) == data


def test_other_characters_are_no_bytes():
    with pytest.raises(ValueError):
        invisible("語")


def test_tokens_may_be_given_as_visible_text(trained):
    merges = [(visible(a), visible(b)) for a, b in trained.merge_list]
    again = BPETokenizer([visible(token) for token in trained.tokens], merges, [END])
    assert again.tokens == trained.tokens and again.merge_list == trained.merge_list


def test_a_file_of_version_0_1(tmp_path):
    state = {"tokenizer": "BPETokenizer", "tokens": [*byte_characters(), "Ġa", "<é >"], "merges": [["Ġ", "a"]],
             "special_tokens": ["<é >"]}
    (tmp_path / "t.json").write_text(json.dumps(state))
    again = BPETokenizer.load(tmp_path / "t.json")
    assert again.encode(" a<é >") == [256, 257] and again.decode([256, 257]) == " a<é >"


# ---- damaged files


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 5}', '{"\u4e16": 0}', '{"a": "b"}', '{"a": 0, "b": 0}'])
def test_a_damaged_vocabulary_is_named(tmp_path, content):
    (tmp_path / "vocab.json").write_text(content, encoding="utf-8")
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    with pytest.raises(ValueError, match="vocab.json"):
        BPETokenizer.from_files(tmp_path / "vocab.json", tmp_path / "merges.txt")


@pytest.fixture
def byte_vocabulary(tmp_path):
    path = tmp_path / "vocab.json"
    path.write_text(json.dumps({c: i for i, c in enumerate([*byte_characters(), "th"])}))
    return path


@pytest.mark.parametrize("content", ["t h e", "t", "\u4e16 t"])
def test_damaged_merges_are_named(byte_vocabulary, tmp_path, content):
    (tmp_path / "merges.txt").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match="merges.txt"):
        BPETokenizer.from_files(byte_vocabulary, tmp_path / "merges.txt")


def test_merges_of_another_vocabulary(byte_vocabulary, tmp_path):
    (tmp_path / "merges.txt").write_text("#version: 0.2\nt h\nth e\n")
    with pytest.raises(ValueError, match="b'e'|b'the'"):
        BPETokenizer.from_files(byte_vocabulary, tmp_path / "merges.txt")


def test_without_regex_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "regex", None)
    with pytest.raises(ImportError, match=r"package regex: pip install regex"):
        BPETokenizer.train("abc", 300)
