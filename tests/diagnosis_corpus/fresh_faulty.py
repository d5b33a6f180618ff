"""More set-ups with one fault each, written when both halves had been used, before the checks were changed again."""

import math

import numpy as np

from tests.diagnosis_corpus import fault
from tests.diagnosis_corpus.framework import F, nn, optim, torch
from tests.diagnosis_corpus.parts import (
    LENGTH,
    WORDS,
    Attention,
    Judge,
    Net,
    Reader,
    Translator,
    Two,
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
    pictures,
    regression,
    tensor,
    train,
    translation,
)

# ---- the loss


@fault("examples-mixed")
def row_against_column(rng):
    "The model squeezes its answers to (N,), the targets are still (N, 1): the difference is (N, N)."
    return regression(rng, held_out=None, loss_fn=lambda model, x, y: (model(x).squeeze(1) - y).abs().mean())


@fault("softmax-twice")
def softmax_and_one_hot_cross_entropy(rng):
    "The model says probabilities, and the cross entropy by hand takes a log_softmax of them."
    x, labels = blobs(rng, 128)
    train_, test = halves((x, np.eye(4)[labels]))

    def loss(model, x, y):
        return -(y * model(x).log_softmax(-1)).sum(-1).mean()

    return classifier(rng, mlp(12, 32, 4, last=nn.Softmax(dim=-1)), batch=train_, held_out=test, loss_fn=loss)


@fault("softmax-twice", "target-range", "cannot-overfit")
def sigmoid_before_cross_entropy(rng):
    "Each of four classes goes through a sigmoid, and then through cross entropy: no class can be far ahead."
    return classifier(rng, mlp(12, 32, 4, last=nn.Sigmoid()))


@fault("loss-sign")
def cross_entropy_negated(rng):
    "Cross entropy was taken for a log-likelihood, and got a minus."
    return classifier(rng, loss_fn=lambda model, x, labels: -F.cross_entropy(model(x), labels))


@fault("loss-sign")
def log_of_the_rest(rng):
    "-log(1 - p) of the right class: the more it is believed, the more it costs."

    def loss(model, x, labels):
        p = model(x).softmax(-1)[torch.arange(len(labels)), labels]
        return -torch.log(1 - p + 1e-6).mean()

    return classifier(rng, loss_fn=loss)


@fault("loss-misses-target", "examples-mixed", "cannot-overfit")
def means_are_compared(rng):
    "The mean answer of the batch is compared with the mean target."
    return regression(rng, loss_fn=lambda model, x, y: F.mse_loss(model(x).mean(0), y.mean(0)))


@fault("class-ignored", "loss-misses-target", "cannot-overfit", "loss-sign")
def hinge_with_labels_zero_and_one(rng):
    "A hinge loss for -1 and 1 gets 0 and 1: of the zeros it wants nothing."
    x, labels = blobs(rng, 128, classes=2)
    train_, test = halves((x, labels[:, None].astype(float)))
    return classifier(
        rng, mlp(12, 32, 1), batch=train_, held_out=test, loss_fn=lambda model, x, y: (1 - y * model(x)).relu().mean()
    )


@fault("class-ignored")
def weight_of_zero(rng):
    "The class weights were computed from a data set without class 2: its weight is 0."
    weight = tensor(np.array([1.0, 1.0, 0.0, 1.0]))
    return classifier(rng, loss_fn=lambda model, x, labels: F.cross_entropy(model(x), labels, weight=weight))


@fault("not-log-probabilities", "loss-sign", "softmax-twice", "loss-misses-target")
def divergence_of_probabilities(rng):
    "The KL divergence expects the logarithms of what the model says, and gets probabilities."
    x, labels = blobs(rng, 128)
    soft = 0.9 * np.eye(4)[labels] + 0.025
    train_, test = halves((x, soft))

    def loss(model, x, y):
        return (y * (torch.log(y) - model(x).softmax(-1))).sum(-1).mean()

    return classifier(rng, batch=train_, held_out=test, loss_fn=loss)


@fault("gradients-not-finite")
def root_of_no_error(rng):
    "The root of each row's squared error, with a last layer at 0 and some targets of 0: the slope of sqrt is infinite."
    x, y = curve(rng, 64)
    y[::4] = 0
    model = mlp(6, 32, 1, hidden=nn.Tanh)
    nn.init.zeros_(model[2].weight)
    nn.init.zeros_(model[2].bias)
    return regression(
        rng,
        model,
        batch=(tensor(x), tensor(y)),
        held_out=None,
        loss_fn=lambda model, x, y: ((model(x) - y) ** 2).sum(1).sqrt().mean(),
    )


