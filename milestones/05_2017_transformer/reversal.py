"""2017, the transformer: learn to write a sequence of digits backwards, from examples alone.

    python milestones/05_2017_transformer/reversal.py [--seed 0] [--epochs 6] [--length 8]

Every position must fetch the digit at the mirrored place. No layer that treats positions alone can do that;
attention can, if (and only if) it knows where things stand. So this small task is a sharp test: with working
attention and working positions nearly every unseen sequence comes out right, otherwise hardly any does.

Two models made of the same parts learn it: `ReversalTransformer`, a class of `nn` modules, and
`build_simple_transformer`, plain functions over a dictionary of weights. The exit status is 0 only if each
reverses at least 99 % of held-out sequences without a single mistake.
"""
import argparse
import os
import sys
import time
from contextlib import closing
from pathlib import Path

# Before NumPy is imported: products this small gain nothing from a second thread, and on a busy machine wait for it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import tinytorch
import tinytorch.nn as nn
import tinytorch.nn.functional as F
from tinytorch import Tensor
from tinytorch.data import DataLoader, TensorDataset
from tinytorch.optim import AdamW, LambdaLR, clip_grad_norm_, warmup_cosine
from tinytorch.runs import Metrics, new_run

sys.path.append(str(Path(__file__).parents[1]))  # criteria.py

from criteria import at_least, finish

from tito.report import plot_attention

# ---- knobs

NEEDS = ("01", "02", "03", "04", "05", "06", "07", "10", "11", "12", "13")  # the chapters whose code runs here
OPENED_BY = "11"  # in the place of chapters that are not written yet stands the reference
DIGITS = 10  # the vocabulary
D_MODEL, HEADS, HIDDEN = 32, 4, 128
TRAIN_SEQUENCES, TEST_SEQUENCES, BATCH = 8_000, 1_000, 64
LEARNING_RATE, WARMUP_STEPS, MAX_NORM = 5e-3, 100, 1.0
THRESHOLD = 0.99  # share of held-out sequences reversed without a mistake

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--seed", type=int, default=0, help="of data, weights and shuffling (default 0)")
parser.add_argument("--epochs", type=int, default=6, help="passes over the training sequences (default 6)")
parser.add_argument("--length", type=int, default=8, help="digits in a sequence, at least 2 (default 8)")
parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for the pictures (default runs/)")


# ---- the task

