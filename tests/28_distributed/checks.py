"""What must hold on any number of ranks: test_distributed.py calls it in threads; or `mpiexec -n 2 python checks.py`.

Each check runs on all ranks, and fails on at least one where something is wrong.
"""
import sys
import traceback

import numpy as np

import tinytorch
from tinytorch import Tensor, nn
from tinytorch import distributed as dist
from tinytorch.data import DataLoader, TensorDataset
from tinytorch.nn import functional as F
from tinytorch.optim import SGD, AdamW
from tinytorch.ranks import RankError, world


def equal(got, wanted, tolerance=0.0):
    np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance)


def mlp(seed=0):
    tinytorch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3)).double()


def examples(count=24):
    rng = np.random.default_rng(3)
    return rng.normal(size=(count, 5)), rng.integers(0, 3, count)


def mine(count):
    return np.array_split(np.arange(count), dist.get_world_size())[dist.get_rank()]


def learned(model, optimizer, steps, count=24):
    "[mean loss over all ranks at each step] of a model that learns from this rank's share."
    x, y = examples(count)
    losses, part = [], mine(count)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(Tensor(x[part])), Tensor(y[part]))
        loss.backward()
        optimizer.step()
        losses.append(float(np.mean(dist.all_gathered(loss.item()))))
    return losses


def alone(function):
    "What `function` returns in a group of one."
    from tinytorch.ranks import Alone
    before, world.group = world.own, Alone()
    try:
        return function()
    finally:
        world.group = before


def one_process(steps, **options):
    model = mlp()
    losses = learned(model, AdamW(model.parameters(), lr=1e-2, **options), steps)
    return losses, [p.data for p in model.parameters()]


# ---- messages

def check_the_ring_adds_up():
    rank, size = dist.get_rank(), dist.get_world_size()
    for dtype in (np.float32, np.float64, np.int64, np.uint8):
        for length in (0, 1, 2, 7, 1000):
            array = (np.arange(length) % 7 * (rank + 1)).astype(dtype)
            dist.ring_all_reduce(array, world.group)
            equal(array, (np.arange(length) % 7 * sum(range(1, size + 1))).astype(dtype))


def check_all_ranks_end_with_the_same_bits():
    array = np.random.default_rng(dist.get_rank()).normal(size=1001).astype(np.float32)
    dist.all_reduce(array)
    assert len(set(dist.all_gathered(array.tobytes().hex()))) == 1


def check_large_messages():
    array = np.full(1_500_000, dist.get_rank() + 1.0, np.float32)
    dist.all_reduce(array)
    assert (array == sum(range(1, dist.get_world_size() + 1))).all()


def check_sum_and_mean_of_tensors_in_place():
    tensor = Tensor(np.full((2, 3), 1.0 + dist.get_rank()))
    kept = tensor.data
    dist.all_reduce(tensor, op=dist.ReduceOp.AVG)
    equal(kept, np.full((2, 3), (1 + dist.get_world_size()) / 2))


def check_broadcast_from_each_rank():
    for src in range(dist.get_world_size()):
        array = np.full((3, 2), float(dist.get_rank()))[:, ::-1]
        dist.broadcast(array, src)
        equal(array, np.full((3, 2), float(src)))


def check_gathering_texts_of_different_lengths():
    wanted = [{"rank": rank, "text": "ä" * rank} for rank in range(dist.get_world_size())]
    assert dist.all_gathered(wanted[dist.get_rank()]) == wanted


def check_messages_of_one_rank_arrive_in_order():
    rank, size = dist.get_rank(), dist.get_world_size()
    messages = [dist.isend(np.array([float(i)]), (rank + 1) % size) for i in range(20)] if size > 1 else []
    for i in range(20 if size > 1 else 0):
        array = np.zeros(1)
        dist.recv(array, (rank - 1) % size)
        equal(array, [i])
    for message in messages:
        message.wait()


def check_another_size_than_expected_is_said():
    if dist.get_world_size() == 1:
        return
    for sent, expected in ((3, 2), (2, 3)):
        dist.barrier()
        if dist.get_rank() == 0:
            dist.isend(np.zeros(sent), 1).wait()
        elif dist.get_rank() == 1:
            try:
                dist.recv(np.zeros(expected), 0)
                raise AssertionError("a message of another size was taken")
            except RankError as error:
                assert "different places" in str(error), error
        dist.barrier()


# ---- data parallel

def check_two_hundred_steps_are_those_of_one_process():
    losses, weights = alone(lambda: one_process(200))
    model = dist.DistributedDataParallel(mlp(dist.get_rank()), bucket_cap_mb=1e-3)
    assert len(model.buckets) > 2
    if dist.get_rank() > 0:  # the weights of rank 0 are those that count
        assert all(np.array_equal(p.data, q.data) for p, q in zip(model.parameters(), mlp().parameters()))
    got = learned(model, AdamW(model.parameters(), lr=1e-2), 200)
    equal(got, losses, 1e-6)
    for p, wanted in zip(model.parameters(), weights):
        equal(p.data, wanted, 1e-6)
    dist.check_equal_weights(model)


