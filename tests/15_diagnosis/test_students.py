"""Models and losses as students write them: what is broken is found, what is only unusual is left in peace."""
import math

import numpy as np
import pytest

import tinytorch
import tinytorch.nn as nn
import tinytorch.nn.functional as F
from tinytorch import Tensor
from tinytorch.diagnosis import diagnose
from tinytorch.optim import SGD, Adam, AdamW

V, T = 12, 8
HIDDEN = np.triu(np.full((T, T), -1e9, np.float32), 1)


def token_loss(model, ids, targets):
    return F.cross_entropy(model(ids).reshape(-1, V), targets.reshape(-1))


class Attention(nn.Module):
    "The usual one, from parts; -1e9 is added to what is hidden."
    def __init__(self, width, heads, causal):
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(4))
        self.heads, self.causal = heads, causal

    def split(self, x):
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)  # (B, H, T, d)

    def scores(self, query, key):
        return query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])

    def weights(self, scores):
        return F.softmax(scores + Tensor(HIDDEN) if self.causal else scores, dim=-1)

    def forward(self, x):
        query, key, value = (self.split(layer(x)) for layer in self.layers[:3])
        found = self.weights(self.scores(query, key)) @ value
        return self.layers[3](found.transpose(1, 2).reshape(*x.shape))


class Transformer(nn.Module):
    def __init__(self, attention=Attention, causal=False, blocks=2, width=24):
        self.token, self.position = nn.Embedding(V, width), nn.Parameter(0.05 * tinytorch.randn(T, width).data)
        self.attentions = nn.ModuleList(attention(width, 3, causal) for _ in range(blocks))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * blocks))
        self.mlps = nn.ModuleList(nn.MLP(nn.TransformerConfig(d_model=width)) for _ in range(blocks))
        self.head = nn.Linear(width, V)

    def embed(self, ids):
        return self.token(ids) + self.position[:ids.shape[1]]

    def normed(self, norm, x):
        return norm(x)

    def forward(self, ids):
        x = self.embed(ids)
        for attention, mlp, first, second in zip(self.attentions, self.mlps, self.norms[::2], self.norms[1::2]):
            x = x + attention(self.normed(first, x))
            x = x + mlp(self.normed(second, x))
        return self.head(x)


class OneCall(Transformer):
    "(logits, loss), as nanoGPT does it; without targets only the last logits."
    def forward(self, ids, targets=None):
        logits = super().forward(ids)
        if targets is None:
            return logits[:, -1:], None
        return logits, F.cross_entropy(logits.reshape(-1, V), targets.reshape(-1))


def backwards(seed=0, rows=20):
    ids = np.random.default_rng(seed).integers(0, V, (rows, T))
    return Tensor(ids), Tensor(ids[:, ::-1].copy())


def windows(seed=0, rows=24):
    "A language in which most tokens have a favourite successor: ids (rows, T + 1)."
    rng = np.random.default_rng(seed)
    ids, successor = np.zeros((rows, T + 1), int), rng.permutation(V)
    ids[:, 0] = rng.integers(0, V, rows)
    for t in range(T):
        ids[:, t + 1] = np.where(rng.random(rows) < 0.7, successor[ids[:, t]], rng.integers(0, V, rows))
    return ids


def next_tokens(seed=0):
    ids = windows(seed)
    return Tensor(ids[:, :-1]), Tensor(ids[:, 1:])


def classes(seed=0, rows=64):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, rows)
    points = rng.standard_normal((5, 20))[labels] + 0.5 * rng.standard_normal((rows, 20))
    return Tensor(points.astype(np.float32)), Tensor(labels)


def mlp():
    return nn.Sequential(nn.Linear(20, 48), nn.ReLU(), nn.Linear(48, 5))


def class_loss(model, x, labels):
    return F.cross_entropy(model(x), labels)


def found(model, batch, loss_fn=token_loss, optimizer=None, **options):
    tinytorch.manual_seed(0)
    report = diagnose(model, batch, loss_fn, optimizer or AdamW(model.parameters(), lr=5e-3), **options)
    return [finding.fault for finding in report.findings]


@pytest.fixture(autouse=True)
def seed():
    tinytorch.manual_seed(0)


def attention_with(**methods):
    return type("Changed", (Attention,), methods)


