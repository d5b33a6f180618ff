"""Modules of `torch.nn` that no chapter teaches, on top of those that one does."""
import numpy as np

from tinytorch.creation import ones, zeros
from tinytorch.nn import init
from tinytorch.nn import more_functions as F
from tinytorch.nn.attention import attention_weights, merge_heads, scaled_dot_product_attention, split_heads
from tinytorch.nn.layers import Linear, dropout, linear
from tinytorch.nn.losses import MSELoss
from tinytorch.nn.module import Module, ModuleList, Parameter
from tinytorch.state import get_default_dtype
from tinytorch.tensor import Tensor
from tinytorch.vocabulary.modules import Overwriting


class ELU(Overwriting, Module):
    def __init__(self, alpha=1.0, inplace=False):
        self.alpha = alpha
        super().__init__(inplace)
    def forward(self, input): return F.elu(input, self.alpha, inplace=self.inplace)


class Hardtanh(Overwriting, Module):
    def __init__(self, min_val=-1.0, max_val=1.0, inplace=False):
        self.min_val, self.max_val = min_val, max_val
        super().__init__(inplace)
    def forward(self, input): return F.hardtanh(input, self.min_val, self.max_val, inplace=self.inplace)


class ReLU6(Hardtanh):
    def __init__(self, inplace=False): super().__init__(0.0, 6.0, inplace)


class SELU(Overwriting, Module):
    def forward(self, input): return F.selu(input, inplace=self.inplace)


class Mish(SELU):
    def forward(self, input): return F.mish(input, inplace=self.inplace)


class Softsign(Module):
    def forward(self, input): return F.softsign(input)


class GLU(Module):
    def __init__(self, dim=-1): self.dim = dim
    def forward(self, input): return F.glu(input, self.dim)


class SmoothL1Loss(MSELoss):
    def __init__(self, reduction="mean", beta=1.0):
        super().__init__(reduction)
        self.beta = beta
    def forward(self, input, target): return F.smooth_l1_loss(input, target, self.reduction, self.beta)


class HuberLoss(MSELoss):
    def __init__(self, reduction="mean", delta=1.0):
        super().__init__(reduction)
        self.delta = delta
    def forward(self, input, target): return F.huber_loss(input, target, self.reduction, self.delta)


class KLDivLoss(MSELoss):
    def __init__(self, reduction="mean", log_target=False):
        super().__init__(reduction)
        self.log_target = log_target
    def forward(self, input, target): return F.kl_div(input, target, self.reduction, self.log_target)


class CosineSimilarity(Module):
    def __init__(self, dim=1, eps=1e-8): self.dim, self.eps = dim, eps
    def forward(self, x1, x2): return F.cosine_similarity(x1, x2, self.dim, self.eps)


class Unflatten(Module):
    "Split `dim` into dims of `unflattened_size`."
    def __init__(self, dim, unflattened_size): self.dim, self.unflattened_size = dim, tuple(unflattened_size)
    def forward(self, input): return input.unflatten(self.dim, self.unflattened_size)
    def extra_repr(self): return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class GroupNorm(Module):
    "Apply `group_norm` with a `weight` (ones at first) and `bias` (zeros), (num_channels,), or None unless `affine`."
    def __init__(self, num_groups, num_channels, eps=1e-5, affine=True):
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(f"GroupNorm: num_groups {num_groups} does not divide num_channels {num_channels}")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self.weight = Parameter(ones(num_channels)) if affine else None
        self.bias = Parameter(zeros(num_channels)) if affine else None
    def forward(self, input): return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)
    def extra_repr(self): return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class AdaptiveAvgPool1d(Module):
    def __init__(self, output_size): self.output_size = output_size
    def forward(self, input): return F.adaptive_avg_pool1d(input, self.output_size)
    def extra_repr(self): return f"output_size={self.output_size}"


class AdaptiveAvgPool2d(AdaptiveAvgPool1d):
    def forward(self, input): return F.adaptive_avg_pool2d(input, self.output_size)


