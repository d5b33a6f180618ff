"""What the milestones about language share: arguments, the text, models that must fail, training, measuring, writing.

Each script tells its own story and takes from here what would be the same in all of them.
"""
import argparse
import hashlib
import json
import os
import sys
import time
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np

import tinytorch.nn as nn
import tinytorch.nn.functional as F
from tinytorch import Tensor
from tinytorch.checkpoint import CheckpointError, load_weights, printable, save_weights, write_whole
from tinytorch.datasets import TokenDataset
from tinytorch.generation import KVCache, generate, next_logits
from tinytorch.ranks import started_by_mpi, world
from tinytorch.runs import Metrics, new_run, read_config
from tinytorch.tokenizers import Tokenizer
from tinytorch.training import evaluating
from tito.project import TitoError
from tito.ranks import on_ranks, run_until_it_ends
from tito.runs import times_of_runs, written_since

sys.path.append(str(Path(__file__).parents[1]))  # criteria.py, corpora.py, sources.py

from corpora import Corpus, load, split_text
from criteria import at_least, at_most, below, finish  # noqa: F401 (for the scripts, which find it through this file)
from sources import DatasetError

HELD_OUT = 0.1  # share of a text that is never trained on
MEASURE_BATCH = 64  # windows at a time
ADVICE = ("Does the held-out loss still fall at the end (more steps)? If it is stuck: do positions get a gradient, do "
          "the attention maps choose, and are the targets one place ahead of the ids?")


# ---- arguments

def add_run_arguments(parser, broken, quick):
    "Add what every run can be told. broken: the choices of --broken; quick: what --quick changes, in words."
    parser.add_argument("--seed", type=int, help="of data, weights and batches, or of a sample (default 0)")
    parser.add_argument("--quick", action="store_true", help=f"{quick}: under a minute")
    parser.add_argument("--broken", choices=broken, help="a model that must fail")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for the run folder (default runs/)")
    parser.add_argument("--resume", type=Path, metavar="RUN", help="go on in this run folder, with its settings")


def add_rank_arguments(parser):
    "Add --ranks and --elastic, which `start_ranks` obeys."
    parser.add_argument("--ranks", type=int, default=1, metavar="N", help="processes that share each batch (default 1)")
    parser.add_argument("--elastic", action="store_true", help="with --ranks: go on when one of them was killed")


def add_text_arguments(parser, unit="characters", length=300, temperature=0.8, top_p=None):
    "Add --text, and --sample with the options of `generate` and these defaults; a token is one of `unit`."
    parser.add_argument("--text", type=Path, metavar="FILE", help="learn from this text, the end held out")
    parser.add_argument("--sample", metavar="PROMPT", help="only continue this, with --resume RUN or the newest run")
    parser.add_argument("--length", type=int, default=length, help=f"most {unit} of the sample (default {length})")
    parser.add_argument("--temperature", type=float, default=temperature,
                        help=f"of the sample; 0: the likeliest (default {temperature})")
    parser.add_argument("--top-k", type=int, help=f"draw among the k likeliest {unit}")
    parser.add_argument("--top-p", type=float, default=top_p,
                        help=f"draw among the fewest {unit} that reach this probability (default {top_p or 'all'})")
    parser.add_argument("--repetition-penalty", type=float, default=1.0,
                        help="above 1: less of what was there (default 1)")


BESIDE = {"seed", "runs", "resume", "sample", "length", "temperature", "top_k", "top_p", "repetition_penalty", "phase",
          "ask", "level", "ranks", "elastic"}  # may stand beside --resume; all others are settings of a new run


def check_arguments(args, parser):
    "Exit with status 2 for a negative seed, or for settings beside those of the run to go on with."
    asking = getattr(args, "sample", None) is not None
    if args.seed is not None and args.seed < 0:
        parser.error(f"expected --seed of at least 0, got {args.seed}")
    given = [name for name, value in vars(args).items() if value and name not in BESIDE]
    if (args.resume or asking) and (given or args.seed is not None and not asking):
        parser.error("expected no other settings beside --resume and --sample; those of the run are used")


