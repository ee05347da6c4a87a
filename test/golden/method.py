"""FSTA-SNN stated in PyTorch: the independent truth behind the fixtures of this folder.

Activations are (T, B, C, H, W); nothing here is optimised and nothing is shared with the engine. Every module is named
so that `state_dict()` yields the parameter names of the authors' released checkpoints (conv1.0.pool.weight,
layer1.0.relu1.dct.fc_t.weight, fc.conv.bias), so no name map is needed.

Source: Yu, Zhang, Wang, Xu, "FSTA-SNN: Frequency-based Spatial-Temporal Attention Module for Spiking Neural Networks",
AAAI 2025, arXiv 2501.14744.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn


class TanhBox(torch.autograd.Function):
    """s = 1 where r > 1/2, else 0; ds/dr = k (1 - tanh(k (r - 1/2))^2) / (2 tanh(k/2)) for 0 <= r <= 1, else 0."""

    @staticmethod
    def forward(ctx, ratio, temperature):
        ctx.save_for_backward(ratio)
        ctx.temperature = temperature
        return torch.where(ratio > 0.5, 1.0, 0.0)

    @staticmethod
    def backward(ctx, gradient):
        ratio, = ctx.saved_tensors
        k = ctx.temperature
        bell = 1 - torch.tanh(k * (ratio - 0.5)).square()
        inside = ratio.ge(0).logical_and(ratio.le(1))
        return torch.where(inside, gradient * bell * (k / (2 * math.tanh(k / 2))), 0.0), None


def membrane(current, decay, v_th, temperature):
    """Yield (u[t], s[t]): u[t] = decay v[t-1] + y[t], s[t] = TanhBox(u[t]/v_th), v[t] = u[t] (1 - s[t]), v[-1] = 0."""
    v = 0.0
    for y in current.unbind(0):
        u = decay * v + y
        s = TanhBox.apply(u / v_th, temperature)
        v = u - u * s
        yield u, s


def lif(current, decay=0.25, v_th=1.0, temperature=1.0):
    """Spikes (T, ...) of leaky integrate-and-fire neurons with a hard reset that carries gradient."""
    return torch.stack([s for _, s in membrane(current, decay, v_th, temperature)])


def dct_filters(size, chosen=None):
    """Orthonormal 2-D DCT-II filters (K, size, size); index = size * v + u, u vertical (along rows), v horizontal."""
    at = (torch.arange(size) + 0.5).double()
    waves = torch.cos(math.pi / size * torch.arange(size).double()[:, None] * at) * math.sqrt(2 / size)
    waves[0] /= math.sqrt(2)
    every = torch.einsum('ui,vj->vuij', waves, waves).reshape(size * size, size, size)
    return every if chosen is None else every[[chosen] if isinstance(chosen, int) else chosen]


class FrequencyMixer(nn.Module):
    """K frequency maps to one map: a 7x7 convolution, or for reduction r two of them around floor(K/r) hidden maps."""

    def __init__(self, maps, reduction):
        super().__init__()
        hidden = maps // reduction
        if hidden < 1:
            raise ValueError(f'reduction {reduction} leaves none of {maps} frequency maps')
        widths = [maps, 1] if reduction == 1 else [maps, hidden, 1]
        layers = []
        for a, b in zip(widths, widths[1:]):
            layers += [nn.ReLU()] * bool(layers) + [nn.Conv2d(a, b, 7, padding=3, bias=False)]
        self.freq_attention = nn.Sequential(*layers)

    def forward(self, maps):
        return self.freq_attention(maps)


class Fsta(nn.Module):
    """y = x (1 + a[t,b]) (t + s + s G[b,h,w]) / 2, the scalars `t` and `s` named as in the released checkpoints.

    a = sigmoid(fc_t mean_c(alpha mean_hw x + beta max_hw x)); G = sigmoid(mixer(D_k (*) sum_c mean_t x (1 + a))).
    `form` 'expanded' materialises every gate over the whole tensor and repeats the filters over all channels, as the
    released code does; 'collapsed' is the same function with the linear sums taken first.
    """

    def __init__(self, steps, basis=7, reduction=1, filters=None, form='expanded'):
        super().__init__()
        if basis % 2 == 0:
            raise ValueError(f'an even basis ({basis}) does not keep the size of the map')
        self.form = form
        bank = dct_filters(basis, filters)
        self.register_buffer('bank', bank, persistent=False)
        self.alpha, self.beta, self.t, self.s = (nn.Parameter(torch.tensor([v])) for v in (0.5, 0.5, 0.6, 0.5))
        self.fc_t = nn.Linear(steps, steps, bias=False)
        self.freq_attention = FrequencyMixer(len(bank), reduction)

    def forward(self, x):
        return getattr(self, self.form)(x)

    def expanded(self, x):
        steps, _, channels, height, width = x.shape
        x = x.permute(1, 0, 2, 3, 4)                                                     # (B,T,C,H,W)
        mean, peak = F.adaptive_avg_pool3d(x, (None, 1, 1)), F.adaptive_max_pool3d(x, (None, 1, 1))
        squeezed = (self.alpha * mean + self.beta * peak).flatten(2)                     # (B,T,C)
        per_channel = self.fc_t(squeezed.mT)                                             # (B,C,T)
        a = torch.sigmoid(per_channel.mean(1))                                           # (B,T)
        in_time = x + x * a.reshape(*a.shape, 1, 1, 1).repeat(1, 1, channels, height, width)
        bank = self.bank.unsqueeze(1).repeat(1, channels, 1, 1)                          # (K,C,k,k)
        maps = F.conv2d(in_time.mean(1), bank, padding=bank.shape[-1] // 2)              # (B,K,H,W)
        gate = self.freq_attention(maps)[:, None].repeat(1, steps, channels, 1, 1)       # (B,T,C,H,W)
        in_space = in_time + in_time * torch.sigmoid(gate)
        return ((in_time * self.t + in_space * self.s) / 2).permute(1, 0, 2, 3, 4)

    def collapsed(self, x):
        flat = x.flatten(3)                                                              # (T,B,C,HW)
        z = (self.alpha * flat.mean(3) + self.beta * flat.max(3).values).mean(2)         # (T,B)
        gain_t = 1 + torch.sigmoid(self.fc_t.weight @ z)
        plane = torch.einsum('tbhw,tb->bhw', x.sum(2), gain_t / len(x))[:, None]
        maps = F.conv2d(plane, self.bank[:, None], padding=self.bank.shape[-1] // 2)
        gain_s = (self.t + self.s + self.s * torch.sigmoid(self.freq_attention(maps))) / 2   # (B,1,H,W)
        return x * gain_t[..., None, None, None] * gain_s


class Neurons(nn.Module):
    """LIF neurons behind FSTA; `attention` None leaves FSTA out."""

    def __init__(self, attention):
        super().__init__()
        if attention is not None:
            self.dct = attention

    def current(self, x):
        return self.dct(x) if hasattr(self, 'dct') else x

    def forward(self, x):
        return lif(self.current(x))


class EachStep(nn.Module):
    """A 2-D layer applied to every step by itself."""

    def __init__(self, layer):
        super().__init__()
        self.pool = layer

    def forward(self, x):
        return self.pool(x.flatten(0, 1)).unflatten(0, x.shape[:2])


class Norm(nn.Module):
    """Batch normalisation with statistics over T, B, H and W."""

    def __init__(self, channels):
        super().__init__()
        self.bn = nn.BatchNorm3d(channels)

    def forward(self, x):
        return self.bn(x.permute(1, 2, 0, 3, 4)).permute(2, 0, 1, 3, 4)


class Head(nn.Module):
    """Global average pool and a linear layer per step, then the mean over T: (T,B,C,H,W) to (B,classes)."""

    def __init__(self, channels, classes):
        super().__init__()
        self.conv = nn.Linear(channels, classes)

    def forward(self, x):
        return self.conv(x.mean((3, 4))).mean(0)


def convolution(inputs, outputs, kernel, stride=1):
    return EachStep(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False))


class Residual(nn.Module):
    """out = N(BN(conv(N(BN(conv x)))) + shortcut(x)), N the neurons; the identity adds x's spikes to the current."""

    def __init__(self, inputs, outputs, stride, pooled, neurons):
        super().__init__()
        self.conv1, self.bn1, self.relu1 = convolution(inputs, outputs, 3, stride), Norm(outputs), neurons()
        self.conv2, self.bn2, self.relu2 = convolution(outputs, outputs, 3), Norm(outputs), neurons()
        if stride == 1 and inputs == outputs:
            self.downsample = nn.Identity()
        elif pooled:
            pool = EachStep(nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False))
            self.downsample = nn.Sequential(pool, convolution(inputs, outputs, 1), Norm(outputs))
        else:
            self.downsample = nn.Sequential(convolution(inputs, outputs, 1, stride), Norm(outputs))

    def forward(self, x):
        inner = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(inner)) + self.downsample(x))


