"""A fourth part, from other domains and habits than the three before: healthy, trained and faulty set-ups.

It was run once, with three seeds, before a check was changed.
"""

import math

import numpy as np

from tests.diagnosis_corpus import fault, healthy
from tests.diagnosis_corpus.framework import F, nn, optim, torch
from tests.diagnosis_corpus.parts import (
    LENGTH,
    WORDS,
    Attention,
    Judge,
    Net,
    Reader,
    Two,
    adam,
    blobs,
    chain,
    classifier,
    curve,
    halves,
    judging,
    language,
    mlp,
    next_words,
    pictures,
    regression,
    tensor,
    train,
    translation,
)

# ---- set-ups that several cases share


def adversary(rng):
    "A generator's step: a judge that is frozen says how real its points look."
    judge = mlp(4, 16, 1)
    for p in judge.parameters():
        p.requires_grad = False
    noise = rng.standard_normal((64, 8))
    return regression(
        rng,
        mlp(8, 32, 4),
        batch=(tensor(noise), tensor(np.ones((64, 1)))),
        held_out=None,
        lr=3e-3,
        loss_fn=lambda model, z, real: F.binary_cross_entropy_with_logits(judge(model(z)), real),
    )


def pairs(rng, model=None, loss=None):
    "Two views of each example are to find each other among all of the batch: InfoNCE at a temperature of 0.1."
    x = rng.standard_normal((48, 12))
    views = [x + 0.3 * rng.standard_normal(x.shape) for _ in range(2)]

    def contrast(model, a, b):
        a, b = F.normalize(model(a), dim=-1), F.normalize(model(b), dim=-1)
        return F.cross_entropy(a @ b.transpose(0, 1) / 0.1, torch.arange(len(a)))

    batch = tuple(map(tensor, views))
    return classifier(rng, model or mlp(12, 32, 8), batch=batch, held_out=None, lr=3e-3, loss_fn=loss or contrast)


def noised(rng):
    "Diffusion: points, noise at a level that goes in as well; the noise is the target."
    x = rng.standard_normal((128, 1)) * np.ones((1, 4)) + 0.1 * rng.standard_normal((128, 4))
    noise, level = rng.standard_normal((128, 4)), rng.uniform(0.1, 0.9, (128, 1))
    mixed = np.sqrt(1 - level) * x + np.sqrt(level) * noise

    def call(parts, mixed, level):
        return parts["body"](torch.cat([mixed, (level * 6).sin(), (level * 6).cos()], -1))

    batch = tuple(map(tensor, (mixed, level, noise)))
    loss = lambda model, mixed, level, noise: F.mse_loss(model(mixed, level), noise)  # noqa: E731
    return regression(rng, Net(call, body=mlp(6, 64, 4)), batch=batch, held_out=None, lr=3e-3, loss_fn=loss)


def masked(rng, lr=5e-3):
    "A seventh of the words, or at least one, is hidden behind a word of its own, and asked for; all else is -100."
    ids = chain(rng, 48, LENGTH)
    hidden = rng.random(ids.shape) < 0.15
    hidden[np.arange(48), rng.integers(0, LENGTH, 48)] = True
    batch = tensor(np.where(hidden, WORDS, ids)), tensor(np.where(hidden, ids, -100))
    model = Reader(Attention(causal=False), words=WORDS + 1)
    return language(rng, model, batch=batch, held_out=None, lr=lr)


def policy(rng, baseline=True):
    "Actions were drawn and rewarded; log-probabilities of what went better than usual are to grow."
    x, actions = rng.standard_normal((64, 6)), rng.integers(0, 3, 64)
    reward = (actions == x[:, :3].argmax(1)) + 0.1 * rng.standard_normal(64)
    gains = (reward - reward.mean()) / reward.std() if baseline else reward

    def loss(model, x, actions, gains):
        logs = model(x).log_softmax(-1)
        chosen = logs.gather(1, actions.unsqueeze(1)).squeeze(1)
        entropy = -(logs.exp() * logs).sum(-1).mean()
        return -(chosen * gains).mean() - 0.01 * entropy

    batch = tuple(map(tensor, (x, actions, gains)))
    return classifier(rng, mlp(6, 32, 3, hidden=nn.Tanh), batch=batch, held_out=None, lr=3e-3, loss_fn=loss)


