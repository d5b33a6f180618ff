"""2016, activation checkpointing: a deep model trains in less than half of the memory, for a third more arithmetic.

    python milestones/08_efficiency/checkpointing.py [--seeds 3] [--quick]

A GPT of 12 blocks, of the width, batch and vocabulary of the benchmarks' W4, makes a step of training, forward and
backward, with all activations kept, with every second block checkpointed, and with every block (chapter 25). From each
seed, with dropout: all gradients must be the same to the last bit, and every block checkpointed must take at most half
of the memory at its peak, the gradients of all weights included. The FLOPs are counted (chapter 21), at most 4/3; the
CPU seconds are stated. The exit status is 0 only if all this holds.

--broken dropout (the random generator is not put back for the second run) cannot work: see what the same check says.
"""
import argparse
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))  # criteria.py

from criteria import at_most, finish

import tinytorch
import tinytorch.nn as nn
import tinytorch.nn.functional as F
from tinytorch import Tensor, fast
from tinytorch.counting import count
from tinytorch.recomputation import Checkpoint, Checkpointed, checkpointing
from tinytorch.runs import new_run
from tinytorch.state import default_generator
from tinytorch.tensor import apply

# ---- knobs

NEEDS = ("01", "02", "03", "04", "05", "10", "11", "12", "13", "17", "21", "25")  # the chapters at work
MODEL = dict(vocab_size=8192, context=64, d_model=256, num_layers=12, num_heads=8, tied_head=False, dropout=0.1)
QUICK = MODEL | dict(vocab_size=1024, d_model=96, num_heads=4)
BATCH, ROUNDS, HALF, MORE_FLOPS = 16, 3, 0.5, 4 / 3
ADVICE = "Is the generator as it was when the block first ran, and do parameters get their gradients once, and whole?"

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--seeds", type=int, default=3, help="how many (default 3)")
parser.add_argument("--quick", action="store_true", help="a narrower model, one seed, one round")
parser.add_argument("--broken", choices=["dropout"], help="checkpoints that must fail")
parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for the run folder (default runs/)")


# ---- broken

class OtherDropout(Checkpoint):
    "A Checkpoint whose second run draws on from where the generator is."
    def backward(self, grad):
        self.generator, self.some = default_generator(), np.array([np.nan])
        return super().backward(grad)

    def same_as_before(self, out): pass


class Broken(Checkpointed):
    "A block that is checkpointed as --broken says."
    def forward(self, x, *others):
        operation = OtherDropout(lambda x: self.block(x, *others))
        out, leaves = operation.run((x,))
        return apply(operation, out, x, *leaves)


# ---- a step, and what it takes

def step_of(model, ids, targets, seed):
    "Return a function that computes all gradients, from the same random numbers each time."
    def step():
        tinytorch.manual_seed(seed)
        model.zero_grad()
        F.cross_entropy(model(ids).flatten(0, 1), targets.flatten()).backward()
    return step


def checkpointed(model, step, every, broken):
    "Return `step` with blocks checkpointed."
    def run():
        with checkpointing(model.transformer.blocks, every):
            for name, block in list(model.transformer.blocks.named_children()) if broken else []:
                if isinstance(block, Checkpointed):
                    model.transformer.blocks.add_module(name, Broken(block.block))
            step()
    return run


def peak(step):
    "Return the megabytes that a step takes at its peak, above what there is before it."
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    step()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (most - before) / 1e6


def seconds_of(step, rounds):
    times = []
    for _ in range(rounds):
        started = time.process_time()
        step()
        times.append(time.process_time() - started)
    return min(times)


def gradients(model):
    return [None if p.grad is None else p.grad.data for p in model.parameters()]


def different(ours, theirs):
    "Return how many parameters have another gradient, in any bit."
    return sum(x is None or not np.array_equal(x, y) for x, y in zip(ours, theirs, strict=True))


def one_seed(seed, options, broken, rounds):
    "Return {way: {what: number}} of one seed."
    tinytorch.manual_seed(seed)
    model, generator = nn.GPT(nn.GPTConfig(**options)), np.random.default_rng(seed)
    shape = BATCH, options["context"]
    ids, targets = (Tensor(generator.integers(options["vocab_size"], size=shape)) for _ in range(2))
    step, found, kept = step_of(model, ids, targets, seed), {}, None
    ways = {"all is kept": step} | {name: checkpointed(model, step, every, broken)
                                    for name, every in (("every second block", 2), ("every block", 1))}
    for name, run in ways.items():
        run()  # compiles what is compiled
        model.zero_grad()
        megabytes = peak(run)
        ours = gradients(model)
        kept = kept or ours
        found[name] = {"MB at the peak": megabytes, "CPU seconds": seconds_of(run, rounds),
                       "GFLOP": count(run).flops / 1e9, "gradients that differ": different(ours, kept)}
        print(f"seed {seed}, {name}: {megabytes:.0f} MB", flush=True)
    return found


def main():
    args = parser.parse_args()
    if args.seeds < 1:
        parser.error(f"expected --seeds of at least 1, got {args.seeds}")
    started, level = time.perf_counter(), fast.status()["level"]
    options, seeds, rounds = (QUICK, 1, 1) if args.quick else (MODEL, args.seeds, ROUNDS)
    folder = new_run(args.runs, "checkpointing", {"broken": args.broken, "fast": level, "model": options})
    found = [one_seed(seed, options, args.broken, rounds) for seed in range(seeds)]

    def ratio(what):
        return max(ways["every block"][what] / ways["all is kept"][what] for ways in found)

    wrong = sum(ways[name]["gradients that differ"] for ways in found for name in ways)
    criteria = [at_most("gradients that differ in any bit", wrong, 0),
                at_most("of the memory at its peak", ratio("MB at the peak"), HALF, True),
                at_most("times the FLOPs", ratio("GFLOP"), MORE_FLOPS)]
    table = {f"{name}, seed {seed}": numbers for seed, ways in enumerate(found) for name, numbers in ways.items()}
    numbers = {"forms": level, "times the CPU seconds": ratio("CPU seconds")}
    return finish(folder, criteria, numbers, time.perf_counter() - started, ADVICE, table=table,
                  part="--quick" if args.quick else "", broken=args.broken)


if __name__ == "__main__":
    sys.exit(main())
