"""More healthy set-ups, written together with `fresh_faulty`: most look odd on purpose, a third is trained."""

import math

import numpy as np

from tests.diagnosis_corpus import healthy
from tests.diagnosis_corpus.framework import F, nn, optim, torch
from tests.diagnosis_corpus.parts import (
    LENGTH,
    WORDS,
    Attention,
    Block,
    Judge,
    Net,
    Reader,
    adam,
    blobs,
    chain,
    classifier,
    curve,
    grow,
    halves,
    judging,
    language,
    mlp,
    next_words,
    padded,
    pictures,
    regression,
    tensor,
    train,
    translation,
)


def low_rank(rng, rows=64):
    "Points (rows, 12) that three numbers each explain."
    x = rng.standard_normal((rows, 3)) @ rng.standard_normal((3, 12))
    return x / x.std()


# ---- losses of one's own


@healthy
def critic_without_a_floor(rng):
    "A Wasserstein critic: its loss is a difference of means, negative and without a floor."
    real, made = rng.standard_normal((64, 4)) + 1, rng.standard_normal((64, 4))
    return regression(
        rng,
        mlp(4, 32, 1),
        batch=(tensor(real), tensor(made)),
        held_out=None,
        lr=1e-3,
        loss_fn=lambda model, real, made: model(made).mean() - model(real).mean(),
    )


@healthy
def triplets_with_a_margin(rng):
    "Three inputs, no targets at all; where the margin is kept, there is no gradient."
    x, labels = blobs(rng, 96)
    order = np.argsort(labels, kind="stable").reshape(4, -1)
    a, b, c = x[order[:, :12].ravel()], x[order[:, 12:].ravel()], x[np.roll(order[:, :12], 1, 0).ravel()]

    def loss(model, a, b, c):
        a, b, c = model(a), model(b), model(c)
        return (((a - b) ** 2).sum(1) - ((a - c) ** 2).sum(1) + 1).relu().mean()

    return classifier(rng, mlp(12, 32, 8), batch=tuple(map(tensor, (a, b, c))), held_out=None, lr=3e-3, loss_fn=loss)


@healthy
def focal_loss(rng):
    "Easy examples hardly count: the loss is far below ln 4 from the start."

    def loss(model, x, labels):
        logs = model(x).log_softmax(-1)[torch.arange(len(labels)), labels]
        return -((1 - logs.exp()) ** 2 * logs).mean()

    return classifier(rng, loss_fn=loss)


@healthy
def quantile_loss(rng):
    "The ninth decile is learned: errors of one sign cost nine times as much."

    def loss(model, x, y):
        error = y - model(x)
        return (0.9 * error.relu() + 0.1 * (-error).relu()).mean()

    return regression(rng, loss_fn=loss)


@healthy
def poisson_loss(rng):
    "Counts; exp(rate) - count * rate is negative where counts are large."
    x = rng.standard_normal((128, 6))
    counts = rng.poisson(np.exp(0.5 * x[:, :1] + 1)).astype(float)
    train_, test = halves((x, counts))
    return regression(
        rng, batch=train_, held_out=test, lr=3e-3, loss_fn=lambda model, x, y: (model(x).exp() - y * model(x)).mean()
    )


@healthy
def cosine_distance(rng):
    "Only directions count; the length of an answer is free."
    x = rng.standard_normal((64, 12))
    y = np.tanh(x @ rng.standard_normal((12, 4)))

    def loss(model, x, y):
        return 1 - (F.normalize(model(x), dim=-1) * F.normalize(y, dim=-1)).sum(-1).mean()

    return regression(rng, mlp(12, 32, 4), batch=(tensor(x), tensor(y)), held_out=None, loss_fn=loss)


@healthy
def dice_of_a_mask(rng):
    "The overlap of a whole batch of masks: examples share one fraction."
    x = rng.standard_normal((32, 16))
    mask = (x + np.roll(x, 1, 1) > 0.5).astype(float)

    def loss(model, x, mask):
        p = model(x).sigmoid()
        return 1 - (2 * (p * mask).sum() + 1) / (p.sum() + mask.sum() + 1)

    return regression(rng, mlp(16, 32, 16), batch=(tensor(x), tensor(mask)), held_out=None, loss_fn=loss)