class Gates(nn.Module):
    "A GRU by hand: the state after the last word is read by a head."

    def __init__(self, words=WORDS, width=24, outputs=3):
        super().__init__()
        self.width, self.token = width, nn.Embedding(words, width)
        self.gates, self.candidate = nn.Linear(2 * width, 2 * width), nn.Linear(2 * width, width)
        self.head = nn.Linear(width, outputs)

    def forward(self, ids):
        state = torch.zeros(len(ids), self.width)
        for t in range(ids.shape[1]):
            x = self.token(ids[:, t])
            keep, reset = self.gates(torch.cat([x, state], -1)).sigmoid().chunk(2, -1)
            new = self.candidate(torch.cat([x, reset * state], -1)).tanh()
            state = keep * state + (1 - keep) * new
        return self.head(state)


class Ladder(nn.Module):
    "A small U-Net: down, up, and the fine picture joined to the coarse one."

    def __init__(self):
        super().__init__()
        self.down, self.deep = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.up = nn.Conv2d(24, 1, 3, padding=1)

    def forward(self, x):
        fine = self.down(x).relu()
        coarse = self.deep(F.max_pool2d(fine, 2)).relu()
        wide = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
        return self.up(torch.cat([fine, wide], 1))


def masks(rng):
    "Pictures, and where they are bright after a blur."
    x = rng.standard_normal((24, 1, 8, 8))
    blurred = (x + np.roll(x, 1, 2) + np.roll(x, 1, 3)) / math.sqrt(3)
    batch = tensor(x), tensor((blurred > 0.3).astype(float))
    loss = lambda model, x, y: F.binary_cross_entropy_with_logits(model(x), y)  # noqa: E731
    return regression(rng, Ladder(), batch=batch, held_out=None, lr=3e-3, loss_fn=loss)


class Sines(nn.Module):
    "SIREN: sines of 30 times the sums, with its own start."

    def __init__(self, width=32):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(2, width), nn.Linear(width, width), nn.Linear(width, 1)
        nn.init.uniform_(self.a.weight, -0.5, 0.5)
        for layer in (self.b, self.c):
            nn.init.uniform_(layer.weight, -math.sqrt(6 / width) / 30, math.sqrt(6 / width) / 30)

    def forward(self, x):
        return self.c((30 * self.b((30 * self.a(x)).sin())).sin())


def table_with_gaps(rng):
    "A fifth of the numbers is missing: 0 stands there, and a column for each says so."
    x, labels = blobs(rng, 128)
    gaps = rng.random(x.shape) < 0.2
    train_, test = halves((np.concatenate([np.where(gaps, 0, x), gaps.astype(float)], 1), labels))
    return classifier(rng, mlp(24, 32, 4), batch=train_, held_out=test)


def tags(rng):
    "Six labels each, of which about two hold."
    x = rng.standard_normal((96, 12))
    y = (x @ rng.standard_normal((12, 6)) / 3 > 0.5).astype(float)
    loss = lambda model, x, y: F.binary_cross_entropy_with_logits(model(x), y)  # noqa: E731
    return regression(rng, mlp(12, 32, 6), batch=(tensor(x), tensor(y)), held_out=None, loss_fn=loss)


def uncertain(rng):
    "A mean and the logarithm of a variance for each row: noise grows with the first input."
    x, y = curve(rng, 128)
    y = y + rng.standard_normal(y.shape) * (0.05 + 0.3 * (x[:, :1] > 0))

    def loss(model, x, y):
        mean, log_variance = model(x).chunk(2, -1)
        return 0.5 * (log_variance + (y - mean) ** 2 * (-log_variance).exp()).mean()

    train_, test = halves((x, y))
    return regression(rng, mlp(6, 32, 2, hidden=nn.Tanh), batch=train_, held_out=test, loss_fn=loss, lr=3e-3)


def twins(rng):
    "A Siamese net: the distance of two answers says whether the labels agree."
    x, labels = blobs(rng, 96)
    a, b = x[:48], x[48:]
    same = (labels[:48] == labels[48:]).astype(float)

    def loss(model, a, b, same):
        distance = ((model(a) - model(b)) ** 2).sum(-1)
        return (same * distance + (1 - same) * (1.0 - (distance + 1e-6).sqrt()).relu() ** 2).mean()

    return classifier(
        rng, mlp(12, 32, 4), batch=tuple(map(tensor, (a, b, same))), held_out=None, lr=3e-3, loss_fn=loss
    )