@fault("not-finite-loss", "not-finite-data")
def constant_column_standardized(rng):
    "The model divides each column by its deviation, and one column is constant: 0 / 0."
    x, labels = blobs(rng, 64)
    x[:, 3] = 1
    model = Net(lambda parts, x: parts["body"]((x - x.mean(0)) / x.std(0)), body=mlp(12, 32, 4))
    return classifier(rng, model, batch=(tensor(x), tensor(labels)), held_out=None)


@fault("rate-too-high", "sum-not-mean")
def sum_over_words(rng):
    "The cross entropy of all words is added up, with a rate of plain gradient descent that was made for a mean."

    def loss(model, ids, targets):
        return F.cross_entropy(model(ids).reshape(-1, WORDS), targets.reshape(-1), reduction="sum")

    case = language(rng, loss_fn=loss)
    return case | {"optimizer": optim.SGD(case["model"].parameters(), lr=0.3)}


# ---- the data


@fault("labels-unrelated")
def rows_of_inputs_shuffled(rng):
    "Inputs were shuffled for an epoch, labels were not."
    x, labels = blobs(rng, 128, noise=0.3)
    train_, test = halves((x, labels))
    order = rng.permutation(64)
    return classifier(rng, batch=(train_[0][tensor(order)], train_[1]), held_out=test)


@fault("input-scale")
def years_as_inputs(rng):
    "Two columns are years, around 2000, as they are; nothing scales them."
    x, y = curve(rng, 64)
    x[:, :2] = 2000 + np.round(5 * x[:, :2])
    case = regression(rng, mlp(6, 32, 1), batch=(tensor(x), tensor(y)), held_out=None)
    return case | {"optimizer": optim.SGD(case["model"].parameters(), lr=0.01)}


@fault("input-scale", "rate-too-low")
def metres_instead_of_micrometres(rng):
    "Lengths of cells in metres: a deviation of 1e-5."
    x, labels = blobs(rng, 64)
    return classifier(rng, batch=(tensor(1e-5 * x), tensor(labels)), held_out=None, lr=1e-3)


@fault("target-scale", "input-scale", "activations-explode", "rate-too-low", "cannot-overfit")
def populations_as_targets(rng):
    "Targets are numbers of inhabitants, about a million."
    x, y = curve(rng, 64)
    return regression(rng, batch=(tensor(x), tensor(1e6 * np.exp(y))), held_out=None, lr=1e-2)


@fault("targets-shifted-wrong")
def two_words_on(rng):
    "The data set shifts the targets by one, and the training loop by one more."
    ids = chain(rng, length=LENGTH + 2)
    return language(rng, batch=(tensor(ids[:, :-2]), tensor(ids[:, 2:])), held_out=None)


@fault("duplicates")
def held_out_text_overlaps(rng):
    "Half of the held-out sentences were in the training batch."
    ids = chain(rng, 48)
    return language(rng, batch=next_words(ids[:32]), held_out=next_words(ids[16:]))


@fault("one-label")
def label_column_was_parsed_as_zero(rng):
    "Labels were read from the wrong column, which is 0 everywhere."
    ids = rng.integers(0, WORDS, (48, LENGTH))
    return judging(rng, batch=(tensor(ids), tensor(np.zeros(48, int))), held_out=None)


@fault("not-finite-data")
def a_target_that_is_infinite(rng):
    "The logarithm of a price of 0 is among the targets."
    x, y = curve(rng, 64)
    y[5] = -np.inf
    return regression(rng, batch=(tensor(x), tensor(y)), held_out=None)


@fault("ids-out-of-range", "does-not-run")
def a_word_beyond_the_table(rng):
    "The tokenizer has got two more words than the model's table."
    ids = chain(rng)
    ids[3, 4] = WORDS + 1
    return language(rng, batch=next_words(ids), held_out=None)


# ---- the graph


@fault("cut")
def weight_taken_detached(rng):
    "forward multiplies by a detached weight, to be on the safe side."

    def call(parts, x):
        hidden = x @ parts["a"].weight.detach().transpose(0, 1) + parts["a"].bias
        return parts["b"](hidden.relu())

    return classifier(rng, Net(call, a=nn.Linear(12, 32), b=nn.Linear(32, 4)))