@healthy
def two_tasks(rng):
    "One body, two heads, a class and a number; the loss is a weighted sum."
    x, labels = blobs(rng, 64)
    y = (x[:, :1] - x[:, :1].mean()) / x[:, :1].std()

    def call(parts, x):
        hidden = parts["body"](x).relu()
        return torch.cat([parts["kind"](hidden), parts["size"](hidden)], -1)

    def loss(model, x, y, labels):
        out = model(x)
        return F.cross_entropy(out[:, :4], labels) + 0.5 * F.mse_loss(out[:, 4:], y)

    model = Net(call, body=nn.Linear(12, 32), kind=nn.Linear(32, 4), size=nn.Linear(32, 1))
    return classifier(rng, model, batch=(tensor(x), tensor(y), tensor(labels)), held_out=None, loss_fn=loss)


@healthy
def mixed_examples_on_purpose(rng):
    "Mixup: inputs and losses of two examples are mixed."

    def loss(model, x, labels):
        out = model(0.7 * x + 0.3 * torch.roll(x, 1, 0))
        return 0.7 * F.cross_entropy(out, labels) + 0.3 * F.cross_entropy(out, torch.roll(labels, 1, 0))

    return classifier(rng, held_out=None, loss_fn=loss)


@healthy
def ratio_with_a_clip(rng):
    "PPO: a ratio to the probabilities of before, clipped; the loss is negative."
    x = rng.standard_normal((64, 6))
    actions = rng.integers(0, 3, 64)
    gains = np.where(actions == np.argmax(x[:, :3], 1), 1.0, -0.5)
    before = np.full(64, -math.log(3))

    def loss(model, x, actions, before, gains):
        ratio = (model(x).log_softmax(-1)[torch.arange(len(actions)), actions] - before).exp()
        clipped = ratio.clamp(0.8, 1.2)
        return -torch.minimum(ratio * gains, clipped * gains).mean()

    batch = tuple(map(tensor, (x, actions, before, gains)))
    return classifier(rng, mlp(6, 32, 3), batch=batch, held_out=None, lr=3e-3, loss_fn=loss)


@healthy
def values_from_a_frozen_copy(rng):
    "A value learns from a target network that nobody trains."
    x, after, reward = rng.standard_normal((64, 6)), rng.standard_normal((64, 6)), rng.standard_normal((64, 1))
    actions, frozen = rng.integers(0, 3, 64), mlp(6, 32, 3)
    for p in frozen.parameters():
        p.requires_grad = False

    def loss(model, x, after, reward, actions):
        chosen = model(x)[torch.arange(len(actions)), actions]
        return F.mse_loss(chosen, (reward + 0.9 * frozen(after).max(-1, keepdim=True)[0]).squeeze(1))

    batch = tuple(map(tensor, (x, after, reward, actions)))
    return classifier(rng, mlp(6, 32, 3), batch=batch, held_out=None, loss_fn=loss)


@healthy
def only_the_harder_half_counts(rng):
    "Hard examples only: half of the rows have no gradient in a step."

    def loss(model, x, labels):
        each = -model(x).log_softmax(-1)[torch.arange(len(labels)), labels]
        return (each * (each >= each.detach().mean()).float()).mean()

    return classifier(rng, loss_fn=loss)


@healthy
def ordered_grades(rng):
    "Grades 0 to 3 as numbers: targets are not centred, three values only."
    x = rng.standard_normal((128, 6))
    grades = np.clip(np.round(x[:, :1] + 1.5), 0, 3)
    train_, test = halves((x, grades))
    return regression(rng, batch=train_, held_out=test)


@healthy
def most_labels_are_unknown(rng):
    "Nine in ten labels are -100: only some rows are labelled, and only they count."
    x, labels = blobs(rng, 128)
    labels = np.where(np.arange(128) % 8 == 0, labels, -100)
    return classifier(rng, batch=(tensor(x), tensor(labels)), held_out=None)