def reversal_data(length, seed):
    """Return (train, test), pairs of random sequences and their reversals: integer arrays (N, length), no row in both.

    Raises: ValueError for a length below 2.
    """
    if length < 2:
        raise ValueError(f"--length: expected at least 2 digits to reverse, got {length}")
    generator = np.random.default_rng(seed)
    wanted = min(TRAIN_SEQUENCES + TEST_SEQUENCES, DIGITS**length)
    sequences = np.unique(generator.integers(0, DIGITS, (10 * wanted, length)), axis=0)
    generator.shuffle(sequences)
    sequences = sequences[:wanted]
    held_out, train = np.split(sequences, [len(sequences) // 9])
    train = np.resize(train, (TRAIN_SEQUENCES, length))  # short sequences are few: they repeat within an epoch
    return (train, train[:, ::-1]), (held_out, held_out[:, ::-1])


# ---- the model as a class

class ReversalTransformer(nn.Module):
    "Give digits (B, T) logits (B, T, DIGITS) for the digit at each place of the reversed sequence."
    def __init__(self, length):
        self.token = nn.Embedding(DIGITS, D_MODEL)
        self.position = nn.LearnedPositions(length, D_MODEL)
        self.block = nn.TransformerBlock(nn.TransformerConfig(d_model=D_MODEL, num_heads=HEADS, mlp_hidden=HIDDEN))
        self.norm = nn.LayerNorm(D_MODEL)
        self.head = nn.Linear(D_MODEL, DIGITS)

    def embed(self, digits):
        return self.token(digits) + self.position(digits.shape[1])

    def forward(self, digits):
        return self.head(self.norm(self.block(self.embed(digits))))


# ---- the same model as plain functions

def build_simple_transformer(length):
    "Return (weights, forward): a dictionary of Tensors under the class's names for them, and a function of digits."
    def uniform(*shape):
        bound = shape[-1] ** -0.5
        return Tensor(tinytorch.rand(*shape) * (2 * bound) - bound, requires_grad=True)

    def gain(name):
        return {f"{name}.weight": tinytorch.ones(D_MODEL, requires_grad=True),
                f"{name}.bias": tinytorch.zeros(D_MODEL, requires_grad=True)}

    def affine(name, n_in, n_out):
        return {f"{name}.weight": uniform(n_out, n_in), f"{name}.bias": tinytorch.zeros(n_out, requires_grad=True)}

    weights = {
        "token.weight": tinytorch.randn(DIGITS, D_MODEL, requires_grad=True),
        "position.weight": tinytorch.randn(length, D_MODEL, requires_grad=True),
        **gain("block.norm1"),
        **affine("block.attention.in_proj", D_MODEL, 3 * D_MODEL),
        **affine("block.attention.out_proj", D_MODEL, D_MODEL),
        **gain("block.norm2"),
        **affine("block.mlp.fc1", D_MODEL, HIDDEN),
        **affine("block.mlp.fc2", HIDDEN, D_MODEL),
        **gain("norm"),
        **affine("head", D_MODEL, DIGITS),
    }

    def layer(name, x):
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(name, x):
        return F.layer_norm(x, (D_MODEL,), weights[f"{name}.weight"], weights[f"{name}.bias"])

    def heads(x):
        return x.reshape(*x.shape[:2], HEADS, D_MODEL // HEADS).transpose(1, 2)  # (B, H, T, D/H)

    def forward(digits):
        x = F.embedding(digits, weights["token.weight"]) + weights["position.weight"][: digits.shape[1]]  # (B, T, D)
        query, key, value = layer("block.attention.in_proj", norm("block.norm1", x)).chunk(3, dim=-1)
        found = F.scaled_dot_product_attention(heads(query), heads(key), heads(value))  # (B, H, T, D/H)
        x = x + layer("block.attention.out_proj", found.transpose(1, 2).reshape(*x.shape))
        hidden = F.gelu(layer("block.mlp.fc1", norm("block.norm2", x)), approximate="tanh")
        x = x + layer("block.mlp.fc2", hidden)
        return layer("head", norm("norm", x))

    return weights, forward


# ---- learning

def loss_of(logits, targets):
    return F.cross_entropy(logits.reshape(-1, DIGITS), targets.reshape(-1))  # (B T, DIGITS), (B T,)


def train(forward, parameters, pairs, epochs, report=print):
    "Fit `forward` to (sequence, reversal) pairs; return the loss of every step."
    parameters = list(parameters)
    loader = DataLoader(TensorDataset(*map(Tensor, pairs)), batch_size=BATCH, shuffle=True)
    optimizer = AdamW(parameters, lr=LEARNING_RATE)
    schedule = LambdaLR(optimizer, warmup_cosine(WARMUP_STEPS, max(epochs * len(loader), WARMUP_STEPS + 1)))
    losses = []
    for epoch in range(1, epochs + 1):
        right = seen = 0
        for digits, targets in loader:
            logits = forward(digits)
            loss = loss_of(logits, targets)
            optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(parameters, MAX_NORM)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            right += int((logits.argmax(dim=-1) == targets).sum())
            seen += targets.numel()
        loss = np.mean(losses[-len(loader):])
        report(f"  epoch {epoch:2}/{epochs}   loss {loss:.4f}   digits right {right / seen:6.1%}")
    return losses


@tinytorch.no_grad()
def exact_match(forward, pairs):
    "Return the share of sequences of which every digit is right."
    digits, targets = pairs
    return float((forward(Tensor(digits)).data.argmax(-1) == targets).all(axis=1).mean())


# ---- a run

@tinytorch.no_grad()
def attention_map(model, digits):
    "Return how much each position attends to each other, by head, averaged over sequences: (H, T, T)."
    normed = model.block.norm1(model.embed(Tensor(digits)))
    return model.block.attention.weights(normed).data.mean(axis=0)


def written(digits):
    return "".join(map(str, digits))


@tinytorch.no_grad()
def difference_of(model, weights, simple, digits):
    "Return by how much the logits of the two models differ at most when both have the weights of the class."
    fresh = {name: tensor.data.copy() for name, tensor in weights.items()}
    for name, array in model.state_dict().items():
        weights[name].data[...] = array
    difference = np.abs(model(Tensor(digits)).data - simple(Tensor(digits)).data).max()
    for name, array in fresh.items():
        weights[name].data[...] = array
    return difference


@tinytorch.no_grad()
def print_answers(model, pairs):
    print("\nheld-out sequences, as ReversalTransformer reverses them:")
    for digits, target in zip(*pairs):
        answer = model(Tensor(digits[None])).data.argmax(-1)[0]
        verdict = "right" if (answer == target).all() else f"wrong, it is {written(target)}"
        print(f"  {written(digits)} -> {written(answer)}  {verdict}")


def main():
    args = parser.parse_args()
    if args.length < 2 or args.epochs < 1:
        parser.error(f"expected --length of at least 2 and --epochs of at least 1, got {args.length} and {args.epochs}")
    train_pairs, test_pairs = reversal_data(args.length, args.seed)
    print(f"{len(train_pairs[0])} training sequences of {args.length} digits, {len(test_pairs[0])} held out, "
          f"seed {args.seed}")

    tinytorch.manual_seed(args.seed)
    model = ReversalTransformer(args.length)
    weights, simple = build_simple_transformer(args.length)
    difference = difference_of(model, weights, simple, test_pairs[0][:16])
    print(f"same weights, same logits: the two models differ by at most {difference:.1e}")

    contestants = {"ReversalTransformer": (model, list(model.parameters())),
                   "build_simple_transformer": (simple, list(weights.values()))}
    losses, table = {}, {}
    for name, (forward, parameters) in contestants.items():
        print(f"\n{name}: {sum(p.numel() for p in parameters):,} numbers in {len(parameters)} parameters")
        start = time.perf_counter()
        losses[name] = train(forward, parameters, train_pairs, args.epochs)
        table[name] = {"seconds": time.perf_counter() - start, "train": exact_match(forward, train_pairs),
                       "held out": exact_match(forward, test_pairs), "last loss": losses[name][-1]}
    print_answers(model, [digits[:5] for digits in test_pairs])

    folder = new_run(args.runs, "reversal", vars(args))
    with closing(Metrics(folder)) as record:
        for step, (loss, simple_loss) in enumerate(zip(*losses.values()), 1):
            record({"step": step, "loss": loss, "loss of functions": simple_loss})
    attention = attention_map(model, test_pairs[0][:200])
    plot_attention(attention[None], [str(place) for place in range(args.length)], folder / "attention.png")
    criteria = [at_least(f"held-out sequences right, {name}", row["held out"], THRESHOLD, percent=True)
                for name, row in table.items()]
    best = {"metric": "held-out match", "value": min(row["held out"] for row in table.values()),
            "step": len(losses["ReversalTransformer"])}
    seconds = sum(row["seconds"] for row in table.values())
    return finish(folder, criteria, {"largest difference of the logits": float(difference)}, seconds,
                  "Does the loss still fall (more --epochs)? If it is stuck: do positions get a gradient, does the "
                  "attention map show the anti-diagonal, and does every parameter change?", best, table,
                  part=f"--length {args.length}" if args.length < parser.get_default("length") else "")


if __name__ == "__main__":
    sys.exit(main())