class ParameterList(ModuleList):
    "A list of parameters that a Module can see; what is a Tensor only becomes a Parameter."
    def append(self, parameter):
        setattr(self, str(len(self)), parameter if isinstance(parameter, Parameter) else Parameter(parameter))
        return self
    def __iter__(self): return self.parameters()
    def __getitem__(self, index): return list(self.parameters())[index]
    def __len__(self): return len(list(self.parameters()))


class MultiheadAttention(Module):
    """The attention of chapter 11 with PyTorch's arguments and names of parameters: (L, N, E), or (N, L, E) with
    `batch_first`, or (L, E). Masks of booleans say, as there, where *not* to attend (True)."""
    def __init__(self, embed_dim, num_heads, dropout=0.0, bias=True, batch_first=False):
        if embed_dim % num_heads:
            raise ValueError(f"MultiheadAttention: embed_dim {embed_dim} is not divisible by num_heads {num_heads}")
        self.embed_dim, self.num_heads, self.dropout, self.batch_first = embed_dim, num_heads, dropout, batch_first
        self.in_proj_weight = Parameter(np.empty((3 * embed_dim, embed_dim), get_default_dtype()))
        self.in_proj_bias = Parameter(zeros(3 * embed_dim)) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias)
        init.xavier_uniform_(self.in_proj_weight)
        if bias:
            init.zeros_(self.out_proj.bias)

    def forward(self, query, key, value, key_padding_mask=None, need_weights=True, attn_mask=None,
                average_attn_weights=True, is_causal=False):
        """Return (what each query takes from the values, the weights): the mean of the heads' weights (N, L, S), or
        with average_attn_weights=False all (N, heads, L, S); None unless `need_weights`. key_padding_mask (N, S) and
        attn_mask (L, S) or (N * heads, L, S): True where a key is not attended to, or floats, added to the scores.
        is_causal says only that attn_mask is a causal mask. Raises: ValueError for is_causal without one."""
        if is_causal and attn_mask is None:
            raise ValueError("MultiheadAttention: is_causal needs attn_mask as well, as in PyTorch")
        single = query.ndim == 2
        inputs = [x.unsqueeze(0) if single else x if self.batch_first else x.transpose(0, 1)
                  for x in (query, key, value)]
        biases = [None] * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        query, key, value = (split_heads(linear(x, weight, bias), self.num_heads)
                             for x, weight, bias in zip(inputs, self.in_proj_weight.chunk(3), biases))
        mask = self._mask(attn_mask, key_padding_mask, query)
        p, weights = self.dropout if self.training else 0.0, None
        if need_weights:
            weights = dropout(attention_weights(query, key, mask), p)
            found = weights @ value
            weights = weights.mean(1) if average_attn_weights else weights
        else:
            found = scaled_dot_product_attention(query, key, value, mask, p)
        out = self.out_proj(merge_heads(found))
        if single:
            return out.squeeze(0), None if weights is None else weights.squeeze(0)
        return out if self.batch_first else out.transpose(0, 1), weights

    def _mask(self, attn_mask, key_padding_mask, query):
        "Return both masks as one that is added to the scores (N, heads, L, S), or None."
        added = None
        if attn_mask is not None:
            added = _as_floats(attn_mask, query.dtype)
            added = added.reshape(-1, self.num_heads, *added.shape[1:]) if added.ndim == 3 else added
        if key_padding_mask is not None:
            padding = _as_floats(key_padding_mask, query.dtype)
            padding = padding.reshape(-1, 1, 1, padding.shape[-1])
            added = padding if added is None else added + padding
        return added


def _as_floats(mask, dtype):
    "Return a mask of floats as it is, one of booleans as -inf where it is True, else 0."
    if mask.dtype != np.bool_:
        return mask
    return Tensor.wrap(np.where(mask.data, -np.inf, 0).astype(dtype))
