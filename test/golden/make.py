"""Write the fixtures of this folder: python test/golden/make.py [NAME ...] [--check] [--out FOLDER]. See README.md.

A fixture is refused, with the seed to change, where its numbers would hang on the rounding of another correct program.
"""
import os

# The random numbers and the order of sums depend on the instruction set: ask for the baseline everywhere.
os.environ.setdefault('ATEN_CPU_CAPABILITY', 'default')
os.environ.setdefault('MKL_CBWR', 'COMPATIBLE')

import argparse
import json
import math
import pathlib
import struct
import sys

import torch
import torch.nn.functional as F

sys.dont_write_bytecode = True

from method import Fsta, Network, Neurons, lif, membrane
from ops import OPS, draw, traced
from own import own_networks

OPS = OPS | {'op-own-networks': own_networks}

NAMES = {torch.float64: 'F64', torch.int64: 'I64'}


def safetensors(kind, config, tensors):
    """The bytes of a safetensors file: length of the header, header, tensors in the order given."""
    header = {'__metadata__': {'spikeloom.fixture': '1', 'kind': kind, 'config': json.dumps(config)}}
    body = bytearray()
    for name, tensor in tensors.items():
        start = len(body)
        body += tensor.detach().contiguous().numpy().tobytes()
        header[name] = {'dtype': NAMES[tensor.dtype], 'shape': list(tensor.shape), 'data_offsets': [start, len(body)]}
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    return struct.pack('<Q', len(text)) + text + bytes(body)


def require_clear_spikes(current, spikes, v_th, decay, margin):
    """Refuse u/v_th within `margin` of 1/2 (a spike could flip) or of 0 and 1 (the surrogate jumps)."""
    with torch.no_grad():
        ratios = torch.stack([u for u, _ in membrane(current, decay, v_th, 1.0)]) / v_th
    for edge in (0.0, 0.5, 1.0):
        gap = (ratios - edge).abs().min().item()
        if gap < margin:
            raise ArithmeticError(f'a membrane potential lies {gap:.1e} from {edge}')
    if not torch.equal(ratios > 0.5, spikes > 0.5):
        raise ArithmeticError('the spikes are not those of the membrane potential')


def require_clear_maxima(x, margin):
    """Refuse maxima over H,W that another element misses by rounding only; exactly equal ones are kept (first wins)."""
    flat = x.detach().flatten(3)
    below = flat.max(3, keepdim=True).values - flat
    if ((below > 0) & (below < margin)).any():
        raise ArithmeticError('a maximum over H,W is decided by rounding')
    return ((below == 0).sum(3) > 1).sum().item()


class Watch:
    """Follows the neuron layers of a network: refuses numbers decided by rounding and records firing rates and ties."""

    def __init__(self, net, margin=1e-9):
        self.rates, self.ties, self.margin = {}, 0, margin
        for name, module in net.named_modules():
            if isinstance(module, Neurons):
                module.register_forward_hook(lambda m, x, s, name=name: self.see(name, m, x[0], s))

    def see(self, name, neurons, x, spikes):
        self.rates[name] = spikes.mean().item()
        if not 0.03 < self.rates[name] < 0.97:
            raise ArithmeticError(f'{name} fires at {self.rates[name]:.3f}: dead or saturated')
        if hasattr(neurons, 'dct'):
            self.ties += require_clear_maxima(x, self.margin)
        with torch.no_grad():
            current = neurons.current(x)
        require_clear_spikes(current, spikes.detach(), 1.0, 0.25, self.margin)

    def __str__(self):
        low, high = min(self.rates.values()), max(self.rates.values())
        return f'{len(self.rates)} layers fire at {low:.2f} to {high:.2f}, {self.ties} tied maxima'


def require_equal(name, one, other, tolerance):
    gap = ((one - other).norm() / one.norm().clamp_min(1e-300)).item()
    if not gap <= tolerance:
        raise ArithmeticError(f'{name}: the expanded and the collapsed form differ by {gap:.1e}')


def lif_fixture(g, shape, decay=0.25, v_th=1.0, temperature=1.0):
    named = traced(g, lambda x: lif(x, decay, v_th, temperature), dict(x=draw(g, *shape, scale=0.8)))
    require_clear_spikes(named['x'], named['y'].detach(), v_th, decay, 1e-5)
    return dict(decay=decay, v_th=v_th, temperature=temperature), named, f'fires at {named["y"].mean():.2f}'


