"""Times PyTorch's convolutions, which oneDNN computes, at the shapes of FSTA-ResNet-20, and prints one JSON line.

Forward pass, data gradient and weight gradient apart, channels-last, on dense activations of the chosen type.
"""
import argparse
import json
import statistics
import time

import torch

# name, inputs, outputs, height and width of the input, kernel, stride
LAYERS = [('64 to 64 at 32x32', 64, 64, 32, 3, 1), ('64 to 64 at 16x16', 64, 64, 16, 3, 1), ('64 to 128 at 16x16, stride 2', 64, 128, 16, 3, 2),
          ('128 to 128 at 8x8', 128, 128, 8, 3, 1), ('128 to 256 at 8x8, stride 2', 128, 256, 8, 3, 2), ('256 to 256 at 4x4', 256, 256, 4, 3, 1),
          ('256 to 512 at 4x4, stride 2', 256, 512, 4, 3, 2), ('512 to 512 at 2x2', 512, 512, 2, 3, 1)]


def median_ms(run, repeats):
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[repeats // 5:]) * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--images', type=int, default=64, help='time steps x batch')
    parser.add_argument('--precision', choices=('fp32', 'bf16'), default='bf16')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--repeats', type=int, default=25)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    dtype = torch.bfloat16 if args.precision == 'bf16' else torch.float32
    rows = []
    for name, inputs, outputs, size, kernel, stride in LAYERS:
        pad = kernel // 2
        x = (torch.rand(args.images, inputs, size, size) < 0.25).to(dtype).contiguous(memory_format=torch.channels_last)
        w = torch.randn(outputs, inputs, kernel, kernel).to(dtype).contiguous(memory_format=torch.channels_last)
        gy = torch.randn_like(torch.conv2d(x, w, None, stride, pad))

        def backward(mask):
            return torch.ops.aten.convolution_backward(gy, x, w, None, [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], 1, mask)

        runs = {'forward': lambda: torch.conv2d(x, w, None, stride, pad), 'data_gradient': lambda: backward([True, False, False]),
                'weight_gradient': lambda: backward([False, True, False])}
        rows.append({'layer': name, **{key: median_ms(run, args.repeats) for key, run in runs.items()}})
    print(json.dumps({'torch': torch.__version__, 'precision': args.precision, 'threads': args.threads, 'images': args.images, 'ms': rows}))


if __name__ == '__main__':
    main()
