# %% a tensor from nested lists
import torch
x = torch.tensor([[1, 2, 3], [4, 5, 6]])
print(x, x.shape, x.dtype, x.ndim, x.numel())
print(x.size(0), x.size(-1), list(x.size()), len(x))

# %% floats, integers and booleans choose their dtype
import torch
for data in (1, 1.5, True, [1, 2], [1.0, 2], [True, False], [[0.5]]):
    print(torch.tensor(data).dtype, torch.tensor(data))

# %% dtype by name
import torch
x = torch.tensor([1, 2, 3], dtype=torch.float32)
print(x, x.dtype == torch.float32, x.dtype == torch.float, x.dtype is not None)
for dtype in (torch.float64, torch.double, torch.int64, torch.long, torch.int32, torch.int, torch.uint8, torch.bool):
    print(torch.zeros(2, dtype=dtype).dtype, torch.zeros(2, dtype=dtype))

# %% conversions
import torch
x = torch.tensor([0.2, 1.7, -2.9])
print(x.int(), x.long(), x.bool(), x.double().dtype, x.to(torch.int64), x.type(torch.int32))
print(x.to(dtype=torch.float64).float().dtype, x.long().float())

# %% a device that is there
import torch
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
x = torch.ones(2, 2, device=device)
print(device, x.device, x.to(device).sum().item(), x.to("cpu").device.type, x.cpu().is_cuda)

# %% device as a string
import torch
device = 'cuda' if torch.cuda.is_available() else 'cpu'
x = torch.zeros((2, 3), dtype=torch.long, device=device)
y = torch.arange(3, device=device)
print((x + y).to(device), torch.tensor([1.0], device=device), torch.randn(2, device=device).shape)

# %% ranges
import torch
print(torch.arange(5), torch.arange(2, 6), torch.arange(1, 2, 0.25), torch.arange(5, 0, -2))
print(torch.arange(4, dtype=torch.float32), torch.arange(0, 1, 0.5).dtype, torch.arange(end=3))
print(torch.linspace(0, 1, 5), torch.linspace(-2, 2, steps=3), torch.logspace(0, 2, 3))

# %% zeros, ones, full, eye
import torch
print(torch.zeros(2, 3), torch.zeros((2, 3)), torch.zeros([2]), torch.zeros(size=(1, 2)))
print(torch.ones(3, dtype=torch.int64), torch.full((2, 2), 7), torch.full((2,), 0.5), torch.full(size=(2,), fill_value=-1.0))
print(torch.eye(3), torch.eye(2, 3), torch.empty(2, 4).shape)

# %% like another tensor
import torch
x = torch.tensor([[1, 2], [3, 4]])
print(torch.zeros_like(x), torch.ones_like(x, dtype=torch.float32), torch.full_like(x, 9))
print(torch.empty_like(x).shape, torch.rand_like(x, dtype=torch.float).shape, torch.randn_like(x.float()).dtype)
print(x.new_zeros(2), x.new_ones((1, 2)), x.new_full((2,), 5), x.new_tensor([1, 2]))

# %% random tensors have shapes and ranges
import torch
torch.manual_seed(1337)
u = torch.rand(1000)
n = torch.randn(1000, 2)
i = torch.randint(0, 10, (1000,))
j = torch.randint(10, (1000,))
k = torch.randint(high=3, size=(4, 5))
p = torch.randperm(10)
print(0 <= u.min().item() and u.max().item() < 1, n.shape, abs(n.mean().item()) < 0.2)
print(i.min().item(), i.max().item(), j.min().item(), j.max().item(), k.shape, k.max().item() < 3)
print(sorted(p.tolist()), p.dtype)

# %% the same seed, the same numbers
import torch
torch.manual_seed(42)
a = torch.randn(5)
torch.manual_seed(42)
b = torch.randn(5)
print(torch.equal(a, b), torch.equal(a, torch.randn(5)))
g = torch.Generator().manual_seed(7)
c = torch.rand(3, generator=g)
g.manual_seed(7)
print(torch.equal(c, torch.rand(3, generator=g)))