# ---- attention, in other words

def by_hand(dim):
    def weights(self, scores):
        exp = (scores - scores.max(dim=-1, keepdim=True)[0]).exp()
        return exp / exp.sum(dim=dim, keepdim=True)
    return weights


def folded(self, x):
    "Heads become rows of the batch, by a bare reshape."
    return x.reshape(x.shape[0] * self.heads, x.shape[1], -1)


def forward_folded(self, x):
    query, key, value = (self.split(layer(x)) for layer in self.layers[:3])
    return self.layers[3]((self.weights(self.scores(query, key)) @ value).reshape(*x.shape))


class Named(Attention):
    "With einsum."
    scale, dim = 8**-0.5, -1

    def forward(self, x):
        query, key, value = (layer(x).reshape(*x.shape[:2], self.heads, -1) for layer in self.layers[:3])
        weights = F.softmax(tinytorch.einsum("bthd,bshd->bhts", query, key) * self.scale, dim=self.dim)
        return self.layers[3](tinytorch.einsum("bhts,bshd->bthd", weights, value).reshape(*x.shape))


def cosines(self, query, key):
    "Queries and keys of length 1, and a temperature: nothing here has to be divided by sqrt(d)."
    query, key = (x / (x * x).sum(dim=-1, keepdim=True).sqrt() for x in (query, key))
    return query @ key.transpose(-1, -2) * 8.0


@pytest.mark.parametrize("attention, expected", [
    (Attention, []),
    (attention_with(weights=by_hand(-1)), []),
    (attention_with(weights=by_hand(-2)), ["softmax-axis"]),
    (attention_with(weights=lambda self, scores: F.softmax(scores, dim=1)), ["softmax-axis"]),
    (attention_with(scores=lambda self, query, key: query @ key.transpose(-1, -2)), ["scale-missing"]),
    (attention_with(scores=lambda self, query, key: query @ key.transpose(-1, -2) * 8**0.5), ["scale-missing"]),
    (attention_with(scores=lambda self, query, key: query @ key.transpose(-1, -2), weights=by_hand(-1)),
     ["scale-missing"]),
    (attention_with(scores=cosines), []),
    (Named, []),
    (type("Unscaled", (Named,), {"scale": 1.0}), ["scale-missing"]),
    (type("OverQueries", (Named,), {"dim": -2}), ["softmax-axis"]),
    (attention_with(split=folded, forward=forward_folded), ["heads-scrambled"]),
])
def test_attention_in_other_words(attention, expected):
    assert found(Transformer(attention), backwards())[:1] == expected


def masked_by(mask):
    return attention_with(weights=lambda self, scores: F.softmax(scores.masked_fill(mask, -1e9), dim=-1))


@pytest.mark.parametrize("mask, expected", [
    (np.triu(np.ones((T, T), bool), 1), []), (np.triu(np.ones((T, T), bool), 2), ["leak"]),
    (np.tril(np.ones((T, T), bool)), ["mask-inverted"]), (np.tril(np.ones((T, T), bool), -1), ["mask-inverted"]),
])
def test_masks_of_a_large_negative_number(mask, expected):
    "In two blocks, and where the last row sees nothing: its weights are all equal, so they look back."
    assert found(Transformer(masked_by(mask)), next_tokens())[:1] == expected


@pytest.mark.parametrize("blocks, expected", [(1, "order-blind"), (2, "no-positions"), (3, "no-positions")])
def test_causal_models_without_positions(blocks, expected):
    model = Transformer(causal=True, blocks=blocks)
    model.embed, model.position = lambda ids: model.token(ids), None
    assert found(model, next_tokens()) == [expected]
    gpt = nn.GPT(nn.GPTConfig(vocab_size=V, context=T, d_model=24, num_layers=blocks, num_heads=3))
    gpt.position_embedding = None
    assert found(gpt, next_tokens()) == [expected]


@pytest.mark.parametrize("options", [{"positions": "rotary"}, {"positions": "sinusoidal"}, {"dropout": 0.2}, {}])
def test_models_with_positions_of_any_kind(options):
    config = nn.GPTConfig(vocab_size=V, context=T, d_model=24, num_layers=2, num_heads=3, **options)
    assert not found(nn.GPT(config), next_tokens())


