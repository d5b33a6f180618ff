"""Healthy set-ups, many of which look odd: a docstring says why somebody could take it for broken. None is."""

import math

import numpy as np

from tests.diagnosis_corpus import healthy
from tests.diagnosis_corpus.framework import F, nn, optim, torch
from tests.diagnosis_corpus.parts import (
    LENGTH,
    WORDS,
    Attention,
    Net,
    Reader,
    Two,
    adam,
    blobs,
    chain,
    classifier,
    halves,
    judging,
    language,
    mlp,
    padded,
    pictures,
    regression,
    tensor,
    train,
    translation,
)

# ---- plain set-ups


@healthy
def plain_classifier(rng):
    return classifier(rng)


@healthy
def plain_regression(rng):
    return regression(rng)


@healthy
def plain_language_model(rng):
    return language(rng)


@healthy
def plain_sentence_classifier(rng):
    return judging(rng)


@healthy
def plain_translator(rng):
    return translation(rng)


@healthy
def pictures_with_convolutions(rng):
    train_, test = halves(pictures(rng, 64))
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 4))
    return classifier(rng, model, lr=3e-3, batch=train_, held_out=test)


@healthy
def batch_norm_and_dropout(rng):
    "In training, examples know of each other and answers are random; in evaluation neither is true."
    return classifier(
        rng, nn.Sequential(nn.Linear(12, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 4))
    )


@healthy
def logistic_regression(rng):
    "No hidden layer at all, on what a line separates."
    return classifier(rng, nn.Linear(12, 4), lr=0.05)


@healthy
def line_through_noise(rng):
    "The noise is a floor that no line gets below."
    x = rng.standard_normal((128, 3))
    y = x @ np.array([[1.0], [-2.0], [0.5]]) + 0.5 * rng.standard_normal((128, 1))
    train_, test = halves((x, y))
    return regression(rng, nn.Linear(3, 1), lr=0.05, batch=train_, held_out=test)


@healthy
def two_classes_one_logit(rng):
    x, labels = blobs(rng, 128, classes=2)
    train_, test = halves((x, labels[:, None].astype(float)))
    return classifier(
        rng,
        mlp(12, 32, 1),
        batch=train_,
        held_out=test,
        loss_fn=lambda model, x, y: F.binary_cross_entropy_with_logits(model(x), y),
    )


@healthy
def probabilities_and_bce(rng):
    "A sigmoid at the end, and the loss for probabilities."
    x, labels = blobs(rng, 128, classes=2)
    train_, test = halves((x, labels[:, None].astype(float)))
    return classifier(
        rng,
        mlp(12, 32, 1, last=nn.Sigmoid()),
        batch=train_,
        held_out=test,
        loss_fn=lambda model, x, y: F.binary_cross_entropy(model(x), y),
    )


@healthy
def log_probabilities_and_nll(rng):
    return classifier(
        rng, mlp(12, 32, 4, last=nn.LogSoftmax(dim=-1)), loss_fn=lambda model, x, y: F.nll_loss(model(x), y)
    )


@healthy
def cross_entropy_by_hand(rng):
    def loss(model, x, labels):
        return -model(x).log_softmax(-1)[torch.arange(len(labels)), labels].mean()

    return classifier(rng, loss_fn=loss)


@healthy
def one_hot_targets(rng):
    x, labels = blobs(rng, 128)
    train_, test = halves((x, np.eye(4)[labels]))
    return classifier(
        rng, batch=train_, held_out=test, loss_fn=lambda model, x, y: -(y * model(x).log_softmax(-1)).sum(-1).mean()
    )


@healthy
def several_labels_each(rng):
    x, _ = blobs(rng, 128)
    y = (x[:, :5] > 0).astype(float)
    train_, test = halves((x, y))
    return classifier(
        rng,
        mlp(12, 32, 5),
        batch=train_,
        held_out=test,
        loss_fn=lambda model, x, y: F.binary_cross_entropy_with_logits(model(x), y),
    )


