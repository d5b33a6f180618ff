"""What is wrong with each patient: not to be opened before you have looked yourself.

`fault` is the name in `tinytorch.diagnosis.CATALOGUE`, `repair` what to replace by what in the file.
"""
from typing import NamedTuple


class Solution(NamedTuple):
    fault: str
    story: str
    repair: list


SOLUTIONS = {
    "01_wrong_digits": Solution("cut", "Positions are sliced through .data: a table that is never trained.", [
        ("return Tensor(self.weight.data[:length])", "return self.weight[:length]")]),
    "02_nineteen_parameters": Solution("cut", "The embedding makes a new Tensor of rows: no graph.", [
        ("return Tensor(self.weight.data[ids])", "return self.weight[ids]")]),
    "03_nothing_happens": Solution("rate-too-low", "3e-4 is too small for this model and 8,192 words.", [
        ("lr=3e-4", "lr=5e-3")]),
    "04_bouncing_loss": Solution("rate-too-high", "Ten times the largest rate that works here.", [
        ("lr=0.3", "lr=0.01")]),
    "05_stops_at_once": Solution("ids-out-of-range", "Ten digits need a vocabulary of ten, not nine.", [
        ("Small(WrittenOut(32, 4, causal=False), 9, 8)", "Small(WrittenOut(32, 4, causal=False), 10, 8)")]),
    "06_parrot": Solution("targets-not-shifted", "Targets are the inputs, not what follows them.", [
        ("Tensor(ids[:, :-1]), Tensor(ids[:, :-1])", "Tensor(ids[:, :-1]), Tensor(ids[:, 1:])")]),
    "07_too_good": Solution("leak", "The causal mask is missing.", [
        ("causal=False", "causal=True")]),
    "08_prophet": Solution("mask-inverted", "tril hides the past; triu, the future.", [
        ("np.tril(np.ones(scores.shape[-2:], bool), -1)", "np.triu(np.ones(scores.shape[-2:], bool), 1)")]),
    "09_borrowed_mask": Solution("mask-inverted", "True hides in some libraries; here True means 'may attend'.", [
        ("attn_mask=mask)", "attn_mask=~mask)")]),
    "10_ones_and_zeros": Solution("leak", "A float mask is added: 0 and 1 hide nothing, booleans or -inf do.", [
        ("attn_mask=Tensor(mask)", "attn_mask=Tensor(mask.astype(bool))")]),
    "11_almost_right": Solution("wrong-gradient", "Mean and variance depend on x; detached, two terms are missing.", [
        ("mean = x.mean(dim=-1, keepdim=True).detach()", "mean = x.mean(dim=-1, keepdim=True)"),
        ("correction=0, keepdim=True).detach()", "correction=0, keepdim=True)")]),
    "12_overshoot": Solution("stale-gradients", "zero_grad is forgotten: every step adds to all gradients before.", [
        ("    loss = loss_fn(model, *batch)\n", "    optimizer.zero_grad()\n    loss = loss_fn(model, *batch)\n")]),
    "13_odd_weights": Solution("softmax-axis", "Weights are normalized over queries, not over keys.", [
        ("softmax(dim=-2)", "softmax(dim=-1)")]),
    "14_hot_heads": Solution("scale-missing", "1/sqrt(d) is missing.", [
        ("return query @ key.transpose(-1, -2)", "return query @ key.transpose(-1, -2) * self.head_dim ** -0.5")]),
    "15_shapes_fit": Solution("heads-scrambled", "reshape keeps the order in memory; heads need a transpose.", [
        ("x.reshape(x.shape[0], self.num_heads, x.shape[1], self.head_dim)",
         "x.reshape(x.shape[0], x.shape[1], self.num_heads, self.head_dim).transpose(1, 2)")]),
    "16_moody": Solution("random-evaluation", "F.dropout does not know whether the model trains, unless told.", [
        ("0.2))", "0.2, self.training))")]),
    "17_heavier_than_planned": Solution("untied", "Parameter(...) copies: the head has a weight of its own.", [
        ("nn.Parameter(self.token_embedding.weight)", "self.token_embedding.weight")]),
    "18_short_answers": Solution("padding-counted", "The padding at the ends of rows is most of what it learns.", [
        ("targets = ids[:, :-1], ids[:, 1:]", "targets = ids[:, :-1], np.where(ids[:, 1:] == PAD, -100, ids[:, 1:])")]),
    "19_stubborn_words": Solution("left-out", "The optimizer has blocks, norm and head, but no embeddings.", [
        ("[*model.transformer.parameters(), *model.head.parameters()]", "list(model.parameters())")]),
    "20_silent_units": Solution("dead-units", "Biases of -3 keep most units below 0 for every input.", [
        ("constant_(model[0].bias, -3.0)", "constant_(model[0].bias, 0.0)")]),
    "21_sure_of_itself": Solution("start-too-large", "Weights of deviation 1 make logits of deviation 6.", [
        ("std=1.0", "std=0.1")]),
    "22_time_time_time": Solution("greedy-loop", "The likeliest token leads back to where it was; draw instead.", [
        ("temperature=0)", "temperature=1.0)")]),
    "23_backward_fails": Solution("no-graph", "no_grad around forward: for evaluation it belongs around the call.", [
        ("    @tinytorch.no_grad()  # evaluation took too much memory\n", "")]),
    "24_deeper_is_no_better": Solution("unregistered", "A plain list hides the layers from parameters().", [
        ("[nn.Linear(32, 32) for _ in range(depth)]", "nn.ModuleList(nn.Linear(32, 32) for _ in range(depth))"),
        ("lr=0.5, momentum=0.9", "lr=0.1, momentum=0.9")]),
    "25_four_blocks": Solution("shared", "[block] * 4 is four times the same block.", [
        ("[nn.TransformerBlock(config)] * 4", "nn.TransformerBlock(config) for _ in range(4)")]),
    "26_new_head": Solution("foreign", "The head was replaced after the optimizer had been made.", [
        ("    optimizer = SGD(model.parameters(), lr=0.3)\n    model.head = nn.Linear(32, 8)\n",
         "    model.head = nn.Linear(32, 8)\n    optimizer = SGD(model.parameters(), lr=0.3)\n")]),
    "27_never_sure": Solution("softmax-twice", "cross_entropy takes logits, and applies the softmax itself.", [
        (", nn.Softmax(dim=-1))", ")")]),
    "28_deep_and_dumb": Solution("gradients-vanish", "Twelve sigmoids: each lets at most a quarter through.", [
        ("HIDDEN = nn.Sigmoid", "HIDDEN = nn.SiLU"), ("for _ in range(12)", "for _ in range(3)")]),
    "29_flat_line": Solution("no-update", "The warm-up starts at 0, and the schedule is never stepped.", [
        ("    LambdaLR(optimizer, lambda step: min(1.0, step / 100))\n",
         "    LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 100))\n")]),
    "30_bag_of_digits": Solution("order-blind", "Nothing tells attention where a digit stands.", [
        ("return self.token(ids)", "return super().embed(ids)"), ("    model.position = None\n", "")]),
    "31_pictures": Solution("input-scale", "Bytes from 0 to 255 go in as they are.", [
        ("inputs = pixels.astype(np.float32)", "inputs = (pixels.astype(np.float32) - 128) / 64")]),
    "32_learns_by_heart": Solution("labels-unrelated", "Points are shuffled, labels are not.", [
        ("points = points[order]", "points, labels = points[order], labels[order]")]),
    "33_perfect_score": Solution("duplicates", "Points were drawn with repetition first, and split afterwards.", [
        (".integers(0, 256, 384)", ".permutation(384)"), ("rows=256", "rows=384")]),
    "34_own_activation": Solution("wrong-backward", "The derivative of x s(x) has two terms.", [
        ("(grad * self.s,)", "(grad * (self.s + self.x * self.s * (1 - self.s)),)")]),
    "35_every_other_letter": Solution("targets-shifted-wrong", "Targets are two places on.", [
        ("ids[:, 2:]", "ids[:, 1:-1]")]),
    "36_all_start_equal": Solution("units-alike", "Equal units get equal gradients: they stay one unit.", [
        ("constant_(layer.weight, 0.1)", "normal_(layer.weight, std=0.1)"), ("constant_\n", "normal_\n")]),
    "37_ever_lower": Solution("loss-sign", "The likelihood of right answers has to grow; its negative is the loss.", [
        ("return picked.mean()", "return -picked.mean()")]),
    "38_forgotten_table": Solution("no-positions", "The table is made, and never added.", [
        ("x = self.token(ids)", "x = self.token(ids) + self.position(ids.shape[1])")]),
    "39_one_call": Solution("leak", "triu(..., 2) leaves the next token in view; the diagonal above begins at 1.", [
        ("bool), 2)", "bool), 1)")]),
}