def check_gradients_add_up_without_sync():
    x, y = examples()
    model, part = dist.DistributedDataParallel(mlp()), mine(24)
    rows = np.array_split(part, 2)
    with model.no_sync():
        (F.cross_entropy(model(Tensor(x[rows[0]])), Tensor(y[rows[0]]), reduction="sum") / len(part)).backward()
    (F.cross_entropy(model(Tensor(x[rows[1]])), Tensor(y[rows[1]]), reduction="sum") / len(part)).backward()
    whole = mlp()
    F.cross_entropy(whole(Tensor(x)), Tensor(y)).backward()
    for p, q in zip(model.parameters(), whole.parameters()):
        equal(p.grad.data, q.grad.data, 1e-12)


class Branches(nn.Module):
    "Each rank uses a branch of its own; nobody uses `never`."
    def __init__(self):
        self.branches, self.never = nn.ModuleList(nn.Linear(2, 2) for _ in range(4)), nn.Linear(2, 2)

    def forward(self, x):
        return self.branches[dist.get_rank()](x)


def check_unused_parameters():
    tinytorch.manual_seed(0)
    model = dist.DistributedDataParallel(Branches(), find_unused_parameters=True)
    x = Tensor(np.ones((1, 2), np.float32))
    for _ in range(2):
        model.zero_grad()
        model(x).sum().backward()
    for rank, branch in enumerate(model.module.branches):
        if rank < dist.get_world_size():
            equal(branch.weight.grad.data, np.full((2, 2), 1 / dist.get_world_size()), 1e-7)
        else:
            assert branch.weight.grad is None
    assert model.module.never.weight.grad is None
    model = dist.DistributedDataParallel(Branches())
    model(x).sum().backward()
    try:
        model(x)
        raise AssertionError("a parameter without a gradient was passed over")
    except RuntimeError as error:
        assert "find_unused_parameters" in str(error) and "branches" in str(error)


def check_names_are_those_of_the_model():
    model = mlp()
    parallel = dist.DistributedDataParallel(model)
    assert list(parallel.state_dict()) == list(model.state_dict())
    assert list(parallel.parameters()) == list(model.parameters())


def check_buffers_are_those_of_rank_0():
    tinytorch.manual_seed(0)
    model = dist.DistributedDataParallel(nn.Sequential(nn.BatchNorm1d(3)))
    for _ in range(2):
        model(Tensor(np.random.default_rng(dist.get_rank()).normal(size=(6, 3)).astype(np.float32))).sum().backward()
    model(Tensor(np.ones((6, 3), np.float32)))  # broadcasts, then all see the same batch
    dist.check_equal_weights(model)


def check_other_weights_and_models_are_refused_on_all_ranks():
    if dist.get_world_size() == 1:
        return
    model = mlp()
    if dist.get_rank() == 1:
        model[2].weight.data[3, 4] += 1e-12
    for run, words in ((lambda: dist.check_equal_weights(model), "2.weight"),
                       (lambda: dist.DistributedDataParallel(nn.Linear(2, 2 + dist.get_rank())), "(3, 2)")):
        try:
            run()
            raise AssertionError("different ranks were not noticed")
        except RuntimeError as error:
            assert "ranks [1" in str(error) and words in str(error), error


