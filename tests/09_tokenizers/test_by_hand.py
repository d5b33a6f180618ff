"""Short texts, worked by hand; a failure names the mistake that would give what it got."""

from tinytorch.tokenizers import CharTokenizer, PairCounts, find_merges, merge_pair, most_frequent


def told(what, got, expected, mistakes):
    "`got` is `expected`; else say which mistake gives it."
    likely = next((mistake for mistake, result in mistakes.items() if got == result), "")
    assert got == expected, f"{what}: expected {expected}, got {got}" + (f": {likely}" if likely else "")


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
    counts = {"rare": 1, "b": 5, "a": 5}
    told(
        "most_frequent, 2 of 3",
        most_frequent(counts, 2),
        ["a", "b"],
        {"the most frequent first, not the rarest": ["rare", "a"], "ties go by the alphabet": ["b", "a"]},
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


def test_counts_are_kept_up_to_date():
    pairs = PairCounts({b"abc": 10, b"bcd": 1})
    pairs.replace(0, (97, 98), 256)
    counts = {"".join(map(chr, pair)): n for pair, n in pairs.counts.items() if n}
    told(
        "counts after merging ab in 10 times abc, beside one bcd",
        counts,
        {"bc": 1, "cd": 1, "Āc": 10},
        {
            "old pairs stay counted: subtract them": {"ab": 10, "bc": 11, "cd": 1, "Āc": 10},
            "each pair has the weight of its piece, not 1": {"bc": 1, "cd": 1, "Āc": 1},
            "old pairs have the weight of their piece, too": {"ab": 9, "bc": 10, "cd": 1, "Āc": 10},
            "new pairs are not counted": {"bc": 1, "cd": 1},
        },
    )
    assert pairs.where[256, 99] == {0}, "note in self.where which piece has a new pair, or it will never be merged"


def test_merges():
    told(
        "merges of 3 times abab",
        find_merges({b"abab": 3}, 2),
        [(97, 98), (256, 256)],
        {"old pairs stay counted: subtract them": [(97, 98), (97, 98)]},
    )