def alignments(rng):
    "CTC by hand: the sum over all ways to spell two letters in six frames, with pauses, is to be likely."
    words = rng.integers(1, 4, (32, 2))
    starts = np.stack([rng.integers(0, 3, 32), rng.integers(3, 6, 32)], 1)
    frames = 0.3 * rng.standard_normal((32, 6, 4))
    for i in range(2):
        frames[np.arange(32), starts[:, i], words[:, i]] += 2

    def loss(model, frames, words):
        logs = model(frames).log_softmax(-1)
        first, second = (logs[torch.arange(len(words)), :, words[:, i]] for i in range(2))
        pauses = logs[:, :, 0]
        paths = [
            first[:, i] + second[:, j] + sum(pauses[:, t] for t in range(6) if t not in (i, j))
            for i in range(6)
            for j in range(i + 1, 6)
        ]
        return -torch.logsumexp(torch.stack(paths, -1), -1).mean()

    return classifier(
        rng, mlp(4, 24, 4), batch=(tensor(frames), tensor(words)), held_out=None, lr=5e-3, loss_fn=loss
    )


# ---- healthy, at the start


@healthy
def generator_against_a_frozen_judge(rng):
    return adversary(rng)


@healthy
def generator_that_saturates(rng):
    "The loss of the first paper: the judge's doubt is to fall; it is negative."
    case, judge = adversary(rng), mlp(4, 16, 1)
    return case | {"loss_fn": lambda model, z, _: (1 - judge(model(z)).sigmoid() + 1e-6).log().mean()}


@healthy
def two_views_among_many(rng):
    return pairs(rng)