@healthy
def absolute_error(rng):
    return regression(rng, loss_fn=lambda model, x, y: (model(x) - y).abs().mean())


@healthy
def huber_error(rng):
    return regression(rng, loss_fn=lambda model, x, y: F.smooth_l1_loss(model(x), y))


@healthy
def squeezed_on_both_sides(rng):
    "(N, 1) is squeezed to (N,), as the targets are."
    case = regression(rng)
    return case | {
        "batch": (case["batch"][0], case["batch"][1].squeeze(1)),
        "held_out": None,
        "loss_fn": lambda model, x, y: F.mse_loss(model(x).squeeze(1), y),
    }


@healthy
def gaussian_likelihood(rng):
    "The model says mean and log-variance; the loss may be negative."

    def loss(model, x, y):
        out = model(x)
        return (0.5 * out[:, 1:] + 0.5 * (out[:, :1] - y) ** 2 * (-out[:, 1:]).exp()).mean()

    return regression(rng, mlp(6, 32, 2, hidden=nn.Tanh), lr=3e-3, loss_fn=loss)


@healthy
def label_smoothing(rng):
    "The loss cannot come near 0: one tenth of each target is spread over all classes."

    def loss(model, x, labels):
        logs = model(x).log_softmax(-1)
        return -(0.9 * logs[torch.arange(len(labels)), labels] + 0.1 * logs.mean(-1)).mean()

    return classifier(rng, loss_fn=loss)


@healthy
def weighted_classes(rng):
    x = rng.standard_normal((128, 12))
    labels = (x[:, 0] > 0.8).astype(int)
    return classifier(
        rng,
        mlp(12, 32, 2),
        batch=(tensor(x), tensor(labels)),
        held_out=None,
        loss_fn=lambda model, x, y: F.cross_entropy(model(x), y, weight=tensor(np.array([0.3, 0.7]))),
    )


@healthy
def sum_with_a_small_rate(rng):
    "A sum over the batch, and a rate that suits it."
    case = regression(rng)
    return case | {
        "optimizer": optim.SGD(case["model"].parameters(), lr=1e-3),
        "loss_fn": lambda model, x, y: ((model(x) - y) ** 2).sum(),
    }


# ---- what looks like a fault


@healthy
def inputs_scaled_in_forward(rng):
    "Bytes go in; forward scales them."
    x, labels = pictures(rng, 64)
    pixels = np.clip(x * 64 + 128, 0, 255)
    model = Net(lambda parts, x: parts["body"](((x - 128) / 64).flatten(1)), body=mlp(64, 32, 4))
    return classifier(rng, model, batch=(tensor(pixels), tensor(labels)), held_out=None)


@healthy
def inputs_scaled_by_a_first_norm(rng):
    "Columns of very different size, and a batch norm first."
    x, labels = blobs(rng, 128)
    train_, test = halves((x * np.logspace(0, 3, 12) + 50, labels))
    return classifier(
        rng,
        nn.Sequential(nn.BatchNorm1d(12), nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 4)),
        batch=train_,
        held_out=test,
    )


@healthy
def autoencoder(rng):
    "The targets are the inputs."
    x = rng.standard_normal((64, 3)) @ rng.standard_normal((3, 12))
    x = tensor(x / x.std())
    return regression(rng, mlp(12, 16, 3, 16, 12, hidden=nn.Tanh), batch=(x, x), held_out=None)


@healthy
def inputs_only(rng):
    "An autoencoder whose batch is one tensor."
    x = rng.standard_normal((64, 3)) @ rng.standard_normal((3, 12))
    return regression(
        rng,
        mlp(12, 16, 3, 16, 12, hidden=nn.Tanh),
        batch=(tensor(x / x.std()),),
        held_out=None,
        loss_fn=lambda model, x: F.mse_loss(model(x), x),
    )


@healthy
def copy_task(rng):
    "A model is to repeat the words: the task is meant."
    ids = tensor(rng.integers(0, WORDS, (32, LENGTH)))
    return language(rng, batch=(ids, ids), held_out=None, model=Reader(Attention(causal=False)))


