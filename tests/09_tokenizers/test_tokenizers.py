"""What all tokenizers promise, and what characters and words promise in particular."""
import json
from itertools import count, islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch import Tensor
from tinytorch.tokenizers import (
    BPETokenizer,
    CharTokenizer,
    Tokenizer,
    WordTokenizer,
    plain_parts,
    split_special,
)

STORY = ("Once upon a time, there was a small cat. \"I don't like rain!\" said the cat, and it's true.\n"
         "It rained for 40 days:  the cat slept.\n<|endoftext|>\nOnce upon a time there was a dog.\n<|endoftext|>\n")
END = "<|endoftext|>"


def make(kind, text=STORY):
    return kind.train(text, special_tokens=[END], **({"vocab_size": 320} if kind is BPETokenizer else {}))


every_kind = pytest.mark.parametrize("kind", [CharTokenizer, WordTokenizer, BPETokenizer])


class Twice(CharTokenizer):
    "A subclass of a subclass: each character counts twice."
    def encode_piece(self, piece):
        return 2 * super().encode_piece(piece)


class Demanding(CharTokenizer):
    "A subclass that needs what it does not save."
    def __init__(self, tokens, special_tokens=(), unknown=None, *, reason):
        super().__init__(tokens, special_tokens, unknown)


# ---- all of them


@every_kind
def test_ids_are_plain_ints_inside_the_vocabulary(kind):
    tokenizer = make(kind)
    ids = tokenizer.encode(STORY)
    assert {type(i) for i in ids} == {int}
    assert 0 <= min(ids) and max(ids) < tokenizer.vocab_size == len(tokenizer.tokens)
    assert tokenizer.encode("") == [] and tokenizer.decode([]) == ""


@every_kind
def test_ids_of_the_text_that_ids_made(kind):
    tokenizer = make(kind)
    ids = tokenizer.encode(STORY)
    assert tokenizer.encode(tokenizer.decode(ids)) == ids
    if kind is not WordTokenizer:
        assert tokenizer.decode(ids) == STORY


@every_kind
def test_decode_takes_lists_arrays_and_tensors(kind):
    tokenizer = make(kind)
    ids = tokenizer.encode("the cat")
    assert tokenizer.decode(np.array(ids)) == tokenizer.decode(Tensor(ids)) == tokenizer.decode(tuple(ids)) == "the cat"


@every_kind
def test_special_tokens_stay_whole_wherever_they_stand(kind):
    tokenizer = make(kind)
    end = tokenizer.encode(END)
    assert len(end) == 1 and tokenizer.special_ids == tokenizer.special_ids | {END: end[0]}
    for text in (f"the cat{END}the cat", f"{END}{END}cat", f"cat {END}"):
        assert tokenizer.encode(text).count(end[0]) == text.count(END)
        assert END in tokenizer.decode(tokenizer.encode(text))
    assert end[0] not in tokenizer.encode("the cat said")


@every_kind
def test_training_twice_gives_the_same(kind):
    assert make(kind).tokens == make(kind).tokens


@every_kind
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_stream_gives_the_ids_of_the_whole_text(kind, size):
    tokenizer = make(kind)
    text = STORY * 3 + "the cat  \n\n  it's they'll " + "a" * 50 + " " * 40 + END
    if kind is CharTokenizer:
        text = "".join(c for c in text if c in STORY)
    pieces = [text[i:i + size] for i in range(0, len(text), size)]
    assert list(tokenizer.encode_iterable(pieces, chunk=5)) == tokenizer.encode(text)
    assert list(tokenizer.encode_iterable(pieces)) == tokenizer.encode(text)


@pytest.mark.parametrize("special", [[END], ["<a>", "<a><a>", "a<"]])
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_wherever_the_stream_is_cut(special, data):
    parts = [*special, END[:7], END[7:], "'l", "l", "'", " ", "  ", "\n", "a", "é", "7", "<", "!"]
    text = "".join(data.draw(st.lists(st.sampled_from(parts))))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)])]
    tokenizer = BPETokenizer.train("a a'll it's it's  \n é77 " * 3, 300, special)
    assert list(tokenizer.encode_iterable(pieces, data.draw(st.integers(1, 5)))) == tokenizer.encode(text)


@every_kind
def test_an_endless_stream_is_read_lazily(kind):
    tokenizer, read = make(kind), count()
    lines = (("the cat slept.\n" * 10, next(read))[0] for _ in count())
    first = list(islice(tokenizer.encode_iterable(lines), 5000))
    assert first == tokenizer.encode("the cat slept.\n" * 2500)[:5000]
    assert next(read) < 400


def test_a_long_stream_takes_little_memory():
    import tracemalloc
    tokenizer = make(BPETokenizer)
    lines = (f"line {i % 100} of a long text that is never in memory\n" for i in range(8_000))
    tracemalloc.start()
    tokens = sum(1 for _ in tokenizer.encode_iterable(lines))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert tokens > 100_000, tokens
    assert peak < 500_000, peak  # bytes; a list of the ids alone would take more