def fsta_fixture(g, shape, basis=7, reduction=1, filters=None, coarse=False):
    module = Fsta(shape[0], basis, reduction, filters)
    initialise(module, g)
    x = draw(g, *shape)
    if coarse:
        x = (2 * x).round() / 4
        x[:, :, 1] = 0.25
    x.requires_grad_()
    gy, forms = draw(g, *shape), {}
    for module.form in ('collapsed', 'expanded'):
        module.zero_grad()
        x.grad = None
        y = module(x)
        y.backward(gy)
        params = dict(module.named_parameters())
        forms[module.form] = {'y': y, 'grad.x': x.grad} | {f'grad.{k}': p.grad for k, p in params.items()}
    for k, v in forms['expanded'].items():
        require_equal(k, v, forms['collapsed'][k], 1e-12)
    ties = require_clear_maxima(x, 1e-5)
    config = dict(steps=shape[0], basis=basis, reduction=reduction)
    if filters is not None:
        config['filters'] = filters
    return config, {'x': x, 'gy': gy} | {f'param.{k}': p for k, p in params.items()} | forms['expanded'], f'{ties} ties'


def initialise(module, g):
    """Draw every parameter and statistic: the published initialisation, with the constants moved off their start."""
    for name, v in module.state_dict().items():
        if name.endswith('num_batches_tracked'):
            continue
        if name.endswith('fc_t.weight') or 'freq_attention' in name:
            bound = 1 / math.sqrt(v[0].numel())
            v.copy_(((2 * torch.rand(v.shape, generator=g) - 1) * bound).float())
        elif name == 'fc.conv.weight':
            v.copy_(draw(g, *v.shape, scale=1 / v.shape[1]))
        elif v.dim() == 4:
            v.copy_(draw(g, *v.shape, scale=math.sqrt(2 / (v.shape[0] * v[0, 0].numel()))))
        elif name.endswith('running_var'):
            v.copy_(0.75 + draw(g, *v.shape, scale=0.5).square())
        elif name.endswith(('bn.bias', 'running_mean')) or name == 'fc.conv.bias':
            v.copy_(draw(g, *v.shape, scale=0.1))
        else:
            v.copy_((v + draw(g, *v.shape, scale=0.1)).float())


def start(g, form, options, tensors=None):
    """A network with the fixture's start values: drawn where `tensors` is None, else taken from it."""
    net = Network(**options, form=form)
    if tensors is None:
        initialise(net, g)
    else:
        state = {k.split('.', 1)[1]: v for k, v in tensors.items() if k.startswith(('param.', 'buffer.'))}
        net.load_state_dict(state, strict=False)
    return net


def begin(g, image, frames, batch, options):
    """x, labels and the start values of a network or training fixture."""
    net = start(g, 'expanded', options)
    shape = (batch, options['channels'], *image)
    x = draw(g, *((options['steps'], *shape) if frames else shape))
    labels = torch.randint(0, options['classes'], (batch,), generator=g)
    params = dict(net.named_parameters())
    state = {k: v.clone() for k, v in net.state_dict().items() if not k.endswith('num_batches_tracked')}
    return {'x': x, 'labels': labels} | {('param.' if k in params else 'buffer.') + k: v for k, v in state.items()}


def settings(model, smoothing=0.1, **given):
    """(options of the network, config of the fixture). `basis` is written only where it is not 7."""
    options = dict(model=model, steps=2, classes=5, channels=3, width=2, reduction=1, attention=True) | given
    return options, options | dict(smoothing=smoothing)


def network_fixture(g, model, image, frames=False, batch=2, **given):
    options, config = settings(model, **given)
    named = begin(g, image, frames, batch, options)
    results = {}
    for form in ('collapsed', 'expanded'):
        net = start(g, form, options, named)
        watch = Watch(net)
        logits = net(named['x'])
        loss = F.cross_entropy(logits, named['labels'], label_smoothing=config['smoothing'])
        loss.backward()
        grads = {f'grad.{k}': p.grad for k, p in net.named_parameters()}
        after = {f'after.{k}': v for k, v in net.state_dict().items() if 'running' in k}
        results[form] = {'logits': logits, 'loss': loss, **grads, **after}
    for k, v in results['expanded'].items():
        require_equal(k, v, results['collapsed'][k], 1e-13 if k == 'loss' else 1e-10)
    weakest = min(grads, key=lambda k: grads[k].norm())
    if grads[weakest].norm() < 1e-9:
        raise ArithmeticError(f'{weakest} is as good as zero')
    return config, named | results['expanded'], f'{watch}, weakest {weakest} {grads[weakest].norm():.1e}'


def training_fixture(g, model, image, updates, lr, frames=False, batch=2, **given):
    options, config = settings(model, **given)
    named = begin(g, image, frames, batch, options)
    rule = dict(lr=lr, momentum=0.9, nesterov=True)
    losses = {}
    for form in ('collapsed', 'expanded'):
        net, losses[form] = start(g, form, options, named), []
        watch, optimizer = Watch(net), torch.optim.SGD(net.parameters(), **rule)
        for _ in range(updates):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(named['x']), named['labels'], label_smoothing=config['smoothing'])
            loss.backward()
            optimizer.step()
            losses[form].append(loss.detach())
        losses[form] = torch.stack(losses[form])
    require_equal('losses', losses['expanded'], losses['collapsed'], 1e-11)
    note = f'{watch} in the last step, losses {losses["expanded"][0]:.3f} to {losses["expanded"][-1]:.3f}'
    return config | dict(updates=updates, **rule), named | {'losses': losses['expanded']}, note


