// Times the convolutions of FSTA-ResNet-20 here (spikes in) and in PyTorch, where oneDNN computes them (dense
// activations in), in turn.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { writeJson, writeText } from '../lib/cli/output.ts';
import { device, elements, nativeOp, SpikeloomError, scope, type Tensor, tensor } from '../lib/core/index.ts';
import { philox } from '../lib/core/random.ts';
import { median } from './options.ts';
import { provenance } from './provenance.ts';
import { writeResult } from './result-file.ts';

export interface ConvolutionOptions {
  python: string;
  images: number;
  /** Share of the inputs that are spikes; PyTorch's are dense. */
  rate: number;
  threads: number;
  rounds: number;
  repeats: number;
  out?: string;
  json?: boolean;
}

const PRECISIONS = ['fp32', 'bf16'] as const;
type Precision = (typeof PRECISIONS)[number];
const PASSES = ['forward', 'data_gradient', 'weight_gradient'] as const;
type Row = { layer: string } & Record<(typeof PASSES)[number], number>;

/** inputs, outputs, height and width of the input, kernel, stride: the layers of torch_conv.py, in its order. */
const LAYERS = [
  [64, 64, 32, 3, 1],
  [64, 64, 16, 3, 1],
  [64, 128, 16, 3, 2],
  [128, 128, 8, 3, 1],
  [128, 256, 8, 3, 2],
  [256, 256, 4, 3, 1],
  [256, 512, 4, 3, 2],
  [512, 512, 2, 3, 1],
] as const;

const forward = nativeOp<'y'>('conv2d');
const gradX = nativeOp<'gx'>('conv2dGradX');
const gradW = nativeOp<'gw'>('conv2dGradW');

function numbers(shape: number[], precision: Precision, seed: number): Tensor {
  const drawn = philox(seed, 0x636f6e76);
  const values = Float32Array.from({ length: elements(shape) }, () => drawn.normal());
  if (precision === 'fp32') return tensor(values, { shape });
  const words = Uint16Array.from(new Uint32Array(values.buffer), (word) => word >>> 16);
  return tensor(words, { shape, dtype: 'bf16' });
}

async function medianMs(run: () => unknown, repeats: number): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < repeats; i++) {
    await device('cpu').finish();
    const start = performance.now();
    scope(() => void run());
    await device('cpu').finish();
    times.push(performance.now() - start);
  }
  return median(times.slice(Math.floor(repeats / 5)));
}

async function ours(
  precision: Precision,
  { images, rate, repeats }: ConvolutionOptions,
): Promise<Omit<Row, 'layer'>[]> {
  const rows: Omit<Row, 'layer'>[] = [];
  const stored = precision === 'bf16' ? 'bf16' : 'f32';
  for (const [inputs, outputs, size, kernel, stride] of LAYERS) {
    const padding = (kernel - 1) / 2;
    const P = size / stride;
    const drawn = philox(1, inputs);
    const bits = Uint8Array.from({ length: images * inputs * size * size }, () => Number(drawn.uniform() < rate));
    using x = tensor(bits, { shape: [images, inputs, size, size], dtype: 'spike' });
    using w = numbers([outputs, inputs, kernel, kernel], 'fp32', 2);
    using gy = numbers([images, outputs, P, P], precision, 3);
    const at = { sh: stride, sw: stride, ph: padding, pw: padding };
    const passes = {
      forward: () => forward.run({ x, w }, at, { dims: { P, Q: P }, types: { y: stored } }),
      data_gradient: () => gradX.run({ gy, w }, at, { dims: { H: size, W: size }, types: { gx: stored } }),
      weight_gradient: () => gradW.run({ gy, x }, at, { dims: { kh: kernel, kw: kernel }, real: 'f32' }),
    };
    const row = { forward: 0, data_gradient: 0, weight_gradient: 0 };
    for (const pass of PASSES) row[pass] = await medianMs(passes[pass], repeats);
    rows.push(row);
  }
  return rows;
}

function theirs(precision: Precision, { python, images, threads, repeats }: ConvolutionOptions): Row[] {
  const script = fileURLToPath(new URL('./peers/torch_conv.py', import.meta.url));
  const given = { images, threads, repeats, precision };
  const args = [script, ...Object.entries(given).flatMap(([key, value]) => [`--${key}`, String(value)])];
  const { status, stdout, stderr, error } = spawnSync(python, args, { encoding: 'utf8' });
  if (status !== 0) {
    const why = error?.message ?? stderr.trim().split('\n').at(-1);
    throw new SpikeloomError(
      `the peer '${python}' must run torch_conv.py, but: ${why}; name a Python with PyTorch (--python)`,
    );
  }
  return (JSON.parse(stdout) as { ms: Row[] }).ms;
}

export async function convolutionsCommand(options: ConvolutionOptions): Promise<void> {
  const { rounds, threads, images, rate, out, json } = options;
  device('cpu').setThreads(threads);
  const seen = new Map<string, number[]>();
  const note = (key: string, ms: number) => seen.set(key, [...(seen.get(key) ?? []), ms]);
  let names: string[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const precision of PRECISIONS) {
      const [mine, peer] = [await ours(precision, options), theirs(precision, options)];
      names = peer.map(({ layer }) => layer);
      for (const pass of PASSES) {
        mine.forEach((row, i) => void note(`${precision} ${pass} ${i} ours`, row[pass]));
        peer.forEach((row, i) => void note(`${precision} ${pass} ${i} onednn`, row[pass]));
      }
    }
  }
  const at = (key: string) => median(seen.get(key)!);
  const rows = PRECISIONS.flatMap((precision) =>
    PASSES.flatMap((pass) =>
      names.map((layer, i) => {
        const [mine, peer] = [at(`${precision} ${pass} ${i} ours`), at(`${precision} ${pass} ${i} onednn`)];
        return { precision, pass, layer, ours_ms: mine, onednn_ms: peer, ratio: peer / mine };
      }),
    ),
  );
  const found = { ...provenance(), images, rate, threads, rounds, rows };
  if (out !== undefined) writeResult(out, found);
  if (json) return writeJson(found);
  const line = (r: (typeof rows)[number]) =>
    `${r.precision} ${r.pass.padEnd(16)} ${r.layer.padEnd(30)} ${r.ours_ms.toFixed(2).padStart(8)} ${r.onednn_ms.toFixed(2).padStart(8)} ${r.ratio.toFixed(2).padStart(6)}`;
  writeText([`${''.padEnd(52)}     ours   oneDNN  ratio`, ...rows.map(line)].join('\n'));
}