def test_memory_does_not_grow_with_the_number_of_different_words():
    import tracemalloc
    tokenizer = make(WordTokenizer)
    tracemalloc.start()
    texts = (" ".join(map(str, range(i, i + 100))) + " " for i in range(0, 150_000, 100))
    tokens = sum(1 for _ in tokenizer.encode_iterable(texts))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert tokens == 150_000, tokens
    assert peak < 16_000_000, peak  # bytes; the ids of each word ever met would take twice as much


def test_pieces_and_where_they_end():
    tokenizer = CharTokenizer.train("ab", special_tokens=["<e>"])
    assert list(tokenizer.encode_pieces("ab<e>a")) == [([1], 1), ([2], 2), ([0], 5), ([1], 6)]
    words = WordTokenizer.train("the cat", special_tokens=["<e>"])
    assert list(words.encode_pieces("the  cat <e> ")) == [([words.ids["the"]], 3), ([words.ids["cat"]], 8), ([1], 12)]


@settings(max_examples=100)
@given(st.text("ab<>|. "), st.lists(st.text("ab<>|.", min_size=1, max_size=4)))
def test_a_text_is_cut_at_special_tokens(text, special):
    parts = split_special(text, special)
    assert "".join(parts) == text
    assert all(part in special or not any(name in part for name in special) for part in parts)
    if text:
        assert plain_parts(text, special) == [part for part in parts if part not in special]


def test_the_longer_special_token_wins():
    assert split_special("<a><a><b>x<a>", ["<b>", "<a>", "<a><a>"]) == ["<a><a>", "<b>", "x", "<a>"]
    assert split_special("a.b", ["."]) == ["a", ".", "b"] and split_special("abc", ["."]) == ["abc"]


# ---- files


@every_kind
def test_save_and_load(kind, tmp_path):
    tokenizer = make(kind)
    tokenizer.save(tmp_path / "tokenizer.json")
    again = Tokenizer.load(tmp_path / "tokenizer.json")
    assert type(again) is kind and again.tokens == tokenizer.tokens and again.special_ids == tokenizer.special_ids
    assert again.encode(STORY) == tokenizer.encode(STORY)
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]


def test_options_are_saved(tmp_path):
    path = tmp_path / "t.json"
    WordTokenizer.train("The cat", lowercase=True).save(path)
    assert Tokenizer.load(path).encode("THE") == [2]
    CharTokenizer.train("cat", unknown="<unk>").save(path)
    assert Tokenizer.load(path).encode("dog") == [0, 0, 0]


@every_kind
@pytest.mark.parametrize("damage", [
    lambda text: text[:len(text) // 2], lambda text: "", lambda text: "[1, 2]", lambda text: '{"tokenizer": "Other"}',
    lambda text: text.replace('"tokens"', '"token"'), lambda text: "\x00" + text])
def test_a_damaged_file_is_named(kind, damage, tmp_path):
    path = tmp_path / "damaged.json"
    make(kind).save(path)
    path.write_text(damage(path.read_text()))
    with pytest.raises(ValueError, match="damaged.json"):
        Tokenizer.load(path)


def test_subclasses_of_subclasses_are_saved_and_loaded(tmp_path):
    tokenizer = Twice.train("abc")
    tokenizer.save(tmp_path / "t.json")
    loaded = Tokenizer.load(tmp_path / "t.json")
    assert type(loaded) is Twice and loaded.encode("ab") == [0, 0, 1, 1]


def test_a_subclass_that_could_not_be_loaded_is_not_saved(tmp_path):
    with pytest.raises(TypeError, match="Demanding.*reason"):
        Demanding(["a"], reason="none").save(tmp_path / "t.json")
    assert not list(tmp_path.iterdir())


def test_a_file_of_an_unknown_class_says_so(tmp_path):
    (tmp_path / "t.json").write_text('{"tokenizer": "Unheard", "tokens": ["a"]}')
    with pytest.raises(ValueError, match="t.json.*Unheard"):
        Tokenizer.load(tmp_path / "t.json")


def test_a_byte_order_mark_in_a_file_is_skipped(tmp_path):
    CharTokenizer.train("abc").save(tmp_path / "t.json")
    (tmp_path / "t.json").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "t.json").read_bytes())
    assert Tokenizer.load(tmp_path / "t.json").tokens == ["a", "b", "c"]


@every_kind
def test_half_a_character_counts_as_the_replacement_mark(kind):
    tokenizer = make(kind, "a\ufffdb c\U0001f600d a\ufffdb" + STORY)
    for text, same in [("a\ud83db", "a\ufffdb"), ("\udc80", "\ufffd"), ("c\ud83d\ude00d", "c\U0001f600d")]:
        assert tokenizer.encode(text) == tokenizer.encode(same) == list(tokenizer.encode_iterable([text]))
    halves = make(kind, STORY + "\ud83d x\ud83d \ud83d")
    assert halves.encode("\ud83d") == halves.encode("\ufffd") == halves.encode("\udfff")