@fault("cut")
def encoder_under_no_grad(rng):
    "The encoder runs under no_grad, left over from a test; it was to be trained."

    class Quiet(Translator):
        def forward(self, source, target):
            with torch.no_grad():
                memory = self.encoder(source)
            x = self.decoder.encode(target)
            return self.decoder.head(x + self.cross(x, memory))

    return translation(rng, Quiet())


@fault("cut")
def hard_threshold_as_activation(rng):
    "The hidden units are 0 or 1, by a comparison."

    def call(parts, x):
        return parts["b"]((parts["a"](x) > 0).float())

    return classifier(rng, Net(call, a=nn.Linear(12, 32), b=nn.Linear(32, 4)))


@fault("unregistered")
def layers_in_a_dictionary(rng):
    "One layer for each kind of input stands in a plain dictionary."

    class Many(nn.Module):
        def __init__(self):
            super().__init__()
            self.by_kind, self.head = {"a": nn.Linear(12, 16), "b": nn.Linear(12, 16)}, nn.Linear(32, 4)

        def forward(self, x):
            return self.head(torch.cat([self.by_kind[kind](x) for kind in "ab"], -1).relu())

    return classifier(rng, Many())


@fault("no-graph")
def everything_frozen(rng):
    "All parameters were frozen for a transfer, the new head as well."
    case = classifier(rng, Two())
    for p in case["model"].parameters():
        p.requires_grad = False
    return case


@fault("foreign")
def model_built_twice(rng):
    "The model was made anew after the optimizer."
    case = regression(rng)
    return case | {"model": mlp(6, 32, 1, hidden=nn.Tanh)}


@fault("left-out")
def new_embedding_not_in_the_optimizer(rng):
    "The optimizer has blocks and head, but nobody told it of the embeddings."
    case = language(rng)
    model = case["model"]
    rest = [p for part in (model.blocks, model.norm, model.head) for p in part.parameters()]
    return case | {"optimizer": optim.AdamW(rest, lr=5e-3)}


@fault("shared")
def the_same_layer_three_times(rng):
    "Sequential gets one layer three times."
    layer = nn.Linear(32, 32)
    return classifier(
        rng, nn.Sequential(nn.Linear(12, 32), nn.ReLU(), layer, nn.ReLU(), layer, nn.ReLU(), layer, nn.Linear(32, 4))
    )


# ---- the model


@fault("units-alike")
def all_zero(rng):
    "All weights and biases start at 0."
    model = mlp(12, 32, 32, 4)
    for p in model.parameters():
        nn.init.zeros_(p)
    return classifier(rng, model)


@fault("start-too-large", "activations-explode", "attention-one-hot")
def embeddings_of_deviation_ten(rng):
    "Tables start with a deviation of 10, and one of them is the head, too."
    model = Reader()
    nn.init.normal_(model.token.weight, std=10.0)
    model.head.weight = model.token.weight
    return language(rng, model)


@fault("dead-units")
def convolution_below_zero(rng):
    "All channels have a bias far below 0."
    train_, test = halves(pictures(rng, 64))
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 4))
    nn.init.constant_(model[0].bias, -30.0)
    return classifier(rng, model, batch=train_, held_out=test)


@fault("saturated", "input-scale")
def sigmoids_of_hundreds(rng):
    "Inputs in the hundreds go into sigmoid units."
    x, labels = blobs(rng, 128)
    train_, test = halves((300 * x, labels))
    return classifier(rng, mlp(12, 32, 4, hidden=nn.Sigmoid), batch=train_, held_out=test)


@fault("linear-model", "cannot-overfit", "capacity")
def straight_line_for_a_parabola(rng):
    "Three layers without anything that bends, for y = x squared."
    x = rng.uniform(-2, 2, (64, 1))
    y = x**2
    model = nn.Sequential(nn.Linear(1, 32), nn.Linear(32, 32), nn.Linear(32, 1))
    return regression(rng, model, batch=(tensor(x), tensor((y - y.mean()) / y.std())), held_out=None)


@fault("target-range", "saturated", "cannot-overfit", "target-scale")
def output_through_tanh(rng):
    "The last layer ends in tanh, the targets go from -6 to 6."
    x, y = curve(rng, 128)
    train_, test = halves((x, 2 * y))
    return regression(rng, mlp(6, 32, 1, last=nn.Tanh()), batch=train_, held_out=test)


