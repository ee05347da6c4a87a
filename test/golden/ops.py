"""Fixtures of single operations: PyTorch computes the outputs and gradients, each file holds several named cases."""
import math

import torch
import torch.nn.functional as F


def draw(generator, *shape, scale=1.0, shift=0.0):
    """Normal numbers in float64 whose values are exact in float32 too, so that both precisions can start from them."""
    return (shift + scale * torch.randn(shape, generator=generator)).float().double()


def traced(generator, function, inputs, output='y'):
    """Run `function(**inputs)` and return inputs, output, the drawn gradient gy (none for a scalar) and grad.NAME."""
    leaves = {k: v.clone().requires_grad_(v.is_floating_point()) for k, v in inputs.items()}
    y = function(**leaves)
    gy = draw(generator, *y.shape) if y.dim() else None
    y.backward(gy)
    out = {**inputs, output: y} | ({} if gy is None else {'gy': gy})
    return out | {f'grad.{k}': v.grad for k, v in leaves.items() if v.requires_grad}


def each_step(function):
    """A 2-D operation on (N,C,H,W) applied to (T,B,C,H,W)."""
    return lambda x, **rest: function(x.flatten(0, 1), **rest).unflatten(0, x.shape[:2])


def gathered(op, cases):
    """(config, tensors) of a file from {case: (attributes, tensors)}; tensor names get the case as a prefix."""
    tensors = {f'{case}.{name}': t for case, (_, named) in cases.items() for name, t in named.items()}
    return {'op': op, 'cases': {case: attributes for case, (attributes, _) in cases.items()}}, tensors


def batch_norm(g):
    cases = {}
    plan = {'training': ((3, 2, 5, 4, 3), True, 0.1), 'momentum': ((1, 2, 33, 3, 5), True, 0.3),
            'constant': ((2, 3, 2, 3, 3), True, 0.1), 'evaluation': ((2, 2, 5, 3, 4), False, 0.1)}
    for case, (shape, training, momentum) in plan.items():
        c, attributes = shape[2], dict(training=training, momentum=momentum, eps=1e-5)
        x = draw(g, *shape, scale=1.5, shift=0.4)
        if case == 'constant':
            x[:, :, 1] = 0.75
        inputs = dict(x=x, weight=draw(g, c, scale=0.3, shift=1), bias=draw(g, c, scale=0.3))
        statistics = dict(running_mean=draw(g, c, scale=0.3), running_var=draw(g, c, scale=0.3).square() + 0.5)
        after = {k: v.clone() for k, v in statistics.items()}

        def norm(x, weight, bias):
            y = F.batch_norm(x.permute(1, 2, 0, 3, 4), *after.values(), weight, bias, **attributes)
            return y.permute(2, 0, 1, 3, 4)

        named = {**inputs, **statistics} | traced(g, norm, inputs) | {f'after.{k}': v for k, v in after.items()}
        cases[case] = attributes, named
    return gathered('batch_norm', cases)


def conv2d(g):
    plan = {  # x, outputs, kernel, stride, padding, bias, spikes
        'same3x3': ((2, 2, 3, 5, 7), 4, (3, 3), 1, 1, False, False),
        'stride2': ((2, 1, 5, 7, 9), 3, (3, 3), 2, 1, False, False),
        'stride2even': ((1, 2, 3, 8, 6), 5, (3, 3), 2, 1, False, False),
        'point': ((2, 2, 5, 3, 5), 7, (1, 1), 1, 0, False, False),
        'pointstride2': ((1, 2, 5, 7, 5), 6, (1, 1), 2, 0, False, False),
        'stem7x7': ((1, 2, 3, 13, 11), 4, (7, 7), 2, 3, False, False),
        'oblong': ((1, 2, 2, 6, 9), 3, (2, 5), 1, 0, True, False),
        'stride3': ((1, 1, 2, 11, 10), 3, (4, 4), 3, 2, True, False),
        'small': ((2, 1, 3, 1, 2), 2, (3, 3), 1, 1, True, False),
        'spikes31': ((2, 1, 31, 5, 5), 3, (3, 3), 1, 1, False, True),
        'spikes33': ((1, 2, 33, 5, 4), 3, (3, 3), 2, 1, True, True),
        'spikes65': ((2, 1, 65, 3, 3), 2, (1, 1), 1, 0, False, True),
    }
    cases = {}
    for case, (shape, outputs, kernel, stride, padding, bias, spikes) in plan.items():
        x = draw(g, *shape)
        inputs = dict(x=(x > 0.6).double() if spikes else x, weight=draw(g, outputs, shape[2], *kernel, scale=0.3))
        if bias:
            inputs['bias'] = draw(g, outputs)
        attributes = dict(stride=stride, padding=padding)
        run = each_step(lambda x, **rest: F.conv2d(x, **rest, **attributes))
        cases[case] = attributes, traced(g, run, inputs)
    return gathered('conv2d', cases)


