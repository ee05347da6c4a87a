"""What the programs that time training steps in PyTorch share: options, a step, what is printed."""
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

SPEEDUPS = ('bf16', 'amp', 'channels_last', 'compile', 'graphs')
DTYPES = {'fp32': torch.float32, 'fp64': torch.float64}


def parser(description, models, speedups=SPEEDUPS):
    made = argparse.ArgumentParser(description=description)
    for name, value in (('steps', 2), ('batch', 32), ('size', 32), ('channels', 3), ('classes', 10), ('reduction', 1),
                        ('threads', 1), ('warmup', 2), ('repeats', 5), ('seed', 0)):
        made.add_argument(f'--{name}', type=int, default=value)
    made.add_argument('--model', choices=models, default=models[0])
    made.add_argument('--width', type=int)
    made.add_argument('--attention', choices=('fsta', 'none'), default='fsta')
    made.add_argument('--speedups', nargs='*', choices=speedups, default=[])
    made.add_argument('--device', default='cpu')
    made.add_argument('--frames', action='store_true')
    made.add_argument('--precision', choices=sorted(DTYPES), default='fp32')
    return made


def peak_bytes():
    """The peak resident size of this process; ru_maxrss also holds that of the process which started it (Linux)."""
    status = Path('/proc/self/status')
    own = re.search(r'^VmHWM:\s+(\d+) kB', status.read_text(), re.MULTILINE) if status.exists() else None
    return (int(own[1]) if own else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024


def taken_bytes(device):
    """Memory in use so far, as `bench step` counts it: of a GPU (by all programs), else this process's peak."""
    if device == 'cpu':
        return peak_bytes()
    free, total = torch.cuda.mem_get_info(device)
    return total - free


def begin(args):
    """Memory in use so far, to be given to report()."""
    torch.set_default_dtype(DTYPES[args.precision])
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    return taken_bytes(args.device)


def sgd(net):
    """Weights of one dimension do not decay."""
    matrices = [p for p in net.parameters() if p.dim() > 1]
    vectors = [p for p in net.parameters() if p.dim() <= 1]
    groups = [{'params': matrices, 'weight_decay': 5e-4}, {'params': vectors, 'weight_decay': 0.0}]
    return torch.optim.SGD(groups, lr=0.01, momentum=0.9, nesterov=True)


def batch(args):
    """Random images or frames, and labels."""
    image = (args.batch, args.channels, args.size, args.size)
    x = torch.randn((args.steps, *image) if args.frames else image).to(args.device)
    return x, torch.arange(args.batch, device=args.device) % args.classes


def channels_last(net, x):
    flat = x.flatten(0, -4).to(memory_format=torch.channels_last)
    return net.to(memory_format=torch.channels_last), flat.unflatten(0, x.shape[:-3])


def compiled(net, speedups):
    if 'graphs' in speedups:
        return torch.compile(net, mode='reduce-overhead')
    return torch.compile(net) if 'compile' in speedups else net


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


def report(args, before, net, parameters, training, **more):
    """Times the steps and prints one JSON line, as `bench step --json` does. `training`: optimizer, images, labels."""
    half = torch.float16 if 'amp' in args.speedups else torch.bfloat16 if 'bf16' in args.speedups else None
    scaler = torch.amp.GradScaler('cuda') if 'amp' in args.speedups else None
    for _ in range(args.warmup):
        time_step(net, *training, half, scaler)
    timings = [time_step(net, *training, half, scaler) for _ in range(args.repeats)]
    seconds = [s for s, _ in timings]
    step = statistics.median(seconds)
    shared = ('model', 'steps', 'batch', 'size', 'threads', 'precision', 'speedups', 'device')
    print(json.dumps({
        **{key: getattr(args, key) for key in shared},
        **more,
        'step_s': step,
        'min_s': min(seconds),
        'images_per_s': args.batch / step,
        'peak_bytes': taken_bytes(args.device) - before,
        **({} if args.device == 'cpu' else {'device_peak_bytes': torch.cuda.max_memory_allocated()}),
        'parameters': sum(p.numel() for p in parameters),
        'loss': timings[-1][1],
        'torch': torch.__version__,
    }))
