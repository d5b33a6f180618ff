"""The transformer: attention, then a network for each position, block upon block; and GPT, which has one."""
__all__ = ["CHOICES", "TransformerConfig", "GPTConfig", "MLP", "make_norm", "TransformerBlock", "init_weights",
           "Transformer", "GPT"]

from dataclasses import dataclass
from functools import partial

from tinytorch.nn.activations import gelu, relu, relu_squared, silu
from tinytorch.nn.attention import MultiHeadAttention, head_size
from tinytorch.nn.embedding import Embedding, LearnedPositions, Rotary, SinusoidalPositions
from tinytorch.nn.grouped import group_size
from tinytorch.nn.init import normal_, zeros_
from tinytorch.nn.layers import Dropout, Identity, Linear
from tinytorch.nn.module import Module, ModuleList
from tinytorch.nn.normalization import LayerNorm, RMSNorm
from tinytorch.published import FromPretrained

CHOICES = {
    "activation": {
        "gelu": partial(gelu, approximate="tanh"), "relu": relu, "relu_squared": relu_squared, "swiglu": silu},
    "norm": {"layer_norm": LayerNorm, "rms_norm": RMSNorm},
    "positions": {"learned": LearnedPositions, "sinusoidal": SinusoidalPositions, "rotary": Rotary}}


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    d_model: int
    num_layers: int = 1
    num_heads: int = 1
    num_kv_heads: int | None = None
    mlp_hidden: int | None = None
    activation: str = "gelu"
    norm: str = "layer_norm"
    pre_norm: bool = True
    dropout: float = 0.0
    bias: bool = True
    qkv_bias: bool | None = None
    mlp_bias: bool | None = None
    norm_eps: float | None = None

    def __post_init__(self):
        group_size(self.num_heads, self.num_kv_heads)
        for option in CHOICES.keys() & vars(self).keys():
            if (chosen := getattr(self, option)) not in CHOICES[option]:
                raise ValueError(f"config: {option} {chosen!r} does not exist; there are {', '.join(CHOICES[option])}")
        head_size(self.d_model, self.num_heads)


@dataclass(frozen=True, kw_only=True)
class GPTConfig(TransformerConfig):
    vocab_size: int
    context: int
    positions: str = "learned"
    rotary_base: float = 10000.0
    tied_head: bool = True
    head_bias: bool = False


class MLP(Module):
    def __init__(self, config):
        gated = config.activation == "swiglu"
        hidden = config.mlp_hidden or round(config.d_model * (8 / 3 if gated else 4))
        self.nonlinear = CHOICES["activation"][config.activation]
        bias = config.bias if config.mlp_bias is None else config.mlp_bias
        self.fc1 = Linear(config.d_model, hidden, bias)
        if gated:
            self.gate = Linear(config.d_model, hidden, bias)
        self.fc2 = Linear(hidden, config.d_model, bias)
        self.thin = Dropout(config.dropout)

    def forward(self, x):
        gate = getattr(self, "gate", None)
        inner = self.fc1(x)
        return self.thin(self.fc2(self.nonlinear(inner) if gate is None else inner * self.nonlinear(gate(x))))


def make_norm(config):
    options = {"bias": config.bias} if config.norm == "layer_norm" else {}
    if config.norm_eps is not None:
        options["eps"] = config.norm_eps
    return CHOICES["norm"][config.norm](config.d_model, **options)


class TransformerBlock(Module):
    def __init__(self, config, rotary=None):
        self.before = config.pre_norm
        self.norm1, self.norm2 = make_norm(config), make_norm(config)
        self.attention = MultiHeadAttention(config.d_model, config.num_heads, config.dropout, config.bias, rotary,
                                            config.num_kv_heads, config.qkv_bias)
        self.mlp, self.thin = MLP(config), Dropout(config.dropout)

    def forward(self, x, attn_mask=None, is_causal=False, cache=None):
        def attend(y):
            return self.thin(self.attention(y, attn_mask=attn_mask, is_causal=is_causal, cache=cache))

        for norm, layer in ((self.norm1, attend), (self.norm2, self.mlp)):
            x = x + layer(norm(x)) if self.before else norm(x + layer(x))
        return x


def init_weights(model, num_layers, std=0.02):
    for path, module in model.named_modules():
        if isinstance(module, (Linear, Embedding, LearnedPositions)):
            on_the_path = path.split(".")[-1] in ("out_proj", "fc2")
            normal_(module.weight, std=std * (2 * num_layers) ** -0.5 if on_the_path else std)
        if getattr(module, "bias", None) is not None and isinstance(module, Linear):
            zeros_(module.bias)


class Transformer(Module):
    def __init__(self, config, rotary=None):
        self.blocks = ModuleList(TransformerBlock(config, rotary) for _ in range(config.num_layers))
        self.norm = make_norm(config) if config.pre_norm else Identity()
        init_weights(self, config.num_layers)

    def forward(self, x, attn_mask=None, is_causal=False, cache=None):
        caches = [None] * len(self.blocks) if cache is None else cache.layers
        for block, own in zip(self.blocks, caches, strict=True):
            x = block(x, attn_mask, is_causal, own)
        return self.norm(x)


class GPT(FromPretrained, Module):
    def __init__(self, config):
        self.config, self.vocab_size, self.context = config, config.vocab_size, config.context
        self.token_embedding = Embedding(config.vocab_size, config.d_model)
        self.position_embedding = rotary = None
        if config.positions == "rotary":
            rotary = Rotary(head_size(config.d_model, config.num_heads), config.context, config.rotary_base)
        else:
            self.position_embedding = CHOICES["positions"][config.positions](config.context, config.d_model)
        self.thin, self.transformer = Dropout(config.dropout), Transformer(config, rotary)
        self.head = Linear(config.d_model, config.vocab_size, bias=config.head_bias)
        if config.tied_head:
            self.head.weight = self.token_embedding.weight
        init_weights(self, config.num_layers)

    def embed(self, ids, offset=0):
        length = ids.shape[-1]
        if offset + length > self.context:
            raise ValueError(f"GPT: {length} tokens from place {offset} on end at {offset + length}, "
                             f"past the context of {self.context}")
        vectors = self.token_embedding(ids)
        if self.config.positions == "sinusoidal":
            vectors = vectors * self.config.d_model ** 0.5
        if self.position_embedding is not None:
            vectors = vectors + self.position_embedding(length, offset)
        return self.thin(vectors)

    def forward(self, ids, cache=None, last_only=False):
        x = self.embed(ids, 0 if cache is None else cache.length)
        x = self.transformer(x, is_causal=True, cache=cache)
        return self.head(x[..., -1:, :] if last_only else x)
