"""Networks of one's own, trained by plain SGD on one batch: what the ops and the tape make is held to these.

attention: spiking self-attention (Zhou et al., "Spikformer", ICLR 2023): q, k and v are spikes of linear layers,
lif(scale q k^T v) over the tokens of every head, and a linear layer; logits are means over time and tokens.
recurrent: neurons that see the input and their own spikes of the step before; logits are means over time.
"""
import torch
import torch.nn.functional as F

from method import TanhBox, lif, membrane
from ops import draw, gathered

SCALE = 0.3


def attention(x, heads, p, watch):
    """x (T,B,N,C) to logits (B,K)."""
    T, B, N, C = x.shape

    def fired(y):
        watch.append([u for u, _ in membrane(y, 0.25, 1.0, 1.0)])
        return lif(y)

    def split(y):
        return fired(y).reshape(T, B, N, heads, C // heads).transpose(2, 3)

    q, k, v = (split(x @ p[name].T) for name in ('q', 'k', 'v'))
    y = (q @ k.transpose(-1, -2)) * SCALE @ v
    y = fired(y.transpose(2, 3).reshape(T, B, N, C))
    return (y @ p['out'].T).mean((0, 2))


def recurrent(x, p, watch):
    """x (T,B,F) to logits (B,K)."""
    h, v, spikes = torch.zeros(x.shape[1], p['cell'].shape[0]), 0.0, []
    membranes = []
    watch.append(membranes)
    for now in x.unbind(0):
        u = 0.25 * v + F.linear(torch.cat([now, h], 1), p['cell'], p['bias'])
        membranes.append(u)
        h = TanhBox.apply(u, 1.0)
        v = u - u * h
        spikes.append(h)
    return F.linear(torch.stack(spikes), p['out']).mean(0)


def trained(run, x, labels, params, lr, updates):
    leaves = {k: v.clone().requires_grad_() for k, v in params.items()}
    losses, named = [], {'x': x, 'labels': labels} | {f'param.{k}': v for k, v in params.items()}
    for update in range(updates):
        watch = []
        loss = F.cross_entropy(run(x, leaves, watch), labels)
        for u in map(torch.stack, watch):
            rate = (u > 0.5).double().mean()
            if any((u - edge).abs().min() < 1e-9 for edge in (0.5, 1.0)):
                raise ArithmeticError('a membrane potential lies at an edge')
            if not 0.03 < rate < 0.97:
                raise ArithmeticError(f'a layer fires at {rate:.2f}: dead or saturated')
        gradients = torch.autograd.grad(loss, list(leaves.values()))
        if update == 0:
            named |= {f'grad.{k}': g for k, g in zip(leaves, gradients)}
        losses.append(loss.detach())
        leaves = {k: (v - lr * g).detach().requires_grad_() for (k, v), g in zip(leaves.items(), gradients)}
    return named | {'losses': torch.stack(losses)} | {f'after.{k}': v for k, v in leaves.items()}


def own_networks(g):
    lr, updates, heads = 0.5, 4, 2
    labels = torch.tensor([2, 0, 1])
    shapes = dict(q=(8, 8), k=(8, 8), v=(8, 8), out=(3, 8))
    params = {k: draw(g, *shape, scale=0.5) for k, shape in shapes.items()}
    x = draw(g, 3, 3, 5, 8)
    cases = {'attention': (dict(heads=heads, scale=SCALE, lr=lr, updates=updates),
                           trained(lambda *rest: attention(rest[0], heads, *rest[1:]), x, labels, params, lr, updates))}
    params = dict(cell=draw(g, 7, 4 + 7, scale=0.5), bias=draw(g, 7, scale=0.3, shift=0.3), out=draw(g, 3, 7))
    cases['recurrent'] = (dict(lr=lr, updates=updates),
                          trained(recurrent, draw(g, 6, 3, 4), labels, params, lr, updates))
    return gathered('own_networks', cases)