@healthy
def masked_words(rng):
    "A model for hidden words sees both sides: targets are the inputs, where the loss counts."
    ids = chain(rng, length=LENGTH)
    hidden = rng.random(ids.shape) < 0.2
    return language(
        rng,
        Reader(Attention(causal=False), words=WORDS + 1, outputs=WORDS),
        held_out=None,
        batch=(tensor(np.where(hidden, WORDS, ids)), tensor(np.where(hidden, ids, -100))),
    )


@healthy
def straight_through(rng):
    "Codes are rounded in the forward pass, and the gradient goes past on purpose."

    def call(parts, x):
        code = parts["a"](x)
        return parts["b"](code + (code.round() - code).detach())

    return classifier(rng, Net(call, a=nn.Linear(12, 32), b=nn.Linear(32, 4)))


@healthy
def variational_autoencoder(rng):
    "It draws its codes, also in evaluation."
    x = rng.standard_normal((64, 3)) @ rng.standard_normal((3, 12))

    def call(parts, x):
        mean, log_var = parts["encoder"](x).chunk(2, -1)
        code = mean + (0.5 * log_var).exp() * torch.randn_like(mean)
        return torch.cat([parts["decoder"](code), mean, log_var], -1)

    def loss(model, x):
        out = model(x)
        mean, log_var = out[:, 12:15], out[:, 15:]
        return F.mse_loss(out[:, :12], x) + 1e-2 * (-0.5 * (1 + log_var - mean**2 - log_var.exp())).sum(-1).mean()

    return regression(
        rng,
        Net(call, encoder=mlp(12, 16, 6), decoder=mlp(3, 16, 12)),
        batch=(tensor(x / x.std()),),
        held_out=None,
        loss_fn=loss,
    )


@healthy
def distillation(rng):
    "A teacher that is not trained gives the targets; the labels are not used."
    teacher = train(classifier(rng), 60)["model"]
    for p in teacher.parameters():
        p.requires_grad = False

    def loss(model, x, labels):
        return -(teacher(x).softmax(-1) * model(x).log_softmax(-1)).sum(-1).mean()

    return classifier(rng, loss_fn=loss, held_out=None)


@healthy
def reinforce(rng):
    "Rewards times the log-probabilities of the actions drawn: the loss may be negative, and means nothing."
    x = rng.standard_normal((64, 6))
    actions = rng.integers(0, 3, 64)
    rewards = np.where(actions == np.argmax(x[:, :3], 1), 1.0, -0.5)

    def loss(model, x, actions, rewards):
        logs = model(x).log_softmax(-1)[torch.arange(len(actions)), actions]
        return -(logs * rewards).mean()

    return classifier(
        rng, mlp(6, 32, 3), batch=(tensor(x), tensor(actions), tensor(rewards)), held_out=None, loss_fn=loss
    )


@healthy
def contrastive(rng):
    "Each example is compared with all others of the batch: the loss mixes examples on purpose."
    x = rng.standard_normal((32, 12))
    pairs = (tensor(x), tensor(x + 0.1 * rng.standard_normal(x.shape)))

    def loss(model, a, b):
        scores = F.normalize(model(a), dim=-1) @ F.normalize(model(b), dim=-1).transpose(0, 1) / 0.1
        return F.cross_entropy(scores, torch.arange(len(a)))

    return classifier(rng, mlp(12, 32, 8), batch=pairs, held_out=None, loss_fn=loss)


@healthy
def gan_generator(rng):
    "The discriminator is not in the optimizer; the loss goes through it."
    judge = mlp(4, 16, 1)
    for p in judge.parameters():
        p.requires_grad = False
    model = mlp(6, 16, 4)
    return {
        "model": model,
        "batch": (tensor(rng.standard_normal((64, 6))),),
        "optimizer": adam(model, 1e-2),
        "loss_fn": lambda model, z: F.binary_cross_entropy_with_logits(judge(model(z)), torch.ones(len(z), 1)),
    }