def group_conv2d(g):
    plan = {  # x, outputs, kernel, stride, padding, dilation, groups, bias, spikes
        'depthwise3x3': ((2, 2, 5, 5, 7), 5, (3, 3), 1, 1, 1, 5, True, False),
        'depthwise7x7': ((1, 2, 3, 6, 5), 3, (7, 7), 1, 3, 1, 3, False, False),
        'depthwisestride2': ((2, 1, 4, 7, 8), 4, (3, 3), 2, 1, 1, 4, False, False),
        'multiplier': ((1, 2, 3, 4, 5), 6, (3, 2), 1, 1, 1, 3, True, False),
        'groups': ((1, 2, 6, 5, 4), 4, (3, 3), 1, 1, 1, 2, True, False),
        'dilated': ((1, 2, 3, 7, 8), 4, (3, 3), 1, 2, 2, 1, False, False),
        'uneven': ((1, 1, 4, 9, 10), 6, (2, 3), (3, 2), (1, 4), (2, 3), 2, True, False),
        'spikes33': ((1, 2, 33, 4, 3), 33, (3, 3), 1, 2, 2, 33, False, True),
        'spikesgroups': ((2, 1, 6, 4, 5), 9, (3, 3), 2, 1, 1, 3, False, True),
    }
    cases = {}
    for case, (shape, outputs, kernel, stride, padding, dilation, groups, bias, spikes) in plan.items():
        x = draw(g, *shape)
        weight = draw(g, outputs, shape[2] // groups, *kernel, scale=0.3)
        inputs = dict(x=(x > 0.6).double() if spikes else x, weight=weight)
        if bias:
            inputs['bias'] = draw(g, outputs)
        attributes = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)
        run = each_step(lambda x, **rest: F.conv2d(x, **rest, **attributes))
        cases[case] = attributes, traced(g, run, inputs)
    return gathered('conv2d', cases)


def avg_pool2d(g):
    plan = {  # x, kernel, stride, padding, ceil_mode, count_include_pad
        'half': ((2, 2, 3, 6, 8), 2, 2, 0, False, True),
        'halfodd': ((2, 1, 3, 7, 5), 2, 2, 0, False, True),
        'shortcut': ((2, 1, 3, 7, 5), 2, 2, 0, True, False),
        'shortcutcounted': ((1, 2, 3, 5, 7), 2, 2, 0, True, True),
        'stem': ((1, 2, 5, 9, 7), 3, 2, 1, False, True),
        'uncounted': ((1, 2, 5, 9, 7), 3, 2, 1, False, False),
        'stemceil': ((1, 2, 3, 8, 10), 3, 2, 1, True, True),
        'stemceiluncounted': ((1, 2, 3, 8, 10), 3, 2, 1, True, False),
        'lastwindow': ((1, 1, 2, 4, 7), 2, 3, 1, True, True),
        'overlapping': ((1, 1, 33, 5, 5), 3, 1, 0, False, True),
        'single': ((1, 1, 2, 1, 1), 2, 2, 0, True, False),
    }
    cases = {}
    for case, (shape, kernel, stride, padding, ceil, counted) in plan.items():
        attributes = dict(kernel=kernel, stride=stride, padding=padding, ceil_mode=ceil, count_include_pad=counted)
        run = each_step(lambda x: F.avg_pool2d(x, kernel, stride, padding, ceil, counted))
        cases[case] = attributes, traced(g, run, dict(x=draw(g, *shape)))
    return gathered('avg_pool2d', cases)