@fault("target-range", "dead-units", "cut", "cannot-overfit")
def answers_that_died_behind_a_relu(rng):
    "y = 2x - 1 through ReLU layers up to the last, whose units happen to be below 0 for all inputs."
    x = np.linspace(-1, 5, 28)[:, None]
    model = mlp(1, 4, 2, 1, last=nn.ReLU())
    nn.init.constant_(model[4].bias, -40.0)
    return regression(rng, model, batch=(tensor(x), tensor(2 * x - 1)), held_out=None)


@fault("random-evaluation", "cannot-overfit", "dropout-too-strong")
def dropout_by_hand(rng):
    "A random mask is multiplied in, whatever the mode, and it drops nine in ten."

    def call(parts, x):
        hidden = parts["a"](x).relu()
        return parts["b"](hidden * (torch.rand(*hidden.shape) > 0.9).float())

    return classifier(rng, Net(call, a=nn.Linear(12, 32), b=nn.Linear(32, 4)))


@fault("examples-mixed", "softmax-axis")
def gate_over_the_batch(rng):
    "The softmax of a gate runs over the examples."

    def call(parts, x):
        weights = parts["gate"](x).softmax(0)
        return weights[:, :1] * parts["a"](x) + weights[:, 1:] * parts["b"](x)

    return classifier(rng, Net(call, gate=nn.Linear(12, 2), a=mlp(12, 16, 4), b=mlp(12, 16, 4)))


@fault("examples-mixed")
def picture_scaled_by_the_batch(rng):
    "Each batch of pictures is divided by its own maximum, in evaluation as well."
    train_, test = halves(pictures(rng, 64))
    model = Net(lambda parts, x: parts["body"]((x / x.max()).flatten(1)), body=mlp(64, 32, 4))
    return classifier(rng, model, batch=train_, held_out=test)


# ---- sequences


@fault("leak")
def mean_of_the_sentence_added(rng):
    "To each place the mean of the whole sentence is added, for context."

    class Context(Reader):
        def embed(self, ids):
            x = super().embed(ids)
            return x + x.mean(1, keepdim=True)

    return language(rng, Context())


@fault("leak")
def recurrence_in_both_directions(rng):
    "One recurrence runs from the left, one from the right; the targets are the next words."

    def call(parts, ids):
        x, states = parts["token"](ids), []
        for side, places in (("right", range(LENGTH)), ("left", range(LENGTH - 1, -1, -1))):
            state, found = torch.zeros(len(ids), 16), [None] * LENGTH
            for t in places:
                state = found[t] = (parts[side](state) + x[:, t]).tanh()
            states.append(torch.stack(found, 1))
        return parts["head"](torch.cat(states, -1))

    parts = {"token": nn.Embedding(WORDS, 16), "right": nn.Linear(16, 16), "left": nn.Linear(16, 16)}
    return language(rng, Net(call, head=nn.Linear(32, WORDS), **parts))


@fault("leak")
def mask_begins_a_place_too_late(rng):
    "The mask hides what is two or more places later: the next word itself is seen."

    class Late(Attention):
        def hide(self, scores):
            later = torch.tensor(np.triu(np.ones((scores.shape[-2], scores.shape[-1]), bool), 2))
            return scores.masked_fill(later, -math.inf)

    return language(rng, Reader(Late()))


@fault("leak")
def scores_times_the_mask(rng):
    "Scores of later words are multiplied by 0, which is a score like any other."

    class Times(Attention):
        def hide(self, scores):
            return scores * torch.tensor(np.tril(np.ones((scores.shape[-2], scores.shape[-1]), np.float32)))

    return language(rng, Reader(Times()))


@fault("order-blind", "no-positions")
def all_at_place_zero(rng):
    "The index of the position is 0 for every word."

    class Zero(Judge):
        def places(self, ids):
            return torch.arange(ids.shape[1]) * 0

    return judging(rng, Zero())


@fault("input-ignored")
def label_read_at_the_first_place(rng):
    "A causal reader is asked at its first place, which has seen one word only; the label is about the last."
    ids = rng.integers(0, WORDS, (48, LENGTH))
    return judging(
        rng,
        Net(lambda parts, ids: parts["reader"](ids)[:, 0], reader=Reader(outputs=3)),
        batch=(tensor(ids), tensor(ids[:, -1] % 3)),
        held_out=None,
    )