@healthy
def frozen_body(rng):
    "Only the head is trained; the body is frozen."
    model = nn.Sequential(mlp(12, 32, 32), nn.ReLU(), nn.Linear(32, 4))
    for p in model[0].parameters():
        p.requires_grad = False
    case = classifier(rng, model)
    return case | {"optimizer": optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)}


@healthy
def dummy_labels(rng):
    "The batch has labels that the loss does not use."
    x = rng.standard_normal((64, 3)) @ rng.standard_normal((3, 12))
    return regression(
        rng,
        mlp(12, 16, 3, 16, 12, hidden=nn.Tanh),
        batch=(tensor(x / x.std()), tensor(np.zeros(64, int))),
        held_out=None,
        loss_fn=lambda model, x, unused: F.mse_loss(model(x), x),
    )


@healthy
def stopped_target(rng):
    "A value is learned towards reward plus the model's own next value, which is detached."
    x, after = rng.standard_normal((64, 6)), rng.standard_normal((64, 6))
    return regression(
        rng,
        batch=(tensor(x), tensor(after), tensor(x[:, :1])),
        held_out=None,
        lr=3e-3,
        loss_fn=lambda model, x, after, reward: F.mse_loss(model(x), reward + 0.5 * model(after).detach()),
    )


@healthy
def zero_last_layer(rng):
    "The last layer starts at 0: the first answer is that all classes are alike."
    model = mlp(12, 32, 4)
    nn.init.zeros_(model[2].weight)
    nn.init.zeros_(model[2].bias)
    return classifier(rng, model)


@healthy
def tied_embedding(rng):
    "One matrix is table and head."
    model = Reader()
    model.head.weight = model.token.weight
    return language(rng, model)


@healthy
def shared_layer_on_purpose(rng):
    "Two inputs go through one encoder."
    a, b = rng.standard_normal((64, 12)), rng.standard_normal((64, 12))
    model = Net(
        lambda parts, a, b: parts["head"]((parts["encoder"](a) - parts["encoder"](b)).abs()),
        encoder=mlp(12, 32, 16),
        head=nn.Linear(16, 2),
    )
    return classifier(
        rng,
        model,
        batch=(tensor(a), tensor(b), tensor((a * b)[:, :4].sum(1) > 0)),
        held_out=None,
        loss_fn=lambda model, a, b, y: F.cross_entropy(model(a, b), y),
    )


@healthy
def padding_ignored(rng):
    "Padding is no target."
    ids = padded(rng)
    return language(
        rng,
        batch=(tensor(ids[:, :-1]), tensor(np.where(ids[:, 1:] == 0, -100, ids[:, 1:]))),
        held_out=None,
        pad_token=0,
    )


@healthy
def warm_up(rng):
    "The rate begins at a hundredth of what it will be."
    case = language(rng)
    optim.lr_scheduler.LambdaLR(case["optimizer"], lambda step: min(1.0, (step + 1) / 100))
    return case


@healthy
def two_rates(rng):
    "The body learns with a tenth of the head's rate."
    case = classifier(rng)
    p = list(case["model"].parameters())
    return case | {"optimizer": optim.Adam([{"params": p[:2], "lr": 1e-3}, {"params": p[2:], "lr": 1e-2}], lr=1e-2)}


@healthy
def decayed_and_not(rng):
    "Biases are in a group without weight decay."
    case = classifier(rng)
    p = list(case["model"].parameters())
    return case | {
        "optimizer": optim.AdamW(
            [{"params": p[::2], "weight_decay": 0.1}, {"params": p[1::2], "weight_decay": 0.0}], lr=1e-2
        )
    }


