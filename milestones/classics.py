"""What the scripts of 1958 to 1998 share: learning from images in batches, measuring, and pictures of mistakes."""
import time
from contextlib import closing

import numpy as np
from criteria import at_least, finish
from image_sets import load_images
from sources import DatasetError

import tinytorch
import tinytorch.nn.functional as F
from tinytorch import Tensor
from tinytorch.optim import AdamW, LambdaLR, warmup_cosine
from tinytorch.runs import Metrics, new_run
from tito.curves import pyplot

# ---- images

def fit(model, images, labels, epochs, learning_rate, batch=64, augment=None, smoothing=0.0, weight_decay=0.01,
        record=None):
    """Train `model` on images (N, C, H, W) and labels (N,) with AdamW and a cosine schedule; return it in eval mode.

    augment(images, generator): images to train on instead, drawn anew in every epoch. record(dict): called after each
    step.
    """
    generator = tinytorch.default_generator()
    optimizer = AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    steps = epochs * -(-len(images) // batch)
    schedule = LambdaLR(optimizer, warmup_cosine(min(20, steps // 10), steps))
    step, report = 0, max(1, epochs // 5)
    for epoch in range(1, epochs + 1):
        right, order = 0, generator.permutation(len(images))
        for start in range(0, len(order), batch):
            chosen = order[start:start + batch]
            inputs = augment(images[chosen], generator) if augment else images[chosen]
            scores = model(Tensor(inputs))
            loss = F.cross_entropy(scores, Tensor(labels[chosen]), label_smoothing=smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
            right += int((scores.data.argmax(1) == labels[chosen]).sum())
            if record:
                record({"step": step, "loss": loss.item()})
        if epoch % report == 0 or epoch == epochs:
            print(f"  epoch {epoch:3}/{epochs}   loss {loss.item():.4f}   of the training images right "
                  f"{right / len(images):.2%}", flush=True)
    return model.eval()


@tinytorch.no_grad()
def scores_of(model, images, batch=500):
    "Return the scores (N, classes) of images, computed in batches."
    return np.concatenate([model(Tensor(images[i:i + batch])).data for i in range(0, len(images), batch)])


def accuracy(model, images, labels):
    "Return the share of images whose largest score is that of their label."
    return float((scores_of(model, images).argmax(1) == labels).mean())


def with_labels_shuffled(labels, generator):
    "Return the labels in another order, as a negative control: they can only be learned by heart."
    return generator.permutation(labels)


# ---- a run that learns images

def images_and_settings(args, parser, settings):
    """Return (images, settings): the `Images` --data, labels shuffled for --broken labels; {name: setting} of these.

    Sets the library's seed. Exits with status 2 for arguments that do not fit, or images that cannot be had.
    """
    chosen = settings[args.data] | ({} if args.epochs is None else {"epochs": args.epochs})
    if args.seed < 0 or chosen["epochs"] < 1:
        parser.error(f"expected --seed of at least 0 and --epochs of at least 1, got {args.seed} and {args.epochs}")
    try:
        data = load_images(args.data, args.seed)
    except DatasetError as error:
        parser.error(str(error))
    generator = tinytorch.manual_seed(args.seed)
    if args.broken == "labels":
        images, labels = data.train
        data = data._replace(train=(images, with_labels_shuffled(labels, generator)))
    return data, chosen


def learn(name, model, data, args, settings, augment):
    "Train `model` on the training images, in a new run folder; return (folder, seconds)."
    (images, labels), (test_images, _) = data.train, data.test
    print(f"{len(images):,} images of {images.shape[2]} x {images.shape[3]} from {data.source}, {len(test_images):,} "
          f"held out, seed {args.seed}; {sum(p.numel() for p in model.parameters()):,} parameters")
    folder, start = new_run(args.runs, name, vars(args) | settings), time.perf_counter()
    with closing(Metrics(folder)) as record:
        fit(model, images, labels, settings["epochs"], settings["learning_rate"], settings["batch"], augment,
            record=record)
    return folder, time.perf_counter() - start


def judge(folder, model, data, wanted, seconds, advice, broken=None):
    "Measure on the held-out images, draw the mistakes, and finish the run; return the exit status."
    images, labels = data.test
    scores = scores_of(model, images)
    draw_mistakes(folder / "mistakes.png", images, labels, scores, data.classes)
    share = float((scores.argmax(1) == labels).mean())
    numbers = {"training images right": accuracy(model, *data.train), "training images": len(data.train[0]),
               "held-out images": len(images), "seconds of training": seconds,
               "parameters": sum(p.numel() for p in model.parameters())}
    criteria = [at_least("held-out images right", share, wanted, percent=True)]
    return finish(folder, criteria, numbers, seconds, advice, broken=broken)


# ---- pictures

def worth_a_look(scores, labels):
    """Return (order, shares): indices of all examples, and the probability of each answer.

    Those with a wrong answer come first, the surest of them in front; then the right ones, the surest at the end.
    """
    chances = np.exp(scores - scores.max(1, keepdims=True))
    shares, right = chances.max(1) / chances.sum(1), scores.argmax(1) == labels
    return np.lexsort((np.where(right, shares, -shares), right)), shares


def draw_mistakes(path, images, labels, scores, classes, most=24):
    "Draw held-out images: those that came out wrong (red), then those that were right, but only just."
    plt, given, (order, shares) = pyplot(), scores.argmax(1), worth_a_look(scores, labels)
    order, rows = order[:most], -(-min(most, len(order)) // 8)
    figure, axes = plt.subplots(rows, 8, figsize=(9, 1.3 * rows + 0.4), layout="constrained", squeeze=False)
    for axis in axes.flat[len(order):]:
        axis.axis("off")
    for axis, i in zip(axes.flat, order):
        wrong = given[i] != labels[i]
        axis.imshow(images[i].transpose(1, 2, 0).squeeze(), cmap="gray_r")
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_color("C3" if wrong else "0.8")
        told = f"{classes[given[i]]} ({shares[i]:.0%})" + (f", is {classes[labels[i]]}" if wrong else "")
        axis.set_title(told, fontsize=8, color="C3" if wrong else "black")
    figure.suptitle(f"{(given != labels).sum()} of {len(labels)} held-out images are wrong (red); then come those that "
                    "it was least sure of", fontsize=10)
    figure.savefig(path, dpi=120)
    plt.close(figure)
