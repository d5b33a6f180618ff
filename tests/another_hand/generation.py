"""Letting a language model write: choosing tokens, a cache of keys and values, and how much a text repeats itself."""
__all__ = ["probabilities", "draw", "keep_top_k", "keep_top_p", "penalize_repeats", "choose", "LayerCache", "KVCache",
           "next_logits", "generate", "check_options", "distinct_n", "repeated_ngram_rate"]

import inspect
import math

import numpy as np

from tinytorch.data import as_generator
from tinytorch.tensor import Tensor
from tinytorch.training import evaluating


def probabilities(logits, temperature=1.0):
    below_top = np.subtract(logits, logits.max(axis=1, keepdims=True), dtype=np.float64)
    with np.errstate(over="ignore"):  # to -inf, next to a temperature near 0
        odds = np.exp(below_top / temperature)
    return odds / odds.sum(axis=1, keepdims=True)


def draw(shares, generator):
    fences = shares.cumsum(axis=1)
    fences[fences >= fences[:, -1:]] = np.inf  # the last one that has a share gets what rounding leaves over
    return np.argmax(fences > generator.random((len(shares), 1)), axis=1)


def keep_top_k(logits, k):
    ranked = np.sort(logits, axis=1)
    bar = ranked[:, [-min(k, logits.shape[1])]]
    return np.where(logits >= bar, logits, -np.inf).astype(logits.dtype)


def keep_top_p(logits, p, temperature=1.0):
    kept = logits.copy()
    for row, shares in zip(kept, probabilities(logits, temperature)):
        if p < 1:
            order = np.argsort(-shares, kind="stable")
            needed = 1 + np.searchsorted(shares[order].cumsum(), p)
            row[order[needed:]] = -np.inf
    return kept


def penalize_repeats(logits, ids, penalty):
    said = np.zeros(logits.shape, bool)
    said[np.arange(len(ids))[:, None], ids] = True
    return np.where(said, np.where(logits > 0, logits / penalty, logits * penalty), logits).astype(logits.dtype)


def choose(logits, ids, generator, temperature=1.0, top_k=None, top_p=None, repetition_penalty=1.0):
    tops = logits.max(axis=1)
    if not np.isfinite(tops).all():
        raise FloatingPointError(f"generate: the model says {tops[~np.isfinite(tops)][0]}, no number to choose by")
    if repetition_penalty != 1:
        logits = penalize_repeats(logits, ids, repetition_penalty)
    if temperature == 0:
        return logits.argmax(axis=1)
    if top_k is not None:
        logits = keep_top_k(logits, top_k)
    if top_p is not None:
        logits = keep_top_p(logits, top_p, temperature)
    return draw(probabilities(logits, temperature), generator)


class LayerCache:
    def __init__(self, context):
        self.context, self.length, self.room = context, 0, {}

    def append(self, key, value):
        begin, end = self.length, self.length + key.shape[2]
        news = {"key": key, "value": value}
        if end > self.context:
            raise ValueError(f"cache: no room for {key.shape} behind {begin} of {self.context} tokens")
        for name, new in news.items():
            shape = (*new.shape[:2], self.context, new.shape[3])
            fits = name in self.room and self.room[name].shape == shape and self.room[name].dtype == new.dtype
            if begin and not fits:
                raise ValueError(f"cache: {name} {new.shape} does not continue {self.room[name].shape}; empty it first")
            if not fits:
                self.room[name] = np.empty(shape, new.dtype)
        for name, new in news.items():
            self.room[name][:, :, begin:end] = new
        self.length = end
        return tuple(self.room[name][:, :, :end] for name in news)


class KVCache:
    def __init__(self, model):
        self.layers = [LayerCache(model.context) for _ in model.transformer.blocks]

    @property
    def length(self):
        return max((layer.length for layer in self.layers), default=0)

    def reset(self):
        for layer in self.layers:
            layer.length = 0