@healthy
def clipped_step(rng):
    "A step of one's own, with gradients clipped at 1."

    def step(model, batch, loss_fn, optimizer):
        optimizer.zero_grad()
        loss_fn(model, *batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return language(rng, step=step)


@healthy
def two_halves_of_a_batch(rng):
    "Gradients of two halves are added up before a step."

    def step(model, batch, loss_fn, optimizer):
        optimizer.zero_grad()
        half = (len(batch[0]) + 1) // 2
        for part in ([b[:half] for b in batch], [b[half:] for b in batch]):
            if len(part[0]):
                (loss_fn(model, *part) / 2).backward()
        optimizer.step()

    return classifier(rng, step=step)


@healthy
def step_by_hand(rng):
    "Plain gradient descent, without an optimizer."

    def step(model, batch, loss_fn, optimizer):
        for p in model.parameters():
            p.grad = None
        loss_fn(model, *batch).backward()
        with torch.no_grad():
            for p in model.parameters():
                p.data = p.data - 0.3 * p.grad.data

    return classifier(rng, step=step, optimizer=None)


@healthy
def momentum(rng):
    case = classifier(rng)
    return case | {"optimizer": optim.SGD(case["model"].parameters(), lr=0.05, momentum=0.9)}


@healthy
def bag_of_words(rng):
    "Order does not matter for this label, and the model does not see it."
    ids = rng.integers(0, WORDS, (64, LENGTH))
    labels = ((ids < 4).sum(1) > 3).astype(int)
    model = Net(
        lambda parts, ids: parts["head"](parts["table"](ids).mean(1)),
        table=nn.Embedding(WORDS, 16),
        head=nn.Linear(16, 2),
    )
    return judging(rng, model, lr=3e-2, batch=(tensor(ids), tensor(labels)), held_out=None)


@healthy
def causal_convolution(rng):
    def call(parts, ids):
        x = F.pad(parts["token"](ids).transpose(1, 2), (2, 0))
        return parts["head"](parts["conv"](x).transpose(1, 2).relu())

    return language(rng, Net(call, token=nn.Embedding(WORDS, 24), conv=nn.Conv1d(24, 32, 3), head=nn.Linear(32, WORDS)))


@healthy
def recurrent_by_hand(rng):
    "A loop over places, with the state of the place before."

    def call(parts, ids):
        x, state, states = parts["token"](ids), torch.zeros(len(ids), 24), []
        for t in range(ids.shape[1]):
            state = (parts["inside"](state) + x[:, t]).tanh()
            states.append(state)
        return parts["head"](torch.stack(states, 1))

    return language(rng, Net(call, token=nn.Embedding(WORDS, 24), inside=nn.Linear(24, 24), head=nn.Linear(24, WORDS)))


@healthy
def last_place_answers(rng):
    "A causal reader whose last place gives the label."
    model = Reader(outputs=3)
    return judging(rng, model, loss_fn=lambda model, ids, labels: F.cross_entropy(model(ids)[:, -1], labels))


@healthy
def words_two_at_a_time(rng):
    "The loss leaves out the first places, which have too little to go on."
    return language(
        rng,
        held_out=None,
        loss_fn=lambda model, ids, targets: F.cross_entropy(
            model(ids)[:, 3:].reshape(-1, WORDS), targets[:, 3:].reshape(-1)
        ),
    )


@healthy
def no_optimizer_given(rng):
    case = classifier(rng)
    return {name: case[name] for name in ("model", "batch", "loss_fn")}


@healthy
def rare_class(rng):
    "One in eight is of the rare class, and can be told apart."
    x = rng.standard_normal((128, 12))
    labels = np.argsort(np.argsort(x[:, 0])) >= 112
    return classifier(rng, mlp(12, 32, 2), batch=(tensor(x), tensor(labels)), held_out=None)


@healthy
def hinge_loss(rng):
    x, labels = blobs(rng, 128, classes=2)
    train_, test = halves((x, 2.0 * labels[:, None] - 1))
    return classifier(
        rng, mlp(12, 32, 1), batch=train_, held_out=test, loss_fn=lambda model, x, y: (1 - y * model(x)).relu().mean()
    )


@healthy
def penalty_on_weights(rng):
    def loss(model, x, labels):
        return F.cross_entropy(model(x), labels) + 1e-3 * sum((p**2).sum() for p in model.parameters())

    return classifier(rng, loss_fn=loss)


@healthy
def mixture_of_two(rng):
    "A gate weighs two experts."

    def call(parts, x):
        weights = parts["gate"](x).softmax(-1)
        return weights[:, :1] * parts["a"](x) + weights[:, 1:] * parts["b"](x)

    return classifier(rng, Net(call, gate=nn.Linear(12, 2), a=mlp(12, 16, 4), b=mlp(12, 16, 4)))


@healthy
def gelu_in_six_layers(rng):
    return classifier(rng, mlp(12, 48, 48, 48, 48, 48, 4, hidden=nn.GELU), lr=3e-3)


@healthy
def denoising(rng):
    "The loss adds noise to the inputs itself, another one each time."
    x = rng.standard_normal((64, 3)) @ rng.standard_normal((3, 12))
    return regression(
        rng,
        mlp(12, 32, 12),
        batch=(tensor(x / x.std()),),
        held_out=None,
        loss_fn=lambda model, x: F.mse_loss(model(x + 0.2 * torch.randn_like(x)), x),
    )


# ---- trained


@healthy(trained=True)
def trained_classifier(rng):
    return train(classifier(rng))


@healthy(trained=True)
def trained_regression(rng):
    return train(regression(rng))


@healthy(trained=True)
def trained_language_model(rng):
    return train(language(rng), 200)


@healthy(trained=True)
def trained_translator(rng):
    return train(translation(rng), 120)


@healthy(trained=True)
def trained_sentence_classifier(rng):
    return train(judging(rng), 150)


@healthy(trained=True)
def trained_with_dead_units(rng):
    "A large rate has left units that are always 0; the others do the work."
    return train(classifier(rng, mlp(12, 64, 4), lr=5e-2), 150)


@healthy(trained=True)
def fine_tuning_with_a_low_rate(rng):
    "A trained model goes on with a hundredth of its rate, as fine-tuning does."
    case = train(classifier(rng, lr=1e-2), 60)
    return case | {"optimizer": adam(case["model"], 1e-4)}


@healthy(trained=True)
def fine_tuning_on_other_data(rng):
    "A trained body, a new head, other data, a low rate."
    case = train(classifier(rng, Two()), 60)
    new = classifier(rng, case["model"], lr=1e-3)
    case["model"].head = nn.Linear(32, 4)
    return new | {"optimizer": adam(case["model"], 1e-3)}


@healthy(trained=True)
def trained_saturated_gate(rng):
    "Training itself has driven the tanh units to their ends."
    return train(classifier(rng, mlp(12, 32, 4, hidden=nn.Tanh), lr=5e-2), 200)


@healthy(trained=True)
def trained_sure_and_sometimes_wrong(rng):
    "A fifth of the labels is wrong: the trained model is sure, and the held-out loss is high."
    x, labels = blobs(rng, 128)
    labels = np.where(rng.random(128) < 0.2, rng.integers(0, 4, 128), labels)
    train_, test = halves((x, labels))
    case = train(classifier(rng, mlp(12, 64, 4), batch=train_, held_out=test), 200)
    return case | {"batch": test, "held_out": train_}


@healthy(trained=True)
def trained_copy_task(rng):
    "Attention of a model that copies the first word is one-hot, and ought to be."
    ids = rng.integers(0, WORDS, (32, LENGTH))
    case = language(
        rng,
        Reader(Attention(causal=False)),
        batch=(tensor(ids), tensor(np.repeat(ids[:, :1], LENGTH, 1))),
        held_out=None,
    )
    return train(case, 200)


@healthy(trained=True)
def trained_with_a_schedule_near_its_end(rng):
    "A cosine has come down to nearly nothing, as it does at the end."
    case = train(classifier(rng), 100)
    scheduler = optim.lr_scheduler.LambdaLR(
        case["optimizer"], lambda step: 0.5 * (1 + math.cos(math.pi * min(step, 99) / 100))
    )
    for _ in range(98):
        case["optimizer"].step()
        scheduler.step()
    return case