def settings_of(args, parser, name, sizes, weights="model.safetensors", **more):
    """Return (settings, folder) of a run of the script `name`: of a new one, with folder None, or as it was saved.

    --resume names the saved run; --sample alone means the newest that has `weights`. sizes: {name: size with .model},
    the default first; more: settings beside size, seed, broken and text. Exits with status 2 where they do not fit.
    """
    check_arguments(args, parser)
    if args.quick and args.size and sizes[args.size].model != sizes["quick"].model:
        parser.error("--quick has a size of its own; expected either --size or --quick")
    settings = {"size": "quick" if args.quick else args.size or next(iter(sizes)), "seed": args.seed or 0,
                "broken": args.broken, "text": args.text and str(args.text.resolve()), **more}
    if args.resume is None and args.sample is None:
        return settings, None
    folder = args.resume or newest_run(args.runs, parser, name, weights)
    settings = saved_settings(folder, parser, {*settings, "text_sha256", "model"})
    try:
        sizes[settings["size"]], nn.GPTConfig(**settings["model"])
    except (TypeError, KeyError, ValueError):
        refuse_run(folder, parser)
    return settings, folder


def verdict_on(settings):
    "Return what `finish` is told of a run: `part`, why it is less than the whole milestone, and `broken`."
    part = ["--quick"] * (settings["size"] == "quick") + ["--text"] * (settings["text"] is not None)
    return {"part": " ".join(part), "broken": settings["broken"]}


def newest_run(runs, parser, name, weights):
    saved = [folder for folder in sorted(runs.glob(f"{name}-*")) if (folder / weights).exists()]
    if not saved:
        parser.error(f"--sample: no run in {runs} has a model yet; train one first, or name it with --resume RUN")
    return saved[-1]


def saved_settings(folder, parser, names):
    "Return {name: setting} of a run. Exits with status 2 where `folder` holds none with all of `names`."
    try:
        settings = read_config(folder)
        return {name: settings[name] for name in names}
    except (TypeError, KeyError, ValueError, OSError):
        refuse_run(folder, parser)


def refuse_run(folder, parser):
    parser.error(f"--resume: expected a run folder of this script, got {folder}, whose config.json is missing or of "
                 "another script or version")


@contextmanager
def refusing_input(parser):
    "Turn an error inside, where text, prompt and options are read, into one line and exit status 2."
    try:
        yield
    except (CheckpointError, DatasetError, FloatingPointError, ValueError, IndexError) as error:
        refuse(parser, error)


@contextmanager
def stoppable(parser, folder):
    """Turn Ctrl-C inside, where a run learns and is measured, into one line and exit status 130.

    So is a checkpoint that cannot be used, or a loss that is not finite, with status 2. Other errors are the code's
    own: they keep their traceback.
    """
    try:
        yield
    except KeyboardInterrupt:
        print(f"\nstopped; to go on: --resume {folder}")
        raise SystemExit(0 if world.group.rank else 130) from None
    except (CheckpointError, FloatingPointError) as error:
        refuse(parser, error)


def refuse(parser, error):
    "Exit with status 2 and one line: the error and its notes."
    text = "; ".join([str(error), *getattr(error, "__notes__", [])])
    if world.group.rank:
        time.sleep(1)
        if world.group.has_left(0):  # of the same error, which it has printed
            raise SystemExit(2)
    parser.exit(2, f"{parser.prog}: {printable(' '.join(text.split()))}\n")


# ---- several ranks, which `mpiexec -n 4 python -m mpi4py SCRIPT` starts, or SCRIPT --ranks 4 itself

def start_ranks(args, parser):
    "Start this script again on --ranks processes, with --elastic until it ends; return the exit status."
    if started_by_mpi() or args.ranks < 2:
        parser.error("expected --ranks of 2 or more, where --elastic is asked for as well, and no mpiexec in front")
    options = argparse.ArgumentParser(add_help=False)
    add_rank_arguments(options)
    try:
        run = on_ranks(args.ranks, sys.argv[0], Path.cwd(), dict(os.environ))
    except TitoError as error:
        parser.error(f"--ranks: {error}")
    runs = args.resume.parent if args.resume else args.runs
    before, (_, others) = times_of_runs(runs), options.parse_known_args()
    return run_until_it_ends(run, others, lambda: written_since(times_of_runs(runs), before), args.elastic)


def let_rank_0_speak():
    "Print nothing on the other ranks; their errors are heard."
    if world.group.rank:
        sys.stdout = open(os.devnull, "w")


