"""N-gram models with Witten-Bell smoothing, made by counting: the baseline that the milestones have to beat.

    P_n(c | h) = (count(h c) + kinds(h) P_{n-1}(c | h')) / (count(h) + kinds(h))

h are the n - 1 tokens before c, h' all of them but the first, kinds(h) is how many different tokens were seen behind h,
and P_0 = 1 / V. The more kinds have followed, the likelier is one more that was never seen: so much of the
probability goes to the shorter context (Witten and Bell 1991; Chen and Goodman 1998, section 2.5).
"""
import numpy as np


def largest_order(vocab_size):
    "Return the largest order whose n-grams of `vocab_size` tokens 63 bits can hold."
    return next(order for order in range(1, 64) if max(vocab_size, 2) ** (order + 1) >= 2**63)


class NGrams:
    """Counts of all n-grams of 1 to `order` tokens in `ids`, integers below `vocab_size`.

    An n-gram is one number, written in base `vocab_size`, and a table is a sorted array of these: no dict, so
    four million characters are counted in seconds. Raises: ValueError for no ids, ids outside the vocabulary, or
    n-grams that 63 bits cannot hold.
    """
    def __init__(self, ids, order, vocab_size):
        ids = np.asarray(ids, np.int64)
        if not 1 <= order <= largest_order(vocab_size):
            raise ValueError(f"NGrams: order {order} with {vocab_size} tokens, expected an order from 1 to "
                             f"{largest_order(vocab_size)}")
        if ids.size < order or ids.min() < 0 or ids.max() >= vocab_size:
            raise ValueError(f"NGrams: expected at least {order} ids from 0 to {vocab_size - 1}, got {ids.size}"
                             f"{f', from {ids.min()} to {ids.max()}' if ids.size else ''}")
        self.order, self.vocab_size = order, vocab_size
        self.tables = [Table(self.numbers(ids, n), vocab_size) for n in range(1, order + 1)]

    def numbers(self, ids, n):
        "Return each n-gram of `ids` as one number: (N - n + 1,)."
        numbers = np.zeros(len(ids) - n + 1, np.int64)
        for i in range(n):
            numbers = numbers * self.vocab_size + ids[i:len(ids) - n + 1 + i]
        return numbers

    def next_probabilities(self, ids):
        "Return the probability of each token of the vocabulary behind `ids`, which may be few or none: (V,)."
        found, context, tokens = np.full(self.vocab_size, 1 / self.vocab_size), 0, np.arange(self.vocab_size)
        for n, table in enumerate(self.tables, 1):
            if n - 1 > len(ids):
                break
            if n > 1:
                context += int(ids[1 - n]) * self.vocab_size ** (n - 2)
            found = table.smoothed(context * self.vocab_size + tokens, found)
        return found

    def probabilities(self, ids, order=None):
        "Return the probability of each of `ids` behind those before it, by orders 1 to `order` (None: all): (N,)."
        ids = np.asarray(ids, np.int64)
        found = np.full(len(ids), 1 / self.vocab_size)
        for n, table in enumerate(self.tables[:order], 1):
            if n <= len(ids):
                found[n - 1:] = table.smoothed(self.numbers(ids, n), found[n - 1:])
        return found

    def loss(self, ids, order=None):
        "Return the loss of orders 1 to `order` on `ids`, in nats a token."
        return float(-np.log(self.probabilities(ids, order)).mean())

    def report_losses(self, ids):
        "Print and return the losses on `ids` of orders 1, 1 to 2, and so on up to all, a list."
        losses = [self.loss(ids, order) for order in range(1, self.order + 1)]
        print("n-grams, held out: " + "  ".join(f"{n}: {loss:.3f}" for n, loss in enumerate(losses, 1)), flush=True)
        return losses

    def write(self, ids, length, generator):
        "Return `ids` continued by `length` tokens, drawn one after the other from `generator`; a list."
        ids = list(ids)
        for _ in range(length):
            ends = self.next_probabilities(ids).cumsum()
            ids.append(int(np.searchsorted(ends, generator.random() * ends[-1], side="right")))
        return ids


class Table:
    "How often each n-gram was seen, how often its context (all but the last token), and before how many tokens."
    def __init__(self, ngrams, vocab_size):
        self.vocab_size = vocab_size
        self.seen, self.counts = np.unique(ngrams, return_counts=True)
        self.contexts, starts = np.unique(self.seen // vocab_size, return_index=True)
        self.totals = np.add.reduceat(self.counts, starts)
        self.kinds = np.diff(starts, append=len(self.seen))

    def smoothed(self, ngrams, shorter):
        "Return P_n of the last token of each of `ngrams`, given its P_{n-1}, which it is in a context never seen."
        counts = look_up(self.seen, self.counts, ngrams)
        contexts = ngrams // self.vocab_size
        totals, kinds = (look_up(self.contexts, values, contexts) for values in (self.totals, self.kinds))
        return np.where(totals > 0, (counts + kinds * shorter) / np.maximum(totals + kinds, 1), shorter)


def look_up(keys, values, wanted):
    "Return the values at `wanted` in sorted `keys`, 0 for what is not there."
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], 0)
