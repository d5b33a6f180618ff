"""Text as integers, and back: characters, words, and byte pairs as in GPT-2."""
__all__ = ["GPT2_PATTERN", "split_special", "plain_parts", "Tokenizer", "CharTokenizer", "WordTokenizer", "merge_pair",
           "gpt2_pattern", "find_merges", "merge_by_rank", "byte_characters", "visible", "invisible", "BPETokenizer"]

import inspect
import json
import re
import unicodedata
from bisect import insort
from collections import Counter, defaultdict
from functools import cache
from itertools import pairwise
from pathlib import Path

from tinytorch.checkpoint import write_whole

GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LOOKAHEAD = 3  # characters behind a piece that a pattern may look at before it decides where the piece ends
REMEMBERED = 20_000  # pieces
MARKS = "".join(filter(lambda c: unicodedata.category(c) in {"Mn", "Mc", "Me"}, map(chr, range(0x300, 0x11600))))
WORD_PATTERN = rf"\n|\w(?:\w|[{MARKS}\u200c\u200d]|['’](?=\w)|(?<=\d)[.,](?=\d))*|[^\w\s][{MARKS}]*"


def repaired(text):
    if not isinstance(text, str):
        raise TypeError(f"tokenizer: only a str can be encoded, not a {type(text).__name__}")
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _spans(text, special_tokens):
    "(begin, end, special?) of all parts that are not empty."
    begin, names = 0, "|".join(map(re.escape, sorted(special_tokens, key=len, reverse=True)))
    for found in re.finditer(names, text) if names else ():
        if found.start() > begin:
            yield begin, found.start(), False
        yield *found.span(), True
        begin = found.end()
    if begin < len(text):
        yield begin, len(text), False


def split_special(text, special_tokens):
    return [text[begin:end] for begin, end, _ in _spans(text, special_tokens)]


def plain_parts(text, special_tokens):
    if not text:
        raise ValueError("tokenizer: the text to train on is empty")
    text = repaired(text)
    return [text[begin:end] for begin, end, special in _spans(text, special_tokens) if not special]


class Tokenizer:
    pattern, options = re.compile(".", re.DOTALL), ("unknown",)
    as_token = staticmethod(str)

    def __init__(self, tokens, special_tokens=(), unknown=None):
        self.tokens, self.special_tokens, self.unknown = list(tokens), list(special_tokens), unknown
        twice = [token for token, times in Counter(self.tokens).items() if times > 1]
        if twice:
            raise ValueError(f"tokenizer: {twice[0]!r} is there twice; each token has one id")
        if not all(self.special_tokens):
            raise ValueError("tokenizer: a special token is empty")
        self.ids = {token: place for place, token in enumerate(self.tokens)}
        lost = [name for name in self.special_tokens if self.as_token(name) not in self.ids]
        if unknown is not None and unknown not in self.special_tokens:
            lost.append(unknown)
        if lost:
            raise ValueError(f"tokenizer: the special token {lost[0]!r} is not among the tokens")
        self.special_ids = {name: self.ids[self.as_token(name)] for name in self.special_tokens}
        self.vocab_size, self.seen = len(self.tokens), {}

    def encode_piece(self, piece):
        known = self.ids.get(piece, self.special_ids.get(self.unknown))
        if known is None:
            raise ValueError(f"tokenizer: {piece!r} has no token, and there is none for what is unknown")
        return [known]

    def encode_pieces(self, text):
        for begin, end, special in _spans(text, self.special_tokens):
            if special:
                yield [self.special_ids[text[begin:end]]], end
            else:
                for found in self.pattern.finditer(text[begin:end]):
                    yield self._remembered(found[0]), begin + found.end()

    def _remembered(self, piece):
        if piece not in self.seen:
            if len(self.seen) >= REMEMBERED:
                self.seen.clear()
            self.seen[piece] = self.encode_piece(piece)
        return self.seen[piece]

    def encode(self, text):
        ids = []
        for some, _ in self.encode_pieces(repaired(text)):
            ids += some
        return ids

    def encode_iterable(self, texts, chunk=1 << 14):
        waiting, length, wanted = [], 0, chunk
        unsure = max(map(len, self.special_tokens), default=1) + LOOKAHEAD
        for text in map(repaired, texts):
            waiting.append(text)
            length += len(text)
            if length < wanted:
                continue
            whole, done = "".join(waiting), 0
            for ids, end in self.encode_pieces(whole):
                if end > length - unsure:
                    break
                yield from ids
                done = end
            waiting, length = [whole[done:]], length - done
            wanted = max(chunk, 2 * length)  # one endless piece is not looked at again for every new text
        yield from self.encode("".join(waiting))

    def tokens_of(self, ids):
        found = []
        for place, number in enumerate(ids.tolist() if hasattr(ids, "tolist") else ids):
            if not 0 <= number < self.vocab_size:
                raise IndexError(f"tokenizer: id {number} at place {place} is none of 0 to {self.vocab_size - 1}")
            found.append(self.tokens[number])
        return found

    def decode(self, ids):
        return "".join(self.tokens_of(ids))

    def state(self):
        kept = {name: getattr(self, name) for name in self.options}
        return {"tokens": self.tokens, "special_tokens": self.special_tokens} | kept

    def save(self, path):
        try:
            inspect.signature(type(self)).bind(**self.state())
        except TypeError as error:
            raise TypeError(f"{type(self).__name__} cannot be made again from what it saves: {error}") from error
        text = json.dumps({"tokenizer": type(self).__name__} | self.state(), ensure_ascii=False)
        write_whole(path, text.encode("utf-8", "surrogatepass"))

    @staticmethod
    def load(path):
        kinds, new = {}, [Tokenizer]
        while new:
            kind = new.pop()
            kinds[kind.__name__] = kind
            new += kind.__subclasses__()
        data = Path(path).read_bytes()
        try:
            state = json.loads(data.decode("utf-8", "surrogatepass").removeprefix("\ufeff"))
            return kinds[state.pop("tokenizer")](**state)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{path}: not a tokenizer that was saved: {error!r}") from error

    def __repr__(self):
        special = f", special_tokens={self.special_tokens}" if self.special_tokens else ""
        return f"{type(self).__name__}(vocab_size={self.vocab_size}{special})"