def ranked(trainer_class):
    "Return the class of a Trainer on all ranks, where there are several; else `trainer_class`."
    if not started_by_mpi():
        return trainer_class
    from tinytorch.distributed_training import DistributedTrainer
    return DistributedTrainer


# ---- the text

def corpus_of(settings, name, separator=""):
    """Return the Corpus of a run: settings["text"], a path, cut behind a `separator` if it has one; else load(name).

    Its digest is kept in the settings. Raises: ValueError where the text is not the one that the run began with.
    """
    if settings["text"] is None:
        corpus = load(name, HELD_OUT)
    else:
        path = Path(settings["text"])
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"--text {path}: expected a file of UTF-8 text ({error})") from None
        corpus = Corpus(*split_text(text, HELD_OUT, separator if separator in text else "", path), str(path))
    digest = hashlib.sha256((corpus.train + corpus.held_out).encode()).hexdigest()[:16]
    if settings.setdefault("text_sha256", digest) != digest:
        raise ValueError(f"{corpus.source}: the text has changed since this run began (another file, or another "
                         "Python?); put the old one back, or start a new run")
    return corpus


class Texts:
    """A corpus as ids: arrays `train` and `held_out`, and the windows of both; with `corpus` and `tokenizer`.

    Raises: ValueError where a part is not longer than a window of `context` tokens.
    """
    def __init__(self, corpus, tokenizer, context):
        self.corpus, self.tokenizer = corpus, tokenizer
        kind = np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32
        self.train, self.held_out = (np.array(tokenizer.encode(text), kind) for text in (corpus.train, corpus.held_out))
        if min(len(self.train), len(self.held_out)) <= context:
            raise ValueError(f"{corpus.source}: {len(self.train)} tokens and {len(self.held_out)} held out, expected "
                             f"more than the {context} of a window; take a longer text")
        self.windows = TokenDataset(self.train, context)
        self.held_out_windows = TokenDataset(self.held_out, context, stride=context)  # each token counts once


# ---- models, healthy and broken

class WithoutPositions(nn.GPT):
    "Must fail: it sees which tokens came before, not where."
    def __init__(self, config):
        super().__init__(config)
        for block in self.transformer.blocks:
            block.attention.rotary = None

    def embed(self, ids, offset=0):
        return self.token_embedding(ids)


class WithUniformAttention(nn.GPT):
    "Must fail: without queries all scores are 0, and each position takes the mean of the values up to its own."
    def forward(self, ids, cache=None, last_only=False):
        for block in self.transformer.blocks:
            block.attention.in_proj.weight.data[:self.config.d_model] = 0
            block.attention.in_proj.bias.data[:self.config.d_model] = 0
        return super().forward(ids, cache, last_only)


class Blind(nn.GPT):
    "Must fail: every position attends to itself alone."
    def forward(self, ids):
        itself = np.eye(ids.shape[-1], dtype=bool)
        return self.head(self.transformer(self.embed(ids), attn_mask=itself))


class Peek(nn.GPT):
    "Must fail: without the causal mask, every position attends to all, those to come as well."
    def forward(self, ids):
        return self.head(self.transformer(self.embed(ids)))


BROKEN = {"no_positions": WithoutPositions, "uniform_attention": WithUniformAttention, "blind": Blind, "peek": Peek}


def build_model(config, broken=None):
    "Return a new GPT of this GPTConfig, or one of BROKEN; other names of what is broken leave the model healthy."
    return BROKEN.get(broken, nn.GPT)(config)


# ---- training

def loss_of(model, ids, targets, **options):
    "Return the cross entropy, the mean over all tokens of the batch; ids and targets (B, T)."
    return token_loss(model(ids), targets, **options)


def token_loss(logits, targets, **options):
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), **options)  # (B T, V), (B T,)


def start_run(args, name, settings, tokenizer, config):
    """Make the folder of a new run and return it; its settings and the GPTConfig are saved there and in checkpoints.
    Of several ranks one makes it."""
    def made():
        folder = new_run(args.runs, name, settings | {"model": asdict(config)})
        tokenizer.save(folder / "tokenizer.json")
        return str(folder)
    if not started_by_mpi():
        return Path(made())
    from tinytorch.distributed_training import from_rank_0
    return Path(from_rank_0(made))


