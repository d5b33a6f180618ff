"""2021, finetuning: a model that can tell stories learns to write plays, whole or by low-rank adapters.

    python milestones/07_finetune/finetune.py [--lora 9] [--size small] [--seed 0] [--quick] [--resume RUN]

A small GPT first learns from TinyStories, character by character, and is saved as a folder of configuration and
weights, in GPT-2's layout. Three times, from different seeds, it is read from there and goes on with Shakespeare for
150 steps, beside a model that begins from scratch and sees the same batches. What counts is the loss on the last tenth
of Shakespeare, which nobody learns from: on all seeds the pretrained model must end at least 0.1 nats a letter lower.

--lora R also finetunes by adapters of rank R in every linear layer (Hu et al. 2021), all else frozen: they
must come within 0.05 nats of full finetuning on all seeds, with at most 5 % of the model's parameters, and be merged
into the weights without a difference. The exit status is 0 only if all this holds. Everything is in the run folder, and
on one page in its report.html; the finetuned model is in `finetuned/`. Afterwards:

    python milestones/07_finetune/finetune.py --sample "ROMEO:" [--temperature 0.8] [--top-p 0.95]

--broken forgotten (the pretrained weights are drawn anew), random (both factors of an adapter begin at random) or
frozen (one stays at 0) cannot work: see what the same check says.
"""
import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "05_2017_transformer"))  # language.py

from language import (
    HELD_OUT,
    Texts,
    add_run_arguments,
    add_text_arguments,
    at_least,
    at_most,
    build_model,
    corpus_of,
    count_parameters,
    evaluation,
    finish,
    fit,
    load,
    loss_of,
    measure,
    refusing_input,
    sampling,
    save_curves,
    settings_of,
    start_part,
    start_run,
    stoppable,
    verdict_on,
    written,
)

import tinytorch
import tinytorch.nn as nn
from tinytorch.checkpoint import save_arrays, write_whole
from tinytorch.datasets import RandomBatches
from tinytorch.nn.init import normal_
from tinytorch.nn.lora import add_lora, lora_parameters, lora_state_dict, merge_lora
from tinytorch.nn.transformer import init_weights
from tinytorch.optim import AdamW, LambdaLR, decay_groups, warmup_cosine
from tinytorch.pretrained import from_pretrained, save_pretrained
from tinytorch.tokenizers import CharTokenizer, Tokenizer
from tinytorch.training import Trainer

# ---- knobs

NEEDS = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14", "19", "20")


class Size(NamedTuple):
    "A model, how long it learns from stories, how long from plays, and how many seeds do so."
    model: dict  # options of nn.GPTConfig
    batch: int
    pretrain_steps: int
    steps: int
    seeds: int
    rank: int  # of the adapters, where the command line names none
    near: float  # how far above full finetuning they may end


SMALL = dict(context=64, d_model=256, num_layers=3, num_heads=8, tied_head=False)
SIZES = {
    "small": Size(SMALL, 16, 800, 150, 3, 9, 0.05),  # 2.43 million parameters
    "quick": Size(SMALL | dict(context=32, d_model=64, num_layers=2, num_heads=4), 16, 600, 100, 1, 2, 0.25),
}
PRETRAIN_RATE, RATE, SCRATCH_RATE, LORA_RATE = 2e-3, 1e-3, 4e-3, 5e-3  # the best of some, for each
ALPHA = 4  # times the rank
TARGETS = ("in_proj", "out_proj", "fc1", "fc2", "head")  # without the head: 0.05 nats more
WARMUP_STEPS, MAX_NORM, BETAS, WEIGHT_DECAY, LAST_RATE = 20, 1.0, (0.9, 0.99), 0.1, 0.1
SAVE_EVERY, EVALUATE_EVERY, EVALUATED_WINDOWS = 50, 50, 128
LOWER, MOST_LEARNED, MERGED, LOADED = 0.1, 0.05, 1e-5, 1e-5
PROMPT, SAMPLE_LENGTH, SAMPLING = "ROMEO:\n", 300, {"temperature": 0.8, "top_p": 0.95}
ADVICE = ("Does the loaded model begin with the loss that it was saved with? Do only the adapters get a gradient, does "
          "B begin at 0 and A not, and is their learning rate several times that of full finetuning?")

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--size", choices=["small"], help="which settings (default small)")
parser.add_argument("--lora", type=int, metavar="R", help="finetune by adapters of this rank, too")
add_run_arguments(parser, ["forgotten", "random", "frozen"], "a smaller model, one seed, adapters further off")
add_text_arguments(parser, length=SAMPLE_LENGTH, **SAMPLING)


