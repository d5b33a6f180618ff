"""The checks of checks.py on threads, and what can be seen only from outside of the ranks."""
import importlib.util
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, nn
from tinytorch import distributed as dist
from tinytorch.data import DataLoader, TensorDataset
from tinytorch.ranks import RankError, run_threads, world


def beside(name):
    "Return the module of a file in this folder."
    spec = importlib.util.spec_from_file_location(f"{name}_of_28", Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


checks, survivor = beside("checks"), beside("survivor")


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_on_threads(check, size):
    run_threads(size, check)


def test_a_program_that_was_started_alone():
    assert dist.get_rank() == 0 and dist.get_world_size() == 1
    array = np.array([1.0, 2])
    dist.all_reduce(array), dist.broadcast(array), dist.barrier()
    assert array.tolist() == [1, 2] and dist.all_gathered("x") == ["x"]
    with pytest.raises(RankError, match="mpiexec"):
        dist.isend(array, 1)
    with pytest.raises(RankError, match="mpiexec"):
        dist.recv(array, 1)


def test_the_error_of_one_rank_ends_all():
    def fails():
        if dist.get_rank() == 1:
            raise ValueError("boom")
        dist.init_process_group(timeout=20)
        try:
            dist.barrier()
        except RankError as error:
            woken.append(str(error))
            raise
    woken = []
    with pytest.raises(ValueError, match="boom") as found:
        run_threads(3, fails)
    assert found.value.__notes__ == ["rank 1 of 3 failed first"]
    assert len(woken) == 2 and all("another rank has failed" in text for text in woken)


def test_a_rank_that_hangs_is_found():
    end = threading.Event()

    def hangs():
        dist.init_process_group(timeout=0.2)
        if dist.get_rank() == 1:
            end.wait(60)
        else:
            try:
                dist.barrier()
            finally:
                end.set()
    with pytest.raises(RankError, match="rank 0 of 2.* 0.2 .*rank 1"):
        run_threads(2, hangs)


def test_buckets_travel_while_backward_runs():
    "the first bucket, of the last layer, is on its way before the first layer's backward has begun"
    events, lock = [], threading.Lock()

    class Noted(nn.Module):
        def __init__(self):
            self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            hidden = self.first(x)
            hidden.register_hook(lambda gradient: late())
            return self.last(hidden)

    def late():
        deadline = time.monotonic() + 20
        while not any(rank == dist.get_rank() for rank in list(events)) and time.monotonic() < deadline:
            time.sleep(1e-3)
        with lock:
            seen.append(dist.get_rank() in events)

    def run():
        model = dist.DistributedDataParallel(Noted(), bucket_cap_mb=1e-6)
        group = world.group
        usual, rank = group.isend, group.rank
        group.isend = lambda array, dst: events.append(rank) or usual(array, dst)
        events.clear() if rank == 0 else None
        dist.barrier()
        with lock:
            events[:] = [one for one in events if one != rank]  # what the barrier sent
        model(Tensor(np.ones((1, 4), np.float32))).sum().backward()

    seen = []
    run_threads(2, run)
    assert seen == [True, True]


@pytest.mark.parametrize("shard", [False, True])
def test_a_trainer_makes_the_steps_of_one_process(shard, tmp_path):
    "batches of 5 and 3 rows on 2 and 4 ranks: shares differ, and the last one of 4 is empty"
    def run():
        trainer = survivor.build(steps=25, shard=shard)
        history = trainer.fit()
        dist.check_equal_weights(trainer.model)
        return [record["loss"] for record in history], [r["loss of all"] for r in history if "loss of all" in r]

    alone, = run_threads(1, run)
    for size in (2, 4):
        for losses, evaluated in run_threads(size, run):
            np.testing.assert_allclose(losses, alone[0], rtol=0, atol=1e-12)
            np.testing.assert_allclose(evaluated, alone[1], rtol=0, atol=1e-12)


def test_what_cannot_be():
    with pytest.raises(ValueError, match="nccl"):
        dist.init_process_group("nccl")
    with pytest.raises(ValueError, match="timeout"):
        dist.init_process_group(timeout=0)
    with pytest.raises(ValueError, match="ReduceOp"):
        dist.all_reduce(np.ones(1), op="max")
    with pytest.raises(ValueError, match="rank 3"):
        dist.DistributedSampler(range(4), num_replicas=3, rank=3)
    with pytest.raises(ValueError, match="shuffle"):
        DataLoader(TensorDataset(np.ones(4)), shuffle=True, sampler=dist.DistributedSampler(range(4)))
    tinytorch.manual_seed(0)
    with pytest.raises(TypeError, match="cut already"):
        dist.parallelize_module(dist.parallelize_module(nn.GPT(nn.GPTConfig(vocab_size=5, context=4, d_model=8))))


def test_samplers_choose_as_pytorchs_do(torch):
    from torch.utils.data import DistributedSampler
    for count in (1, 2, 10, 13):
        for ranks in (1, 2, 3, 4):
            for drop_last in (False, True):
                for rank in range(ranks):
                    options = {"num_replicas": ranks, "rank": rank, "shuffle": False, "drop_last": drop_last}
                    theirs = DistributedSampler(range(count), **options)
                    if drop_last and count < ranks:
                        continue  # PyTorch's asserts
                    assert list(dist.DistributedSampler(range(count), **options)) == list(theirs)
