"""PyTorch's further switches for recording."""
from contextlib import nullcontext

from tinytorch.state import no_grad, thread


def inference_mode(mode=True):
    "Return `no_grad()`; if `mode` is False, what changes nothing."
    return no_grad() if mode else nullcontext()


class set_grad_enabled:
    "Record, or not, as `mode` says: from now on; inside of `with set_grad_enabled(mode):` only until its end."
    def __init__(self, mode):
        self.before, thread.recording = thread.recording, bool(mode)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        thread.recording = self.before