@healthy
def temperature_that_is_learned(rng):
    "CLIP: two towers, and a scale whose logarithm starts at ln(1/0.07)."

    class Towers(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = mlp(12, 32, 8), mlp(12, 32, 8)
            self.scale = nn.Parameter(torch.tensor([math.log(1 / 0.07)]))

        def forward(self, a, b):
            a, b = F.normalize(self.left(a), dim=-1), F.normalize(self.right(b), dim=-1)
            return self.scale.exp() * (a @ b.transpose(0, 1))

    def loss(model, a, b):
        logits, own = model(a, b), torch.arange(len(a))
        return (F.cross_entropy(logits, own) + F.cross_entropy(logits.transpose(0, 1), own)) / 2

    return pairs(rng, Towers(), loss)


@healthy
def cosine_classifier_with_a_scale(rng):
    "Cosines to a class's direction, times 30: the first loss is far above ln 4."

    class Cosines(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.classes = mlp(12, 32, 16), nn.Parameter(torch.randn(4, 16))

        def forward(self, x):
            return 30 * F.normalize(self.body(x), dim=-1) @ F.normalize(self.classes, dim=-1).transpose(0, 1)

    return classifier(rng, Cosines(), lr=3e-3)


@healthy
def noise_is_predicted(rng):
    return noised(rng)


@healthy
def words_behind_masks(rng):
    return masked(rng)


@healthy
def spans_are_written_out(rng):
    "T5: spans are cut out, one marker stands for each, and a decoder writes what was there."
    ids = chain(rng, length=LENGTH)
    source, target = ids.copy(), np.zeros_like(ids)
    source[:, 3:6] = 0
    target[:, :4] = ids[:, 3:7]
    begun = np.concatenate([np.full((len(ids), 1), WORDS), target[:, :-1]], axis=1)
    asked = np.where(np.arange(LENGTH) < 4, target, -100)

    def loss(model, source, begun, asked):
        return F.cross_entropy(model(source, begun).reshape(-1, WORDS), asked.reshape(-1))

    return translation(rng, batch=tuple(map(tensor, (source, begun, asked))), held_out=None, loss_fn=loss)


@healthy
def policy_with_a_baseline(rng):
    return policy(rng)


@healthy
def policy_with_returns_as_they_are(rng):
    "No baseline: all rewards are about 0 or 1."
    return policy(rng, baseline=False)


@healthy
def gated_recurrence(rng):
    return judging(rng, Gates(), lr=1e-2)


@healthy
def ladder_for_masks(rng):
    return masks(rng)


@healthy
def picture_as_a_function(rng):
    "Coordinates in, brightness out; SIREN."
    x = rng.uniform(-1, 1, (96, 2))
    y = np.sin(4 * x[:, :1]) * np.cos(3 * x[:, 1:])
    return regression(rng, Sines(), batch=(tensor(x), tensor(y / y.std())), held_out=None, lr=1e-3)


@healthy
def gaps_with_a_column_that_says_so(rng):
    return table_with_gaps(rng)


@healthy
def several_tags(rng):
    return tags(rng)


@healthy
def means_and_variances(rng):
    return uncertain(rng)


@healthy
def thresholds_of_grades(rng):
    "Ordinal: one score, three learned thresholds; cumulative probabilities against 0 and 1."

    class Grades(nn.Module):
        def __init__(self):
            super().__init__()
            self.score, self.thresholds = mlp(6, 16, 1), nn.Parameter(torch.tensor([-1.0, 0.0, 1.0]))

        def forward(self, x):
            return self.score(x) - self.thresholds

    x = rng.standard_normal((96, 6))
    grades = np.digitize(x[:, 0] + x[:, 1], [-1, 0, 1])
    y = (grades[:, None] > np.arange(3)).astype(float)
    loss = lambda model, x, y: F.binary_cross_entropy_with_logits(model(x), y)  # noqa: E731
    return regression(rng, Grades(), batch=(tensor(x), tensor(y)), held_out=None, loss_fn=loss)


@healthy
def three_quantiles_at_once(rng):
    levels = tensor(np.array([0.1, 0.5, 0.9]))

    def loss(model, x, y):
        error = y - model(x)
        return torch.maximum(levels * error, (levels - 1) * error).mean()

    return regression(rng, mlp(6, 32, 3, hidden=nn.Tanh), loss_fn=loss)


@healthy
def teacher_is_an_average(rng):
    "A teacher follows the student slowly, in the step; the student learns its answers beside the labels."
    teacher = Two()
    for p in teacher.parameters():
        p.requires_grad = False

    def loss(model, x, labels):
        out, soft = model(x), teacher(x).softmax(-1)
        return F.cross_entropy(out, labels) - 0.5 * (soft * out.log_softmax(-1)).sum(-1).mean()

    def step(model, batch, loss_fn, optimizer):
        optimizer.zero_grad()
        loss_fn(model, *batch).backward()
        optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(teacher.parameters(), model.parameters()):
                slow.data = 0.99 * slow.data + 0.01 * fast.data

    return classifier(rng, Two(), loss_fn=loss, step=step)


@healthy
def soft_mixture_of_experts(rng):
    "All experts answer, gates weigh them, and a term keeps the gates even."

    def call(parts, x):
        gates = parts["gate"](x).softmax(-1)
        answers = torch.stack([parts[f"expert{i}"](x) for i in range(3)], 1)
        return (gates.unsqueeze(-1) * answers).sum(1), gates

    def loss(model, x, labels):
        out, gates = model(x)
        return F.cross_entropy(out, labels) + 0.01 * 3 * (gates.mean(0) ** 2).sum()

    experts = {f"expert{i}": mlp(12, 16, 4) for i in range(3)}
    return classifier(rng, Net(call, gate=nn.Linear(12, 3), **experts), loss_fn=loss)


@healthy
def weights_as_length_and_direction(rng):
    "Weight normalization by hand: a direction and a length for each unit."

    class Normed(nn.Module):
        def __init__(self, inputs, outputs):
            super().__init__()
            self.v, self.g = nn.Parameter(torch.randn(outputs, inputs)), nn.Parameter(torch.ones(outputs, 1))
            self.b = nn.Parameter(torch.zeros(outputs))

        def forward(self, x):
            return x @ (self.g * F.normalize(self.v, dim=-1)).transpose(0, 1) + self.b

    return classifier(rng, nn.Sequential(Normed(12, 32), nn.ReLU(), Normed(32, 4)))


@healthy
def two_rows_only(rng):
    "A batch of two, and eight of them are gathered before a step."
    x, labels = blobs(rng, 16)

    def step(model, batch, loss_fn, optimizer):
        optimizer.zero_grad()
        for _ in range(8):
            (loss_fn(model, *batch) / 8).backward()
        optimizer.step()

    return classifier(rng, batch=(tensor(x[:2]), tensor(labels[:2])), held_out=None, step=step)


@healthy
def pixels_one_after_the_other(rng):
    "Pictures of four grey levels, read as sentences of pixels in rows; the one after is asked."
    _, labels = pictures(rng, 32, 4)
    patterns = rng.integers(0, 4, (4, 16))
    noisy = np.where(rng.random((32, 16)) < 0.1, rng.integers(0, 4, (32, 16)), patterns[labels])
    return language(rng, Reader(words=4, length=15), batch=next_words(noisy), held_out=None)


@healthy
def spelling_without_alignments(rng):
    return alignments(rng)


@healthy
def twins_with_a_margin(rng):
    return twins(rng)


@healthy
def triples_of_a_graph(rng):
    "TransE: head plus relation is to be near the tail, and nearer than to another tail."

    class Places(nn.Module):
        def __init__(self):
            super().__init__()
            self.thing, self.relation = nn.Embedding(20, 8), nn.Embedding(3, 8)

        def forward(self, head, relation, tail):
            return ((self.thing(head) + self.relation(relation) - self.thing(tail)) ** 2).sum(-1)

    def loss(model, head, relation, tail, other):
        return (1 + model(head, relation, tail) - model(head, relation, other)).relu().mean()

    head, relation = rng.integers(0, 20, 64), rng.integers(0, 3, 64)
    tail = (head + 3 * relation + 1) % 20
    batch = tuple(map(tensor, (head, relation, tail, (tail + rng.integers(1, 20, 64)) % 20)))
    return classifier(rng, Places(), batch=batch, held_out=None, loss_fn=loss)


@healthy
def ratings_from_two_tables(rng):
    "Matrix factorization: user and film are ids, the answer is a product of two small vectors, and biases."

    class Tastes(nn.Module):
        def __init__(self):
            super().__init__()
            self.user, self.film = nn.Embedding(16, 4), nn.Embedding(12, 4)
            self.kind, self.good = nn.Embedding(16, 1), nn.Embedding(12, 1)
            for table in (self.user, self.film):
                nn.init.normal_(table.weight, std=0.1)

        def forward(self, user, film):
            biases = self.kind(user) + self.good(film)
            return (self.user(user) * self.film(film)).sum(-1) + biases.squeeze(-1)

    tastes = rng.standard_normal((16, 2)) @ rng.standard_normal((2, 12))
    user, film = rng.integers(0, 16, 96), rng.integers(0, 12, 96)
    loss = lambda model, user, film, y: F.mse_loss(model(user, film), y)  # noqa: E731
    batch = tensor(user), tensor(film), tensor(tastes[user, film])
    return regression(rng, Tastes(), batch=batch, held_out=None, lr=2e-2, loss_fn=loss)


@healthy
def convolutions_that_skip_ahead(rng):
    "WaveNet: causal convolutions whose taps are 1, 2 and 4 places apart."

    class Taps(nn.Module):
        def __init__(self, width=24):
            super().__init__()
            self.token, self.head = nn.Embedding(WORDS, width), nn.Linear(width, WORDS)
            self.taps = nn.ModuleList([nn.Linear(2 * width, 2 * width) for _ in range(3)])

        def forward(self, ids):
            x = self.token(ids)
            for i, layer in enumerate(self.taps):
                back = 2**i
                before = torch.cat([torch.zeros(len(x), back, x.shape[2]), x[:, :-back]], 1)
                a, b = layer(torch.cat([x, before], -1)).chunk(2, -1)
                x = x + a.tanh() * b.sigmoid()
            return self.head(x)

    return language(rng, Taps())


# ---- healthy, trained


@healthy(trained=True)
def trained_generator(rng):
    return train(adversary(rng), 100)


@healthy(trained=True)
def trained_pairs(rng):
    return train(pairs(rng), 200)


@healthy(trained=True)
def trained_denoiser(rng):
    return train(noised(rng), 300)


@healthy(trained=True)
def trained_on_masks(rng):
    return train(masked(rng), 250)


@healthy(trained=True)
def trained_policy(rng):
    return train(policy(rng), 100)


@healthy(trained=True)
def trained_gates(rng):
    return train(judging(rng, Gates(), lr=1e-2), 200)


@healthy(trained=True)
def trained_ladder(rng):
    return train(masks(rng), 150)


@healthy(trained=True)
def trained_sines(rng):
    x = rng.uniform(-1, 1, (96, 2))
    y = np.sin(4 * x[:, :1]) * np.cos(3 * x[:, 1:])
    return train(regression(rng, Sines(), batch=(tensor(x), tensor(y / y.std())), held_out=None, lr=1e-3), 200)


@healthy(trained=True)
def trained_table(rng):
    return train(table_with_gaps(rng), 200)


@healthy(trained=True)
def trained_tags(rng):
    return train(tags(rng), 250)


@healthy(trained=True)
def trained_variances(rng):
    return train(uncertain(rng), 300)


@healthy(trained=True)
def trained_twins(rng):
    return train(twins(rng), 200)


@healthy(trained=True)
def trained_speller(rng):
    return train(alignments(rng), 200)


@healthy(trained=True)
def body_frozen_and_a_new_head(rng):
    "A trained body is frozen, and a fresh head begins on two other classes, with plain descent."
    case = train(classifier(rng, Two()), 200)
    model, (x, labels) = case["model"], blobs(rng, 64, classes=2)
    model.head = nn.Linear(32, 2)
    for p in model.body.parameters():
        p.requires_grad = False
    optimizer = optim.SGD(model.head.parameters(), lr=0.1)
    return case | {"batch": (tensor(x), tensor(labels)), "held_out": None, "optimizer": optimizer}


@healthy(trained=True)
def trained_reader_with_low_rank_changes(rng):
    "LoRA on the head of a trained reader: everything else is frozen, one of two small matrices starts at 0."

    class Changed(nn.Module):
        def __init__(self, base):
            super().__init__()
            self.base, self.down, self.up = base, nn.Linear(24, 2, bias=False), nn.Linear(2, WORDS, bias=False)
            nn.init.zeros_(self.up.weight)
            for p in base.parameters():
                p.requires_grad = False

        def forward(self, ids):
            x = self.base.encode(ids)
            return self.base.head(x) + self.up(self.down(x))

    case = train(language(rng), 150)
    model = Changed(case["model"])
    return case | {"model": model, "optimizer": adam(model, 1e-2), "batch": next_words(chain(rng)[:, ::-1].copy())}


# ---- faulty


@fault("cut", "no-graph")
def generator_detached(rng):
    "What the generator made is detached, as in the judge's step, and used in its own."
    case = adversary(rng)
    judge = mlp(4, 16, 1)
    loss = lambda model, z, real: F.binary_cross_entropy_with_logits(judge(model(z).detach()), real)  # noqa: E731
    return case | {"loss_fn": loss}


@fault("foreign", "left-out")
def another_model_in_the_optimizer(rng):
    "The optimizer has the parameters of another model than the one that the loss is about."
    case = tags(rng)
    return case | {"optimizer": adam(mlp(12, 32, 6), 1e-2)}


@fault("cannot-overfit", "rate-too-high", "start-too-large", "gradients-explode")
def cosines_at_a_hundred_thousand(rng):
    "Cosines times a hundred thousand: softmax is one-hot from the start."

    def contrast(model, a, b):
        a, b = F.normalize(model(a), dim=-1), F.normalize(model(b), dim=-1)
        return F.cross_entropy(a @ b.transpose(0, 1) * 100000, torch.arange(len(a)))

    return pairs(rng, loss=contrast)


@fault("loss-sign")
def likelihood_without_its_minus(rng):
    "A policy's loss without its minus."
    case = policy(rng)

    def loss(model, x, actions, gains):
        return model(x).log_softmax(-1).gather(1, actions.unsqueeze(1)).mean()

    return case | {"loss_fn": loss}


@fault("cut", "wrong-gradient")
def state_detached_at_every_word(rng):
    "The state is detached before every word: what stood first can never be learned."

    class Short(Gates):
        def forward(self, ids):
            state = torch.zeros(len(ids), self.width)
            for t in range(ids.shape[1]):
                x, state = self.token(ids[:, t]), state.detach()
                keep, reset = self.gates(torch.cat([x, state], -1)).sigmoid().chunk(2, -1)
                state = keep * state + (1 - keep) * self.candidate(torch.cat([x, reset * state], -1)).tanh()
            return self.head(state)

    return judging(rng, Short(), lr=1e-2)


@fault("examples-mixed")
def attention_over_the_batch(rng):
    "Batch and time are exchanged in front of an attention that expects the batch first."

    class Turned(Attention):
        def forward(self, x, memory=None):
            return super().forward(x.transpose(0, 1)).transpose(0, 1)

    model = Judge()
    model.blocks[0].attention = Turned(causal=False)
    return judging(rng, model)


@fault("softmax-twice", "target-range")
def tags_through_two_sigmoids(rng):
    case = tags(rng)
    return case | {
        "loss_fn": lambda model, x, y: F.binary_cross_entropy_with_logits(model(x).sigmoid(), y),
    }


@fault("target-range")
def noise_behind_a_relu(rng):
    "The noise has both signs, and the last layer of the denoiser has none."
    case = noised(rng)
    body = case["model"]

    class Positive(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = body

        def forward(self, mixed, level):
            return self.body(mixed, level).relu()

    return case | {"model": Positive(), "optimizer": adam(body, 3e-3)}


@fault("not-finite-loss", "not-finite-data")
def gaps_left_as_they_are(rng):
    "Missing numbers stay nan."
    x, labels = blobs(rng, 64)
    x[rng.random(x.shape) < 0.1] = math.nan
    return classifier(rng, batch=(tensor(x), tensor(labels)), held_out=None)


@fault("loss-sign")
def variance_for_its_inverse(rng):
    "The likelihood's sign is turned round: the error counts with a minus."

    def loss(model, x, y):
        mean, log_variance = model(x).chunk(2, -1)
        return 0.5 * (log_variance - (y - mean) ** 2 * (-log_variance).exp()).mean()

    return uncertain(rng) | {"loss_fn": loss}


@fault("unregistered")
def experts_in_a_tuple(rng):
    "Experts stand in a tuple."

    class Experts(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.experts = nn.Linear(12, 2), (mlp(12, 16, 4), mlp(12, 16, 4))

        def forward(self, x):
            gates = self.gate(x).softmax(-1)
            return gates[:, :1] * self.experts[0](x) + gates[:, 1:] * self.experts[1](x)

    return classifier(rng, Experts())


@fault("leak")
def convolutions_padded_on_both_sides(rng):
    "The taps of a causal convolution go one place ahead."

    class Ahead(nn.Module):
        def __init__(self, width=24):
            super().__init__()
            self.token, self.head = nn.Embedding(WORDS, width), nn.Linear(width, WORDS)
            self.tap = nn.Linear(2 * width, width)

        def forward(self, ids):
            x = self.token(ids)
            after = torch.cat([x[:, 1:], torch.zeros(len(x), 1, x.shape[2])], 1)
            return self.head(x + self.tap(torch.cat([x, after], -1)).tanh())

    return language(rng, Ahead())


@fault("no-update", "stale-gradients", "raises")
def gathered_and_never_used(rng):
    "Gradients of eight batches are to be gathered; the count begins anew with each of them."
    def step(model, batch, loss_fn, optimizer):
        gathered = 1  # counted anew in every call: eight is never reached
        loss_fn(model, *batch).backward()
        if gathered == 8:
            optimizer.step()
            optimizer.zero_grad()

    return table_with_gaps(rng) | {"step": step}


@fault("units-alike")
def towers_of_ones(rng):
    "All weights of a tower were set to 1 for a test, and stayed."
    model = mlp(12, 32, 8)
    for p in model.parameters():
        nn.init.constant_(p, 0.1)
    return pairs(rng, model, lambda model, a, b: F.mse_loss(model(a), b[:, :8]))


@fault("input-ignored", "unused")
def level_of_noise_forgotten(rng):
    "The denoiser is given the level, and does not look at it."
    case = noised(rng)
    model = Net(lambda parts, mixed, level: parts["body"](mixed), body=mlp(4, 64, 4))
    return case | {"model": model, "optimizer": adam(model, 3e-3)}


@fault("rate-too-high", "cannot-overfit", "gradients-explode")
def plain_descent_at_thirty(rng):
    "A ladder with plain descent at a rate of 30."
    case = masks(rng)
    return case | {"optimizer": optim.SGD(case["model"].parameters(), lr=30.0)}
