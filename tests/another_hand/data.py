"""Datasets and the loader, by another hand."""

__all__ = [
    "collate", "Dataset", "get_batch", "TensorDataset", "Subset", "as_generator", "generator_at",
    "random_split", "Pass", "DataLoader",
]

import copy
import math
from numbers import Number

import numpy as np

from tinytorch.creation import stack
from tinytorch.sampled import sampled
from tinytorch.state import default_generator
from tinytorch.tensor import Tensor


def _entries(example):
    return example if isinstance(example, tuple | list) else (example,)


def _as_tensor(entry):
    if not isinstance(entry, Tensor | np.ndarray | np.generic | Number):
        raise TypeError(f"an example is made of tensors, arrays and numbers, not {type(entry).__name__}")
    entry = entry.item() if isinstance(entry, np.generic) else entry
    return entry if isinstance(entry, Tensor) else Tensor(entry)


def collate(examples):
    rows = [[_as_tensor(entry) for entry in _entries(example)] for example in examples]
    if len({len(row) for row in rows}) != 1:
        raise ValueError(f"examples of {sorted({len(row) for row in rows})} entries make no batch")
    columns = []
    for column in zip(*rows):
        shapes = {tensor.shape for tensor in column}
        if len(shapes) > 1:
            raise ValueError(f"examples of the shapes {sorted(shapes)} make no batch")
        columns.append(stack(column))
    return tuple(columns)


class Dataset:
    def __getitem__(self, index):
        raise NotImplementedError(f"{type(self).__name__}.__getitem__")

    def __iter__(self):
        return (self[index] for index in range(len(self)))

    def batch(self, indices):
        return collate([self[int(index)] for index in indices])


def get_batch(dataset, indices):
    own = getattr(dataset, "batch", None)
    return Dataset.batch(dataset, indices) if own is None else own(indices)


class TensorDataset(Dataset):
    def __init__(self, *tensors):
        self.tensors = tuple(tensor if isinstance(tensor, Tensor) else Tensor(tensor) for tensor in tensors)
        lengths = {tensor.shape[:1] for tensor in self.tensors}
        if len(lengths) != 1 or lengths == {()}:
            raise ValueError(f"tensors of one length, not of {[tensor.shape for tensor in self.tensors]}")

    def __len__(self):
        return self.tensors[0].shape[0]

    def __getitem__(self, index):
        return tuple(tensor[index] for tensor in self.tensors)

    def batch(self, indices):
        if type(self).__getitem__ is TensorDataset.__getitem__:
            return self[np.asarray(indices)]
        return super().batch(indices)


class Subset(Dataset):
    def __init__(self, dataset, indices):
        given, length = np.array(indices, dtype=np.int64), len(dataset)
        outside = given[(given < -length) | (given >= length)]
        if outside.size:
            raise IndexError(f"there is no example {outside[0]} among {length}")
        self.dataset, self.indices = dataset, np.where(given < 0, given + length, given)

    def __len__(self):
        return self.indices.size

    def __getitem__(self, index):
        return self.dataset[int(self.indices[index])]

    def batch(self, indices):
        if type(self).__getitem__ is Subset.__getitem__:
            return get_batch(self.dataset, self.indices[indices])
        return super().batch(indices)


def as_generator(generator):
    if generator is None:
        return default_generator()
    return generator if isinstance(generator, np.random.Generator) else np.random.default_rng(generator)


def generator_at(generator, state):
    twin = copy.deepcopy(generator)
    try:
        twin.bit_generator.state = state
    except (TypeError, ValueError, KeyError) as error:
        kind = type(generator.bit_generator).__name__
        raise ValueError(f"the generator is of the kind {kind}; this is no state of it: {state}") from error
    return twin


def random_split(dataset, lengths, generator=None):
    lengths, size = list(lengths), len(dataset)
    if any(length < 0 for length in lengths):
        raise ValueError(f"no part of {lengths} can be negative")
    if not all(isinstance(length, int | np.integer) for length in lengths):
        if not math.isclose(sum(lengths), 1):
            raise ValueError(f"the fractions {lengths} do not sum to 1")
        lengths = [math.floor(size * fraction) for fraction in lengths]
        for i in range(size - sum(lengths)):
            lengths[i % len(lengths)] += 1
    if sum(lengths) != size:
        raise ValueError(f"the lengths {lengths} do not sum to {size}")
    order = as_generator(generator).permutation(size)
    return [Subset(dataset, part) for part in np.split(order, np.cumsum(lengths)[:-1])]


class Pass:
    def __init__(self, loader, generator, dealt=0):
        self._loader, self.dealt = loader, dealt
        self.began = generator.bit_generator.state
        self.order = generator.permutation(len(loader.dataset)) if loader.shuffle else np.arange(len(loader.dataset))

    def __iter__(self):
        return self

    def __next__(self):
        if self.dealt >= len(self._loader):
            raise StopIteration
        size = self._loader.batch_size
        first, self.dealt = self.dealt * size, self.dealt + 1
        return self._loader.fetch(self.order[first : first + size])

    def state_dict(self):
        own = self._loader.generator
        return {**_settings(self._loader), "dealt": self.dealt, "began": self.began,
                "generator": None if own is None else own.bit_generator.state}


def _settings(loader):
    return {"examples": len(loader.dataset)} | {
        name: getattr(loader, name) for name in ("batch_size", "shuffle", "drop_last")}


class DataLoader:
    def __init__(self, dataset, batch_size=1, shuffle=False, drop_last=False, generator=None, collate_fn=None,
                 sampler=None):
        if batch_size < 1:
            raise ValueError(f"the batch_size is 1 or more, not {batch_size}")
        self.dataset, self.batch_size = sampled(dataset, sampler, shuffle), batch_size
        self.shuffle, self.drop_last = shuffle, drop_last
        self.generator = None if generator is None else as_generator(generator)
        self.collate_fn, self.saved = collate_fn, None

    def __len__(self):
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def fetch(self, indices):
        if self.collate_fn is None:
            return get_batch(self.dataset, indices)
        return self.collate_fn([self.dataset[int(index)] for index in indices])

    def __iter__(self):
        resumed, self.saved = self.saved, None
        return Pass(self, as_generator(self.generator)) if resumed is None else resumed

    def load_state_dict(self, saved):
        for name, mine in _settings(self).items():
            if saved[name] != mine:
                raise ValueError(f"{name}: {saved[name]} was saved, this loader has {mine}")
        dealt = saved["dealt"]
        if type(dealt) is not int or not 0 <= dealt <= len(self):
            raise ValueError(f"{dealt!r} batches of {len(self)} cannot have been dealt")
        if (saved["generator"] is None) != (self.generator is None):
            raise ValueError("a loader with a generator of its own, and one without, do not follow each other")
        began = generator_at(as_generator(self.generator), saved["began"])
        later = self.generator and generator_at(self.generator, saved["generator"])
        self.saved, self.generator = Pass(self, began, dealt), later