def _once(*names):
    return list(dict.fromkeys(name for name in names if name is not None))


class CharTokenizer(Tokenizer):
    @classmethod
    def train(cls, text, special_tokens=(), unknown=None):
        special = _once(*special_tokens, unknown)
        return cls(special + sorted(set().union(*plain_parts(text, special))), special, unknown)


class WordTokenizer(Tokenizer):
    pattern, options = re.compile(WORD_PATTERN), ("lowercase",)
    glued_behind, glued_before = frozenset("\n([{“$#@"), frozenset("\n.,;:!?)]}'’”…%")

    def __init__(self, tokens, special_tokens=("<unk>",), lowercase=False):
        super().__init__(tokens, special_tokens, "<unk>")
        self.lowercase = lowercase

    @classmethod
    def train(cls, text, vocab_size=None, special_tokens=(), lowercase=False):
        special, counts = _once("<unk>", *special_tokens), Counter()
        for part in plain_parts(text, special):
            counts.update(cls.pattern.findall(part.lower() if lowercase else part))
        if vocab_size is not None and vocab_size <= len(special):
            raise ValueError(f"tokenizer: {vocab_size} tokens are not enough: with {', '.join(special)} and one word "
                             f"there are {len(special) + 1}")
        words = sorted(counts, key=lambda word: (-counts[word], word))
        room = len(words) if vocab_size is None else vocab_size - len(special)
        return cls(special + words[:room], special, lowercase)

    def encode_piece(self, piece):
        return super().encode_piece(piece.lower() if self.lowercase else piece)

    def decode(self, ids):
        text, glued, inside = [], True, False
        for token in self.tokens_of(ids):
            closes = token == '"' and inside
            if not (glued or closes or token in self.glued_before):
                text.append(" ")
            text.append(token)
            if token == '"':
                inside = not inside
            glued = token in self.glued_behind or (token == '"' and inside)
        return "".join(text)


def merge_pair(ids, pair, merged):
    out, rest = [], iter(range(len(ids)))
    for i in rest:
        if (*ids[i:i + 2],) == pair:
            out.append(merged)
            next(rest)
        else:
            out.append(ids[i])
    return out


def gpt2_pattern():
    try:
        import regex
    except ImportError as error:
        raise ImportError("byte pairs need the package regex: pip install regex") from error
    return regex.compile(GPT2_PATTERN)


def find_merges(weights, n, min_count=2):
    pieces, shares = [list(piece) for piece in weights], list(weights.values())
    counts, homes = Counter(), defaultdict(set)

    def count(number, sign):
        for pair in pairwise(pieces[number]):
            counts[pair] += sign * shares[number]
            if sign > 0:
                homes[pair].add(number)
            elif not counts[pair]:
                del counts[pair]

    for number in range(len(pieces)):
        count(number, +1)
    merges = []
    while len(merges) < n and counts and (most := max(counts.values())) >= min_count:
        pair = min(pair for pair, times in counts.items() if times == most)
        for number in homes.pop(pair):
            count(number, -1)
            pieces[number] = merge_pair(pieces[number], pair, 256 + len(merges))
            count(number, +1)
        merges.append(pair)
    return merges