def test_a_bias_for_distance_is_a_kind_of_position():
    distance = np.abs(np.subtract.outer(np.arange(T), np.arange(T)))
    slopes = np.array([0.5, 0.25, 0.125])[:, None, None]
    bias = Tensor((HIDDEN - slopes * distance).astype(np.float32))  # Press et al. 2022
    model = Transformer(attention_with(weights=lambda self, scores: F.softmax(scores + bias, dim=-1)))
    model.embed, model.position = lambda ids: model.token(ids), None
    assert not found(model, next_tokens())


# ---- losses that call the model in their own way

def cut_out(model, ids):
    return token_loss(model, ids[:, :-1], ids[:, 1:])


def in_one_call(model, ids, targets):
    return model(ids, targets)[1]


def shifted_inside(model, ids, labels):
    return F.cross_entropy(model(ids)[:, :-1].reshape(-1, V), labels[:, 1:].reshape(-1))


def of_the_model_itself(model, ids, targets):
    return token_loss(model, ids, targets) + sum((p * p).sum() for p in model.parameters()) * 1e-4


@pytest.mark.parametrize("causal, expected", [(True, []), (False, ["leak"])])
def test_the_mask_is_examined_whoever_makes_the_targets(causal, expected):
    ids, (inputs, targets) = windows(), next_tokens()
    assert found(Transformer(causal=causal), Tensor(ids[:, :T + 1]), cut_out)[:1] == expected
    assert found(OneCall(causal=causal), (inputs, targets), in_one_call)[:1] == expected
    assert found(Transformer(causal=causal), (inputs, inputs), shifted_inside)[:1] == expected
    assert found(Transformer(causal=causal), (inputs, targets), of_the_model_itself)[:1] == expected


def test_shifts_are_examined_whoever_makes_the_targets():
    inputs, targets = next_tokens()
    assert found(Transformer(causal=True), inputs, lambda model, x: token_loss(model, x, x)) == ["targets-not-shifted"]
    assert found(OneCall(causal=True), (inputs, inputs), in_one_call) == ["targets-not-shifted"]
    assert found(Transformer(causal=True), (inputs, targets), shifted_inside) == ["targets-shifted-wrong"]


def own_loss(sign):
    def loss_fn(model, ids, targets):
        log_p = F.log_softmax(model(ids), dim=-1).reshape(-1, V)
        return sign * log_p[np.arange(len(log_p)), targets.reshape(-1)].mean()
    return loss_fn


def test_the_sign_of_a_loss():
    assert not found(Transformer(), backwards(), own_loss(-1))
    assert found(Transformer(), backwards(), own_loss(1))[:1] == ["loss-sign"]
    assert found(mlp(), classes(), lambda model, x, y: -class_loss(model, x, y))[:1] == ["loss-sign"]


def padded():
    ids = windows() + 1
    for row, length in zip(ids, np.random.default_rng(0).integers(2, T, len(ids))):
        row[length:] = 0
    return Tensor(ids[:, :-1] % V), Tensor(ids[:, 1:] % V)


def masked_mean(model, ids, targets):
    losses = F.cross_entropy(model(ids).reshape(-1, V), targets.reshape(-1), reduction="none")
    counted = (targets.data.ravel() != 0).astype(np.float32)
    return (losses * Tensor(counted)).sum() / float(counted.sum())


def test_padding_is_judged_by_what_the_loss_looks_at():
    def ignores(index):
        return lambda model, ids, targets: F.cross_entropy(model(ids).reshape(-1, V), targets.reshape(-1),
                                                           ignore_index=index)

    for loss_fn, expected in ((token_loss, ["padding-counted"]), (own_loss(-1), ["padding-counted"]),
                              (ignores(3), ["padding-counted"]), (ignores(0), []), (masked_mean, [])):
        assert found(Transformer(causal=True), padded(), loss_fn, pad_token=0) == expected


def test_a_loss_wrapped_in_a_new_tensor_has_no_graph():
    def loss_fn(model, ids, targets):
        return Tensor(token_loss(model, ids, targets).data, requires_grad=True)

    assert found(Transformer(), backwards(), loss_fn) == ["no-graph"]


# ---- random numbers of one's own

@pytest.mark.parametrize("draw", [lambda shape: np.random.rand(*shape),
                                  lambda shape: np.random.default_rng().random(shape)])
