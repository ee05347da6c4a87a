"""Times whole training steps of an FSTA-SNN network in PyTorch and prints one JSON line, as `bench step --json` does.

The network is the one of test/golden/method.py, in float32 unless asked otherwise. `--speedups` are PyTorch's own means
to go faster, alone or together: autocast to bfloat16, channels-last weights and images, torch.compile (its time is
spent in the warm-up); on a GPU also torch.compile with CUDA graphs, and 'amp', autocast to float16 with a scaled loss
as the authors train.
"""
import sys
from pathlib import Path

import stepping

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'test' / 'golden'))
import method  # noqa: E402  (its folder is known only now)


def parse():
    parser = stepping.parser(__doc__, sorted(method.BLOCKS))
    parser.set_defaults(model='fsta-resnet20')
    parser.add_argument('--form', choices=('expanded', 'collapsed'), default='expanded')
    return parser.parse_args()


def main():
    args = parse()
    before = stepping.begin(args)
    width = args.width or (128 if args.model == 'fsta-resnet19' else 64)
    net = method.Network(args.model, args.steps, args.classes, args.channels, width, args.reduction,
                         args.attention == 'fsta', form=args.form)
    net = net.to(args.device, stepping.DTYPES[args.precision]).train()
    optimizer = stepping.sgd(net)
    x, labels = stepping.batch(args)
    if 'channels_last' in args.speedups:
        net, x = stepping.channels_last(net, x)
    called = stepping.compiled(net, args.speedups)
    stepping.report(args, before, called, list(net.parameters()), (optimizer, x, labels), form=args.form)


if __name__ == '__main__':
    main()
