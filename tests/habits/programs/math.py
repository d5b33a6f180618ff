# %% functions of one argument
import torch
x = torch.tensor([0.25, 0.5, 1.0])
for f in (torch.exp, torch.log, torch.sqrt, torch.rsqrt, torch.sin, torch.cos, torch.tan, torch.tanh, torch.sigmoid, torch.abs, torch.neg,
          torch.square, torch.reciprocal, torch.floor, torch.ceil, torch.sign, torch.log1p, torch.expm1, torch.log2, torch.log10, torch.erf,
          torch.asin, torch.acos, torch.atan, torch.sinh, torch.cosh, torch.exp2):
    print(f(x))

# %% the same as methods
import torch
x = torch.tensor([0.25, -0.5, 1.0])
print(x.exp(), x.abs(), x.neg(), x.sin(), x.cos(), x.tan(), x.tanh(), x.sigmoid(), x.relu(), x.square(), x.sign(), x.pow(2), x.pow(3).sum(), x.erf(), x.atan(), x.exp2())
print(x.abs().sqrt(), x.abs().log(), x.abs().log2(), x.abs().rsqrt(), x.reciprocal(), -x, +x, abs(x))

# %% gradients of one argument
import torch
for name in ("tan", "atan", "asin", "acos", "sinh", "cosh", "erf", "log2", "log10", "exp2", "square", "rsqrt", "reciprocal", "sigmoid", "tanh"):
    x = torch.tensor([0.25, 0.75], requires_grad=True)
    getattr(torch, name)(x).sum().backward()
    print(name, x.grad)

# %% two arguments
import torch
a, b = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4.0, 5.0, 6.0])
print(torch.add(a, b), torch.sub(a, b), torch.mul(a, b), torch.div(a, b), torch.pow(a, 2), torch.pow(2, a), torch.add(a, b, alpha=10), a.add(1), a.sub(b, alpha=2))
print(torch.maximum(a, b), torch.minimum(a, b), torch.atan2(a, b), torch.hypot(a, b), torch.lerp(a, b, 0.5), torch.addcmul(a, a, b, value=0.1), torch.addcdiv(a, a, b), torch.logaddexp(a, b))

