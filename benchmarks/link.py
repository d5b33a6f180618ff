"""The cost of a step on many ranks, as a formula: a link of some latency and bandwidth, and how much of it shows."""

import time
from typing import NamedTuple

import numpy as np


class Link(NamedTuple):
    """A message of b bytes takes latency + b / bandwidth seconds."""

    latency: float  # seconds
    bandwidth: float  # bytes a second

    def all_reduce(self, size: float, ranks: int) -> float:
        """Seconds of a ring: 2 (n - 1) messages of 1/n of `size` bytes."""
        return 2 * (ranks - 1) * (self.latency + size / ranks / self.bandwidth)

    def exchange(self, size: float, ranks: int) -> float:
        """Seconds in which each of n owners gives its 1/n of `size` bytes to all others, one after the other (ZeRO)."""
        return ranks * (ranks - 1) * (self.latency + size / ranks / self.bandwidth)


class Step(NamedTuple):
    """Seconds of a step: what one rank computes, what of the messages shows, with and without a shared optimizer."""

    compute: float
    shown: float
    shared: float

    @property
    def efficiency(self) -> float:
        return self.compute / (self.compute + self.shown)


BACKWARD = 2 / 3  # of the time that a step computes
BUCKET = 2**20  # bytes


def step(compute: float, parameters: int, link: Link, ranks: int) -> Step:
    """Predict a step of `ranks` that each take `compute` seconds for their rows, float32 gradients in buckets.

    Buckets travel one after the other while backward runs; the last begins when backward ends.
    """
    size = 4 * parameters
    buckets = max(1, round(size / BUCKET))
    one = link.all_reduce(size / buckets, ranks)
    hidden = min((buckets - 1) * one, BACKWARD * compute * (buckets - 1) / buckets)
    shown = buckets * one - hidden
    return Step(compute, shown, shown + link.exchange(size, ranks))


def fitted(sizes: list[int], seconds: list[float], ranks: int) -> Link:
    """The link whose ring takes about so long for arrays of these sizes; small and large count the same."""
    messages = 2 * (ranks - 1)
    table = np.stack([np.full(len(sizes), messages), messages * np.array(sizes) / ranks], axis=1)
    weights = 1 / np.array(seconds)
    latency, slowness = np.linalg.lstsq(table * weights[:, None], np.ones(len(sizes)), rcond=None)[0]
    return Link(max(float(latency), 1e-9), 1 / max(float(slowness), 1e-15))


class SlowGroup:
    """A group of ranks whose messages take as long as on `link`, however fast they are: a delay is added to each."""

    def __init__(self, group, link: Link):
        self.group, self.link, self.rank, self.size = group, link, group.rank, group.size

    def isend(self, array, dst):
        return self.group.isend(array, dst)

    def recv(self, array, src):
        self.group.recv(array, src)
        time.sleep(self.link.latency + array.nbytes / self.link.bandwidth)