# %% from NumPy and back
import numpy as np
import torch
a = np.arange(6, dtype=np.float32).reshape(2, 3)
x = torch.from_numpy(a)
a[0, 0] = 100
print(x, x.numpy() is not None, x.numpy().sum(), torch.as_tensor(a).dtype, torch.tensor(a).shape)
x[1, 1] = -1
print(a.tolist(), np.asarray(x).shape, np.mean(x.numpy()))

# %% indexing
import torch
x = torch.arange(12).reshape(3, 4)
print(x[0], x[-1], x[1, 2], x[:, 1], x[1:, :2], x[..., -1], x[::2], x[:, ::2])
print(x[None].shape, x[:, None, :].shape, x[0, 0].item(), x[[0, 2]], x[[0, 1], [1, 2]])
print(x[torch.tensor([2, 0])], x[x > 6], x[:, [-1]])

# %% assignment to elements, rows and slices
import torch
x = torch.zeros(3, 4)
x[0, 0] = 1
x[1] = 2.5
x[:, 3] = torch.tensor([7.0, 8.0, 9.0])
x[2, 1:3] = torch.ones(2) * -1
print(x)

# %% assignment through a mask and through indices
import torch
x = torch.tensor([[1.0, -2.0, 3.0], [-4.0, 5.0, -6.0]])
x[x < 0] = 0
print(x)
x[torch.arange(2), torch.tensor([2, 0])] = float('inf')
x[[0], [1]] += 10
print(x)

# %% one-hot by assignment
import torch
labels = torch.tensor([2, 0, 1])
onehot = torch.zeros(len(labels), 3)
onehot[torch.arange(len(labels)), labels] = 1
print(onehot)
print(torch.zeros(3, 3).scatter_(1, labels.unsqueeze(1), 1.0))

# %% counting pairs of letters
import torch
stoi = {c: i for i, c in enumerate('.abc')}
N = torch.zeros((4, 4), dtype=torch.int32)
for w in ['abc', 'ab', 'cab']:
    chars = ['.'] + list(w) + ['.']
    for c1, c2 in zip(chars, chars[1:]):
        N[stoi[c1], stoi[c2]] += 1
print(N)
P = (N + 1).float()
P /= P.sum(1, keepdim=True)
print(P, P[0].sum().item())

# %% views share memory
import torch
x = torch.arange(6.0)
y = x.view(2, 3)
y[0, 0] = 50
z = x[2:4]
z += 100
print(x, y)
w = x.clone()
w[0] = 0
print(x[0].item())

# %% shapes changed
import torch
x = torch.arange(24)
print(x.view(2, 3, 4).shape, x.view(-1, 6).shape, x.reshape(4, -1).shape, x.view(2, -1)[1, 0])
y = x.view(2, 3, 4)
print(y.transpose(1, 2).shape, y.permute(2, 0, 1).shape, y.flatten().shape, y.flatten(1).shape, y.flatten(start_dim=0, end_dim=1).shape)
print(y.unsqueeze(0).shape, y.unsqueeze(-1).shape, y[:1].squeeze(0).shape, y.T.shape if y.dim() == 2 else y.mT.shape)
print(y.transpose(1, 2).contiguous().view(2, -1).shape, y.is_contiguous(), y.transpose(0, 1).is_contiguous())

# %% t, T and swapaxes
import torch
x = torch.arange(6).view(2, 3)
print(x.t(), x.T, torch.t(x), x.swapaxes(0, 1), torch.transpose(x, 0, 1), x.movedim(0, 1).shape, torch.swapdims(x, 0, 1).shape)
print(x.ravel(), torch.flatten(x), torch.squeeze(x[None]), torch.unsqueeze(x, 1).shape, x.view_as(torch.zeros(3, 2)))
print(x.unflatten(1, (3, 1)).shape, torch.permute(x, (1, 0)), torch.reshape(x, (3, 2)), x.reshape_as(torch.zeros(6)))

