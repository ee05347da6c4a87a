"""Times whole training steps of an FSTA-SNN network in PyTorch and prints one JSON line, as `bench step --json` does.

The network is the one of test/golden/method.py, in float32 unless asked otherwise. `--speedups` are PyTorch's own means
to go faster, alone or together: autocast to bfloat16, channels-last weights and images, torch.compile (its time is
spent in the warm-up); on a GPU also torch.compile with CUDA graphs, and 'amp', autocast to float16 with a scaled loss
as the authors train.
"""
import argparse
import json
import math
import re
import resource
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'test' / 'golden'))
import method  # noqa: E402  (its folder is known only now)

SPEEDUPS = ('bf16', 'amp', 'channels_last', 'compile', 'graphs')
DTYPES = {'fp32': torch.float32, 'fp64': torch.float64}


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (('steps', 2), ('batch', 32), ('size', 32), ('channels', 3), ('classes', 10), ('reduction', 1),
                        ('threads', 1), ('warmup', 2), ('repeats', 5), ('seed', 0)):
        parser.add_argument(f'--{name}', type=int, default=value)
    parser.add_argument('--model', choices=sorted(method.BLOCKS), default='fsta-resnet20')
    parser.add_argument('--width', type=int, help='default: 128 for fsta-resnet19, else 64')
    parser.add_argument('--attention', choices=('fsta', 'none'), default='fsta')
    parser.add_argument('--form', choices=('expanded', 'collapsed'), default='expanded')
    parser.add_argument('--speedups', nargs='*', choices=SPEEDUPS, default=[])
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--frames', action='store_true')
    parser.add_argument('--precision', choices=sorted(DTYPES), default='fp32')
    return parser.parse_args()


def peak_bytes():
    """The peak resident size of this process; ru_maxrss also holds that of the process which started it (Linux)."""
    status = Path('/proc/self/status')
    own = re.search(r'^VmHWM:\s+(\d+) kB', status.read_text(), re.MULTILINE) if status.exists() else None
    return (int(own[1]) if own else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024


def make(args):
    """The network as it is called, its parameters, their optimizer (weights of one dimension do not decay), the input and the labels."""
    torch.manual_seed(args.seed)
    width = args.width or (128 if args.model == 'fsta-resnet19' else 64)
    net = method.Network(args.model, args.steps, args.classes, args.channels, width, args.reduction,
                         args.attention == 'fsta', form=args.form).to(args.device, DTYPES[args.precision]).train()
    matrices = [p for p in net.parameters() if p.dim() > 1]
    vectors = [p for p in net.parameters() if p.dim() <= 1]
    groups = [{'params': matrices, 'weight_decay': 5e-4}, {'params': vectors, 'weight_decay': 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.01, momentum=0.9, nesterov=True)
    image = (args.batch, args.channels, args.size, args.size)
    x = torch.randn((args.steps, *image) if args.frames else image).to(args.device)
    if 'channels_last' in args.speedups:
        net = net.to(memory_format=torch.channels_last)
        x = x.flatten(0, -4).to(memory_format=torch.channels_last).unflatten(0, x.shape[:-3])
    called = net
    if 'graphs' in args.speedups:
        called = torch.compile(net, mode='reduce-overhead')
    elif 'compile' in args.speedups:
        called = torch.compile(net)
    labels = torch.arange(args.batch, device=args.device) % args.classes
    return called, list(net.parameters()), optimizer, x, labels


def time_step(net, optimizer, x, labels, half, scaler):
    start = time.perf_counter()
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast(x.device.type, dtype=half or torch.bfloat16, enabled=half is not None):
        loss = F.cross_entropy(net(x), labels, label_smoothing=0.1)
    if scaler:
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    else:
        loss.backward()
        optimizer.step()
    value = loss.item()
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    seconds = time.perf_counter() - start
    if not math.isfinite(value):
        sys.exit(f'a step is timed while the loss is finite, but it is {value}')
    return seconds, value


def main():
    args = parse()
    torch.set_default_dtype(DTYPES[args.precision])
    torch.set_num_threads(args.threads)
    before = peak_bytes()
    net, parameters, *training = make(args)
    half = torch.float16 if 'amp' in args.speedups else torch.bfloat16 if 'bf16' in args.speedups else None
    scaler = torch.cuda.amp.GradScaler() if 'amp' in args.speedups else None
    on_gpu = args.device != 'cpu'
    for _ in range(args.warmup):
        time_step(net, *training, half, scaler)
    timings = [time_step(net, *training, half, scaler) for _ in range(args.repeats)]
    seconds = [s for s, _ in timings]
    step = statistics.median(seconds)
    shared = ('model', 'steps', 'batch', 'size', 'threads', 'precision', 'form', 'speedups', 'device')
    print(json.dumps({
        **{key: getattr(args, key) for key in shared},
        'step_s': step,
        'min_s': min(seconds),
        'images_per_s': args.batch / step,
        'peak_bytes': torch.cuda.max_memory_allocated() if on_gpu else peak_bytes() - before,
        'parameters': sum(p.numel() for p in parameters),
        'loss': timings[-1][1],
        'torch': torch.__version__,
    }))


if __name__ == '__main__':
    main()