def max_pool2d(g):
    plan = {  # x, kernel, stride, padding, ceil_mode, values
        'half': ((2, 2, 3, 6, 8), 2, 2, 0, False, 'normal'),
        'stem': ((1, 2, 5, 9, 7), 3, 2, 1, False, 'normal'),
        'ceil': ((1, 2, 3, 8, 5), 3, 2, 1, True, 'normal'),
        'overlapping': ((1, 1, 33, 5, 5), 3, 1, 1, False, 'normal'),
        'spikes': ((2, 1, 5, 7, 7), 3, 2, 1, False, 'spikes'),
        'allequal': ((1, 2, 2, 6, 5), 3, 1, 1, False, 'equal'),
        'negative': ((1, 1, 3, 5, 5), 3, 2, 1, False, 'negative'),
    }
    values = {'normal': lambda x: x, 'spikes': lambda x: (x > 0.6).double(), 'equal': lambda x: x * 0 + 0.25,
              'negative': lambda x: -1 - (2 * x).round().abs()}
    cases = {}
    for case, (shape, kernel, stride, padding, ceil, kind) in plan.items():
        attributes = dict(kernel=kernel, stride=stride, padding=padding, ceil_mode=ceil)
        run = each_step(lambda x: F.max_pool2d(x, kernel, stride, padding, 1, ceil))
        cases[case] = attributes, traced(g, run, dict(x=values[kind](draw(g, *shape))))
    return gathered('max_pool2d', cases)


def cross_entropy(g):
    """Mean over the batch; `labels` are class numbers, `target` holds probabilities. tet: mean over steps too."""
    plan = {'hard': ((3, 5), 0.0, 'hard', 1), 'smooth': ((3, 5), 0.1, 'hard', 1), 'soft': ((4, 3), 0.0, 'soft', 1),
            'softsmooth': ((4, 7), 0.2, 'soft', 1), 'large': ((3, 4), 0.1, 'hard', 400),
            'one': ((1, 2), 0.0, 'hard', 1), 'tet': ((3, 2, 5), 0.1, 'hard', 1)}
    cases = {}
    for case, (shape, smoothing, kind, scale) in plan.items():
        batch, classes = shape[-2:]
        if kind == 'hard':
            truth = dict(labels=torch.randint(0, classes, (batch,), generator=g))
        else:
            truth = dict(target=torch.softmax(draw(g, batch, classes), 1))
        target, = truth.values()

        def loss(logits):
            steps = logits if logits.dim() == 3 else logits[None]
            return torch.stack([F.cross_entropy(one, target, label_smoothing=smoothing) for one in steps]).mean()

        named = traced(g, loss, dict(logits=draw(g, *shape, scale=scale)), 'loss')
        cases[case] = dict(smoothing=smoothing, tet=len(shape) == 3), {**truth, **named}
    return gathered('cross_entropy', cases)


def bce_with_logits(g):
    """Mean over batch and classes of the binary cross-entropy with logits; `target` in [0, 1]."""
    plan = {'onehot': ((3, 5), 1, 0.0), 'smoothed': ((3, 5), 1, 0.1), 'mixed': ((2, 7), 2, None),
            'large': ((2, 4), 300, 0.0)}
    cases = {}
    for case, (shape, scale, smoothing) in plan.items():
        batch, classes = shape
        if smoothing is None:
            target = torch.rand(shape, generator=g).float().double()
        else:
            labels = torch.randint(0, classes, (batch,), generator=g)
            target = F.one_hot(labels, classes) * (1 - smoothing) + smoothing / classes
        logits = draw(g, *shape, scale=scale)
        run = lambda logits: F.binary_cross_entropy_with_logits(logits, target)
        named = traced(g, run, dict(logits=logits), 'loss')
        cases[case] = {}, {'target': target, **named}
    return gathered('bce_with_logits', cases)


