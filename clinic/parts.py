"""The healthy parts that patients share: data, losses, and attention written out."""
import math

import numpy as np

import tinytorch
import tinytorch.nn as nn
import tinytorch.nn.functional as F
from tinytorch import Tensor

DIGITS, CONTEXT = 10, 16
SUBJECTS, VERBS, PLACES = "the cat,a dog,my bird,the old fox".split(","), "sat,ran,slept,sang".split(","), \
    "on the mat,in the park,by a tree,under my bed,near the river".split(",")


def reversal(seed, rows=32, length=8):
    "Return digits (rows, length), and the same backwards."
    digits = np.random.default_rng(seed).integers(0, DIGITS, (rows, length))
    return Tensor(digits), Tensor(digits[:, ::-1].copy())


def sentences(seed, count=400):
    "Return a text of short sentences, drawn from a few words."
    rng = np.random.default_rng(seed)
    return " ".join(f"{rng.choice(SUBJECTS)} {rng.choice(VERBS)} {rng.choice(PLACES)}." for _ in range(count))


ALPHABET = sorted(set(sentences(0)))
VOCABULARY = len(ALPHABET)


def windows(seed, rows=32, length=CONTEXT + 1):
    "Return windows of the text as ids (rows, length)."
    text, rng = sentences(seed), np.random.default_rng(seed)
    starts = rng.integers(0, len(text) - length, rows)
    return np.array([[ALPHABET.index(c) for c in text[start:start + length]] for start in starts])


def clusters(seed, rows=128, features=32, classes=8):
    "Return points (rows, features) around the centres of classes, and their labels (rows,)."
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    points = rng.standard_normal((classes, features))[labels] + 0.7 * rng.standard_normal((rows, features))
    return points.astype(np.float32) / 1.2, labels


def token_loss(model, ids, targets):
    "Return the cross entropy of logits (B, T, V), the mean over all tokens."
    return F.cross_entropy(model(ids).flatten(0, 1), targets.flatten())


def class_loss(model, inputs, labels):
    return F.cross_entropy(model(inputs), labels)


class WrittenOut(nn.Module):
    "Attention in single steps, so that each can be looked at."
    def __init__(self, d_model, num_heads, causal=True):
        self.num_heads, self.head_dim, self.causal = num_heads, d_model // num_heads, causal
        self.query, self.key, self.value, self.out = (nn.Linear(d_model, d_model) for _ in range(4))

    def split(self, x):
        return x.reshape(*x.shape[:2], self.num_heads, self.head_dim).transpose(1, 2)  # (B, H, T, d)

    def scores(self, query, key):
        return query @ key.transpose(-1, -2) / math.sqrt(self.head_dim)  # (B, H, T, T)

    def mask(self, scores):
        later = np.triu(np.ones(scores.shape[-2:], bool), 1)
        return scores.masked_fill(later, -np.inf) if self.causal else scores

    def weights(self, scores):
        return scores.softmax(dim=-1)

    def forward(self, x):
        query, key, value = (self.split(layer(x)) for layer in (self.query, self.key, self.value))
        found = self.weights(self.mask(self.scores(query, key))) @ value  # (B, H, T, d)
        return self.out(found.transpose(1, 2).reshape(*x.shape))


class Small(nn.Module):
    "One block around an attention: ids (B, T) -> logits (B, T, vocabulary)."
    def __init__(self, attention, vocabulary=VOCABULARY, length=CONTEXT, d_model=32):
        self.token = nn.Embedding(vocabulary, d_model)
        self.position = nn.LearnedPositions(length, d_model)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(d_model) for _ in range(3))
        self.attention, self.head = attention, nn.Linear(d_model, vocabulary)
        self.mlp = nn.MLP(nn.TransformerConfig(d_model=d_model))

    def embed(self, ids):
        return self.token(ids) + self.position(ids.shape[1])

    def forward(self, ids):
        x = self.embed(ids)
        x = x + self.attention(self.norm1(x))
        x = x + self.mlp(self.norm2(x))
        return self.head(self.norm3(x))


def seeded(seed):
    tinytorch.manual_seed(seed)