@pytest.mark.parametrize("always, expected", [(False, []), (True, ["random-evaluation"])])
def test_dropout_of_ones_own(draw, always, expected):
    class Dropping(Transformer):
        def normed(self, norm, x):
            kept = (draw(x.shape) > 0.1).astype(np.float32) / np.float32(0.9)
            return norm(x) * Tensor(kept) if always or self.training else norm(x)

    np.random.seed(3)
    state = np.random.get_state()[1].copy()
    assert found(Dropping(), backwards())[:1] == expected
    assert (np.random.get_state()[1] == state).all(), "NumPy's random numbers go on as if nothing had been"


# ---- weights

def test_units_that_stay_alike():
    for value in (0.0, 0.1):
        model = mlp()
        for p in model.parameters():
            p.data[...] = value
        assert found(model, classes(), class_loss)[:1] == ["units-alike"], value


def test_zeros_that_are_in_order():
    linear = nn.Linear(20, 5)
    head, projections = Transformer(), Transformer()
    for p in [*linear.parameters(), head.head.weight, head.head.bias, *(m.fc2.weight for m in projections.mlps)]:
        p.data[...] = 0
    assert not found(linear, classes(), class_loss)
    assert not found(head, backwards()) and not found(projections, backwards())


def test_a_copy_lying_on_its_side_is_untied():
    class Copied(Transformer):
        def __init__(self):
            super().__init__()
            self.token.weight.data *= 0.2
            self.head = nn.Parameter(self.token.weight.data.T.copy())

        def forward(self, ids):
            x = self.embed(ids)
            for attention in self.attentions:
                x = x + attention(x)
            return x @ self.head

    assert "untied" in found(Copied(), backwards())


def test_frozen_on_purpose():
    model = Transformer()
    optimizer = AdamW(model.parameters(), lr=5e-3)
    model.token.weight.requires_grad = False
    assert not found(model, backwards(), optimizer=optimizer)
    assert not found(model, backwards(), optimizer=AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-3))


# ---- steps

@pytest.mark.parametrize("make, expected", [
    (lambda p: SGD(p, lr=1e-5), ["rate-too-low"]), (lambda p: Adam(p, lr=1e-7), ["rate-too-low"]),
    (lambda p: SGD(p, lr=300.0), ["rate-too-high"]), (lambda p: SGD(p, lr=0.1), []),
])
def test_rates_that_are_far_off(make, expected):
    model = mlp()
    assert found(model, classes(), class_loss, make(model.parameters())) == expected


@pytest.mark.parametrize("seed", range(3))
def test_twenty_times_too_high(seed):
    tinytorch.manual_seed(seed)
    model = Transformer()
    assert found(model, backwards(seed), optimizer=AdamW(model.parameters(), lr=0.12)) == ["rate-too-high"]


def test_who_has_learned_already_needs_no_other_rate():
    model, batch = Transformer(), backwards()
    optimizer = AdamW(model.parameters(), lr=5e-3)
    for _ in range(150):
        loss = token_loss(model, *batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1 and not found(model, batch, optimizer=optimizer)


def test_a_bias_that_batch_norm_takes_out_again_may_rest():
    for seed in range(4):
        tinytorch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(20, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 5))
        optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
        assert "no-update" not in found(model, classes(seed), class_loss, optimizer)


# ---- other tasks

def test_regression_with_large_targets():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 3)).astype(np.float32)
    y = (100 * x @ np.array([[1.0], [2.0], [-1.0]]) + 50).astype(np.float32)
    model = nn.Linear(3, 1)
    assert not found(model, (x, y), lambda model, x, y: F.mse_loss(model(x), y), SGD(model.parameters(), lr=0.1))


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_tiny_batches(rows):
    x, labels = classes()
    assert not found(mlp(), (x[:rows], labels[:rows]), class_loss)
    assert not found(Transformer(), backwards(rows=rows))


def test_hidden_words_are_no_unshifted_targets():
    ids = backwards(rows=40)[0].data
    hidden = np.random.default_rng(0).random(ids.shape) < 0.3
    assert not found(Transformer(), (Tensor(np.where(hidden, 0, ids)), Tensor(np.where(hidden, ids, -100))))
