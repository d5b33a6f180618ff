"""PyTorch's `torch.cuda`, for programs that ask whether there is one."""


def is_available():
    "Return False: tensors live on the CPU here."
    return False


def device_count():
    return 0


def manual_seed(seed):
    "Do nothing: there is no device with a generator of its own."


def manual_seed_all(seed):
    "Do nothing: there is no device with a generator of its own."