def next_logits(model, ids, cache=None):
    seen = ids[:, -model.context:]
    if cache is None:
        return model(seen).data[:, -1]
    if seen.shape != ids.shape or cache.length >= ids.shape[1]:
        cache.reset()
    return model(seen[:, cache.length:], cache=cache, last_only=True).data[:, -1]


def _batch(prompt_ids):
    "The prompts as integers (B, T)."
    given = prompt_ids.data if isinstance(prompt_ids, Tensor) else prompt_ids
    if isinstance(given, str):
        raise TypeError("generate: prompt_ids are integers, not a str; a tokenizer makes them")
    if isinstance(given, (list, tuple)) and len(lengths := {np.size(row) for row in given}) > 1:
        raise ValueError(f"generate: prompts of different lengths, {sorted(lengths)}")
    ids = np.asarray(given)
    if ids.ndim not in (1, 2):
        raise TypeError(f"generate: prompt_ids are (T,) or (B, T), got {ids.shape}")
    if ids.size == 0:
        raise ValueError(f"generate: the prompt is empty, {ids.shape}; begin with one token at least")
    if ids.dtype.kind not in "iu":
        raise TypeError(f"generate: prompt_ids are integers, got {ids.dtype}")
    return np.atleast_2d(ids).astype(np.int64)


def _several(ids):
    return np.atleast_1d(np.asarray(ids if isinstance(ids, (int, np.integer)) else list(ids), dtype=np.int64))


def generate(model, prompt_ids, max_new_tokens, *, temperature=1.0, top_k=None, top_p=None, repetition_penalty=1.0,
             stop_tokens=(), suppress_tokens=(), generator=None, use_cache=True, on_token=None):
    check_options(max_new_tokens, temperature, top_k, top_p, repetition_penalty)
    stops, never = _several(stop_tokens), np.unique(_several(suppress_tokens))
    if len(never) >= model.vocab_size or any(not 0 <= id < model.vocab_size for id in never):
        raise ValueError(f"generate: suppress_tokens {never.tolist()} must be some, not all, of {model.vocab_size} ids")
    text, dice = _batch(prompt_ids), as_generator(generator)
    known = inspect.signature(model.forward).parameters
    cache = KVCache(model) if use_cache and {"cache", "last_only"} <= set(known) else None
    ended = np.zeros(len(text), bool)
    with evaluating(model):
        for _ in range(max_new_tokens):
            logits = next_logits(model, text, cache)
            if never.size:
                logits = logits.copy()
                logits[:, never] = -np.inf
            drawn = choose(logits, text, dice, temperature, top_k, top_p, repetition_penalty)
            column = np.where(ended, text[:, -1], drawn)
            text = np.column_stack([text, column])
            ended |= np.isin(column, stops)
            if on_token is not None:
                on_token(column)
            if ended.all():
                break
    return text if np.ndim(prompt_ids) == 2 else text[0]


def check_options(max_new_tokens, temperature, top_k, top_p, repetition_penalty):
    allowed = {
        "max_new_tokens": (max_new_tokens, max_new_tokens >= 0),
        "temperature": (temperature, 0 <= temperature < math.inf),
        "top_k": (top_k, top_k is None or top_k >= 1),
        "top_p": (top_p, top_p is None or 0 < top_p <= 1),
        "repetition_penalty": (repetition_penalty, 0 < repetition_penalty < math.inf)}
    for name, (value, fine) in allowed.items():
        if not fine:
            raise ValueError(f"generate: {name} {value} is out of range")


def distinct_n(tokens, n=2):
    if n < 1:
        raise ValueError(f"distinct_n: an n-gram has one token or more, not {n}")
    tokens = list(tokens)
    grams = list(zip(*(tokens[shift:] for shift in range(n))))
    return len(set(grams)) / len(grams) if grams else 1.0


def repeated_ngram_rate(tokens, n=4):
    return 1.0 - distinct_n(tokens, n)
