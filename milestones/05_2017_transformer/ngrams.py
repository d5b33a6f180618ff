"""Counting instead of learning: what follows the last few tokens, with Witten-Bell smoothing. A bar for the milestones.

    P_n(c | h) = (count(h c) + kinds(h) P_{n-1}(c | h')) / (count(h) + kinds(h))

h are the n - 1 tokens before c, h' all of them but the first, kinds(h) is how many different tokens were seen behind h,
and P_0 = 1 / V. The more kinds have followed, the likelier is one more that was never seen: so much of the
probability goes to the shorter context (Witten and Bell 1991; Chen and Goodman 1998, section 2.5).
"""
import math

import numpy as np


class NGrams:
    """Counts of all rows of 1 to `order` tokens in `ids`, integers below `vocab_size`.

    A row of tokens is one number, written in base `vocab_size`, and a table is a sorted array of these: no dict, so
    four million characters are counted in seconds. Errors: ValueError for no ids, ids outside the vocabulary, or rows
    that 63 bits cannot hold.
    """
    def __init__(self, ids, order, vocab_size):
        ids = np.asarray(ids, np.int64)
        if order < 1 or vocab_size**order >= 2**63:
            raise ValueError(f"NGrams: order {order} with {vocab_size} tokens, expected an order from 1 to "
                             f"{math.floor(63 / math.log2(max(vocab_size, 2)))}")
        if ids.size < order or ids.min() < 0 or ids.max() >= vocab_size:
            raise ValueError(f"NGrams: expected at least {order} ids from 0 to {vocab_size - 1}, got {ids.size}"
                             f"{f', from {ids.min()} to {ids.max()}' if ids.size else ''}")
        self.order, self.vocab_size = order, vocab_size
        self.tables = [Table(self.rows(ids, n), vocab_size) for n in range(1, order + 1)]

    def rows(self, ids, n):
        "Each n neighbours of `ids` as one number: (N - n + 1,)."
        numbers = np.zeros(len(ids) - n + 1, np.int64)
        for i in range(n):
            numbers = numbers * self.vocab_size + ids[i:len(ids) - n + 1 + i]
        return numbers

    def shares(self, ids):
        "The probability of each token of the vocabulary behind the last of `ids`, which may be few or none: (V,)."
        shares, context, tokens = np.full(self.vocab_size, 1 / self.vocab_size), 0, np.arange(self.vocab_size)
        for n, table in enumerate(self.tables, 1):
            if n - 1 > len(ids):
                break
            if n > 1:
                context += int(ids[1 - n]) * self.vocab_size ** (n - 2)
            shares = table.smoothed(context * self.vocab_size + tokens, shares)
        return shares

    def probabilities(self, ids, order=None):
        "What orders 1 to `order` give each token of `ids` behind those before it, (N,); the first ones see only few."
        ids = np.asarray(ids, np.int64)
        found = np.full(len(ids), 1 / self.vocab_size)
        for n, table in enumerate(self.tables[:order], 1):
            if n <= len(ids):
                found[n - 1:] = table.smoothed(self.rows(ids, n), found[n - 1:])
        return found

    def loss(self, ids, order=None):
        "Return the loss of orders 1 to `order` on `ids`, in nats a token."
        return float(-np.log(self.probabilities(ids, order)).mean())

    def losses(self, ids):
        "Return the losses of orders 1, 1 to 2, and so on up to all, a list; say them in a line."
        losses = [self.loss(ids, order) for order in range(1, self.order + 1)]
        print("n-grams, held out: " + "  ".join(f"{n}: {loss:.3f}" for n, loss in enumerate(losses, 1)), flush=True)
        return losses

    def write(self, ids, length, generator, order=None):
        "`ids` continued by `length` tokens, drawn one after the other from `generator`; a list."
        ids = list(ids)
        for _ in range(length):
            ends = self.shares(ids).cumsum()
            ids.append(int(np.searchsorted(ends, generator.random() * ends[-1], side="right")))
        return ids


class Table:
    "How often each row of n tokens was seen, how often what stands before its last token, and how many kinds of last."
    def __init__(self, rows, vocab_size):
        self.vocab_size = vocab_size
        self.seen, self.counts = np.unique(rows, return_counts=True)
        self.contexts, starts = np.unique(self.seen // vocab_size, return_index=True)
        self.totals = np.add.reduceat(self.counts, starts)
        self.kinds = np.diff(starts, append=len(self.seen))

    def smoothed(self, rows, shorter):
        "P_n of the last token of each of `rows`, given P_{n-1} of it; that one itself behind what was never seen."
        counts = look_up(self.seen, self.counts, rows)
        contexts = rows // self.vocab_size
        totals, kinds = (look_up(self.contexts, values, contexts) for values in (self.totals, self.kinds))
        return np.where(totals > 0, (counts + kinds * shorter) / np.maximum(totals + kinds, 1), shorter)


def look_up(keys, values, wanted):
    "The values that stand at `wanted` in sorted `keys`, 0 for what is not there."
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], 0)