# %% joined and split
import torch
a, b = torch.ones(2, 3), torch.zeros(2, 3)
print(torch.cat([a, b]).shape, torch.cat((a, b), dim=1), torch.stack([a, b]).shape, torch.stack((a, b), dim=-1).shape)
print(torch.concat([a, b], 1).shape, torch.hstack([a, b]).shape, torch.vstack([a, b]).shape, torch.cat((a, b), -1).shape)
q, k, v = torch.arange(12).view(2, 6).split(2, dim=1)
print(q, k, v)
print([c.shape for c in torch.arange(10).chunk(3)], torch.chunk(a, 3, dim=1)[0], torch.split(a, [1, 2], 1)[1].shape)
print([u.tolist() for u in torch.arange(4).view(2, 2).unbind()], [u.tolist() for u in torch.unbind(torch.arange(4).view(2, 2), 1)])

# %% growing a tensor from an empty one
import torch
out = torch.tensor([])
for i in range(3):
    out = torch.cat([out, torch.full((2,), float(i))])
print(out)
print(torch.cat((torch.tensor([]), torch.ones(2, 2)), dim=0))

# %% expand and repeat
import torch
x = torch.tensor([[1], [2], [3]])
print(x.expand(3, 4), x.expand(-1, 2), x.repeat(1, 2), x.repeat(2, 1).shape, torch.tensor([1, 2]).expand(2, 2))
print(torch.tensor([1, 2, 3]).repeat_interleave(2), torch.repeat_interleave(x, 2, dim=0), x.expand_as(torch.zeros(3, 2)))
print(torch.tile(torch.tensor([1, 2]), (2, 2)), torch.broadcast_to(torch.tensor([1, 2]), (2, 2)))

# %% broadcasting
import torch
a = torch.arange(3).view(3, 1)
b = torch.arange(2)
print(a + b, (a * b).shape, (torch.ones(5, 1, 4) + torch.ones(3, 1)).shape, a == b)
x, y = torch.broadcast_tensors(a, b)
print(x.shape, y)

# %% a shape that does not fit says so
import torch
try:
    torch.ones(2, 3) @ torch.ones(2, 3)
except (RuntimeError, ValueError) as e:
    print("caught")
try:
    torch.ones(3) + torch.ones(4)
except (RuntimeError, ValueError) as e:
    print("caught")
try:
    torch.ones(6).view(4, 2)
except (RuntimeError, ValueError) as e:
    print("caught")

# %% item, tolist, float, int, bool
import torch
x = torch.tensor([3.7])
print(x.item(), float(x), int(x), bool(x > 3), torch.tensor([[1, 2]]).tolist(), round(x.item(), 1))
if torch.tensor(1) == torch.tensor(1):
    print("equal")
print(f"{torch.tensor(0.123456):.3f} {torch.tensor(7):d} {x.item():.2f} {torch.tensor(2.5)}")

# %% comparisons
import torch
a, b = torch.tensor([1, 2, 3]), torch.tensor([3, 2, 1])
print(a == b, a != b, a < b, a >= 2, a.eq(b), a.ne(2), a.gt(b), a.lt(2), torch.ge(a, b), a.le(b))
print((a == b).sum().item(), (a == b).all(), (a == b).any(), torch.equal(a, a.clone()), (a > 0) & (b > 1), (a > 2) | ~(b > 1))
print(torch.logical_and(a > 1, b > 1), torch.logical_or(a > 2, b > 2), torch.logical_not(a > 1), (a > 1) ^ (b > 1))

# %% compared with what is no number
import torch
x = torch.tensor([1.0])
print(x == None, x != None, x is None, x == "a", x != "a")
cache = None
print(cache is None or x is not None, None in (x, 1))

# %% any and all over dims
import torch
x = torch.tensor([[True, False], [True, True]])
print(x.any(), x.all(), x.any(dim=0), x.all(dim=1), torch.any(x, 1), torch.all(x), x.all(dim=1, keepdim=True))
print(torch.isnan(torch.tensor([1.0, float('nan')])).any().item(), torch.isfinite(torch.tensor([1.0, float('inf')])).all().item())

# %% nan and inf
import torch
x = torch.tensor([1.0, float('nan'), float('inf'), -float('inf')])
print(x.isnan(), torch.isinf(x), x.isfinite(), torch.nan_to_num(x, nan=0.0, posinf=9.0, neginf=-9.0))
x[torch.isnan(x)] = 0
print(x, torch.inf > 1e30, torch.pi, torch.nan != torch.nan)

