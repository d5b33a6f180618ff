"""Short texts, worked by hand; a failure names the mistake that would give what it got."""

from tinytorch.tokenizers import (
    BPETokenizer,
    CharTokenizer,
    WordTokenizer,
    find_merges,
    merge_by_rank,
    merge_pair,
    split_special,
)


def told(what, got, expected, mistakes):
    "`got` is `expected`; else say which mistake gives it."
    mistake = next((mistake for mistake, result in mistakes.items() if got == result), "")
    assert got == expected, f"{what}: expected {expected}, got {got}" + (f": {mistake}" if mistake else "")


def test_characters():
    tokenizer = CharTokenizer.train("abc", unknown="?")
    told("encode_piece of a known character", tokenizer.encode_piece("b"), [2], {"a list, even for one id": 2})
    told(
        "encode with an unknown character",
        tokenizer.encode("aXb"),
        [1, 0, 2],
        {"unknown characters are lost: they get the id of `unknown`": [1, 2]},
    )
    told("decode", tokenizer.decode([1, 2, 3]), "abc", {"nothing stands between characters": "a b c"})


def test_the_most_frequent_words():
    told(
        "two words of `rare b a b a`",
        WordTokenizer.train("rare b a b a", vocab_size=3).tokens[1:],
        ["a", "b"],
        {"the most frequent first, not the rarest": ["rare", "a"], "ties go by the alphabet": ["b", "a"]},
    )
    told(
        "encode with a word that has no token",
        WordTokenizer.train("the cat", lowercase=True).encode("The dog"),
        [2, 0],
        {"lowercase: the piece in lower case is looked up": [0, 0]},
    )


def test_pairs_are_merged_from_left_to_right():
    told(
        "merge (1, 1) in 1 1 1",
        merge_pair([1, 1, 1], (1, 1), 9),
        [9, 1],
        {
            "an element is used twice: after a pair go on two places further": [9, 9],
            "from left to right, not from the end": [1, 9],
        },
    )
    told(
        "merge (1, 2) in 1 2 3 1 2",
        merge_pair([1, 2, 3, 1, 2], (1, 2), 9),
        [9, 3, 9],
        {"only the first was merged": [9, 3, 1, 2], "the last pair was missed": [9, 3, 1, 2]},
    )
    told("merge (1, 2) in 2 1", merge_pair([2, 1], (1, 2), 9), [2, 1], {"the order within the pair matters": [9]})


def merges(weights, n):
    "find_merges; where it looks for a pair that is in no piece, the AssertionError says why that may be."
    try:
        return find_merges(weights, n)
    except KeyError as error:
        new = max(error.args[0]) > 255
        raise AssertionError(
            f"the pair {error.args[0]} is to be merged, and no piece is known to have it: "
            + ("note in `where` which piece has a new pair" if new else "old pairs stay counted: subtract them")
        ) from error


def test_merges():
    told(
        "merges of 3 times abab",
        merges({b"abab": 3}, 2),
        [(97, 98), (256, 256)],
        {
            "old pairs stay counted: subtract them": [(97, 98), (97, 98)],
            "new pairs are counted as well, with the weight of their piece, and pushed on the heap": [(97, 98)],
        },
    )
    told(
        "merges of 10 times abc, ab, 3 times xy and twice bc",
        merges({b"abc": 10, b"ab": 1, b"xy": 3, b"bc": 2}, 3),
        [(98, 99), (97, 256), (120, 121)],
        {"old pairs have the weight of their piece, not 1": [(98, 99), (97, 98), (97, 256)]},
    )
    told(
        "merges of 3 times abcd and twice bc",
        merges({b"abcd": 3, b"bc": 2}, 3),
        [(98, 99), (97, 256), (257, 100)],
        {"note in `where` which piece has a new pair, or it will not be merged": [(98, 99), (97, 256), (256, 100)]},
    )


def test_a_pair_that_is_too_rare_ends_it():
    told(
        "merges of abab once and cd once",
        find_merges({b"abab": 1, b"cd": 1}, 9),
        [(97, 98)],
        {"stop where a pair occurs fewer than min_count times": [(97, 98), (99, 100), (256, 256)]},
    )


def test_the_lowest_rank_first():
    told(
        "1 2 3 with the merges (2, 3) of rank 0 and (1, 2) of rank 5",
        merge_by_rank([1, 2, 3], {(1, 2): (5, 9), (2, 3): (0, 8)}),
        [1, 8],
        {"the lowest rank first, not the first place": [9, 3]},
    )
    told(
        "1 2 3 1 with the merges (1, 2) -> 9 and (9, 3) -> 10",
        merge_by_rank([1, 2, 3, 1], {(1, 2): (0, 9), (9, 3): (1, 10)}),
        [10, 1],
        {"new pairs go on the heap: the new token with the one after it": [9, 3, 1]},
    )
    told(
        "3 1 2 with the merges (1, 2) -> 9 and (3, 9) -> 10",
        merge_by_rank([3, 1, 2], {(1, 2): (0, 9), (3, 9): (1, 10)}),
        [10],
        {"new pairs go on the heap: the new token with the one before it": [3, 9]},
    )


def test_special_tokens_stay_whole():
    told(
        "split at <a> and <a><a>",
        split_special("x<a><a>y", ["<a>", "<a><a>"]),
        ["x", "<a><a>", "y"],
        {"the longer name wins: sort by length": ["x", "<a>", "<a>", "y"], "no empty texts": ["x", "<a><a>", "", "y"]},
    )
    told("split at a dot", split_special("ab.c", ["."]), ["ab", ".", "c"], {})


def test_a_text_that_comes_bit_by_bit():
    tokenizer = WordTokenizer.train("the cat sat, the cat", special_tokens=["<end>"])
    whole = tokenizer.encode("the cat<end>sat the")
    told(
        "ids of 'the cat<end>sat the', cut within words and within <end>",
        list(tokenizer.encode_iterable(["the c", "at<e", "nd>sa", "t the"], chunk=1)),
        whole,
        {
            "what comes near the end has to wait for the next text": [
                i for part in ("the c", "at<e", "nd>sa", "t the") for i in tokenizer.encode(part)
            ],
            "encode what is left when all texts have been read": whole[:-2],
        },
    )


def test_words_are_joined_as_one_writes():
    text = 'He said: "Yes!" (No)'
    tokenizer = WordTokenizer.train(text)
    got = tokenizer.decode(tokenizer.encode(text))
    assert got != " ".join(tokenizer.tokens_of(tokenizer.encode(text))), "no space before a mark that closes"
    told("decode", got, text, {"double quotes open and close in turns": 'He said: "Yes! "(No)'})


def test_ids_need_not_be_those_of_the_bytes():
    tokens = [b"ab", *(bytes([b]) for b in range(255, -1, -1))]
    told(
        "ab, where token 0 is ab and the bytes come in reverse",
        BPETokenizer(tokens, [(b"a", b"b")]).encode("abb"),
        [0, 256 - ord("b")],
        {"merges are by ids, not by bytes": [256 - ord("a"), 256 - ord("b"), 256 - ord("b")]},
    )