def test_a_file_that_is_not_there():
    with pytest.raises(FileNotFoundError, match="nowhere.json"):
        Tokenizer.load("nowhere.json")


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "t.json"
    make(CharTokenizer).save(path)
    before = path.read_text()
    monkeypatch.setattr(json, "dumps", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make(CharTokenizer, "other").save(path)
    assert path.read_text() == before


# ---- errors


@every_kind
def test_errors_of_all(kind):
    with pytest.raises(ValueError, match="empty"):
        make(kind, "")
    tokenizer = make(kind)
    with pytest.raises(TypeError, match="list"):
        tokenizer.encode(["the", "cat"])
    for bad in (tokenizer.vocab_size, -1):
        size = tokenizer.vocab_size
        with pytest.raises(IndexError, match=rf"{bad}\b.*\b1\b.*\b({size}|{size - 1})\b"):
            tokenizer.decode([0, bad])
    with pytest.raises(ValueError, match="empty"):
        kind.train(STORY, **({"vocab_size": 300} if kind is BPETokenizer else {}), special_tokens=[""])


def test_tokens_must_differ():
    with pytest.raises(ValueError, match="'a'"):
        CharTokenizer(["a", "b", "a"])
    with pytest.raises(ValueError, match="b'a'"):
        BPETokenizer.train("aaaa", 300, special_tokens=["a"])


# ---- characters


def test_characters_are_sorted():
    tokenizer = CharTokenizer.train("hello world")
    assert tokenizer.tokens == sorted(set("hello world"))
    assert tokenizer.encode("hell") == [3, 2, 4, 4]


def test_an_unknown_character_is_named():
    with pytest.raises(ValueError, match="'é'"):
        CharTokenizer.train("cat").encode("até")


def test_unknown_characters_if_wanted():
    tokenizer = CharTokenizer.train("cat", special_tokens=[END], unknown="<unk>")
    assert tokenizer.tokens == [END, "<unk>", "a", "c", "t"]
    assert tokenizer.decode(tokenizer.encode("a dot")) == "a<unk><unk><unk>t"


@given(st.text(min_size=1))
def test_characters_lose_nothing(text):
    tokenizer = CharTokenizer.train(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text


# ---- words


def test_the_most_frequent_words_have_a_token():
    tokenizer = WordTokenizer.train("b b a a c, c c d", vocab_size=5)
    assert tokenizer.tokens == ["<unk>", "c", "a", "b", ","]
    assert tokenizer.encode("a d c zebra") == [2, 0, 1, 0]
    assert tokenizer.decode([2, 0, 1]) == "a <unk> c"
    assert WordTokenizer.train("b b a").vocab_size == 3


@pytest.mark.parametrize("text, pieces", [
    ("हिन्दी में", ["हिन्दी", "में"]), ("cafe\u0301 au lait", ["cafe\u0301", "au", "lait"]),
    ("Pi is 3.14.", ["Pi", "is", "3.14", "."]), ("1,000 of 2.5, 7", ["1,000", "of", "2.5", ",", "7"]),
    ("العَرَبِيَّة،", ["العَرَبِيَّة", "،"]), ("שָׁלוֹם", ["שָׁלוֹם"]), ("می\u200cخواهم", ["می\u200cخواهم"]),
    ("a.b 'x'", ["a", ".", "b", "'", "x", "'"]), ("❤\ufe0f!", ["❤\ufe0f", "!"]),
    ("l'e\u0301te\u0301", ["l'e\u0301te\u0301"])])
def test_words_keep_their_marks_and_numbers_their_point(text, pieces):
    tokenizer = WordTokenizer.train(text)
    assert tokenizer.tokens_of(tokenizer.encode(text)) == pieces
    assert list(tokenizer.encode_iterable(text, chunk=1)) == tokenizer.encode(text)


def test_words_punctuation_and_line_breaks():
    tokenizer = WordTokenizer.train("Don't go, it's 9:30!\n\nWell-known: \"yes\" (no) naïve")
    assert [tokenizer.tokens[i] for i in tokenizer.encode("Don't  go,\nit's")] == ["Don't", "go", ",", "\n", "it's"]


@pytest.mark.parametrize("text", [
    'He said: "I like it!" and "you?"', "one, two; three: four.", "(a) [b] {c}", "line\nline\n\nline",
    "it's John’s, isn't it?"])
def test_words_read_well(text):
    tokenizer = WordTokenizer.train(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text


@settings(max_examples=100)
@given(st.lists(st.integers(0, 16)))
def test_decoding_and_encoding_keeps_every_id(ids):
    tokenizer = WordTokenizer(["<unk>", END, "\n", *"cat don't 9 . , ! \" ' ’ ( ) - _x $".split()], ["<unk>", END])
    assert tokenizer.vocab_size == 17 and tokenizer.encode(tokenizer.decode(ids)) == ids


def test_lowercase():
    tokenizer = WordTokenizer.train("The cat the CAT", lowercase=True)
    assert tokenizer.tokens == ["<unk>", "cat", "the"]
    assert tokenizer.decode(tokenizer.encode("THE Cat")) == "the cat"


def test_a_vocabulary_too_small_for_a_word():
    with pytest.raises(ValueError, match=r"(?=.*2)(?=.*<unk>)(?=.*<\|endoftext\|>).*3"):
        WordTokenizer.train(STORY, vocab_size=2, special_tokens=[END])
