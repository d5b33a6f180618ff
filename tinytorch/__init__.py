"""tinytorch: autograd and transformers in NumPy, small enough to read."""
from importlib.util import find_spec

if find_spec("tito") and find_spec("tito.overlay"):  # the course: in a workspace, the student's files come first
    from tito.overlay import install_overlay

    install_overlay()

from tinytorch import data, datasets, generation, nn, optim, tokenizers, training, utils  # noqa: E402
from tinytorch.diagnosis import diagnose  # noqa: E402
from tinytorch.drawing import draw  # noqa: E402
from tinytorch.profiling import profile  # noqa: E402
from tinytorch.state import (  # noqa: E402
    default_generator, enable_grad, get_default_dtype, is_grad_enabled, manual_seed, no_grad, set_default_dtype,
)
from tinytorch.tensor import Tensor  # noqa: E402
from tinytorch.vocabulary import cuda, linalg  # noqa: E402
from tinytorch.vocabulary.creation import *  # noqa: E402
from tinytorch.vocabulary.files import load, save  # noqa: E402
from tinytorch.vocabulary.functions import *  # noqa: E402
from tinytorch.vocabulary.modes import inference_mode, set_grad_enabled  # noqa: E402
from tinytorch.vocabulary.names import *  # noqa: E402

if find_spec("tinytorch.fast"):  # the layer that can be taken off
    from tinytorch import fast

    fast.keep_freed_memory()
    fast.start()