class Lamb(torch.optim.Optimizer):
    """LAMB (You et al., arXiv 1904.00962), per tensor: m, v as Adam's with bias correction,

        r = m^ / (sqrt(v^) + eps) + decay w;   w -= lr q r;   q = |w| / |r|, or 1 where either norm is 0 or decay is 0.
    """

    def __init__(self, groups, betas, eps):
        super().__init__(groups, dict(betas=betas, eps=eps))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            (b1, b2), decay = group['betas'], group['weight_decay']
            for w in group['params']:
                state = self.state[w]
                n = state['n'] = state.get('n', 0) + 1
                m = state['m'] = b1 * state.get('m', 0) + (1 - b1) * w.grad
                v = state['v'] = b2 * state.get('v', 0) + (1 - b2) * w.grad ** 2
                r = m / (1 - b1 ** n) / ((v / (1 - b2 ** n)).sqrt() + group['eps']) + decay * w
                norms = w.norm().item(), r.norm().item()
                w -= group['lr'] * (norms[0] / norms[1] if decay and all(norms) else 1) * r


SGD, ADAMW, LAMB = torch.optim.SGD, torch.optim.AdamW, Lamb
OPTIMIZERS = {
    'sgd': (SGD, dict(momentum=0.0, nesterov=False), 0.0),
    'sgdDecay': (SGD, dict(momentum=0.0, nesterov=False), 0.02),
    'momentum': (SGD, dict(momentum=0.9, nesterov=False), 0.02),
    'nesterov': (SGD, dict(momentum=0.9, nesterov=True), 0.0),
    'nesterovDecay': (SGD, dict(momentum=0.9, nesterov=True), 0.02),
    'adamw': (ADAMW, dict(betas=(0.9, 0.999), eps=1e-8), 0.0),
    'adamwDecay': (ADAMW, dict(betas=(0.8, 0.99), eps=1e-6), 0.05),
    'lamb': (LAMB, dict(betas=(0.9, 0.999), eps=1e-8), 0.02),
    'lambNoDecay': (LAMB, dict(betas=(0.9, 0.999), eps=1e-8), 0.0),
}


def optimizers(g, steps=5):
    """Trajectories: weight (7,5) and zero (3,2), starting at 0, decay; bias (5) does not. lr has one value a step."""
    cases = {}
    for case, (rule, options, decay) in OPTIMIZERS.items():
        start = dict(weight=draw(g, 7, 5), zero=torch.zeros(3, 2), bias=draw(g, 5))
        gradients = {k: draw(g, steps, *v.shape) for k, v in start.items()}
        lr = [0.1, 0.1, 0.05, 0.02, 0.2]
        leaves = {k: v.clone().requires_grad_() for k, v in start.items()}
        groups = [dict(params=[leaves['weight'], leaves['zero']], lr=lr[0], weight_decay=decay),
                  dict(params=[leaves['bias']], lr=lr[0], weight_decay=0.0)]
        optimizer, path = rule(groups, **options), {k: [] for k in start}
        for i in range(steps):
            for group in optimizer.param_groups:
                group['lr'] = lr[i]
            for k, leaf in leaves.items():
                leaf.grad = gradients[k][i].clone()
            optimizer.step()
            for k, leaf in leaves.items():
                path[k].append(leaf.detach().clone())
        attributes = dict(rule=rule.__name__.lower(), steps=steps, lr=lr, weight_decay=decay, **options)
        cases[case] = attributes, {f'param.{k}': v for k, v in start.items()} | \
            {f'gradient.{k}': v for k, v in gradients.items()} | {f'after.{k}': torch.stack(v) for k, v in path.items()}
    return gathered('optimizers', cases)


