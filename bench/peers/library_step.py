"""Times whole training steps of networks that users of SpikingJelly and snnTorch train, each in its own library, and
prints one JSON line, as `bench step --json` does.

Without `--speedups` a network is built and called as its library's example does. With them, alone or together:
'once' computes what an image makes in front of the first neurons once instead of at every time step, and PyTorch's own
are autocast to bfloat16, channels-last weights and images and torch.compile (its time is spent in the warm-up).
"""
import sys

import stepping
import torch
from torch import nn

SPEEDUPS = ('once', 'bf16', 'channels_last', 'compile')


class Jelly(nn.Module):
    """SpikingJelly's multi-step mode: layers take all time steps. `stem`: layers in front of the first neurons."""

    def __init__(self, layers, stem, steps, frames, once):
        super().__init__()
        from spikingjelly.activation_based import functional
        self.layers, self.stem, self.steps, self.frames, self.once = layers, stem, steps, frames, once
        self.reset = functional.reset_net
        functional.set_step_mode(layers, 'm')

    def forward(self, x):
        self.reset(self.layers)
        layers = self.layers
        if self.once:
            x, layers = layers[:self.stem](x.unsqueeze(0)), layers[self.stem:]
            x = x.expand(self.steps, *x.shape[1:])
        elif not self.frames:
            x = x.unsqueeze(0).repeat(self.steps, 1, 1, 1, 1)
        return layers(x).mean(0)

    def prepare(self, speedups):
        return stepping.compiled(self, speedups)


def csnn(args):
    """spikingjelly.activation_based.examples.conv_fashion_mnist.CSNN (that file needs TensorBoard)."""
    from spikingjelly.activation_based import layer, neuron, surrogate
    width, side = args.width or 128, args.size // 4
    fire = lambda: neuron.IFNode(surrogate_function=surrogate.ATan())  # noqa: E731
    layers = nn.Sequential(
        layer.Conv2d(args.channels, width, kernel_size=3, padding=1, bias=False), layer.BatchNorm2d(width), fire(),
        layer.MaxPool2d(2, 2),
        layer.Conv2d(width, width, kernel_size=3, padding=1, bias=False), layer.BatchNorm2d(width), fire(),
        layer.MaxPool2d(2, 2), layer.Flatten(),
        layer.Linear(width * side * side, width * 4 * 4, bias=False), fire(),
        layer.Linear(width * 4 * 4, args.classes, bias=False), fire())
    return Jelly(layers, 2, args.steps, args.frames, 'once' in args.speedups)


def gesture(args):
    """spikingjelly.activation_based.model.parametric_lif_net.DVSGestureNet, its neurons as in examples.classify_dvsg."""
    from spikingjelly.activation_based import neuron, surrogate
    from spikingjelly.activation_based.model.parametric_lif_net import DVSGestureNet
    net = DVSGestureNet(args.width or 128, neuron.LIFNode, surrogate_function=surrogate.ATan(), detach_reset=True)
    return Jelly(net.conv_fc, 2, args.steps, args.frames, False)


class Torch(nn.Module):
    """The convolutional network of snnTorch's tutorial 6."""

    def __init__(self, args):
        super().__init__()
        import snntorch as snn
        from snntorch import surrogate, utils
        self.steps, self.once, self.utils = args.steps, 'once' in args.speedups, utils
        grad, side = surrogate.fast_sigmoid(slope=25), ((args.size - 4) // 2 - 4) // 2
        fire = lambda **more: snn.Leaky(beta=0.5, spike_grad=grad, init_hidden=True, **more)  # noqa: E731
        self.layers = nn.Sequential(
            nn.Conv2d(args.channels, 12, 5), nn.MaxPool2d(2), fire(),
            nn.Conv2d(12, 64, 5), nn.MaxPool2d(2), fire(),
            nn.Flatten(), nn.Linear(64 * side * side, args.classes), fire(output=True))

    def prepare(self, speedups):
        """All time steps in one graph take minutes to compile: one step is compiled."""
        self.image, self.step = (self.layers[:2], self.layers[2:]) if self.once else (nn.Identity(), self.layers)
        self.step = stepping.compiled(self.step, speedups)
        return self

    def forward(self, x):
        self.utils.reset(self.layers)
        x = self.image(x)
        return torch.stack([self.step(x)[0] for _ in range(self.steps)]).mean(0)


NETWORKS = {'spikingjelly-csnn': csnn, 'spikingjelly-dvs-gesture': gesture, 'snntorch-convnet': Torch}


def main():
    args = stepping.parser(__doc__, sorted(NETWORKS), SPEEDUPS).parse_args()
    if args.frames and ('once' in args.speedups or args.model == 'snntorch-convnet'):
        sys.exit("frames differ from step to step: not for snntorch-convnet, and nothing of them is computed 'once'")
    before = stepping.begin(args)
    net = NETWORKS[args.model](args).to(args.device, stepping.DTYPES[args.precision]).train()
    optimizer = stepping.sgd(net)
    x, labels = stepping.batch(args)
    if 'channels_last' in args.speedups:
        net, x = stepping.channels_last(net, x)
    parameters = list(net.parameters())
    stepping.report(args, before, net.prepare(args.speedups), parameters, (optimizer, x, labels))


if __name__ == '__main__':
    main()