# %% where and masked_fill
import torch
x = torch.tensor([[1.0, -1.0], [-2.0, 2.0]])
print(torch.where(x > 0, x, torch.zeros_like(x)), torch.where(x > 0, 1.0, x), torch.where(x > 0))
print(x.masked_fill(x < 0, float('-inf')), x.masked_select(x > 0), torch.nonzero(x > 0), (x > 0).nonzero(as_tuple=True))
print(torch.masked_fill(x, x > 0, 0.0), x.count_nonzero(), torch.argwhere(x < 0))

# %% sort, argsort, topk
import torch
x = torch.tensor([[3.0, 1.0, 2.0], [0.5, 2.5, 1.5]])
values, indices = torch.sort(x)
print(values, indices)
print(x.sort(dim=0, descending=True).values, x.argsort(), torch.argsort(x, dim=1, descending=True))
v, i = torch.topk(x, 2)
print(v, i, x.topk(1, dim=0).values, x.topk(2, largest=False).values, torch.topk(x[0], k=1).indices.item())

# %% max with and without a dim
import torch
x = torch.tensor([[3, 1, 2], [0, 5, 4]])
print(x.max(), x.min(), x.max(dim=1), x.max(1).values, x.max(1)[1], torch.max(x), torch.max(x, dim=0).indices)
values, idx = torch.min(x, 1)
print(values, idx, x.argmax(), x.argmax(dim=-1), torch.argmax(x, dim=1, keepdim=True), x.argmin(1), x.amax(dim=(0, 1)))
print(torch.maximum(x, torch.tensor(2)), torch.max(x, torch.full_like(x, 2)), torch.min(x, torch.tensor([2, 2, 2])))

# %% unique, bincount, histogram of tokens
import torch
x = torch.tensor([3, 1, 3, 2, 1, 3])
print(torch.unique(x), x.unique(return_counts=True), torch.bincount(x), torch.bincount(x, minlength=6))
print(x.unique(sorted=True).numel(), (x.unsqueeze(1) == torch.arange(4)).sum(0))

# %% tril, triu, diag
import torch
x = torch.arange(1, 10).view(3, 3)
print(torch.tril(x), torch.triu(x, diagonal=1), x.tril(-1), torch.diag(x), torch.diag(torch.tensor([1, 2])), torch.trace(x))
print(torch.tril(torch.ones(3, 3)) == 0, torch.tril(torch.ones(2, 2, dtype=torch.bool)), x.diagonal(), torch.diagonal(x, 1))

# %% meshgrid
import torch
xs, ys = torch.meshgrid(torch.arange(3), torch.arange(2), indexing='ij')
print(xs, ys)
a, b = torch.meshgrid(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0, 5.0]), indexing="xy")
print(a.shape, b[0], torch.cartesian_prod(torch.tensor([1, 2]), torch.tensor([3, 4])))

# %% gather and scatter
import torch
x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
idx = torch.tensor([[2], [0]])
print(x.gather(1, idx), torch.gather(x, 1, idx).squeeze(1), x[torch.arange(2), idx.squeeze()])
print(torch.zeros(2, 3).scatter(1, idx, 5.0), torch.zeros(3).index_add(0, torch.tensor([0, 2, 0]), torch.tensor([1.0, 2.0, 3.0])))
print(torch.zeros(2, 3).scatter_add(1, idx, torch.ones(2, 1)), torch.index_select(x, 1, torch.tensor([0, 2])), torch.take_along_dim(x, idx, 1))

# %% flip and roll
import torch
x = torch.arange(6).view(2, 3)
print(x.flip(0), x.flip(dims=[1]), torch.flip(x, dims=(0, 1)), x.fliplr(), torch.flipud(x), x.roll(1, dims=1), torch.roll(x, shifts=-1, dims=0))

# %% clamp
import torch
x = torch.tensor([-2.0, 0.5, 3.0])
print(x.clamp(0, 1), x.clamp(min=0), x.clamp(max=1.0), torch.clamp(x, min=-1, max=1), x.clip(-1, 2), x.clamp_min(0), torch.clamp(x, torch.tensor([0.0, 1.0, 2.0])))

