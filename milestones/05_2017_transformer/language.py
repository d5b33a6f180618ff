"""What the milestones about language share: measuring, looking at attention, and the verdict at the end of a run."""
import json
import math
from contextlib import closing, contextmanager
from typing import NamedTuple

import numpy as np

import tinytorch.nn as nn
import tinytorch.nn.functional as F
from tinytorch import Tensor
from tinytorch.checkpoint import CheckpointError, write_whole
from tinytorch.datasets import DatasetError
from tinytorch.generation import KVCache, next_logits
from tinytorch.runs import Metrics
from tinytorch.training import evaluating
from tito.report import plot_loss, write_report
from tito.runs import show

MEASURE_BATCH = 64  # windows at a time


class Criterion(NamedTuple):
    "One thing that a run has to show, as numbers or texts."
    name: str
    got: object
    wanted: object
    passed: bool


@contextmanager
def exit_2(parser):
    "What goes wrong inside with what was given (text, checkpoint, prompt, option) is one line and exit status 2."
    try:
        yield
    except (CheckpointError, DatasetError, FloatingPointError, ValueError, IndexError) as error:
        parser.exit(2, f"{parser.prog}: {' '.join(str(error).split())}\n")


@contextmanager
def stoppable(folder):
    "Ctrl-C inside, while a run is learned or measured, is one line and exit status 130."
    try:
        yield
    except KeyboardInterrupt:
        print(f"\nstopped; to go on: --resume {folder}")
        raise SystemExit(130) from None


def loss_of(model, ids, targets):
    "Cross entropy, the mean over all tokens of the batch; ids and targets (B, T)."
    logits = model(ids)
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))  # (B T, V), (B T,)


def measure(model, dataset, windows=None):
    """(loss in nats a token, share of targets that are the likeliest token) over the windows of a TokenDataset.

    windows: how many of them, taken at equal distances; None for all.
    """
    chosen = np.linspace(0, len(dataset) - 1, min(windows or len(dataset), len(dataset))).astype(int)
    total, right, count = 0.0, 0, 0
    with evaluating(model):
        for start in range(0, len(chosen), MEASURE_BATCH):
            ids, targets = dataset.batch(chosen[start:start + MEASURE_BATCH])
            logits = model(ids)
            loss = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))
            total += loss.item() * targets.numel()
            right += int((logits.data.argmax(axis=-1) == targets.data).sum())
            count += targets.numel()
    return total / count, right / count


def attention_maps(model, ids):
    "How much each of T places takes from each in a GPT (pre_norm) that reads `ids` (T,): (layers, heads, T, T)."
    maps = []
    with evaluating(model):
        x = model.embed(np.asarray(ids)[None])  # (1, T, d_model)
        for block in model.transformer.blocks:
            maps.append(block.attention.weights(block.norm1(x), is_causal=True).data[0])  # (H, T, T)
            x = block(x, is_causal=True)
    return np.stack(maps)


def looks_ahead(model, dataset, windows=16):
    """How much the loss of the first windows changes when tokens come one by one, through the KV cache.

    Each token then comes only after the model has said what it expects: about 0, unless it sees what it is to predict.
    """
    ids, targets = dataset.batch(np.arange(min(windows, len(dataset))))
    with evaluating(model):
        whole = loss_of(model, ids, targets).item()
        cache = None if isinstance(model, (Blind, Peek)) else KVCache(model)
        logits = np.stack([next_logits(model, ids.data[:, :end], cache) for end in range(1, ids.shape[1] + 1)], axis=1)
    one_by_one = F.cross_entropy(Tensor(logits).reshape(-1, logits.shape[-1]), targets.reshape(-1)).item()
    return abs(one_by_one - whole)


class WithoutPositions(nn.GPT):
    "A broken model: it sees which tokens came before, not where."
    def __init__(self, config):
        super().__init__(config)
        for block in self.transformer.blocks:
            block.attention.rotary = None

    def embed(self, ids, offset=0):
        return self.token_embedding(ids)


class WithUniformAttention(nn.GPT):
    "A broken model: without queries all scores are 0, and each place takes the mean of the values up to its own."
    def forward(self, ids, cache=None, last_only=False):
        for block in self.transformer.blocks:
            block.attention.in_proj.weight.data[:self.config.d_model] = 0
            block.attention.in_proj.bias.data[:self.config.d_model] = 0
        return super().forward(ids, cache, last_only)


class Blind(nn.GPT):
    "A broken model: every position attends to itself alone."
    def forward(self, ids):
        itself = np.eye(ids.shape[-1], dtype=bool)
        return self.head(self.transformer(self.embed(ids), attn_mask=itself))


class Peek(nn.GPT):
    "A broken model: without the causal mask, every position attends to all, those to come as well."
    def forward(self, ids):
        return self.head(self.transformer(self.embed(ids)))


def save_curves(folder, histories, names):
    "metrics.jsonl of a run of several models, {model: history}: `names` of their records, told apart by the model."
    with closing(Metrics(folder)) as record:
        for model, history in histories.items():
            for line in history:
                record({"step": line["step"]} | {f"{name}, {model}": line[name] for name in names if name in line})


def finish(folder, criteria, numbers, seconds, best, table=None):
    """Write results.json, status.json, loss.png and report.html of a run, print the verdict; returns the exit status.

    numbers: {name: what was measured}, best: (name, value) of the number that `tito runs` shows. table: {model: {name:
    what was measured}} where several are compared.
    """
    passed = all(criterion.passed for criterion in criteria)
    results = {"criteria": [criterion._asdict() for criterion in criteria], "numbers": numbers, "table": table or {}}
    write_whole(folder / "results.json", json.dumps(results, indent=1).encode())
    status = {"status": "learned" if passed else "not learned", "seconds": seconds,
              "best": {"metric": best[0], "value": best[1]}}
    write_whole(folder / "status.json", json.dumps(status).encode())
    plot_loss(folder)
    print()
    if table:
        names = dict.fromkeys(name for column in table.values() for name in column)
        show([["", *table], *([name, *(shown(column.get(name, "")) for column in table.values())] for name in names)])
        print()
    show([["measured", ""], *([name, shown(value)] for name, value in numbers.items())])
    print()
    show([["to show", "got", "wanted", ""],
          *([name, shown(got), shown(wanted), "yes" if good else "NO"] for name, got, wanted, good in criteria)])
    print(f"\nrun folder: {folder}, all on one page: {write_report(folder)}")
    print("LEARNED: every criterion is met." if passed else
          f"NOT LEARNED: {', '.join(criterion.name for criterion in criteria if not criterion.passed)}. Does the "
          "held-out loss still fall at the end (more steps)? If it is stuck: do positions get a gradient, do the "
          "attention maps choose, and are the targets one place ahead of the ids?")
    return 0 if passed else 1


def shown(value):
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else str(value)
    return f"{value:,}" if isinstance(value, int) else str(value)