# ---- models


@healthy
def one_block_four_times_on_purpose(rng):
    "A universal transformer: depth is a loop over one block."

    class Loop(Reader):
        def encode(self, ids):
            x = self.embed(ids)
            for _ in range(4):
                x = self.blocks[0](x)
            return self.norm(x)

    return language(rng, Loop())


@healthy
def tied_autoencoder(rng):
    "The decoder is the encoder's matrix, transposed."

    def call(parts, x):
        code = parts["encoder"](x).tanh()
        return code @ parts["encoder"].weight + parts["shift"](code * 0)

    x = tensor(low_rank(rng))
    model = Net(call, encoder=nn.Linear(12, 6), shift=nn.Linear(6, 12))
    return regression(rng, model, batch=(x, x), held_out=None)


@healthy
def low_rank_adapter(rng):
    "A frozen matrix, and beside it two small ones of which one starts at 0."

    def call(parts, x):
        hidden = parts["frozen"](x) + parts["up"](parts["down"](x))
        return parts["head"](hidden.relu())

    parts = {"frozen": nn.Linear(12, 32), "down": nn.Linear(12, 4, bias=False), "up": nn.Linear(4, 32, bias=False)}
    nn.init.zeros_(parts["up"].weight)
    for p in parts["frozen"].parameters():
        p.requires_grad = False
    return classifier(rng, Net(call, head=nn.Linear(32, 4), **parts))


@healthy
def residuals_that_start_at_zero(rng):
    "The last matrix of each branch starts at 0, so the model is a straight line at first."

    class Quiet(Block):
        def __init__(self, width=24, attention=None):
            super().__init__(width, attention)
            nn.init.zeros_(self.attention.out.weight)
            nn.init.zeros_(self.mlp[2].weight)

    return language(rng, Reader(layers=2, block=Quiet))


@healthy
def transformer_without_positions(rng):
    "A causal reader of two blocks without positions: order comes in through the mask."

    class Bare(Reader):
        def embed(self, ids):
            return self.token(ids)

    return language(rng, Bare(layers=2))


@healthy
def distance_as_a_bias(rng):
    "Scores fall with the distance (ALiBi), and no table of positions is there."

    class Slope(Attention):
        def scores(self, q, k):
            places = np.arange(q.shape[-2])
            away = tensor(-0.5 * np.abs(places[:, None] - places).astype(float))
            return super().scores(q, k) + away

    class Bare(Reader):
        def embed(self, ids):
            return self.token(ids)

    return language(rng, Bare(Slope()))


@healthy
def codes_from_a_book(rng):
    "A VQ-VAE: the nearest code is looked up, the gradient goes past, and two terms pull codes and encoder together."

    def call(parts, x):
        code, book = parts["encoder"](x), parts["book"].weight
        nearest = ((code.unsqueeze(1) - book.unsqueeze(0)) ** 2).sum(-1).argmin(-1)
        chosen = parts["book"](nearest)
        through = code + (chosen - code).detach()
        return torch.cat([parts["decoder"](through), code, chosen], -1)

    def loss(model, x, y):
        out = model(x)
        code, chosen = out[:, 12:16], out[:, 16:]
        return F.mse_loss(out[:, :12], y) + F.mse_loss(chosen, code.detach()) + 0.25 * F.mse_loss(code, chosen.detach())

    x = tensor(low_rank(rng))
    model = Net(call, encoder=mlp(12, 32, 4), book=nn.Embedding(8, 4), decoder=mlp(4, 32, 12))
    return regression(rng, model, batch=(x, x), held_out=None, loss_fn=loss)


@healthy
def experts_by_the_largest_gate(rng):
    "Only the expert with the largest gate answers, times its gate: the choice itself has no gradient."

    def call(parts, x):
        gates = parts["gate"](x).softmax(-1)
        first = (gates[:, :1] >= gates[:, 1:]).float()
        return first * gates[:, :1] * parts["a"](x) + (1 - first) * gates[:, 1:] * parts["b"](x)

    return classifier(rng, Net(call, gate=nn.Linear(12, 2), a=mlp(12, 16, 4), b=mlp(12, 16, 4)))