def merge_by_rank(ids, merges):
    ids, end = list(ids), len(ids)
    before, behind = list(range(-1, end - 1)), list(range(1, end + 1))  # a place's neighbours that are left
    ranks, places = [], {}  # the ranks to come, sorted; where each may be merged

    def note(i):
        pair = (ids[i], ids[behind[i]]) if i >= 0 and behind[i] < end else None
        if pair in merges:
            rank = merges[pair][0]
            if rank not in places:
                insort(ranks, rank)
                places[rank] = [], pair
            places[rank][0].append(i)

    for i in range(end - 1):
        note(i)
    while ranks:
        where, pair = places.pop(ranks.pop(0))
        for i in sorted(where):
            j = behind[i]
            if j >= end or (ids[i], ids[j]) != pair:
                continue
            ids[i], ids[j], behind[i] = merges[pair][1], None, behind[j]
            if behind[j] < end:
                before[behind[j]] = i
            note(before[i])
            note(i)
    return [number for number in ids if number is not None]


@cache
def byte_characters():
    shown = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    replaced = {byte: 256 + i for i, byte in enumerate(sorted(set(range(256)) - shown))}
    return "".join(chr(replaced.get(byte, byte)) for byte in range(256))


def visible(token):
    return token.decode("latin-1").translate(dict(enumerate(byte_characters())))


def invisible(text):
    if isinstance(text, bytes):
        return text
    try:
        return bytes(map(byte_characters().index, text))
    except ValueError:
        raise ValueError(f"tokenizer: {text!r} has characters that stand for no byte") from None


class BPETokenizer(Tokenizer):
    as_token, options = staticmethod(str.encode), ("merges",)

    def __init__(self, tokens, merges, special_tokens=()):
        self.pattern = gpt2_pattern()
        names = set(special_tokens)
        super().__init__([token.encode() if token in names else invisible(token) for token in tokens], special_tokens)
        self.merge_list = [tuple(map(invisible, pair)) for pair in merges]
        singles = [bytes([byte]) for byte in range(256)]
        for token in [*singles, *(part for a, b in self.merge_list for part in (a, b, a + b))]:
            if token not in self.ids:
                raise ValueError(f"tokenizer: {token!r} is needed, and is no token")
        self.byte_ids = [self.ids[single] for single in singles]
        self.ranked = {(self.ids[a], self.ids[b]): (rank, self.ids[a + b])
                       for rank, (a, b) in reversed(list(enumerate(self.merge_list)))}

    @property
    def merges(self):
        return [[visible(a), visible(b)] for a, b in self.merge_list]

    def state(self):
        names = {self.as_token(name): name for name in self.special_tokens}
        return super().state() | {"tokens": [names.get(token) or visible(token) for token in self.tokens]}

    @classmethod
    def train(cls, text, vocab_size, special_tokens=()):
        pattern, special = gpt2_pattern(), _once(*special_tokens)
        room = vocab_size - 256 - len(special)
        if room < 0:
            raise ValueError(f"tokenizer: {vocab_size} tokens are too few for bytes and special tokens, "
                             f"{256 + len(special)}")
        weights = Counter(piece for part in plain_parts(text, special) for piece in pattern.findall(part))
        tokens, pairs = [bytes([byte]) for byte in range(256)], []
        for a, b in find_merges({piece.encode(): times for piece, times in weights.items()}, room):
            pairs.append((tokens[a], tokens[b]))
            tokens.append(tokens[a] + tokens[b])
        return cls(tokens + list(map(str.encode, special)), pairs, special)

    @classmethod
    def from_files(cls, vocab_path, merges_path, special_tokens=("<|endoftext|>",)):
        special = _once(*special_tokens)
        try:
            vocabulary = json.loads(Path(vocab_path).read_text(encoding="utf-8-sig"))
            if not isinstance(vocabulary, dict) or not vocabulary:
                raise ValueError("no dictionary of tokens")
            tokens = sorted(vocabulary, key=vocabulary.get)
            if [vocabulary[token] for token in tokens] != list(range(len(tokens))):
                raise ValueError(f"ids are not 0 to {len(tokens) - 1}")
            for token in set(tokens) - set(special):
                invisible(token)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{vocab_path}: damaged: {error}") from error
        try:
            lines = Path(merges_path).read_text(encoding="utf-8-sig").split("\n")
            lines = lines[lines[0].startswith("#version"):]
            merges = [[invisible(part) for part in line.split(" ")] for line in lines if line]
            if wrong := [pair for pair in merges if len(pair) != 2]:
                raise ValueError(f"{wrong[0]} is no pair")
        except ValueError as error:
            raise ValueError(f"{merges_path}: damaged: {error}") from error
        return cls(_once(*tokens, *special), merges, special)

    def encode_piece(self, piece):
        return self.encode_bytes(piece.encode())

    def encode_bytes(self, data):
        return merge_by_rank([self.byte_ids[byte] for byte in data], self.ranked)

    def decode_bytes(self, ids):
        return b"".join(self.tokens_of(ids))

    def decode(self, ids):
        return self.decode_bytes(ids).decode(errors="replace")
