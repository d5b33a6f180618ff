"""A Trainer on several ranks, whose steps, numbers and files are those of one process."""
import hashlib
import json
import platform
import signal
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np

from tinytorch.distributed import (
    DistributedDataParallel,
    ZeroRedundancyOptimizer,
    all_gathered,
    all_reduce,
    barrier,
    check_alike,
    check_equal_weights,
    get_rank,
    get_world_size,
)
from tinytorch.run_guards import described
from tinytorch.state import default_generator, thread
from tinytorch.threads import generator_of_part, one_blas_thread, rows_of, state_text
from tinytorch.training import Trainer, loss_and_count

__all__ = ["DistributedTrainer", "from_rank_0"]


def from_rank_0(function):
    "Return what `function()` returns on rank 0, where alone it is called: plain data."
    return all_gathered(function() if get_rank() == 0 else None)[0]


def digest_of(text): return hashlib.sha256(text.encode()).hexdigest()[:16]


def code_digest():
    "Return a digest of tinytorch's files and the program's."
    files = sorted(Path(__file__).parent.rglob("*.py"))
    program = getattr(sys.modules["__main__"], "__file__", None)
    files += [Path(program)] if program and Path(program).is_file() else []
    return digest_of("".join(path.read_text(encoding="utf-8") for path in files))


class DistributedTrainer(Trainer):
    """A Trainer that all ranks make with the same arguments, from the same seed. Each takes its share of the rows of
    every batch, and the mean is over what counts on all: losses and weights are those of one process, up to the order
    in which numbers are added (with dropout, other masks). Rank 0 alone evaluates, calls the callbacks, prints and
    writes; a checkpoint is that of one process, and can be resumed on any number of ranks. shard_optimizer: each rank
    keeps only its part of the moments. Ctrl-C on one rank stops all after the step. A loss of inf or nan on one is the
    same error on all. Raises: RuntimeError, before anything starts, where ranks have other code, data, settings, seeds
    or weights."""
    def __init__(self, model, loader, loss_fn, optimizer, *, shard_optimizer=False, evaluate=None, callbacks=(),
                 show=True, **settings):
        if get_world_size() > 1:
            optimizer = ZeroRedundancyOptimizer.around(optimizer) if shard_optimizer else optimizer
            evaluate = evaluate and self.evaluated_on_rank_0(evaluate)
            callbacks = [self.called_on_rank_0(callbacks)] if callbacks else ()
            self.writes, self.noted = get_rank() == 0, []
        super().__init__(model, loader, loss_fn, optimizer, evaluate=evaluate, callbacks=callbacks,
                         show=show and get_rank() == 0, **settings)
        if get_world_size() > 1 and self.threads not in (None, 1, "auto"):
            raise ValueError(f"DistributedTrainer: got threads={self.threads} on {get_world_size()} ranks, expected 1: "
                             "start more ranks")
        if get_world_size() > 1:
            self.check_ranks()
            self.parallel = DistributedDataParallel(model, find_unused_parameters=True)
            self.parallel.synchronizes = False  # but in the last backward pass of a step

    def check_ranks(self):
        "Raise RuntimeError, on all ranks, where they differ in what must be the same."
        settings = ("steps", "epochs", "accumulate", "max_norm", "evaluate_every", "patience", "save_every", "total")
        check_alike({"code": code_digest()}, "other code")
        check_alike({"versions": f"Python {platform.python_version()}, NumPy {np.__version__}"}, "other versions")
        check_alike({name: repr(getattr(self, name)) for name in settings}, "other settings")
        check_alike({"step": str(self.step)}, "another step")
        about = described(self)
        check_alike(dict(enumerate(about["model"].splitlines())), "another model")
        check_alike({"digest": about["data"][:16]}, "other data")
        check_alike({"generator": digest_of(state_text(default_generator()))}, "another seed")
        check_equal_weights(self.model)

    def evaluated_on_rank_0(self, evaluate):
        def numbers():
            results = {name: float(value) for name, value in evaluate().items()}
            return results, state_text(default_generator())

        def agreed():
            results, state = from_rank_0(numbers)
            default_generator().bit_generator.state = json.loads(state)  # it may have drawn
            return results
        return agreed

    def called_on_rank_0(self, callbacks):
        def call(record):
            return from_rank_0(lambda: next((s for s in [f(record) for f in callbacks] if isinstance(s, str)), None))
        return call

    def fit(self):
        if get_world_size() == 1:
            return super().fit()
        self.check_ranks()
        try:
            return super().fit()
        except KeyboardInterrupt:
            if self.pressed:
                barrier()  # so that no rank ends the others before rank 0 has saved
            raise

    def advance(self, batches):
        try:
            record = super().advance(batches)
        except FloatingPointError as error:
            texts = all_gathered(str(error))  # the rank whose numbers they were knows most
            raise FloatingPointError(max(texts, key=len)) from None
        if get_world_size() > 1 and self.stop_asked and not self.pressed:
            self.pressed.append(signal.SIGINT)
        return record

    def gradients(self, model, batches, loss_fn):
        "Leave in each `.grad` the gradient of the mean loss over all that counts on all ranks; return that loss."
        if get_world_size() == 1:
            return super().gradients(model, batches, loss_fn)
        with nullcontext() if self.threads is None else one_blas_thread():  # the cores are for the ranks
            return self.shared_gradients(model, batches, loss_fn)

    def shared_gradients(self, model, batches, loss_fn):
        parts = [rows_of(batch, get_rank(), get_world_size()) for batch in batches]
        parallel, total, counted, unit = self.parallel, 0.0, 0.0, None
        with self.numbers_of_rank() as drew:
            for i, batch in enumerate(parts):
                loss, count = loss_and_count(loss_fn, model, batch) if len(batch[0]) else (None, 0)
                if count:
                    total, counted, unit = total + count * loss.item(), counted + count, unit or count
                if i == len(parts) - 1:
                    total, counted = self.agree(total, counted, drew())
                    parallel.scale, parallel.synchronizes, before = (unit or 1) / counted, True, parallel.waiting
                if count:
                    (loss * (count / unit)).backward()
        if parallel.waiting is before:  # this rank has no gradient for some
            parallel.fill_unused(())
        parallel.synchronizes = False
        return total / counted

    def agree(self, total, counted, drew):
        "Return the sums of loss and count over all ranks, and note whether one was asked to stop, or drew numbers."
        sums = np.array([total, counted, float(bool(self.noted)), float(drew)])
        with np.errstate(invalid="ignore"):
            all_reduce(sums)
        self.stop_asked, self.drew = bool(sums[2]), bool(sums[3])
        if not sums[1] or not np.isfinite(sums[0]):
            for p in self.model.parameters():
                p.grad = None
            raise FloatingPointError(f"the loss is {sums[0] / sums[1] if sums[1] else np.nan}")
        return float(sums[0]), float(sums[1])

    @contextmanager
    def numbers_of_rank(self):
        """Let dropout draw from a generator of this rank's own, derived from the one that all share; that moves on by
        one number if any rank drew. Yield a function that says whether this rank has."""
        shared, self.drew = thread.generator, False
        thread.generator = generator_of_part(shared, get_rank())
        first = state_text(thread.generator)
        try:
            yield lambda: state_text(thread.generator) != first
        finally:
            thread.generator = shared
        if self.drew:
            shared.random()

    def save(self, name="last", status="unfinished"):
        if isinstance(self.optimizer, ZeroRedundancyOptimizer):
            self.optimizer.consolidate_state_dict()
        if get_rank() == 0:
            super().save(name, status)
        else:
            self.open_epoch()