# %% operators from the left
import torch
x = torch.tensor([1.0, 2.0, 4.0])
print(1 + x, 10 - x, 2 * x, 1 / x, 2 ** x, x ** 0.5, x / 2, x // 3, x % 3, 9 // x, -x ** 2, x @ x)

# %% matrix products
import torch
A, B, v = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(3, 4), torch.tensor([1.0, 2.0, 3.0])
print(A @ B, torch.matmul(A, B), A.mm(B), torch.mm(A, B), A @ v, torch.mv(A, v), torch.dot(v, v), v.dot(v), torch.outer(v, v), A.matmul(v))
print(torch.bmm(A[None], B[None]).shape, torch.einsum('ij,jk->ik', A, B), torch.einsum('bij->bji', A[None]).shape, torch.addmm(torch.ones(2, 4), A, B), torch.baddbmm(torch.zeros(1, 2, 4), A[None], B[None]).sum())

# %% norms by their longer names
import torch
A = torch.tensor([[4.0, 1.0], [2.0, 3.0]])
print(torch.linalg.norm(A), torch.linalg.vector_norm(A, dim=1), torch.linalg.norm(A, dim=1, keepdim=True), torch.trace(A))

# %% reductions as functions
import torch
x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
print(torch.sum(x), torch.sum(x, 0), torch.sum(x, dim=1, keepdim=True), torch.mean(x), torch.mean(x, 1), torch.mean(x, dim=(0, 1)), torch.prod(x), torch.prod(x, 1), torch.std(x, 0), torch.var(x, dim=1, unbiased=False), torch.amax(x, 1), torch.amin(x, dim=0), torch.norm(x), torch.logsumexp(x, 0))
print(torch.argmin(x), torch.argmax(x, 1), torch.count_nonzero(x > 2), x.sum((0, 1)), x.sum(-1), x.aminmax())

# %% dtype of a reduction
import torch
x = torch.tensor([1, 2, 3])
print(x.sum(dtype=torch.float32), torch.mean(x, dtype=torch.float64), x.cumsum(0, dtype=torch.float32), torch.softmax(x, 0, dtype=torch.float32), x.prod(dtype=torch.float64).dtype)

# %% the norm of vectors and matrices
import torch
x = torch.tensor([[3.0, 4.0], [6.0, 8.0]])
print(x.norm(), x.norm(dim=1), x.norm(2, 1), x.norm(p=1), x.norm(p=float('inf')), torch.norm(x, dim=0), x.norm(dim=-1, keepdim=True), x / x.norm(dim=1, keepdim=True))

# %% in-place spelling
import torch
x = torch.tensor([1.0, 4.0, 9.0])
x.add_(1); print(x)
x.sub_(torch.tensor([1.0, 1.0, 1.0])); print(x)
x.mul_(2).div_(4); print(x)
x.sqrt_().exp_().log_(); print(x)
x.neg_().abs_().clamp_(0.8, 2.0); print(x)
x.fill_(3.0).pow_(2); print(x)
x.zero_(); print(x)
x.copy_(torch.tensor([1, 2, 3])); print(x)
x.masked_fill_(x > 2, -1.0); print(x)
x.relu_().sigmoid_(); print(x)
x += 1; x -= 0.5; x *= 2; x /= 4; x **= 2; print(x)

# %% in-place on slices and rows
import torch
x = torch.arange(9.0).view(3, 3)
x[0].zero_()
x[:, 1].mul_(10)
x[2] += 1
x[1, :2] *= -1
x.t()[2].fill_(7)
print(x)
print(x.sum())

# %% random in place
import torch
torch.manual_seed(3)
x = torch.empty(1000).normal_(2.0, 0.5)
print(abs(x.mean().item() - 2) < 0.1, abs(x.std().item() - 0.5) < 0.05)
x.uniform_(-1, 1)
print(-1 <= x.min().item(), x.max().item() <= 1, x.bernoulli_(0.3).unique().tolist(), torch.bernoulli(torch.full((100,), 0.5)).sum().item() > 20, torch.normal(0.0, 1.0, size=(2, 3)).shape)

# %% multinomial respects zero weights
import torch
torch.manual_seed(0)
p = torch.tensor([0.0, 0.2, 0.8])
draws = torch.multinomial(p, 1000, replacement=True)
print((draws == 0).sum().item(), 700 < (draws == 2).sum().item() < 900, sorted(torch.multinomial(torch.ones(4), 4).tolist()), torch.multinomial(torch.ones(2, 5), 3).shape)

# %% distances of all pairs
import torch
a, b = torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([[3.0, 4.0]])
print(torch.cdist(a, b), (a[:, None] - b[None]).pow(2).sum(-1).sqrt(), ((a.unsqueeze(1) - a.unsqueeze(0)) ** 2).sum(2))

# %% k-means, one step
import torch
x = torch.tensor([[0.0, 0.0], [0.1, 0.1], [5.0, 5.0], [5.1, 4.9]])
c = x[[0, 2]]
assign = torch.cdist(x, c).argmin(dim=1)
for k in range(2):
    c[k] = x[assign == k].mean(dim=0)
print(assign, c)

# %% principal axis by power iteration
import torch
A = torch.tensor([[2.0, 1.0], [1.0, 3.0]])
v = torch.ones(2)
for _ in range(50):
    v = A @ v
    v /= torch.norm(v)
print(v, v @ A @ v)

# %% a moving average by convolution and by cumsum
import torch
import torch.nn.functional as F
x = torch.arange(8.0) ** 2
print(F.conv1d(x.view(1, 1, -1), torch.ones(1, 1, 3) / 3).flatten(), F.avg_pool1d(x.view(1, 1, -1), 3, stride=1).view(-1))
c = torch.cat([torch.zeros(1), x.cumsum(0)])
print((c[3:] - c[:-3]) / 3)

# %% bucketize and searchsorted
import torch
edges = torch.tensor([1.0, 3.0, 5.0])
x = torch.tensor([0.5, 1.0, 4.0, 9.0])
print(torch.bucketize(x, edges), torch.searchsorted(edges, x), torch.searchsorted(edges, x, right=True))

# %% heaviside thoughts: sign, where, clamp
import torch
x = torch.tensor([-2.0, 0.0, 3.0], requires_grad=True)
y = torch.where(x > 0, x, 0.1 * x) + x.clamp(min=-1) + x.abs()
y.sum().backward()
print(y, x.grad)

# %% functions take numbers where PyTorch takes them
import torch
x = torch.tensor([1, 2, 3])
print(x + 1.5, x * True, x ** 2, x / 2, x.float() ** -1, torch.tensor(2) ** 3, 2 ** torch.tensor([1, 2]), x - torch.tensor(0.5))

# %% default dtype and its change
import torch
print(torch.get_default_dtype() == torch.float32)
torch.set_default_dtype(torch.float64)
print(torch.tensor(1.0).dtype, torch.zeros(1).dtype)
torch.set_default_dtype(torch.float32)
print(torch.tensor(1.0).dtype)

# %% wrong kinds are refused
import torch
for f in (lambda: torch.exp(3.0), lambda: torch.sum("abc"), lambda: torch.zeros(2)["a"], lambda: torch.cat(torch.ones(2)), lambda: torch.tensor("x")):
    try:
        f()
        print("accepted")
    except (TypeError, IndexError, ValueError, RuntimeError):
        print("refused")
