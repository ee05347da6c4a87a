"""Prints what PyTorch reaches on a device, as one JSON line in the form of bench/native/ceilings.cpp.

Bandwidth counts the bytes that an operation asks for: read 1 array, copy 2, triad and update (in place) 3. Arithmetic:
products of large square matrices of random numbers, in float32 (without TF32) and in bfloat16. The best of several
tries counts.
"""
import argparse
import json
import time

import torch

TRIES = 5


def seconds(work, device):
    """The least seconds of one call, over tries of many."""
    def wait():
        if device.type == 'cuda':
            torch.cuda.synchronize(device)

    def run(times):
        wait()
        start = time.perf_counter()
        for _ in range(times):
            work()
        wait()
        return time.perf_counter() - start

    run(3)
    times = max(1, int(0.05 / max(run(1), 1e-6)))
    return min(run(times) for _ in range(TRIES)) / times


def bandwidth(megabytes, device):
    total = megabytes << 20
    rates = {'bytes': total}
    for name, arrays, make in (
            ('copy', 2, lambda a, b: lambda: b.copy_(a)),
            ('triad', 3, lambda a, b, c: lambda: torch.add(a, b, alpha=0.5, out=c)),
            ('update', 3, lambda a, b: lambda: a.add_(b, alpha=0.5)),
            ('read', 1, lambda a: lambda: a.sum())):
        # an update reads two arrays and writes one of them again
        held = arrays - 1 if name == 'update' else arrays
        tensors = [torch.rand(total // held // 4, device=device) for _ in range(held)]
        count = sum(t.numel() * 4 for t in tensors) + (tensors[0].numel() * 4 if name == 'update' else 0)
        rates[name] = count / seconds(make(*tensors), device)
    return rates


def products(size, dtype, device):
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    return 2 * size ** 3 / seconds(lambda: torch.mm(a, b, out=out), device)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--device', default='cuda')
    parser.add_argument('--megabytes', type=int, nargs='*', default=[4, 16, 64, 256, 1024, 4096])
    parser.add_argument('--size', type=int, default=8192)
    args = parser.parse_args()
    device = torch.device(args.device)
    torch.backends.cuda.matmul.allow_tf32 = False
    print(json.dumps({
        'threads': 0,
        'vectors': f'PyTorch {torch.__version__}',
        'bandwidth': [bandwidth(megabytes, device) for megabytes in args.megabytes],
        'f32': products(args.size, torch.float32, device),
        'bf16': products(args.size, torch.bfloat16, device),
    }))


if __name__ == '__main__':
    main()