def start_part(folder, name, settings, config):
    "Make the folder of one of several models of a run, unless it is there, and return it; its checkpoints as above."
    part = folder / name
    if world.group.rank == 0:
        part.mkdir(exist_ok=True)
        write_whole(part / "config.json", json.dumps({"config": settings | {"model": asdict(config)}}).encode())
    return part


def evaluation(model, windows, folder=None, most=None):
    "Return a function for a Trainer to call: it saves the weights in `folder`, for --sample, and measures the model."
    def evaluate():
        if folder:
            save_weights(folder / "model.safetensors", model)
        loss, accuracy = measure(model, windows, most)
        return {"held-out loss": loss, "held-out accuracy": accuracy}
    return evaluate


def fit(trainer, last=True):
    "Train to the end, from the last checkpoint where there is one. Ranks other than 0 end after the last: it measures."
    if (trainer.folder / "last.safetensors").exists():
        trainer.resume()
        print(f"goes on after step {trainer.step}")
    trainer.fit()
    if world.group.rank and last:
        raise SystemExit(0)


def count_parameters(model):
    return sum(p.numel() for p in model.parameters())


# ---- measuring

def measure(model, dataset, most=None):
    """Return (loss in nats a token, share of targets that are the likeliest token) over windows of a TokenDataset.

    most: at most so many windows, taken at equal distances; None for all.
    """
    chosen = np.linspace(0, len(dataset) - 1, min(most or len(dataset), len(dataset))).astype(int)
    total, right, count = 0.0, 0, 0
    with evaluating(model):
        for start in range(0, len(chosen), MEASURE_BATCH):
            ids, targets = dataset.batch(chosen[start:start + MEASURE_BATCH])
            logits = model(ids)
            total += token_loss(logits, targets).item() * targets.numel()
            right += int((logits.data.argmax(axis=-1) == targets.data).sum())
            count += targets.numel()
    return total / count, right / count


def looks_ahead(model, dataset, windows=16):
    """Return how much the loss of the first windows changes when tokens come one by one, through the KV cache.

    Each token then comes only after the model has predicted it: about 0, unless it sees what it is to predict.
    """
    ids, targets = dataset.batch(np.arange(min(windows, len(dataset))))
    with evaluating(model):
        whole = loss_of(model, ids, targets).item()
        cache = None if isinstance(model, (Blind, Peek)) else KVCache(model)
        logits = np.stack([next_logits(model, ids.data[:, :end], cache) for end in range(1, ids.shape[1] + 1)], axis=1)
    return abs(token_loss(Tensor(logits), targets).item() - whole)


def attention_maps(model, ids):
    "Return the attention weights of a GPT (pre_norm) that reads `ids` (T,): (layers, heads, T, T)."
    maps = []
    with evaluating(model):
        x = model.embed(np.asarray(ids)[None])  # (1, T, d_model)
        for block in model.transformer.blocks:
            maps.append(block.attention.weights(block.norm1(x), is_causal=True).data[0])  # (H, T, T)
            x = block(x, is_causal=True)
    return np.stack(maps)


def save_curves(folder, histories, names):
    "Write metrics.jsonl of a run of several models, {model: history}: `names` of the records, one curve a model."
    with closing(Metrics(folder)) as record:
        for model, history in histories.items():
            for line in history:
                record({"step": line["step"]} | {f"{name}, {model}": line[name] for name in names if name in line})


# ---- writing

def written(model, tokenizer, prompt, length, **options):
    "Return `prompt` continued by up to `length` tokens, as text; options as for `generate`."
    return tokenizer.decode(generate(model, tokenizer.encode(prompt), length, **options))


def load_model(folder, settings, weights="model.safetensors"):
    "Return (model, tokenizer) of a run; the text that it learned from is not needed."
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    model = build_model(nn.GPTConfig(**settings["model"]), settings["broken"])
    load_weights(folder / weights, model)
    return model, tokenizer


def sampling(args):
    "Return the options of `generate` that were given on the command line."
    names = ("temperature", "top_k", "top_p", "repetition_penalty")
    return {name: getattr(args, name) for name in names} | {"generator": args.seed or 0}


def sample(args, settings, folder):
    "Print --sample as the model of a run continues it; return the exit status."
    model, tokenizer = load_model(folder, settings)
    print(written(model, tokenizer, args.sample, args.length, **sampling(args)))
    return 0
