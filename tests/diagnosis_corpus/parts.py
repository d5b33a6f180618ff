"""What the cases share: data that can be learned, small models, and losses, all of them healthy."""

import math

import numpy as np

from tests.diagnosis_corpus.framework import F, nn, optim, torch

WORDS, LENGTH = 12, 10


def tensor(array):
    array = np.asarray(array)
    return torch.tensor(array.astype(np.float32 if array.dtype.kind == "f" else np.int64))


# ---- data: a function of a generator returns arrays


def blobs(rng, rows=64, features=12, classes=4, noise=0.6):
    "Points around the centres of classes, and their labels."
    labels = np.arange(rows) % classes
    rng.shuffle(labels)
    return (rng.standard_normal((classes, features))[labels] + noise * rng.standard_normal((rows, features))), labels


def curve(rng, rows=64, features=6):
    "Points, and a smooth function of them with mean 0 and deviation 1: (rows, 1)."
    x = rng.standard_normal((rows, features))
    y = np.sin(x @ rng.standard_normal((features, 1))) + 0.5 * x[:, :1]
    return x, (y - y.mean()) / y.std()


def halves(arrays):
    "Two batches of one data set: every other row."
    return [tuple(tensor(a[start::2]) for a in arrays) for start in (0, 1)]


def chain(rng, rows=32, length=LENGTH + 1, words=WORDS, first=0):
    "Ids (rows, length) of a language where each word has two that may follow."
    follows = np.stack([(np.arange(words) * 5 + 1) % words, (np.arange(words) * 7 + 3) % words], axis=1)
    ids = np.empty((rows, length), int)
    ids[:, 0] = rng.integers(0, words, rows)
    for t in range(1, length):
        ids[:, t] = follows[ids[:, t - 1], (rng.random(rows) < 0.2).astype(int)]
    return ids + first


def next_words(ids):
    return tensor(ids[:, :-1]), tensor(ids[:, 1:])


def padded(rng, rows=32, length=LENGTH + 1):
    "Chains of different lengths, filled up at the end with 0, which is no word."
    ids = chain(rng, rows, length, WORDS - 1, first=1)
    ends = rng.integers(4, length + 1, rows)
    return np.where(np.arange(length) < ends[:, None], ids, 0)


def pictures(rng, rows=32, side=8, classes=4):
    labels = np.arange(rows) % classes
    rng.shuffle(labels)
    return rng.standard_normal((classes, 1, side, side))[labels] + 0.5 * rng.standard_normal(
        (rows, 1, side, side)
    ), labels


# ---- models


def mlp(*sizes, hidden=nn.ReLU, last=None):
    layers = []
    for i, (wide, narrow) in enumerate(zip(sizes, sizes[1:])):
        layers += [nn.Linear(wide, narrow)] + ([hidden()] if i < len(sizes) - 2 else [])
    return nn.Sequential(*layers, *([] if last is None else [last]))


class Net(nn.Module):
    "A model from a dictionary of modules and a function of them and the inputs."

    def __init__(self, call, **parts):
        super().__init__()
        self.parts, self.call = nn.ModuleDict(parts), call

    def forward(self, *inputs):
        return self.call(self.parts, *inputs)


class Two(nn.Module):
    "A body and a head, to be replaced by name."

    def __init__(self, features=12, width=32, classes=4):
        super().__init__()
        self.body, self.head = nn.Linear(features, width), nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.body(x).relu())


class Attention(nn.Module):
    "Attention in single steps: a case replaces one of them."

    def __init__(self, width=24, heads=2, causal=True):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))

    def split(self, x):
        return x.reshape(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)  # (B, H, T, d)

    def merge(self, x):
        return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], -1)

    def scores(self, q, k):
        return q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])

    def hide(self, scores):
        later = torch.tensor(np.triu(np.ones((scores.shape[-2], scores.shape[-1]), bool), 1))
        return scores.masked_fill(later, -math.inf) if self.causal else scores

    def normalize(self, scores):
        return scores.softmax(-1)

    def forward(self, x, memory=None):
        memory = x if memory is None else memory
        q, k, v = self.split(self.q(x)), self.split(self.k(memory)), self.split(self.v(memory))
        return self.out(self.merge(self.normalize(self.hide(self.scores(q, k))) @ v))