def clip_grad_norm(g):
    """Clipping by the global norm: every gradient times min(1, max_norm / (norm + 1e-6))."""
    cases = {}
    for case, (max_norm, scale) in {'clipped': (1.0, 1.0), 'kept': (5.0, 0.1), 'zero': (1.0, 0.0)}.items():
        start = dict(weight=draw(g, 5, 7, 5, scale=scale), bias=draw(g, 5, 5, scale=scale))
        norms, clipped = [], {k: [] for k in start}
        for i in range(5):
            leaves = {k: torch.zeros_like(v[i]) for k, v in start.items()}
            for k, leaf in leaves.items():
                leaf.grad = start[k][i].clone()
            norms.append(torch.nn.utils.clip_grad_norm_(leaves.values(), max_norm))
            for k, leaf in leaves.items():
                clipped[k].append(leaf.grad)
        cases[case] = dict(max_norm=max_norm), {f'gradient.{k}': v for k, v in start.items()} | \
            {'norm': torch.stack(norms)} | {f'after.{k}': torch.stack(v) for k, v in clipped.items()}
    return gathered('clip_grad_norm', cases)


def schedules(_):
    """Learning rate of every epoch e: from + e (lr - from) / warmup for e < warmup; floor from e = epochs on, for the
    cooldown; between them floor + (lr - floor) (1 + cos(pi e / epochs)) / 2. The warm-up does not shift the cosine."""
    plan = {'warm': dict(lr=0.1, floor=1e-5, warmup=10, warmup_from=1e-5, epochs=60, cooldown=10),
            'cold': dict(lr=0.1, floor=1e-5, warmup=0, warmup_from=1e-5, epochs=60, cooldown=10),
            'short': dict(lr=1.5e-3, floor=1.5e-5, warmup=5, warmup_from=1e-5, epochs=7, cooldown=0),
            'odd': dict(lr=0.02, floor=0.0, warmup=1, warmup_from=0.01, epochs=3, cooldown=2),
            'one': dict(lr=0.3, floor=0.01, warmup=0, warmup_from=0.0, epochs=1, cooldown=0)}
    cases = {}
    for case, p in plan.items():
        rates = []
        for e in range(p['epochs'] + p['cooldown']):
            falling = p['floor'] + (p['lr'] - p['floor']) * (1 + math.cos(math.pi * e / p['epochs'])) / 2
            rising = p['warmup_from'] + e * (p['lr'] - p['warmup_from']) / max(1, p['warmup'])
            rates.append(rising if e < p['warmup'] else falling if e < p['epochs'] else p['floor'])
        cases[case] = p, {'lr': torch.tensor(rates)}
    return gathered('cosine', cases)


SMOOTH = {'sigmoid': lambda z, k: torch.sigmoid(k * z), 'atan': lambda z, k: torch.atan(math.pi / 2 * k * z) / math.pi,
          'fastSigmoid': lambda z, k: z / (1 + k * z.abs())}


def adaptive_neurons(x, p, w=None):
    """Spikes (T, ...): i = synaptic_decay i + x, u = decay v + i, s = 1 where u/v_th > threshold + adaptation_strength a;
    then v = u (1 - s) or u - s threshold v_th, a = adaptation_decay a + s. Autograd goes back, by a surrogate in s. With
    w the spikes of the step before are heard: x + s w^T in place of x."""
    current, v, a, spikes = 0.0, 0.0, 0.0, []
    for now in x.unbind(0):
        heard = 0.0 if w is None or not spikes else spikes[-1] @ w.T
        current = p['synaptic_decay'] * current + now + heard
        u = p['decay'] * v + current
        z = u / p['v_th'] - p['threshold'] - p['adaptation_strength'] * a
        if z.detach().abs().min() < 1e-9:
            raise ArithmeticError('a membrane potential lies at its threshold')
        smooth = SMOOTH[p['surrogate']](z, p['temperature'])
        s = (z > 0).double() + (smooth - smooth.detach())
        dropped = s.detach() if p['detach_reset'] else s
        v = u - dropped * p['threshold'] * p['v_th'] if p['soft'] else u * (1 - dropped)
        a = p['adaptation_decay'] * a + s
        spikes.append(s)
    return torch.stack(spikes)