@healthy
def set_of_points(rng):
    "A model of sets: the order of the points does not matter, and is not to."
    x = rng.standard_normal((64, 6, 3))
    labels = (x.max(1)[:, 0] > 1.3).astype(int)
    model = Net(
        lambda parts, x: parts["head"](parts["point"](x).relu().mean(1)), point=nn.Linear(3, 32), head=mlp(32, 16, 2)
    )
    return classifier(rng, model, batch=(tensor(x), tensor(labels)), held_out=None)


@healthy
def words_as_a_set(rng):
    "Attention among the words of a set, whose largest is asked: no positions on purpose."

    class Bag(Judge):
        def embed(self, ids):
            return self.token(ids)

    ids = rng.integers(0, WORDS, (64, LENGTH))
    labels = (ids.max(1) == WORDS - 1).astype(int)
    return judging(rng, Bag(classes=2), batch=(tensor(ids), tensor(labels)), held_out=None)


@healthy
def graph_of_neighbours(rng):
    "All examples are nodes of one graph: the answer for one depends on others, as it should."
    x, labels = blobs(rng, 48)
    links = (labels[:, None] == labels) * (rng.random((48, 48)) < 0.3) + np.eye(48)
    links = tensor(links / links.sum(1, keepdims=True))

    def loss(model, x, labels):
        return F.cross_entropy(links @ model(links @ x), labels)

    return classifier(rng, batch=(tensor(x), tensor(labels)), held_out=None, loss_fn=loss)


@healthy
def waves_of_the_inputs(rng):
    "Sines of inputs go in, of many frequencies: fixed numbers, no parameters."
    x = rng.uniform(-1, 1, (64, 1))
    y = np.sin(6 * x)
    waves = tensor(np.arange(1, 9)[None] * 1.5)

    def call(parts, x):
        return parts["body"](torch.cat([(x * waves).sin(), (x * waves).cos()], -1))

    model = Net(call, body=mlp(16, 32, 1))
    return regression(rng, model, batch=(tensor(x), tensor((y - y.mean()) / y.std())), held_out=None)


@healthy
def noise_in_the_hidden_layer(rng):
    "Noise is added while training, and not in evaluation."

    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(12, 32), nn.Linear(32, 4)

        def forward(self, x):
            hidden = self.a(x)
            return self.b((hidden + 0.1 * torch.randn_like(hidden) if self.training else hidden).relu())

    return classifier(rng, Noisy())


@healthy
def prefix_is_seen_from_both_sides(rng):
    "The first four words are a question, seen from both sides; the loss counts what comes after."

    class Prefix(Attention):
        def hide(self, scores):
            later = np.triu(np.ones((scores.shape[-2], scores.shape[-1]), bool), 1)
            later[:, :4] = False
            return scores.masked_fill(torch.tensor(later), -math.inf)

    ids = chain(rng)
    targets = ids[:, 1:].copy()
    targets[:, :4] = -100
    return language(rng, Reader(Prefix()), batch=(tensor(ids[:, :-1]), tensor(targets)), held_out=None)


@healthy
def sums_of_digits(rng):
    "A causal reader adds up: the target at each place is the sum of all digits so far, modulo 5."
    ids = rng.integers(0, 5, (48, LENGTH))
    return language(rng, batch=(tensor(ids), tensor(np.cumsum(ids, 1) % 5)), held_out=None)


@healthy
def deep_with_norms(rng):
    "Eight blocks with norms in front."
    return language(rng, Reader(layers=8), lr=3e-3)


@healthy
def wide_inputs_few_of_them_used(rng):
    "Counts of words: most columns are 0 for most rows."
    x = (rng.random((96, 48)) < 0.04) * rng.integers(1, 4, (96, 48))
    labels = (x[:, :12].sum(1) > x[:, 12:24].sum(1)).astype(int)
    return classifier(rng, mlp(48, 32, 2), batch=(tensor(x.astype(float)), tensor(labels)), held_out=None)