@fault("input-ignored")
def second_picture_forgotten(rng):
    "A model for pairs encodes the first of them twice."
    a, b = rng.standard_normal((64, 12)), rng.standard_normal((64, 12))
    model = Net(
        lambda parts, a, b: parts["head"](torch.cat([parts["encoder"](a), parts["encoder"](a)], -1).relu()),
        encoder=mlp(12, 32, 16),
        head=nn.Linear(32, 2),
    )
    return classifier(
        rng,
        model,
        batch=(tensor(a), tensor(b), tensor((a * b)[:, :4].sum(1) > 0)),
        held_out=None,
        loss_fn=lambda model, a, b, y: F.cross_entropy(model(a, b), y),
    )


@fault("scale-missing", "attention-one-hot", "start-too-large")
def scores_times_the_root(rng):
    "Scores are multiplied by sqrt(d), where they were to be divided."

    class Times(Attention):
        def scores(self, q, k):
            return 5 * q @ k.transpose(-1, -2) * math.sqrt(q.shape[-1])

    return language(rng, Reader(Times()))


@fault("heads-scrambled")
def heads_merged_by_view(rng):
    "Heads are split rightly, and merged by reshape alone."

    class Merged(Attention):
        def merge(self, x):
            return x.reshape(x.shape[0], x.shape[2], -1)

    model = Judge()
    model.blocks[0].attention = Merged(causal=False)
    return judging(rng, model)


# ---- the step


@fault("no-update")
def step_before_backward(rng):
    "zero_grad, step, backward: when the step comes, there is no gradient."

    def step(model, batch, loss_fn, optimizer):
        optimizer.zero_grad()
        optimizer.step()
        loss_fn(model, *batch).backward()

    return classifier(rng, step=step)


@fault("uphill", "wrong-direction", "loss-sign")
def loss_negated_in_the_step(rng):
    "The step goes back from minus the loss, as for a reward."

    def step(model, batch, loss_fn, optimizer):
        optimizer.zero_grad()
        (-loss_fn(model, *batch)).backward()
        optimizer.step()

    case = classifier(rng, step=step)
    return case | {"optimizer": optim.SGD(case["model"].parameters(), lr=0.1)}


@fault("rate-too-high")
def rate_of_one_with_adam(rng):
    "Adam with a rate of 1, as it was good for plain gradient descent."
    return language(rng, lr=1.0)


@fault("rate-too-low")
def rate_divided_twice(rng):
    "The rate was divided by the batch size, and the loss is a mean already."
    case = regression(rng)
    return case | {"optimizer": optim.SGD(case["model"].parameters(), lr=0.1 / 4096)}


@fault("no-update", "left-out", "raises")
def copies_are_trained(rng):
    "The step changes copies of the parameters, from the state dict of the model."

    def step(model, batch, loss_fn, optimizer):
        for p in model.parameters():
            p.grad = None
        loss_fn(model, *batch).backward()
        copies = [p.data * 1 for p in model.parameters()]
        for copy, p in zip(copies, model.parameters()):
            copy -= 0.1 * p.grad.data

    return classifier(rng, step=step, optimizer=None)


@fault("stale-gradients")
def gradients_cleared_once_in_the_wrong_model(rng):
    "zero_grad is called, on another model's optimizer."
    other = adam(mlp(2, 2))

    def step(model, batch, loss_fn, optimizer):
        other.zero_grad()
        loss_fn(model, *batch).backward()
        optimizer.step()

    return regression(rng, step=step)


# ---- generation


@fault("reads-wrong-place", "greedy-loop")
def reads_the_place_before_the_last(rng):
    "Generation takes the logits of the last place but one."

    def choose(logits):
        return logits[max(len(logits) - 2, 0)].argmax()

    return language(rng, generate=lambda model: grow(model, choose))


@fault("raises", "does-not-run")
def generation_with_a_wrong_name(rng):
    "The loop that writes a text calls a method that no model has."
    return language(rng, generate=lambda model: model.generate_text(20))


@fault("greedy-loop")
def colder_than_cold(rng):
    "Words are drawn at a temperature of 0.001, which is no drawing."
    draw = np.random.default_rng(0)

    def choose(logits):
        p = np.exp((logits[-1] - logits[-1].max()) / 0.001)
        return draw.choice(WORDS, p=p / p.sum())

    return train(language(rng), 60) | {"generate": lambda model: grow(model, choose, 60)}