def op_fixture(g, name):
    return *OPS[name](g), ''


R18, R19, R20, R34 = (f'fsta-resnet{n}' for n in (18, 19, 20, 34))
PLAN = {  # file: kind, program, seed, options
    'lif-default': ('lif', lif_fixture, 1, dict(shape=(5, 2, 3, 5, 7))),
    'lif-temperature3': ('lif', lif_fixture, 1, dict(shape=(5, 1, 33, 3, 3), temperature=3.0)),
    'lif-vth': ('lif', lif_fixture, 1, dict(shape=(5, 2, 5, 3, 4), decay=0.5, v_th=1.5, temperature=2.0)),
    'lif-t1': ('lif', lif_fixture, 1, dict(shape=(1, 3, 31, 1, 2))),
    'fsta-t1': ('fsta', fsta_fixture, 1, dict(shape=(1, 2, 5, 5, 7))),
    'fsta-t3-c33': ('fsta', fsta_fixture, 1, dict(shape=(3, 1, 33, 7, 5))),
    'fsta-hidden': ('fsta', fsta_fixture, 1, dict(shape=(2, 3, 5, 9, 8), reduction=20)),
    'fsta-basis3': ('fsta', fsta_fixture, 1, dict(shape=(3, 2, 5, 4, 3), basis=3)),
    'fsta-basis3-reduction4': ('fsta', fsta_fixture, 1, dict(shape=(3, 1, 33, 5, 3), basis=3, reduction=4)),
    'fsta-filter-one': ('fsta', fsta_fixture, 1, dict(shape=(2, 2, 5, 7, 5), filters=8)),
    'fsta-filter-list': ('fsta', fsta_fixture, 1, dict(shape=(2, 2, 5, 5, 6), reduction=4,
                                                     filters=[0, 7, 1, 14, 30, 2, 48, 21, 9])),
    'fsta-basis3-filters': ('fsta', fsta_fixture, 1, dict(shape=(1, 2, 3, 3, 3), basis=3, filters=[5, 1])),
    'fsta-ties': ('fsta', fsta_fixture, 1, dict(shape=(2, 2, 5, 5, 7), basis=3, coarse=True)),
    'network-resnet20': ('network', network_fixture, 1, dict(model=R20, image=(16, 16), width=2)),
    'network-resnet20-frames': ('network', network_fixture, 1, dict(model=R20, image=(15, 17), frames=True, steps=4,
                                                                    channels=2, width=3, basis=3)),
    'network-resnet20-plain': ('network', network_fixture, 1, dict(model=R20, image=(17, 15), width=3,
                                                                   attention=False)),
    'network-resnet19': ('network', network_fixture, 1, dict(model=R19, image=(9, 11), width=2)),
    'network-resnet18': ('network', network_fixture, 1, dict(model=R18, image=(33, 35), width=2, steps=3, basis=3,
                                                             reduction=4)),
    'network-resnet34': ('network', network_fixture, 1, dict(model=R34, image=(32, 32), width=2, basis=3)),
    'training-resnet20': ('training', training_fixture, 3, dict(model=R20, image=(16, 16), width=3, basis=3, updates=10,
                                                                lr=0.01)),
    'training-resnet19': ('training', training_fixture, 1, dict(model=R19, image=(9, 9), width=3, updates=4, lr=0.1,
                                                                attention=False)),
} | {name: ('op', op_fixture, 1, dict(name=name)) for name in OPS}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('names', nargs='*', metavar='NAME', help='fixtures to make; without a name, all')
    parser.add_argument('--check', action='store_true', help='write nothing; fail where a file has other bytes')
    parser.add_argument('--out', type=pathlib.Path, default=pathlib.Path(__file__).parent)
    args = parser.parse_args()
    unknown = set(args.names) - set(PLAN)
    if unknown:
        parser.error(f'unknown fixtures {sorted(unknown)}; there are {", ".join(PLAN)}')
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    failed = 0
    for name in args.names or PLAN:
        kind, program, seed, options = PLAN[name]
        try:
            config, tensors, note = program(torch.Generator().manual_seed(seed), **options)
        except ArithmeticError as error:
            print(f'{name}: refused with seed {seed}: {error}; give it another seed in PLAN', file=sys.stderr)
            failed = 1
            continue
        content, path = safetensors(kind, config, tensors), args.out / f'{name}.safetensors'
        if not args.check:
            path.write_bytes(content)
        elif not path.exists() or path.read_bytes() != content:
            failed, note = 1, 'OTHER BYTES'
        print(f'{path.name:36} {len(content):8} bytes  {note}')
    return failed


if __name__ == '__main__':
    sys.exit(main())
