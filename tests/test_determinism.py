"""The seed decides everything: from the same seed the same numbers, to the last bit, here and in a new process."""
import hashlib
import subprocess
import sys

import numpy as np
import pytest

import tinytorch
import tinytorch.nn as nn
import tinytorch.nn.functional as F
from tinytorch import Tensor
from tinytorch.data import DataLoader, TensorDataset, random_split
from tinytorch.generation import generate
from tinytorch.nn import init
from tinytorch.optim import AdamW, LambdaLR, warmup_cosine
from tinytorch.training import train

ONES = Tensor(np.ones((6, 8), np.float32))
ROWS = TensorDataset(np.arange(20))
MODEL = nn.GPT(nn.GPTConfig(vocab_size=13, context=40, d_model=8, num_layers=1, num_heads=2))
DRAWS = {  # everything that draws random numbers, as arrays
    "rand": lambda: tinytorch.rand(3, 4).data,
    "randn": lambda: tinytorch.randn(3, 4).data,
    "randint": lambda: tinytorch.randint(0, 1000, (3, 4)).data,
    "uniform_": lambda: init.uniform_(tinytorch.zeros(4, 5)).data,
    "normal_": lambda: init.normal_(tinytorch.zeros(4, 5)).data,
    "xavier_uniform_": lambda: init.xavier_uniform_(tinytorch.zeros(4, 5)).data,
    "xavier_normal_": lambda: init.xavier_normal_(tinytorch.zeros(4, 5)).data,
    "kaiming_uniform_": lambda: init.kaiming_uniform_(tinytorch.zeros(4, 5)).data,
    "kaiming_normal_": lambda: init.kaiming_normal_(tinytorch.zeros(4, 5)).data,
    "Linear": lambda: nn.Linear(4, 5).weight.data,
    "Conv2d": lambda: nn.Conv2d(3, 4, 2).weight.data,
    "Embedding": lambda: nn.Embedding(7, 4).weight.data,
    "LearnedPositions": lambda: nn.LearnedPositions(7, 4).weight.data,
    "MultiHeadAttention": lambda: nn.MultiHeadAttention(8, 2).in_proj.weight.data,
    "GPT": lambda: nn.GPT(MODEL.config).transformer.blocks[0].mlp.fc2.weight.data,
    "dropout": lambda: F.dropout(ONES, 0.5).data,
    "Dropout": lambda: nn.Dropout(0.3)(ONES).data,
    "dropout of attention": lambda: F.scaled_dot_product_attention(ONES, ONES, ONES * np.arange(8), dropout_p=0.5).data,
    "sampling": lambda: np.array(generate(MODEL, [1, 2, 3], 30, temperature=1.0)),
    "random_split": lambda: random_split(ROWS, [12, 8])[0].indices,
    "DataLoader": lambda: np.concatenate([rows.data for rows, in DataLoader(ROWS, batch_size=6, shuffle=True)]),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_whatever_is_drawn_comes_from_the_seed(draw):
    tinytorch.manual_seed(5)
    first, second = draw(), draw()
    tinytorch.manual_seed(5)
    np.testing.assert_array_equal(draw(), first)
    np.testing.assert_array_equal(draw(), second)
    assert not np.array_equal(first, second), "the generator stands still"
    tinytorch.manual_seed(6)
    assert not np.array_equal(draw(), first), "another seed, the same numbers"


def test_nothing_else_is_drawn_from():
    "NumPy's own global generator is neither used nor disturbed."
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    for draw in DRAWS.values():
        draw()
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def training_run(seed):
    "A small GPT with all that is random: start, dropout, shuffling; (losses, weights)."
    tinytorch.manual_seed(seed)
    windows = (np.arange(40)[:, None] * 7 + np.arange(9) ** 2) % 11
    model = nn.GPT(nn.GPTConfig(vocab_size=11, context=8, d_model=16, num_layers=2, num_heads=2, dropout=0.2))
    loader = DataLoader(TensorDataset(windows[:, :-1], windows[:, 1:]), batch_size=6, shuffle=True)
    optimizer = AdamW(model.parameters(), lr=1e-2)

    def loss_fn(model, inputs, targets):
        return F.cross_entropy(model(inputs).reshape(-1, 11), targets.reshape(-1))

    history = train(model, loader, loss_fn, optimizer, epochs=3, accumulate=2, max_norm=1.0,
                    schedule=LambdaLR(optimizer, warmup_cosine(3, 12)))
    return [record["loss"] for record in history], model.state_dict()


def fingerprint(seed):
    "A hash of every bit of what training gives."
    losses, weights = training_run(seed)
    digest = hashlib.sha256(np.array(losses).tobytes())
    for name, array in weights.items():
        digest.update(name.encode() + array.tobytes())
    return digest.hexdigest()


def test_training_twice_gives_the_same_losses_and_weights_to_the_last_bit():
    losses, weights = training_run(3)
    again, weights_again = training_run(3)
    assert losses == again and losses[-1] < losses[0]
    assert weights.keys() == weights_again.keys()
    for name in weights:
        np.testing.assert_array_equal(weights[name], weights_again[name], err_msg=name)


def test_another_seed_gives_another_run():
    losses, weights = training_run(3)
    other, other_weights = training_run(4)
    assert all(a != b for a, b in zip(losses, other))
    assert not any(np.array_equal(weights[name], other_weights[name]) for name in weights)


def test_a_fresh_process_gives_the_same_bits():
    found = [subprocess.run([sys.executable, __file__, "3"], capture_output=True, text=True) for _ in range(2)]
    assert [process.stdout.strip() for process in found] == [fingerprint(3)] * 2, found[0].stderr
    assert fingerprint(4) != fingerprint(3)


if __name__ == "__main__":
    print(fingerprint(int(sys.argv[1])))
