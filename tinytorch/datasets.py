"""Rows of tokens, also larger than memory, as datasets; and batches drawn from what is too long to shuffle."""
import os
from itertools import islice
from pathlib import Path

import numpy as np

from tinytorch.data import DataLoader, Dataset, as_generator, get_batch
from tinytorch.platforms import FILE_MAPPING
from tinytorch.tensor import Tensor
from tinytorch.vocabulary.options import checked


def write_tokens(path, ids, dtype=np.uint16, chunk=1 << 20):
    """Write `ids`, any iterable of integers such as `tokenizer.encode_iterable(file)`, to a file; return how many.
    The file holds nothing but the numbers, and appears only when all are written. Memory: one chunk.
    Raises: ValueError for an id that `dtype` cannot hold, or no ids at all."""
    unfinished, ids, count = Path(f"{path}.unfinished"), iter(ids), 0
    try:
        with open(unfinished, "wb") as file:
            while (part := np.fromiter(islice(ids, chunk), np.int64)).size:
                if part.min() < 0 or part.max() > np.iinfo(dtype).max:
                    raise ValueError(f"write_tokens: ids from {part.min()} to {part.max()} do not fit into "
                                     f"{np.dtype(dtype)}; use dtype=np.uint32, here and in TokenDataset")
                file.write(part.astype(dtype))  # where `tofile` loses the error of a full disk
                count += len(part)
        if not count:
            raise ValueError(f"write_tokens: no ids to write to {path}; is the text empty?")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


class TokenDataset(Dataset):
    """Cut a long row of tokens into windows: example i is (inputs, targets), `context` ids each, the targets one later.
    tokens: an array or list, or the path of a file of `write_tokens`, which stays on disk: only windows that are asked
    for are read. stride: from one window to the next; 1 for training, `context` for measuring, where each token then
    counts once. Raises: ValueError for fewer than context + 1 tokens, or a file that is no row of `dtype`."""
    @checked
    def __init__(self, tokens, context, stride=1, dtype=np.uint16):
        if isinstance(tokens, (str, os.PathLike)):
            size = os.path.getsize(tokens)
            if size == 0 or size % np.dtype(dtype).itemsize:
                raise ValueError(f"{tokens}: {size} bytes are no row of {np.dtype(dtype)}; write it with write_tokens")
            tokens = np.memmap(tokens, dtype, mode="r") if FILE_MAPPING else np.fromfile(tokens, dtype)  # all of it
        self.tokens = np.asarray(tokens)
        if self.tokens.ndim != 1 or len(self.tokens) <= context:
            raise ValueError(f"TokenDataset: got tokens of shape {self.tokens.shape}, expected one row of at least "
                             f"context + 1 = {context + 1}; take a longer text or a shorter context")
        self.context, self.stride = context, stride
    def __len__(self): return (len(self.tokens) - self.context - 1) // self.stride + 1
    def __getitem__(self, index):
        if not -len(self) <= index < len(self):
            raise IndexError(f"TokenDataset: window {index} of {len(self)}")
        inputs, targets = self._windows(np.array([index % len(self)]))
        return inputs[0], targets[0]
    def batch(self, indices):
        "Return windows (B, context) and the same one token later; a subclass's own `__getitem__` is asked for each."
        if type(self).__getitem__ is not TokenDataset.__getitem__:
            return super().batch(indices)
        return self._windows(indices)
    def _windows(self, indices):
        starts = np.asarray(indices)[:, None] * self.stride
        windows = self.tokens[starts + np.arange(self.context + 1)].astype(np.int64)
        return Tensor.wrap(windows[:, :-1]), Tensor.wrap(windows[:, 1:])


class RandomExamples(Dataset):
    "Stand for `count` examples of `dataset`, drawn from `generator` with replacement whenever a batch is asked for."
    def __init__(self, dataset, count, generator):
        if count < 1:
            raise ValueError("RandomBatches: batch_size and batches must be at least 1")
        self.dataset, self.count, self.generator = dataset, count, generator
    def __len__(self): return self.count
    def batch(self, indices):
        return get_batch(self.dataset, as_generator(self.generator).integers(0, len(self.dataset), len(indices)))


class RandomBatches(DataLoader):
    """Draw `batches` batches an epoch, of examples with replacement: a loader for datasets too long to shuffle.
    generator: np.random.Generator or a seed; None is the library's. A pass can be continued, as a DataLoader's."""
    @checked
    def __init__(self, dataset, batch_size, batches, generator=None):
        generator = None if generator is None else as_generator(generator)
        super().__init__(RandomExamples(dataset, batch_size * batches, generator), batch_size, generator=generator)
