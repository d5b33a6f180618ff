"""Set-ups with one fault each. A docstring says what is wrong, in the words of somebody who has found it."""

import math

import numpy as np

from tests.diagnosis_corpus import fault
from tests.diagnosis_corpus.framework import F, nn, optim, torch
from tests.diagnosis_corpus.parts import (
    LENGTH,
    WORDS,
    Attention,
    Block,
    Judge,
    Reader,
    Translator,
    Two,
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

# ---- the loss


@fault("examples-mixed")
def column_against_row(rng):
    "Predictions (N, 1) minus targets (N,) broadcast to (N, N): every example is compared with all targets."
    case = regression(rng)
    return case | {
        "batch": (case["batch"][0], case["batch"][1].squeeze(1)),
        "held_out": None,
        "loss_fn": lambda model, x, y: ((model(x) - y) ** 2).mean(),
    }


@fault("loss-misses-target", "examples-mixed")
def square_of_the_mean(rng):
    "The mean of the errors is squared, instead of the errors: errors of both signs cancel."
    return regression(rng, loss_fn=lambda model, x, y: (model(x) - y).mean() ** 2)


@fault("loss-sign", "loss-misses-target")
def difference_without_square(rng):
    "The error itself is the loss, neither squared nor absolute: it falls below every floor."
    return regression(rng, loss_fn=lambda model, x, y: (model(x) - y).mean())


@fault("loss-sign")
def minus_forgotten_in_nll(rng):
    "The log-probability of the right class is minimized: the minus is missing."

    def loss(model, x, labels):
        return model(x).log_softmax(-1)[torch.arange(len(labels)), labels].mean()

    return classifier(rng, loss_fn=loss)


@fault("loss-sign", "loss-misses-target")
def negative_mse(rng):
    "A score (the higher the better) is minimized."
    return regression(rng, loss_fn=lambda model, x, y: -F.mse_loss(model(x), y))


@fault("softmax-twice")
def softmax_in_the_model(rng):
    "The last layer is a softmax, and the loss takes another."
    return classifier(rng, mlp(12, 32, 4, last=nn.Softmax(dim=-1)))


@fault("softmax-twice")
def sigmoid_in_the_model(rng):
    "The last layer is a sigmoid, and the loss is the one for logits."
    x, labels = blobs(rng, 128, classes=2)
    train, test = halves((x, labels[:, None].astype(float)))
    return classifier(
        rng,
        mlp(12, 32, 1, last=nn.Sigmoid()),
        batch=train,
        held_out=test,
        loss_fn=lambda model, x, y: F.binary_cross_entropy_with_logits(model(x), y),
    )


@fault("softmax-twice")
def log_softmax_then_softmax(rng):
    "A loss by hand: log of the probabilities of probabilities."

    def loss(model, x, labels):
        p = model(x).softmax(-1).softmax(-1)
        return -torch.log(p[torch.arange(len(labels)), labels]).mean()

    return classifier(rng, loss_fn=loss)


@fault("not-log-probabilities", "loss-sign", "loss-misses-target")
def nll_of_logits(rng):
    "nll_loss gets logits: no log_softmax is anywhere, so the loss falls without end."
    return classifier(rng, loss_fn=lambda model, x, labels: F.nll_loss(model(x), labels))


@fault("not-log-probabilities", "loss-sign", "loss-misses-target", "not-logs")
def nll_of_probabilities(rng):
    "nll_loss gets probabilities, not their logarithms."
    return classifier(rng, loss_fn=lambda model, x, labels: F.nll_loss(model(x).softmax(-1), labels))


@fault("not-finite-loss", "not-log-probabilities")
def log_of_logits(rng):
    "A logarithm of what may be negative: logits are taken for probabilities."

    def loss(model, x, labels):
        return -torch.log(model(x)[torch.arange(len(labels)), labels]).mean()

    return classifier(rng, loss_fn=loss)


@fault("softmax-axis", "examples-mixed")
def softmax_over_the_batch(rng):
    "Probabilities sum to 1 over the examples, not over the classes."

    def loss(model, x, labels):
        return -torch.log(model(x).softmax(0)[torch.arange(len(labels)), labels] + 1e-9).mean()

    return classifier(rng, loss_fn=loss)


@fault("softmax-axis", "examples-mixed")
def log_softmax_over_places(rng):
    "log_softmax(dim=1) of (B, T, V) runs over the places."

    def loss(model, ids, targets):
        logs = model(ids).log_softmax(1)
        return F.nll_loss(logs.reshape(-1, WORDS), targets.reshape(-1))

    return language(rng, loss_fn=loss)


@fault("targets-scrambled", "examples-mixed", "labels-unrelated", "leak", "loss-misses-target")
def logits_reshaped_not_transposed(rng):
    "Logits (B, T, V) are viewed as (B, V, T) to fit the loss: words and places are mixed up."
    return language(
        rng, loss_fn=lambda model, ids, targets: F.cross_entropy(model(ids).reshape(len(ids), WORDS, -1), targets)
    )


@fault("labels-negative", "ids-out-of-range", "does-not-run")
def labels_from_one(rng):
    "Labels count from 1, the model's classes from 0."
    case = classifier(rng)
    return case | {"batch": (case["batch"][0], case["batch"][1] + 1), "held_out": None}


@fault("labels-negative", "loss-sign", "loss-misses-target", "ids-out-of-range", "does-not-run")
def labels_from_minus_one(rng):
    "Labels -1 and 1 in a loss that expects 0 and 1: it has no floor."
    x, labels = blobs(rng, 64, classes=2)
    return classifier(
        rng,
        mlp(12, 32, 1),
        batch=(tensor(x), tensor(2.0 * labels[:, None] - 1)),
        held_out=None,
        loss_fn=lambda model, x, y: F.binary_cross_entropy_with_logits(model(x), y),
    )


@fault("class-ignored", "ignored-class")
def ignored_class_is_real(rng):
    "ignore_index=0, although 0 is one of the classes: nobody learns it."
    return classifier(rng, loss_fn=lambda model, x, labels: F.cross_entropy(model(x), labels, ignore_index=0))


@fault("cut", "loss-flat", "no-graph")
def accuracy_as_loss(rng):
    "The loss is the share of wrong answers, through argmax: it has no slope."

    def loss(model, x, labels):
        return (model(x).argmax(-1) != labels).float().mean()

    return classifier(rng, loss_fn=loss)


@fault("cut", "no-graph")
def rounded_predictions(rng):
    "Predictions are rounded before the error is taken: the gradient is 0 everywhere."
    x, y = curve(rng, 64)
    return regression(
        rng,
        batch=(tensor(x), tensor(np.round(y))),
        held_out=None,
        loss_fn=lambda model, x, y: ((model(x).round() - y) ** 2).mean(),
    )


@fault("rate-too-high", "sum-not-mean")
def sum_over_the_batch(rng):
    "The loss is a sum over the batch with a rate made for means: steps are 64 times as long."
    case = regression(rng, mlp(6, 32, 1))
    return case | {
        "optimizer": optim.SGD(case["model"].parameters(), lr=0.05),
        "loss_fn": lambda model, x, y: ((model(x) - y) ** 2).sum(),
    }


@fault("loss-misses-target", "softmax-twice")
def wrong_variable_in_the_loss(rng):
    "The prediction is compared with the input's first column, not with the target."
    return regression(rng, loss_fn=lambda model, x, y: F.mse_loss(model(x), x[:, :1]))


@fault("gradients-not-finite")
def norm_at_zero(rng):
    "The loss adds the distance of equal points: sqrt has an infinite slope at 0, and 0 times infinity is nan."

    def loss(model, x, y):
        out = model(x)
        return F.mse_loss(out, y) + 0.0 * ((out - out) ** 2).sum().sqrt()

    return regression(rng, loss_fn=loss)


@fault("gradients-not-finite")
def where_hides_nan(rng):
    "where() chooses the finite branch, but the gradient of the other one is nan."

    def loss(model, x, y):
        out = model(x)
        safe = torch.where(out > -1e3, out, torch.sqrt(out * 0 - 1.0))
        return F.mse_loss(safe + 0.0 * torch.where(out > 1e3, torch.sqrt(out * 0), out), y)

    return regression(rng, loss_fn=loss)


@fault("not-finite-loss")
def log_of_a_hard_zero(rng):
    "Cross entropy by hand with a softmax that underflows: log(0)."

    def loss(model, x, labels):
        p = (model(x) * 400).softmax(-1)
        return -torch.log(p[torch.arange(len(labels)), labels]).mean()

    return classifier(rng, loss_fn=loss)


# ---- the data


@fault("labels-unrelated")
def rows_shifted_by_one(rng):
    "Every example has the label of the one before it."
    x, labels = blobs(rng, 128, noise=0.3)
    train, test = halves((x, labels))
    return classifier(rng, batch=(train[0], torch.roll(train[1], 1)), held_out=test)


@fault("labels-unrelated")
def inputs_sorted_alone(rng):
    "Inputs were sorted by a column, the labels were not."
    x, labels = blobs(rng, 128, noise=0.3)
    train, test = halves((x[np.argsort(x[:, 0])], labels))
    return classifier(rng, batch=train, held_out=(test[0], test[1]))


@fault("one-label")
def unshuffled_batch(rng):
    "The data set is sorted by class, so the batch has one class only."
    x, labels = blobs(rng, 64)
    return classifier(rng, batch=(tensor(x), tensor(np.full(len(labels), 2))), held_out=None)


@fault("class-imbalance", "one-label")
def nearly_one_class(rng):
    "97 of 100 examples are of one class: always saying it is right 97 times."
    x = rng.standard_normal((128, 12))
    labels = (np.arange(128) % 40 == 0).astype(int)
    return classifier(rng, mlp(12, 32, 2), batch=(tensor(x), tensor(labels)), held_out=None)


@fault("input-scale")
def bytes_as_inputs(rng):
    "Pixels from 0 to 255 go in as they are."
    x, labels = pictures(rng)
    return classifier(
        rng,
        nn.Sequential(nn.Flatten(), mlp(64, 32, 4)),
        held_out=None,
        batch=(tensor(np.clip(x * 64 + 128, 0, 255)), tensor(labels)),
    )


@fault("target-scale", "input-scale", "activations-explode", "rate-too-low")
def prices_as_targets(rng):
    "Targets are prices around 200,000: the first loss is 4e10, and steps of Adam are tiny beside that."
    x, y = curve(rng, 64)
    return regression(rng, batch=(tensor(x), tensor(2e5 + 5e4 * y)), held_out=None, lr=1e-3)


@fault("not-finite-data")
def a_missing_value(rng):
    "One missing value in the table became nan."
    case = classifier(rng)
    x = np.array(case["batch"][0].tolist())
    x[3, 2] = np.nan
    return case | {"batch": (tensor(x), case["batch"][1])}


@fault("duplicates")
def split_after_augmenting(rng):
    "Rows were copied first and split afterwards."
    x, labels = blobs(rng, 64)
    return classifier(rng, batch=(tensor(x), tensor(labels)), held_out=(tensor(x[::2]), tensor(labels[::2])))


@fault("targets-not-shifted")
def next_word_is_the_same(rng):
    "Targets of a language model are its inputs."
    ids = tensor(chain(rng)[:, :-1])
    return language(rng, batch=(ids, ids), held_out=None)


@fault("targets-shifted-wrong")
def the_word_before(rng):
    "Targets are the words before, which the model has seen."
    ids = chain(rng)
    return language(rng, batch=(tensor(ids[:, 1:]), tensor(ids[:, :-1])), held_out=None)


@fault("padding-counted")
def padding_at_the_end(rng):
    "Padding is a target like any other."
    return language(rng, batch=next_words(padded(rng)), held_out=None, pad_token=0)


@fault("padding-counted")
def padding_on_the_left(rng):
    "Padding stands on the left, and is learned as a word."
    rows = padded(rng)
    left = np.array([[*row[row == 0], *row[row != 0]] for row in rows])
    return language(rng, batch=next_words(left), held_out=None, pad_token=0)


# ---- the graph


@fault("cut")
def detached_features(rng):
    "Features leave the graph through detach(): the layers below never learn."

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = mlp(12, 32, 32), nn.Linear(32, 4)

        def forward(self, x):
            return self.head(self.body(x).detach().relu())

    return classifier(rng, Net())


@fault("cut")
def hidden_through_numpy(rng):
    "The hidden layer goes through NumPy and comes back as a new tensor."

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(12, 32), nn.Linear(32, 4)

        def forward(self, x):
            hidden = self.body(x).detach().numpy()
            return self.head(tensor(np.maximum(hidden, 0)))

    return classifier(rng, Net())


@fault("cut")
def rounded_codes(rng):
    "Codes are rounded in the middle, without a straight-through estimate."

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(12, 32), nn.Linear(32, 4)

        def forward(self, x):
            return self.head((3 * self.body(x)).round())

    return classifier(rng, Net())


@fault("cut")
def argmax_in_the_middle(rng):
    "The most likely word is looked up again: argmax has no gradient."

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.pick, self.table, self.head = nn.Linear(12, 8), nn.Embedding(8, 16), nn.Linear(16, 4)

        def forward(self, x):
            return self.head(self.table(self.pick(x).argmax(-1)))

    return classifier(rng, Net())


@fault("no-graph")
def loss_from_an_item(rng):
    "The loss is made into a number and wrapped again."

    def loss(model, x, labels):
        return torch.tensor(F.cross_entropy(model(x), labels).item())

    return classifier(rng, loss_fn=loss)


@fault("unregistered")
def layers_in_a_list(rng):
    "Layers stand in a plain list."

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers, self.head = [nn.Linear(12, 32), nn.Linear(32, 32)], nn.Linear(32, 4)

        def forward(self, x):
            for layer in self.layers:
                x = layer(x).relu()
            return self.head(x)

    return classifier(rng, Net())


@fault("left-out")
def only_the_head_in_the_optimizer(rng):
    "The optimizer has the parameters of the last layer only."
    case = classifier(rng)
    return case | {"optimizer": optim.Adam(list(case["model"].parameters())[-2:], lr=1e-2)}


@fault("foreign")
def reinitialized_after_the_optimizer(rng):
    "A layer is replaced after the optimizer was made."
    case = classifier(rng, Two())
    case["model"].body = nn.Linear(12, 32)
    return case


@fault("shared")
def one_block_four_times(rng):
    "[block] * 4."
    block = Block()

    class Deep(Reader):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([block] * 4)

    return language(rng, Deep())


# ---- the model


@fault("capacity", "cannot-overfit", "linear-model")
def no_activation(rng):
    "Two layers without anything between them, on classes that no line separates."
    x = rng.standard_normal((64, 2))
    labels = (x[:, 0] * x[:, 1] > 0).astype(int)
    return classifier(
        rng,
        nn.Sequential(nn.Linear(2, 32), nn.Linear(32, 32), nn.Linear(32, 2)),
        batch=(tensor(x), tensor(labels)),
        held_out=None,
    )


@fault("capacity", "cannot-overfit")
def width_two(rng):
    "Two hidden units for sixteen classes."
    x, labels = blobs(rng, 64, 20, 16, 0.2)
    return classifier(rng, mlp(20, 2, 16, hidden=nn.ReLU), batch=(tensor(x), tensor(labels)), held_out=None)


@fault("capacity", "cannot-overfit", "loss-misses-target")
def no_bias_and_an_offset(rng):
    "A line without a bias, for targets whose mean is 3."
    x, y = rng.standard_normal((64, 3)), None
    y = x @ np.array([[1.0], [-2.0], [0.5]]) + 3
    return regression(rng, nn.Linear(3, 1, bias=False), batch=(tensor(x), tensor(y)), held_out=None, lr=0.05)


@fault("capacity", "cannot-overfit", "cut", "dead-units", "target-range")
def output_through_relu(rng):
    "The last layer ends in a ReLU, and half of the targets are negative."
    return regression(rng, mlp(6, 32, 1, last=nn.ReLU()))


@fault("capacity", "cannot-overfit", "target-range", "saturated")
def output_through_a_sigmoid(rng):
    "The output lies between 0 and 1, the targets between -3 and 3."
    return regression(rng, mlp(6, 32, 1, last=nn.Sigmoid()))


@fault("gradients-vanish", "cannot-overfit", "capacity", "start-too-small")
def eight_blocks_without_residuals(rng):
    "Sixteen layers in a row, with nothing that goes around them."
    return classifier(rng, mlp(12, *[16] * 16, 4, hidden=nn.Sigmoid))


@fault("start-too-small", "gradients-vanish", "units-alike", "rate-too-low", "cannot-overfit")
def tiny_start(rng):
    "All weights start a thousand times too small."
    model = mlp(12, 32, 32, 32, 4, hidden=nn.Tanh)
    for p in model.parameters():
        nn.init.normal_(p, std=1e-4)
    return classifier(rng, model)


@fault("start-too-large", "activations-explode")
def huge_start(rng):
    "Weights from a normal distribution of deviation 1, whatever the width."
    model = mlp(12, 64, 64, 4)
    for p in model.parameters():
        nn.init.normal_(p, std=1.0)
    return classifier(rng, model)


@fault("units-alike")
def constant_start(rng):
    "All weights are 0.1."
    model = mlp(12, 32, 32, 4)
    for p in model.parameters():
        nn.init.constant_(p, 0.1)
    return classifier(rng, model)


@fault("dead-units", "cut")
def dead_relu(rng):
    "Biases of -20: no unit is ever above 0."
    model = mlp(12, 32, 4)
    nn.init.constant_(model[0].bias, -20.0)
    return classifier(rng, model)


@fault("saturated")
def saturated_tanh(rng):
    "Weights of deviation 5 in front of tanh."
    model = mlp(12, 32, 4, hidden=nn.Tanh)
    nn.init.normal_(model[0].weight, std=5.0)
    return classifier(rng, model)


@fault("random-evaluation")
def functional_dropout(rng):
    "F.dropout is on in evaluation, too."

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(12, 32), nn.Linear(32, 4)

        def forward(self, x):
            return self.b(F.dropout(self.a(x).relu(), 0.3, True))

    return classifier(rng, Net())


@fault("examples-mixed")
def norm_over_the_batch(rng):
    "Features are normalized with the mean of the batch, also in evaluation."

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(12, 32), nn.Linear(32, 4)

        def forward(self, x):
            x = self.a(x)
            x = (x - x.mean(0, keepdim=True)) / (x.std(0, keepdim=True) + 1e-5)
            return self.b(x.relu())

    return classifier(rng, Net())


@fault("examples-mixed")
def batch_and_time_swapped(rng):
    "Attention gets (T, B, D) for (B, T, D): words attend to other sentences."

    class Swapped(Reader):
        def encode(self, ids):
            x = self.embed(ids).transpose(0, 1)
            for block in self.blocks:
                x = block(x)
            return self.norm(x.transpose(0, 1))

    return language(rng, Swapped(Attention(causal=False)))


@fault("examples-mixed", "heads-scrambled")
def reshape_to_time_first(rng):
    "(B, T, D) becomes (T, B, D) by reshape, which mixes sentences."

    class Mixed(Reader):
        def encode(self, ids):
            x = self.embed(ids)
            y = x.reshape(x.shape[1], x.shape[0], x.shape[2]).transpose(0, 1)
            return self.norm(y + self.blocks[0].mlp(y))

    return language(rng, Mixed())


# ---- sequences


@fault("order-blind")
def no_positions_for_a_label(rng):
    "One answer for a sentence, and nothing that says which word comes first."

    class Bag(Judge):
        def embed(self, ids):
            return self.token(ids)

    return judging(rng, Bag())


@fault("input-ignored")
def last_words_cropped(rng):
    "The sentence is cropped to its first half by a slice."

    class Cropped(Judge):
        def forward(self, ids):
            return super().forward(ids[:, : LENGTH // 2])

    return judging(rng, Cropped())


@fault("input-ignored")
def first_word_dropped(rng):
    "A slice from 1 drops the word that the label is about."

    class Dropped(Judge):
        def forward(self, ids):
            return super().forward(ids[:, 1:])

    return judging(rng, Dropped())


@fault("input-ignored", "cannot-overfit")
def feature_columns_unused(rng):
    "Only the first four of twelve columns reach the first layer."

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = mlp(4, 32, 4)

        def forward(self, x):
            return self.body(x[:, :4])

    return classifier(rng, Net())


@fault("input-ignored", "cannot-overfit")
def source_ignored(rng):
    "The decoder never looks at the encoder's output: cross attention gets the decoder's own states."

    class Deaf(Translator):
        def forward(self, source, target):
            x = self.decoder.encode(target)
            return self.decoder.head(x + self.cross(x, x * 0 + self.encoder(source * 0)))

    return translation(rng, Deaf())


@fault("leak")
def decoder_without_a_mask(rng):
    "The decoder of a translator sees the words that it is to say."
    return translation(rng, Translator(causal=False))


@fault("leak")
def mask_after_the_softmax(rng):
    "Weights are masked after the softmax: their sum still tells of later words."

    class Late(Attention):
        def normalize(self, scores):
            past = torch.tensor(np.tril(np.ones((scores.shape[-2], scores.shape[-1]), np.float32)))
            return scores.softmax(-1) * past

        def hide(self, scores):
            return scores

    return language(rng, Reader(Late()))


@fault("leak")
def norm_over_time(rng):
    "A norm over the whole sentence lets every word know of later ones."

    class OverTime(Reader):
        def encode(self, ids):
            x = super().encode(ids)
            return x - x.mean(1, keepdim=True)

    return language(rng, OverTime())


@fault("leak")
def convolution_looks_ahead(rng):
    "A convolution with padding on both sides reads the next word."

    class Conv(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.conv, self.head = (
                nn.Embedding(WORDS, 24),
                nn.Conv1d(24, 24, 3, padding=1),
                nn.Linear(24, WORDS),
            )

        def forward(self, ids):
            return self.head(self.conv(self.token(ids).transpose(1, 2)).transpose(1, 2).relu())

    return language(rng, Conv())


@fault("mask-inverted")
def mask_of_the_other_convention(rng):
    "True was to hide, here it shows."

    class Inverted(Attention):
        def hide(self, scores):
            past = torch.tensor(np.tril(np.ones((scores.shape[-2], scores.shape[-1]), bool), -1))
            return scores.masked_fill(past, -math.inf)

    return language(rng, Reader(Inverted()))


@fault("padding-mask-inverted", "mask-inverted", "input-ignored")
def padding_mask_inverted(rng):
    "The padding is what attention sees, and words are hidden."

    class Blind(Judge):
        def forward(self, ids):
            shown = (ids == 0).float().unsqueeze(-1)
            x = self.encode(ids)
            return self.head((x * shown).sum(1) / (shown.sum(1) + 1e-6))

    rows = padded(rng)
    rows[:, -1] = 0
    return judging(
        rng,
        Blind(words=WORDS, length=LENGTH + 1),
        batch=(tensor(rows), tensor(rows[:, 0] % 3)),
        held_out=None,
        pad_token=0,
    )


@fault("scale-missing", "attention-one-hot")
def scores_not_scaled(rng):
    "Scores are not divided by the root of the width, with large weights on top."

    class Hot(Attention):
        def scores(self, q, k):
            return q @ k.transpose(-1, -2)

    return language(rng, Reader(Hot()))


@fault("softmax-axis")
def softmax_over_queries(rng):
    "Attention weights sum to 1 over the queries."

    class Axis(Attention):
        def normalize(self, scores):
            return scores.softmax(-2)

    return judging(rng, _judge(Axis(causal=False)))


def _judge(attention):
    model = Judge()
    model.blocks[0].attention = attention
    return model


@fault("heads-scrambled")
def heads_by_view(rng):
    "Heads are made by reshape alone."

    class Scrambled(Attention):
        def split(self, x):
            return x.reshape(x.shape[0], self.heads, x.shape[1], -1)

        def merge(self, x):
            return x.reshape(x.shape[0], x.shape[2], -1)

    return judging(rng, _judge(Scrambled(causal=False)))


# ---- the step


@fault("uphill", "wrong-direction")
def plus_instead_of_minus(rng):
    "A step by hand goes up: p + lr * gradient."

    def step(model, batch, loss_fn, optimizer):
        for p in model.parameters():
            p.grad = None
        loss_fn(model, *batch).backward()
        with torch.no_grad():
            for p in model.parameters():
                p.data = p.data + 0.05 * p.grad.data

    return classifier(rng, step=step, optimizer=None)


@fault("no-update")
def rebinding_in_the_step(rng):
    "p = p - lr * gradient binds a new name; the model keeps its old parameter."

    def step(model, batch, loss_fn, optimizer):
        for p in model.parameters():
            p.grad = None
        loss_fn(model, *batch).backward()
        for p in model.parameters():
            p = p - 0.05 * p.grad

    return classifier(rng, step=step, optimizer=None)


@fault("stale-gradients")
def zero_grad_forgotten(rng):
    "Gradients are never set back."

    def step(model, batch, loss_fn, optimizer):
        loss_fn(model, *batch).backward()
        optimizer.step()

    return classifier(rng, step=step)


@fault("no-update", "stale-gradients", "zeroed-before-step")
def zeroed_before_the_step(rng):
    "zero_grad stands between backward and step."

    def step(model, batch, loss_fn, optimizer):
        loss_fn(model, *batch).backward()
        optimizer.zero_grad()
        optimizer.step()

    return classifier(rng, step=step)


@fault("no-update")
def step_forgotten(rng):
    "optimizer.step() is missing."

    def step(model, batch, loss_fn, optimizer):
        optimizer.zero_grad()
        loss_fn(model, *batch).backward()

    return classifier(rng, step=step)


@fault("step-fails", "does-not-run", "raises")
def step_raises(rng):
    "The step of one's own has a wrong name in it."

    def step(model, batch, loss_fn, optimizer):
        optimizer.zero_grad()
        loss_fn(model, *batch).backward()
        optimizer.stepp()

    return classifier(rng, step=step)


@fault("rate-too-high")
def rate_of_ten(rng):
    "A rate of 10, with plain gradient descent."
    case = classifier(rng)
    return case | {"optimizer": optim.SGD(case["model"].parameters(), lr=10.0)}


@fault("rate-too-low")
def rate_of_one_in_a_million(rng):
    "A rate of 1e-6 from the start."
    return classifier(rng, lr=1e-6)


@fault("rate-too-low")
def schedule_already_over(rng):
    "A schedule has brought the rate to nothing before the training has begun: each step halved it."
    case = classifier(rng)
    scheduler = optim.lr_scheduler.LambdaLR(case["optimizer"], lambda step: 0.5**step)
    for _ in range(16):
        case["optimizer"].step()
        scheduler.step()
    return case


@fault("no-update", "rate-too-low", "group-rate")
def one_group_without_a_rate(rng):
    "Two groups of parameters, and the rate of the second is 0."
    case = classifier(rng)
    first, second = list(case["model"].parameters())[:2], list(case["model"].parameters())[2:]
    return case | {"optimizer": optim.SGD([{"params": first, "lr": 0.1}, {"params": second, "lr": 0.0}], lr=0.1)}


@fault("weight-decay", "cannot-overfit", "decay-too-strong")
def decay_of_ten(rng):
    "Weight decay of 1 holds all weights at 0."
    case = classifier(rng)
    return case | {"optimizer": optim.SGD(case["model"].parameters(), lr=0.1, weight_decay=1.0)}


@fault("clip-too-tight", "rate-too-low", "no-update", "cannot-overfit")
def clipped_to_nothing(rng):
    "Gradients are clipped to a norm of 1e-6."
    case = classifier(rng)

    def step(model, batch, loss_fn, optimizer):
        optimizer.zero_grad()
        loss_fn(model, *batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1e-6)
        optimizer.step()

    return case | {"optimizer": optim.SGD(case["model"].parameters(), lr=0.1), "step": step}


@fault("eval-mode")
def left_in_eval_mode(rng):
    "model.eval() was called for a test, and nobody called train() again."
    model = nn.Sequential(nn.Linear(12, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 4))
    model.eval()
    return classifier(rng, model)


# ---- generation


@fault("greedy-loop")
def always_the_likeliest(rng):
    "The likeliest word each time, from an untrained model: a circle."
    model = Reader(layers=1)
    return train(language(rng, model), 60) | {
        "generate": lambda model: grow(model, lambda logits: logits[-1].argmax(), 60)
    }


@fault("generates-from-first", "reads-wrong-place", "greedy-loop")
def reads_the_first_place(rng):
    "Generation takes the logits of the first place, which never change."
    model = Reader()
    return language(rng, model, generate=lambda model: grow(model, lambda logits: logits[0].argmax()))


@fault("generates-in-train-mode", "train-mode")
def generates_with_dropout(rng):
    "model.eval() is missing before the text is generated."

    class Wet(Reader):
        def __init__(self):
            super().__init__()
            self.dropout = nn.Dropout(0.3)

        def encode(self, ids):
            return self.dropout(super().encode(ids))

    draw = np.random.default_rng(0)

    def choose(logits):
        p = np.exp(logits[-1] - logits[-1].max())
        return draw.choice(WORDS, p=p / p.sum())

    return language(rng, Wet(), generate=lambda model: grow(model, choose))


@fault("generate-fails", "raises", "does-not-run")
def generation_grows_too_long(rng):
    "The text grows beyond the table of positions."

    def generate(model):
        ids = np.array([[1]])
        for _ in range(LENGTH + 4):
            logits = np.array(model(tensor(ids)).tolist())
            ids = np.concatenate([ids, [[logits[0, -1].argmax()]]], axis=1)
        return ids

    return language(rng, generate=generate)


@fault("held-out-fails", "raises", "ids-out-of-range")
def held_out_word_unknown(rng):
    "Held-out text has a word that the vocabulary does not."
    ids = chain(rng)
    ids[0, 3] = WORDS
    return language(rng, held_out=next_words(ids))