# ---- models

def read_texts(settings):
    "Return (stories, plays) as Texts with one tokenizer, which knows the characters of both."
    stories, plays = load("tinystories", HELD_OUT), corpus_of(settings, "tinyshakespeare")
    tokenizer = CharTokenizer.train("".join([stories.train, stories.held_out, plays.train, plays.held_out]))
    context = SIZES[settings["size"]].model["context"]
    return Texts(stories, tokenizer, context), Texts(plays, tokenizer, context)


def config_of(settings, tokenizer):
    return nn.GPTConfig(vocab_size=tokenizer.vocab_size, **SIZES[settings["size"]].model)


def new_model(kind, settings, folder, config):
    "Return the model that a way to learn, 'scratch', 'full' or 'lora', begins with."
    if kind == "scratch":
        return build_model(config)
    model, broken = from_pretrained(folder / "pretrained"), settings["broken"]
    if broken == "forgotten":
        for part in (model.token_embedding, model.position_embedding, model.transformer):
            init_weights(part, config.num_layers)
    if kind == "lora":
        add_lora(model, settings["lora"], ALPHA * settings["lora"], TARGETS)
        for name, parameter in model.named_parameters() if broken in ("random", "frozen") else ():
            if name.endswith("lora_B"):
                normal_(parameter) if broken == "random" else parameter.requires_grad_(False)
    return model


def learned_by(kind, model):
    "Return the parameters, in groups for AdamW, that a way to learn changes."
    if kind == "lora":
        return [parameter for parameter in lora_parameters(model) if parameter.requires_grad]
    return decay_groups(model, WEIGHT_DECAY)


# ---- learning

def make_trainer(kind, model, settings, seed, texts, folder, steps, rate):
    "Return a Trainer whose batches depend on the seed alone."
    optimizer = AdamW(learned_by(kind, model), lr=rate, betas=BETAS)
    batches = RandomBatches(texts.windows, SIZES[settings["size"]].batch, steps, generator=seed)
    schedule = LambdaLR(optimizer, warmup_cosine(WARMUP_STEPS, steps, LAST_RATE))
    return Trainer(model, batches, loss_of, optimizer, steps=steps, schedule=schedule, max_norm=MAX_NORM, folder=folder,
                   save_every=SAVE_EVERY, evaluate=evaluation(model, texts.held_out_windows, most=EVALUATED_WINDOWS),
                   evaluate_every=EVALUATE_EVERY, show=True)


def pretrain(settings, folder, stories, config):
    "Let a GPT learn from the stories, and save it in `folder`/pretrained; return (its Trainer, held-out loss there)."
    tinytorch.manual_seed(settings["seed"])
    model, size = build_model(config), SIZES[settings["size"]]
    part = start_part(folder, "stories", settings, config)
    trainer = make_trainer("full", model, settings, settings["seed"], stories, part, size.pretrain_steps, PRETRAIN_RATE)
    print(f"\nstories, to begin with: {size.pretrain_steps:,} steps", flush=True)
    fit(trainer)
    save_pretrained(model, folder / "pretrained")
    return trainer, measure(model, stories.held_out_windows)[0]


def finetune(kind, seed, settings, folder, plays, config):
    "Let a model of this kind learn from the plays; return (its Trainer, held-out loss, share of parameters learned)."
    rate = {"scratch": SCRATCH_RATE, "full": RATE, "lora": LORA_RATE}[kind]
    tinytorch.manual_seed(seed)
    model = new_model(kind, settings, folder, config)
    part = start_part(folder, f"{kind}-{seed}", settings, config)
    print(f"\n{kind}, seed {seed}", flush=True)
    trainer = make_trainer(kind, model, settings, seed, plays, part, SIZES[settings["size"]].steps, rate)
    learned = sum(p.numel() for p in model.parameters() if p.requires_grad)
    fit(trainer)
    return trainer, measure(model, plays.held_out_windows)[0], learned / count_parameters(build_model(config))


def merged_difference(model, plays):
    "Merge the adapters of a model; return by how much its logits change, relative to the largest."
    ids, _ = plays.held_out_windows.batch(np.arange(8))
    with tinytorch.no_grad():
        before = model(ids).data
        after = merge_lora(model)(ids).data
    return float(abs(after - before).max() / abs(before).max())


# ---- a run