# ---- data and steps


@healthy
def inputs_with_a_mean_of_three(rng):
    "Inputs are not centred; the model learns all the same."
    x, labels = blobs(rng, 128)
    train_, test = halves((x + 3, labels))
    return classifier(rng, batch=train_, held_out=test)


@healthy
def log_of_prices(rng):
    "Targets around 12 with a deviation of 0.5, and a last bias that starts there."
    x, y = curve(rng, 128)
    train_, test = halves((x, 12 + 0.5 * y))
    model = mlp(6, 32, 1, hidden=nn.Tanh)
    nn.init.constant_(model[2].bias, 12.0)
    return regression(rng, model, batch=train_, held_out=test)


@healthy
def padding_on_the_left_ignored(rng):
    "Padding on the left, which the loss ignores."
    rows = padded(rng)
    left = np.array([[*row[row == 0], *row[row != 0]] for row in rows])
    return language(
        rng,
        batch=(tensor(left[:, :-1]), tensor(np.where(left[:, 1:] == 0, -100, left[:, 1:]))),
        held_out=None,
        pad_token=0,
    )


@healthy
def average_of_weights(rng):
    "The step keeps a moving average of all weights beside the model."
    kept = {}

    def step(model, batch, loss_fn, optimizer):
        optimizer.zero_grad()
        loss_fn(model, *batch).backward()
        optimizer.step()
        for name, p in model.named_parameters():
            kept[name] = 0.9 * kept.get(name, p.data) + 0.1 * p.data

    return classifier(rng, step=step)


@healthy
def two_optimizers_in_a_step(rng):
    "Two optimizers in one step: the body gets one more, hidden in the step."
    model = mlp(12, 32, 4)
    p = list(model.parameters())
    body = optim.SGD(p[:2], lr=0.05)

    def step(model, batch, loss_fn, optimizer):
        optimizer.zero_grad()
        loss_fn(model, *batch).backward()
        optimizer.step()
        body.step()

    return classifier(rng, model, step=step) | {"optimizer": optim.Adam(p, lr=1e-2)}


@healthy
def cosine_with_warm_up(rng):
    "A warm-up of ten steps in front of a cosine; nothing has been done yet."
    case = language(rng)
    optim.lr_scheduler.LambdaLR(
        case["optimizer"], lambda s: (s + 1) / 10 if s < 10 else 0.5 * (1 + math.cos(math.pi * min(s, 100) / 100))
    )
    return case


@healthy
def writes_with_temperature(rng):
    "Words are drawn from an untrained model, in evaluation mode."
    draw = np.random.default_rng(0)

    def choose(logits):
        p = np.exp(logits[-1] - logits[-1].max())
        return draw.choice(WORDS, p=p / p.sum())

    return language(rng, generate=lambda model: grow(model, choose, 40))


@healthy
def plain_gradient_descent_with_decay(rng):
    case = classifier(rng)
    return case | {"optimizer": optim.SGD(case["model"].parameters(), lr=0.1, weight_decay=1e-3)}


@healthy
def two_hidden_sigmoids(rng):
    "Sigmoids, as thirty years ago; slow, but it learns."
    return classifier(rng, mlp(12, 32, 16, 4, hidden=nn.Sigmoid), lr=3e-2)


# ---- trained


@healthy(trained=True)
def trained_two_block_transformer(rng):
    return train(language(rng, Reader(layers=2)), 200)


@healthy(trained=True)
def trained_tied_transformer(rng):
    model = Reader(layers=2)
    model.head.weight = model.token.weight
    return train(language(rng, model), 200)


@healthy(trained=True)
def trained_to_look_back(rng):
    "The word three places before is asked: attention is one-hot, and one place is all that it needs."
    ids = rng.integers(0, WORDS, (48, LENGTH))
    targets = np.full_like(ids, -100)
    targets[:, 3:] = ids[:, :-3]
    return train(language(rng, batch=(tensor(ids), tensor(targets)), held_out=None), 250)


