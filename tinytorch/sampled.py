"""The examples that a sampler names, as a dataset for a DataLoader."""


class Sampled:
    "The examples of `dataset` whose numbers a sampler gives, in its order; that of an epoch is drawn at its start."
    def __init__(self, dataset, sampler):
        self.dataset, self.sampler, self.order = dataset, sampler, None

    def __len__(self):
        return len(self.sampler)

    def __getitem__(self, index):
        if index == 0 or self.order is None:
            self.order = list(self.sampler)
        return self.dataset[int(self.order[index])]

    def batch(self, indices):
        from tinytorch.data import get_batch  # which lies above
        if self.order is None or 0 in indices:
            self.order = list(self.sampler)
        return get_batch(self.dataset, [self.order[int(i)] for i in indices])


def sampled(dataset, sampler, shuffle):
    "Return `dataset`, or what `sampler` chooses of it. Raises: ValueError for a sampler with shuffle, two orders."
    if sampler is not None and shuffle:
        raise ValueError("DataLoader: got a sampler and shuffle=True, expected one of them: both choose an order")
    return dataset if sampler is None else Sampled(dataset, sampler)