# %% rounding and division
import torch
x = torch.tensor([-1.5, 0.4, 2.6])
print(x.floor(), x.ceil(), x.round(), x.trunc(), torch.floor(x), torch.round(x), torch.frac(x))
a = torch.tensor([7, -7, 8])
print(a // 2, a % 3, a / 2, torch.div(a, 2, rounding_mode='floor'), torch.div(a, 2, rounding_mode="trunc"), torch.remainder(a, 3), torch.fmod(a, 3))
print(7 // torch.tensor([2, 3]), 7.5 % torch.tensor([2.0, 4.0]), torch.floor_divide(a, 2))

# %% integers stay integers, means want floats
import torch
x = torch.tensor([1, 2, 4])
print(x.sum(), x.sum().dtype, x.float().mean(), (x / 2).dtype, (x * 2).dtype, (x + 0.5).dtype, x.mean(dtype=torch.float32))
print(torch.tensor([True, True, False]).sum(), torch.tensor([True, False]).float().mean(), x.prod(), x.cumsum(0))

# %% almost equal
import torch
a = torch.tensor([1.0, 2.0])
print(torch.allclose(a, a + 1e-9), torch.allclose(a, a + 0.1), torch.isclose(a, torch.tensor([1.0, 2.1])), torch.allclose(a, a + 1e-3, atol=1e-2))
print((a - (a + 1e-3)).abs().max().item() < 0.01)

# %% bits and shifts
import torch
a = torch.tensor([1, 2, 3])
print(a << 1, a >> 1, a & 1, a | 4, a ^ 3, ~a, torch.bitwise_and(a, torch.tensor(2)))

# %% strides of contiguous memory do not matter
import torch
x = torch.arange(6.0).view(2, 3).t()
print(x.contiguous(), x.reshape(-1), x.numel(), x.nelement(), x.element_size(), x.data_ptr() == x.data_ptr())
y = x.clone().detach()
y.zero_()
print(x.sum().item(), y.sum().item())

# %% type checks
import torch
x = torch.ones(1)
print(torch.is_tensor(x), isinstance(x, torch.Tensor), torch.is_tensor([1]), x.is_floating_point(), torch.is_floating_point(x.long()))
print(torch.numel(x))

# %% iterating
import torch
for row in torch.arange(4).view(2, 2):
    print(row, [v.item() for v in row])
a, b = torch.tensor([5, 6])
print(a + b, 5 in torch.tensor([5, 6]), max(torch.tensor([1, 9, 3])).item(), sum(torch.tensor([1.0, 2.0])).item())

# %% printing several kinds
import torch
print(torch.tensor(3), torch.tensor(2.5), torch.tensor([[1.5, -2.25]]), torch.tensor([True]), torch.tensor([1, 2], dtype=torch.int32))
print(torch.ones(2, requires_grad=True), torch.tensor([1e-3, 2.0]))

# %% windows over a sequence
import torch
x = torch.arange(6)
print(x.unfold(0, 3, 1), torch.stack([x[i:i + 3] for i in range(4)]))

# %% cumulative things
import torch
x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
print(x.cumsum(0), torch.cumsum(x, dim=1), x.cumprod(1), torch.cumprod(x, 0), x.diff(), torch.diff(x, dim=0))

# %% statistics
import torch
x = torch.tensor([[1.0, 2.0, 4.0], [3.0, 3.0, 9.0]])
print(x.mean(), x.mean(0), x.mean(dim=1, keepdim=True), x.std(), x.var(), x.std(dim=0), x.var(1, unbiased=False), x.std(unbiased=False), x.var(dim=1, correction=0))
print(torch.median(x), x.median(dim=1).values, torch.std_mean(x), torch.var_mean(x, dim=0))

# %% numpy spelling of reductions
import torch
x = torch.arange(6.0).view(2, 3)
print(x.sum(axis=0), x.mean(axis=1, keepdims=True), x.max(axis=1).values, torch.sum(x, axis=1), x.argmax(axis=0), torch.cat([x, x], axis=1).shape, x.softmax(axis=1).sum(axis=1))