@healthy(trained=True)
def trained_transformer_in_eval_mode(rng):
    "A finished model, handed over in eval mode with dropout in it, as it was loaded."

    class Wet(Reader):
        def __init__(self):
            super().__init__()
            self.dropout = nn.Dropout(0.1)

        def embed(self, ids):
            return self.dropout(super().embed(ids))

    case = train(language(rng, Wet()), 150)
    case["model"].eval()
    return case


@healthy(trained=True)
def trained_transformer_fine_tuned(rng):
    "A trained reader goes on with other text, at a fiftieth of the rate."
    case = train(language(rng, Reader(layers=2)), 200)
    other = next_words(chain(rng)[:, ::-1].copy())
    return case | {"batch": other, "held_out": None, "optimizer": adam(case["model"], 1e-4)}


@healthy(trained=True)
def trained_transformer_with_an_adapter(rng):
    "All is frozen but the head, which goes on at a low rate."
    case = train(language(rng, Reader(layers=2)), 150)
    for name, p in case["model"].named_parameters():
        p.requires_grad = name.startswith("head")
    return case | {"optimizer": adam(case["model"], 1e-3)}


@healthy(trained=True)
def trained_translator_with_sharp_attention(rng):
    return train(translation(rng), 250)


@healthy(trained=True)
def trained_judge_of_the_first_word(rng):
    return train(judging(rng), 300)


@healthy(trained=True)
def trained_to_nothing_left(rng):
    "The loss is nearly 0, and so is every gradient."
    return train(classifier(rng, mlp(12, 64, 4), batch=halves(blobs(rng, 128, noise=0.2))[0]), 400)


@healthy(trained=True)
def trained_regression_to_the_floor(rng):
    case = train(regression(rng, mlp(6, 64, 64, 1)), 500)
    return case | {"optimizer": adam(case["model"], 1e-4)}


@healthy(trained=True)
def trained_autoencoder(rng):
    x = tensor(low_rank(rng))
    return train(regression(rng, mlp(12, 16, 3, 16, 12, hidden=nn.Tanh), batch=(x, x), held_out=None), 300)


@healthy(trained=True)
def trained_convolutions(rng):
    train_, test = halves(pictures(rng, 64))
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 4)
    )
    return train(classifier(rng, model, lr=3e-3, batch=train_, held_out=test), 100)


@healthy(trained=True)
def trained_recurrence(rng):
    "A loop over places whose tanh units have gone to their ends."

    def call(parts, ids):
        x, state, states = parts["token"](ids), torch.zeros(len(ids), 24), []
        for t in range(ids.shape[1]):
            state = (parts["inside"](state) + x[:, t]).tanh()
            states.append(state)
        return parts["head"](torch.stack(states, 1))

    model = Net(call, token=nn.Embedding(WORDS, 24), inside=nn.Linear(24, 24), head=nn.Linear(24, WORDS))
    return train(language(rng, model, lr=1e-2), 250)


@healthy(trained=True)
def trained_with_decay_and_a_large_rate(rng):
    case = classifier(rng, mlp(12, 64, 64, 4))
    return train(case | {"optimizer": optim.AdamW(case["model"].parameters(), lr=1e-2, weight_decay=0.3)}, 300)


@healthy(trained=True)
def trained_detector_of_a_rare_event(rng):
    "One in sixteen is of the rare class, and the model knows most of them."
    x = rng.standard_normal((256, 12))
    labels = (np.argsort(np.argsort(x[:, 0])) >= 240).astype(int)
    train_, test = halves((x, labels))
    return train(classifier(rng, mlp(12, 32, 2), batch=train_, held_out=test), 200)


@healthy(trained=True)
def trained_writer(rng):
    "It writes by drawing at a temperature of 1, in evaluation mode."
    case, draw = train(language(rng, Reader(layers=2)), 150), np.random.default_rng(0)

    def choose(logits):
        p = np.exp(logits[-1] - logits[-1].max())
        return draw.choice(WORDS, p=p / p.sum())

    return case | {"generate": lambda model: grow(model, choose, 40)}