class Block(nn.Module):
    def __init__(self, width=24, attention=None):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = attention or Attention(width)
        self.mlp = mlp(width, 2 * width, width, hidden=nn.GELU)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Reader(nn.Module):
    "Ids (B, T) -> (B, T, outputs)."

    def __init__(self, attention=None, words=WORDS, length=LENGTH, width=24, layers=1, outputs=None, block=Block):
        super().__init__()
        self.token, self.position = nn.Embedding(words, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList([block(width, attention if i == 0 else None) for i in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, outputs or words)
        for table in (self.token, self.position):
            nn.init.normal_(table.weight, std=0.3)

    def places(self, ids):
        return torch.arange(ids.shape[1])

    def embed(self, ids):
        return self.token(ids) + self.position(self.places(ids))

    def encode(self, ids):
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def forward(self, ids):
        return self.head(self.encode(ids))


class Judge(Reader):
    "Ids (B, T) -> (B, classes), from the mean over places."

    def __init__(self, classes=3, **options):
        super().__init__(Attention(causal=False), outputs=classes, **options)

    def forward(self, ids):
        return self.head(self.encode(ids).mean(1))


class Translator(nn.Module):
    "Sources and targets so far -> logits of what follows."

    def __init__(self, causal=True, width=24, words=WORDS):
        super().__init__()
        self.encoder = Reader(Attention(width, causal=False), words=words, width=width, outputs=width)
        self.decoder = Reader(Attention(width, causal=causal), words=words + 1, width=width, outputs=words)
        self.cross = Attention(width, causal=False)

    def forward(self, source, target):
        x = self.decoder.encode(target)
        return self.decoder.head(x + self.cross(x, self.encoder(source)))


# ---- losses


def classify(model, x, labels):
    return F.cross_entropy(model(x), labels)


def fit(model, x, y):
    return F.mse_loss(model(x), y)


def read(model, ids, targets):
    logits = model(ids)
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))


# ---- whole set-ups, to be changed in one place


def adam(model, lr=3e-3, **options):
    return optim.Adam([p for p in model.parameters() if p.requires_grad], lr=lr, **options)


def classifier(rng, model=None, lr=1e-2, **changes):
    train, test = halves(blobs(rng, 128))
    model = model or mlp(12, 32, 4)
    return {
        "model": model,
        "batch": train,
        "held_out": test,
        "loss_fn": classify,
        "optimizer": adam(model, lr),
    } | changes


def regression(rng, model=None, lr=1e-2, **changes):
    train, test = halves(curve(rng, 128))
    model = model or mlp(6, 32, 1, hidden=nn.Tanh)
    return {"model": model, "batch": train, "held_out": test, "loss_fn": fit, "optimizer": adam(model, lr)} | changes


def language(rng, model=None, lr=5e-3, **changes):
    model = model or Reader()
    return {
        "model": model,
        "batch": next_words(chain(rng)),
        "held_out": next_words(chain(rng)),
        "loss_fn": read,
        "optimizer": adam(model, lr),
    } | changes


def judging(rng, model=None, lr=5e-3, **changes):
    "The label is which of three words stands first: order and place matter."

    def batch():
        ids = rng.integers(0, WORDS, (48, LENGTH))
        labels = ids[:, 0] % 3
        return tensor(ids), tensor(labels)

    model = model or Judge()
    return {
        "model": model,
        "batch": batch(),
        "held_out": batch(),
        "loss_fn": classify,
        "optimizer": adam(model, lr),
    } | changes


def translation(rng, model=None, **changes):
    "Sentences backwards; id WORDS begins a target."

    def batch():
        source = chain(rng, length=LENGTH)
        target = source[:, ::-1]
        begun = np.concatenate([np.full((len(source), 1), WORDS), target[:, :-1]], axis=1)
        return tensor(source), tensor(begun), tensor(target.copy())

    def loss(model, source, begun, target):
        return F.cross_entropy(model(source, begun).reshape(-1, WORDS), target.reshape(-1))

    model = model or Translator()
    return {
        "model": model,
        "batch": batch(),
        "held_out": batch(),
        "loss_fn": loss,
        "optimizer": adam(model, 5e-3),
    } | changes


def train(case, steps=150):
    "Train for a while, as a trained model is one that somebody has trained; return the case."
    model, optimizer = case["model"], case["optimizer"]
    for _ in range(steps):
        optimizer.zero_grad()
        case["loss_fn"](model, *case["batch"]).backward()
        optimizer.step()
    return case


def grow(model, choose, length=24):
    ids = np.array([[1]])
    for _ in range(length):
        with torch.no_grad():
            logits = np.array(model(tensor(ids[:, -LENGTH:])).tolist())
        ids = np.concatenate([ids, [[choose(logits[0])]]], axis=1)
    return ids