def adaptive_lif(g):
    common = dict(decay=0.8, synaptic_decay=0.0, adaptation_decay=0.0, adaptation_strength=0.0, v_th=1.0, threshold=0.5,
                  soft=False, detach_reset=False, surrogate='sigmoid', temperature=4.0)
    plan = {'current': ((5, 2, 3, 3, 2), dict(synaptic_decay=0.7)),
            'currentsoft': ((6, 1, 33, 1, 2), dict(synaptic_decay=0.9, soft=True, surrogate='fastSigmoid',
                                                   temperature=25.0)),
            'adaptive': ((7, 2, 5, 2, 2), dict(adaptation_decay=0.9, adaptation_strength=0.2, soft=True)),
            'adaptivehard': ((5, 1, 31, 2, 1), dict(adaptation_decay=0.6, adaptation_strength=0.4, surrogate='atan',
                                                    temperature=2.0, v_th=1.5)),
            'both': ((9, 2, 4, 2, 1), dict(synaptic_decay=0.5, adaptation_decay=0.95, adaptation_strength=0.15,
                                           v_th=0.7, threshold=0.8)),
            'detached': ((5, 2, 3, 2, 2), dict(synaptic_decay=0.5, adaptation_decay=0.8, adaptation_strength=0.3,
                                               soft=True, detach_reset=True, surrogate='atan', temperature=2.0))}
    cases = {}
    for case, (shape, own) in plan.items():
        p = {**common, **own}
        named = traced(g, lambda x, p=p: adaptive_neurons(x, p), dict(x=draw(g, *shape, scale=0.8)))
        if not 0.1 < named['y'].mean() < 0.9:
            raise ArithmeticError(f'{case} is dead or saturated')
        cases[case] = p, named
    return gathered('adaptive_lif', cases)


def recurrent_lif(g):
    common = dict(decay=0.8, synaptic_decay=0.0, v_th=1.0, threshold=0.5, soft=False, detach_reset=False,
                  surrogate='sigmoid', temperature=4.0)
    without = dict(adaptation_decay=0.0, adaptation_strength=0.0)
    plan = {'hard': ((6, 3, 5), {}),
            'soft': ((6, 1, 33), dict(soft=True, surrogate='fastSigmoid', temperature=25.0)),
            'current': ((5, 2, 31), dict(synaptic_decay=0.7, surrogate='atan', temperature=2.0, v_th=1.5)),
            'currentsoft': ((9, 9, 10), dict(synaptic_decay=0.5, soft=True, v_th=0.7, threshold=0.8)),
            'detached': ((6, 2, 7), dict(synaptic_decay=0.3, detach_reset=True)),
            'one': ((5, 2, 1), dict(soft=True, detach_reset=True, surrogate='atan', temperature=2.0))}
    cases = {}
    for case, (shape, own) in plan.items():
        p, features = {**common, **own}, shape[-1]
        inputs = dict(x=draw(g, *shape, scale=0.8), w=draw(g, features, features, scale=1 / math.sqrt(features)))
        named = traced(g, lambda x, w, p=p: adaptive_neurons(x, p | without, w), inputs)
        if not 0.1 < named['y'].mean() < 0.9:
            raise ArithmeticError(f'{case} is dead or saturated')
        cases[case] = p, named
    return gathered('recurrent_lif', cases)


OPS = {'op-batch-norm': batch_norm, 'op-conv2d': conv2d, 'op-group-conv2d': group_conv2d, 'op-avg-pool2d': avg_pool2d,
       'op-max-pool2d': max_pool2d, 'op-cross-entropy': cross_entropy, 'op-bce-with-logits': bce_with_logits,
       'op-optimizers': optimizers, 'op-clip-grad-norm': clip_grad_norm, 'op-cosine': schedules,
       'op-adaptive-lif': adaptive_lif, 'op-recurrent-lif': recurrent_lif}