def check_samplers_share_the_examples():
    size, seen = dist.get_world_size(), []
    data = TensorDataset(np.arange(13.0))
    for shuffle in (False, True):
        sampler = dist.DistributedSampler(data, shuffle=shuffle, seed=5)
        loader = DataLoader(data, batch_size=2, sampler=sampler)
        for epoch in range(2):
            sampler.set_epoch(epoch)
            own = [int(i) for batch, in loader for i in batch.data]
            assert len(own) == len(sampler) == -(-13 // size) and len(loader) == -(-len(own) // 2)
            seen.append(sum(dist.all_gathered(own), []))
            assert set(seen[-1]) == set(range(13)), "every example, with the first ones twice where they do not divide"
    assert seen[0] == seen[1] and seen[2] != seen[3], "shuffled anew each epoch"
    assert len(dist.DistributedSampler(data, drop_last=True)) == 13 // size


# ---- a shared optimizer

def gpt(**options):
    tinytorch.manual_seed(0)
    model = nn.GPT(nn.GPTConfig(**dict(vocab_size=20, context=12, d_model=32, num_layers=4, num_heads=4) | options))
    for p in model.parameters():
        p.data += 0.1 * np.random.default_rng(p.data.size).normal(size=p.shape)  # biases begin as zeros
    return model


def bytes_of(optimizer):
    return sum(a.nbytes for state in optimizer.state.values() for a in state.values() if isinstance(a, np.ndarray))


def check_zero_makes_the_same_steps():
    plain, shared = mlp(), mlp()
    optimizers = AdamW(plain.parameters(), lr=1e-2), dist.ZeroRedundancyOptimizer(shared.parameters(), AdamW, lr=1e-2)
    for model, optimizer in zip((plain, shared), optimizers):
        learned(dist.DistributedDataParallel(model), optimizer, 10)
    for p, q in zip(plain.parameters(), shared.parameters()):
        equal(p.data, q.data)
    assert optimizers[1].param_groups[0]["lr"] == 1e-2 and optimizers[1].name == "AdamW"


def check_zero_keeps_one_nth():
    model = gpt()
    optimizer = dist.ZeroRedundancyOptimizer(model.parameters(), AdamW, lr=1e-3)
    ids = np.arange(12)[None]
    F.cross_entropy(model(Tensor(ids)).flatten(0, 1), Tensor(ids[0])).backward()
    optimizer.step()
    whole = 2 * sum(p.data.nbytes for p in model.parameters())
    for held in dist.all_gathered(bytes_of(optimizer)):
        assert abs(held * dist.get_world_size() / whole - 1) < 0.05, (held, whole)


def check_zero_is_saved_and_loaded_as_one():
    model = mlp()
    optimizer = dist.ZeroRedundancyOptimizer(model.parameters(), AdamW, lr=1e-2)
    learned(dist.DistributedDataParallel(model), optimizer, 5)
    twin = mlp()
    plain = AdamW(twin.parameters(), lr=1e-2)
    learned(dist.DistributedDataParallel(twin), plain, 5)
    optimizer.consolidate_state_dict()
    if dist.get_rank() == 0:
        saved, wanted = optimizer.state_dict(), plain.state_dict()
        assert saved["param_groups"] == wanted["param_groups"] and list(saved["state"]) == list(wanted["state"])
        for number, state in wanted["state"].items():
            for name, value in state.items():
                equal(saved["state"][number][name], value)
    before = bytes_of(optimizer)
    optimizer.load_state_dict(plain.state_dict())
    assert bytes_of(optimizer) == before
    learned(dist.DistributedDataParallel(model), optimizer, 5), learned(dist.DistributedDataParallel(twin), plain, 5)
    for p, q in zip(model.parameters(), twin.parameters()):
        equal(p.data, q.data)


def check_zero_leaves_what_has_no_gradient():
    model = mlp()
    optimizer = dist.ZeroRedundancyOptimizer(model.parameters(), SGD, lr=0.1, momentum=0.9)
    before = [p.data.copy() for p in model.parameters()]
    model[0](Tensor(examples()[0])).sum().backward()
    optimizer.step()
    changed = [not np.array_equal(p.data, old) for p, old in zip(model.parameters(), before)]
    assert changed == [True, True, False, False, False, False]
    optimizer.consolidate_state_dict()
    assert dist.get_rank() > 0 or list(optimizer.state_dict()["state"]) == [0, 1]


# ---- split layers

def check_a_split_model_gives_the_same_logits_and_gradients():
    if dist.get_world_size() not in (1, 2, 4):
        return
    ids = np.random.default_rng(0).integers(0, 20, (2, 12))
    for options in ({}, {"activation": "swiglu", "mlp_hidden": 64, "bias": False}, {"num_kv_heads": 4, "bias": True}):
        whole, split = gpt(**options).double(), dist.parallelize_module(gpt(**options).double())
        logits = [model(ids) for model in (whole, split)]
        equal(logits[1].data, logits[0].data, 1e-12)
        for out in logits:
            out.square().mean().backward()
        for name, p in split.named_parameters():
            theirs = dict(whole.named_parameters())[name].grad.data
            if p.shape == theirs.shape:  # what every rank has whole
                equal(p.grad.data, theirs, 1e-12)
        part, layer = (model.transformer.blocks[0].mlp.fc1.weight for model in (split, whole))
        rows = np.split(np.arange(len(layer)), dist.get_world_size())[dist.get_rank()]
        equal(part.grad.data, layer.grad.data[rows], 1e-12)


def check_heads_that_ranks_cannot_share_are_refused():
    if dist.get_world_size() == 1:
        return
    try:
        dist.parallelize_module(gpt(d_model=30, num_heads=5))
        raise AssertionError("5 heads were shared")
    except ValueError as error:
        assert "5 heads" in str(error) or "hidden features" in str(error), error


CHECKS = [check for name, check in sorted(globals().items()) if name.startswith("check_")]


def main():
    "Run all checks on all ranks; rank 0 says so when they are done. The first that fails ends everything."
    from mpi4py import MPI
    assert MPI.COMM_WORLD.Get_size() == dist.get_world_size() > 1
    for length in (1, 1000):  # against MPI's own
        array, theirs = np.random.default_rng(dist.get_rank()).normal(size=length), np.empty(length)
        MPI.COMM_WORLD.Allreduce(array, theirs)
        dist.all_reduce(array)
        equal(array, theirs, 1e-12)
    for check in CHECKS:
        try:
            check()
        except BaseException:
            traceback.print_exc()
            print(f"{check.__name__} failed on rank {dist.get_rank()}", file=sys.stderr, flush=True)
            MPI.COMM_WORLD.Abort(1)
        dist.barrier()
    if dist.get_rank() == 0:
        print(f"{len(CHECKS)} checks on {dist.get_world_size()} ranks")


if __name__ == "__main__":
    main()
