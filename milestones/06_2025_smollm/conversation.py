"""A conversation with an instructed model: its chat template, what still fits its context, and answers as they come."""
import numpy as np

from tinytorch.data import as_generator
from tinytorch.generation import KVCache, choose, next_logits
from tinytorch.tokenizers import split_special
from tinytorch.training import evaluating

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
START, END = "<|im_start|>", "<|im_end|>"


class Conversation:
    """Messages {"role", "content"} with a model, and the cache of what it has read of them.

    The template: START role, line break, content END, line break, for each message, the system's first; then START
    assistant and a line break, behind which the model answers. What somebody types is text, even if it spells END.
    """
    def __init__(self, model, tokenizer, system=SYSTEM):
        self.model, self.tokenizer, self.system = model, tokenizer, system
        self.reset()

    def reset(self):
        "Forget all that was said."
        self.messages, self.cache, self.read = [], KVCache(self.model), []

    def text_ids(self, text):
        "Return the ids of `text`, in which no special token is one."
        cut = [(part[:1], part[1:]) if part in self.tokenizer.special_ids else (part,)
               for part in split_special(text, self.tokenizer.special_ids)]
        return [id for parts in cut for part in parts for id in self.tokenizer.encode(part)]

    def message_ids(self, role, content):
        start, end = (self.tokenizer.special_ids[name] for name in (START, END))
        return [start, *self.text_ids(f"{role}\n{content}"), end, *self.text_ids("\n")]

    def prompt(self, room):
        """Return the ids that an answer of up to `room` tokens comes behind; the oldest messages go if need be.

        Raises: ValueError where not even the last message fits.
        """
        head = self.message_ids("system", self.system)
        tail = [self.tokenizer.special_ids[START], *self.text_ids("assistant\n")]
        parts = [self.message_ids(**message) for message in self.messages]
        most = self.model.context - room - len(head) - len(tail)
        while len(parts) > 1 and sum(map(len, parts)) > most:
            del parts[:2]  # a question and its answer
        if not parts or sum(map(len, parts)) > most:
            raise ValueError(f"the message has {sum(map(len, parts)):,} tokens, and at most {most:,} fit beside an "
                             f"answer of {room:,}; shorten it, or lower --max-tokens")
        return [*head, *(id for part in parts for id in part), *tail]

    def rewind(self, ids):
        "Leave in the cache what it has read of the beginning of `ids`, and nothing else."
        same = 0
        while same < min(len(self.read), len(ids) - 1) and self.read[same] == ids[same]:
            same += 1
        for layer in self.cache.layers:
            layer.length = same

    def answer(self, text, max_tokens=256, temperature=0.7, top_p=0.9, seed=None):
        """Yield the answer to `text`, piece by piece; both become messages, also where the caller stops early.

        Raises: ValueError where `text` does not fit; it then is no message.
        """
        self.messages.append({"role": "user", "content": text})
        try:
            ids = self.prompt(max_tokens)
        except ValueError:
            self.messages.pop()
            raise
        said = ""
        try:
            for said in self.growing_text(ids, max_tokens, temperature, top_p, as_generator(seed)):
                yield said[len(self.shown):]
                self.shown = said
        finally:
            self.messages.append({"role": "assistant", "content": said})

    def growing_text(self, ids, max_tokens, temperature, top_p, generator):
        "Yield the answer behind `ids` so far, whenever another whole character of it is known."
        self.rewind(ids)
        stop, new, self.shown = self.tokenizer.special_ids[END], [], ""
        for _ in range(max_tokens):
            sequence = np.array([ids + new])
            with evaluating(self.model):  # for each token: the caller goes on in between, maybe in another thread
                logits = next_logits(self.model, sequence, self.cache)
            self.read = ids + new
            token = int(choose(logits, sequence, generator, temperature, top_p=top_p)[0])
            if token == stop:
                return
            new.append(token)
            text = self.tokenizer.decode(new)
            if not text.endswith("\ufffd"):  # else the token ends within a character
                yield text