BLOCKS = {'fsta-resnet18': (2, 2, 2, 2), 'fsta-resnet19': (3, 3, 2), 'fsta-resnet20': (2, 2, 2, 2),
          'fsta-resnet34': (3, 4, 6, 3)}


class Network(nn.Module):
    """One of the four networks. `width` is the number of channels of the first stage; each later stage doubles it.

    ResNet-19 keeps the released code's behaviour: `reduction` reaches the stem only, the blocks use 16.
    """

    def __init__(self, model, steps, classes, channels, width, reduction=1, attention=True, basis=7, form='expanded'):
        super().__init__()
        self.steps = steps
        inner = 16 if model == 'fsta-resnet19' else reduction

        def neurons(r=inner):
            return Neurons(Fsta(steps, basis, r, form=form) if attention else None)

        if model == 'fsta-resnet20':
            layers, c = [], channels
            for _ in range(3):
                layers += [convolution(c, width, 3), Norm(width), neurons()]
                c = width
            self.conv1 = nn.Sequential(*layers, EachStep(nn.AvgPool2d(2)))
            self.stem = ('conv1',)
        else:
            small = model == 'fsta-resnet19'
            self.conv1 = convolution(channels, width, 3) if small else convolution(channels, width, 7, 2)
            self.bn1, self.relu = Norm(width), neurons(reduction)
            self.avgpool = nn.Identity() if small else EachStep(nn.AvgPool2d(3, 2, 1))
            self.stem = ('conv1', 'bn1', 'relu', 'avgpool')
        before = width
        for stage, count in enumerate(BLOCKS[model]):
            now, blocks = width * 2 ** stage, []
            for i in range(count):
                stride = 2 if stage > 0 and i == 0 else 1
                blocks.append(Residual(before, now, stride, model == 'fsta-resnet20', neurons))
                before = now
            setattr(self, f'layer{stage + 1}', nn.Sequential(*blocks))
        self.stages = tuple(f'layer{i + 1}' for i in range(len(BLOCKS[model])))
        self.fc = Head(before, classes)

    def forward(self, x):
        """(B,C,H,W), an image shown at every step, or (T,B,C,H,W) frames; returns logits (B,classes)."""
        if x.dim() == 4:
            x = x.expand(self.steps, *x.shape)
        for name in self.stem + self.stages:
            x = getattr(self, name)(x)
        return self.fc(x)