def judge(size, losses, shares, differences, began):
    "Return the criteria. losses: {kind: [held-out loss of each seed]}."
    lower = np.subtract(losses["scratch"], losses["full"])
    criteria = [at_least("nats below a model from scratch, the worst seed", float(lower.min()), LOWER),
                at_most("loss of the pretrained model, loaded: difference to when it was saved", abs(began), LOADED)]
    if "lora" in losses:
        above = np.subtract(losses["lora"], losses["full"])
        criteria += [at_most("adapters: nats above full finetuning, the worst seed", float(above.max()), size.near),
                     at_most("adapters: share of the model's parameters", max(shares["lora"]), MOST_LEARNED, True),
                     at_most("adapters, merged: relative difference", max(differences), MERGED)]
    return criteria


def run(settings, folder, stories, plays):
    "Pretrain, finetune in each way from each seed, measure; return the exit status."
    size, config, tokenizer = SIZES[settings["size"]], config_of(settings, plays.tokenizer), plays.tokenizer
    kinds = ["scratch", "full"] + ["lora"] * (settings["lora"] is not None)
    seeds = range(settings["seed"], settings["seed"] + size.seeds)
    print(f"{settings['size']}: {count_parameters(build_model(config)):,} parameters, {tokenizer.vocab_size} characters"
          f"; to go on after an interruption: --resume {folder}", flush=True)
    first, saved = pretrain(settings, folder, stories, config)
    loaded = from_pretrained(folder / "pretrained")
    before, began = measure(loaded, plays.held_out_windows)[0], measure(loaded, stories.held_out_windows)[0] - saved

    losses, shares, differences, trainers = {kind: [] for kind in kinds}, {kind: [] for kind in kinds}, [], {}
    for seed in seeds:
        for kind in kinds:
            trainer, loss, share = finetune(kind, seed, settings, folder, plays, config)
            losses[kind].append(loss)
            shares[kind].append(share)
            trainers[f"{kind}, seed {seed}"] = trainer
            if kind == "lora":
                save_arrays(trainer.folder / "adapters.safetensors", lora_state_dict(trainer.model), "{}")
                differences.append(merged_difference(trainer.model, plays))
    model = trainer.model  # of the last way and seed
    save_pretrained(model, folder / "finetuned")
    prompt = "".join(c for c in PROMPT if c in tokenizer.ids) or tokenizer.tokens[0]
    generator = np.random.default_rng(settings["seed"])
    text = written(model, tokenizer, prompt, SAMPLE_LENGTH, generator=generator, **SAMPLING)
    print(f"\n{text}")
    write_whole(folder / "samples.txt", text.encode())
    save_curves(folder, {name: trainer.history for name, trainer in trainers.items()}, ["held-out loss"])

    table = {kind: {f"held-out loss, seed {seed}": loss for seed, loss in zip(seeds, losses[kind])}
             | {"parameters learned": f"{shares[kind][0]:.1%}"} for kind in kinds}
    numbers = {"held-out stories, pretrained": saved, "held-out plays, before it learned from any": before,
               "steps from stories": size.pretrain_steps, "steps from plays": size.steps}
    seconds = first.seconds + sum(trainer.seconds for trainer in trainers.values())
    best = {"metric": "held-out loss", "value": min(losses[kinds[-1]])}
    return finish(folder, judge(size, losses, shares, differences, began), numbers, seconds, ADVICE, best, table,
                  **verdict_on(settings))


def sample(args, folder):
    "Print --sample as the finetuned model of a run continues it; return the exit status."
    model, tokenizer = from_pretrained(folder / "finetuned"), Tokenizer.load(folder / "tokenizer.json")
    print(written(model, tokenizer, args.sample, args.length, **sampling(args)))
    return 0


def rank_of(args):
    "Return the rank of the adapters or None. Exits with status 2 for one that does not fit the model."
    size = SIZES["quick" if args.quick else "small"]
    rank = args.lora if args.lora is not None or args.broken not in ("random", "frozen") else size.rank
    if rank is not None and not 1 <= rank <= size.model["d_model"] // 4:
        parser.error(f"--lora {rank}: expected a rank from 1 to {size.model['d_model'] // 4}, a quarter of the width")
    return rank


def main():
    args = parser.parse_args()
    settings, folder = settings_of(args, parser, "finetune", SIZES, "finetuned/model.safetensors", lora=rank_of(args))
    with refusing_input(parser):
        if args.sample is not None:
            return sample(args, folder)
        stories, plays = read_texts(settings)
        if folder is None:
            folder = start_run(args, "finetune", settings, plays.tokenizer, config_of(settings, plays.tokenizer))
    with stoppable(parser, folder):
        return run(settings, folder, stories, plays)


if __name__ == "__main__":
    sys.exit(main())
