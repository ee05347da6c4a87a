import { z } from 'zod';
import { dctBasis } from '../../ops/dct.ts';
import { fsta as attend } from '../../ops/fsta.ts';
import {
  imageOf,
  integer,
  type Layer,
  type LayerKind,
  layerSchema,
  needReal,
  type Options,
  type Run,
  type TensorPlan,
} from '../layer.ts';

/** Largest side of the DCT filters in pixels. */
export const MAX_BASIS = 15;
/** Side of the learned convolutions over the frequency maps. */
export const MIX = 7;

/** Parameters whose name in the released checkpoints is another than ours. */
export const RELEASED = {
  m: 't',
  n: 's',
  time: 'fc_t.weight',
  freq1: 'freq_attention.freq_attention.0.weight',
  freq2: 'freq_attention.freq_attention.2.weight',
} as const;

const index = integer(0, MAX_BASIS * MAX_BASIS - 1);

const schema = layerSchema('fsta', {
  /**
   * 1: one convolution turns the K frequency maps into one; r > 1: two of them with floor(K / r) maps and a relu
   * between.
   */
  reduction: integer(1, MAX_BASIS * MAX_BASIS).default(1),
  /** Side of the DCT filters in pixels, odd. */
  basis: integer(1, MAX_BASIS)
    .refine((side) => side % 2 === 1, {
      message:
        'must be odd (7 or 3): filters of even side make the frequency maps one pixel too small, so they do not fit x any more',
    })
    .default(7),
  /** Which of the basis^2 filters, by index basis * v + u (u vertical): all, one or a list. */
  filters: z
    .union(
      [
        z.literal('all'),
        index,
        z
          .array(index)
          .min(1)
          .max(MAX_BASIS * MAX_BASIS),
      ],
      "must be 'all', an index or a list of indices",
    )
    .default('all'),
});

export type FstaLayer = z.input<typeof schema>;
type Checked = z.output<typeof schema>;

/**
 * Frequency-based spatial-temporal attention on the current x, before the neurons:
 * y = x (1 + a[t,b]) (m + n + n G[b,h,w]) / 2, a = sigmoid(Wt z), G = sigmoid(mix(D (*) sum_c mean_t x (1 + a))). The
 * shape stays. It looks at all time steps, so Wt fixes T. Start: alpha = beta = n = 0.5, m = 0.6, Wt and the
 * convolutions uniform in +-1/sqrt(inputs).
 *
 * Source: Yu, Zhang, Wang, Xu, "FSTA-SNN", AAAI 2025.
 */
export const fsta = (options: Options<typeof schema> = {}): FstaLayer => ({ kind: 'fsta', ...options });

function filterCount({ basis, filters }: Checked): number {
  if (filters === 'all') return basis * basis;
  return typeof filters === 'number' ? 1 : filters.length;
}

/** K, the frequency maps of a layer; undefined for one that is refused when its shapes are checked. */
export function frequencyMaps(layer: FstaLayer): number | undefined {
  const { success, data } = schema.safeParse(layer);
  return success ? filterCount(data) : undefined;
}

const uniform = (role: string, shape: number[], inputs: number): TensorPlan => ({
  role,
  shape,
  init: { bound: 1 / Math.sqrt(inputs) },
});
const scalar = (role: string, constant: number): TensorPlan => ({ role, shape: [1], init: { constant } });

/** What the op takes. */
export function attentionOf(layer: Layer, run: Run) {
  const params = {
    alpha: run.tensor('alpha'),
    beta: run.tensor('beta'),
    m: run.tensor('m'),
    n: run.tensor('n'),
    time: run.tensor('time'),
    freq1: run.tensor('freq1'),
    freq2: (layer as Checked).reduction > 1 ? run.tensor('freq2') : undefined,
  };
  return { params, basis: run.tensor('basis') };
}

export const fstaKind: LayerKind<Checked> = {
  kind: 'fsta',
  label: 'fsta',
  schema,
  overTime: 'all',
  released: RELEASED,
  plan(layer, input, context) {
    const [, height, width] = imageOf(input, context);
    needReal(input, context);
    const { basis, filters, reduction } = layer;
    const largest = typeof filters === 'number' ? filters : filters === 'all' ? 0 : Math.max(...filters);
    if (largest >= basis * basis) {
      context.fail(
        `a basis of ${basis}x${basis} has filters 0 to ${basis * basis - 1}, but 'filters' names ${largest}`,
      );
    }
    if (Array.isArray(filters) && new Set(filters).size < filters.length) {
      context.fail(`'filters' names each filter once, but is [${filters}]`);
    }
    const count = filterCount(layer);
    const hidden = reduction === 1 ? 1 : Math.floor(count / reduction);
    if (hidden < 1)
      context.fail(`reduction ${reduction} leaves none of ${count} frequency maps; it may be ${count} at most`);
    const parameters = [
      scalar('alpha', 0.5),
      scalar('beta', 0.5),
      scalar('m', 0.6),
      scalar('n', 0.5),
      uniform('time', [context.steps, context.steps], context.steps),
      uniform('freq1', [hidden, count, MIX, MIX], count * MIX * MIX),
    ];
    if (reduction > 1) parameters.push(uniform('freq2', [1, hidden, MIX, MIX], hidden * MIX * MIX));
    const perPixel = count * basis * basis + hidden * count * MIX * MIX + (reduction > 1 ? hidden * MIX * MIX : 0);
    return {
      output: { ...input, spikes: false },
      parameters,
      constants: [{ role: 'basis', shape: [count, 1, basis, basis], values: () => dctBasis(basis, filters) }],
      attentionMacs: perPixel * height * width + context.steps ** 2,
    };
  },
  forward(layer, x, run) {
    const { params, basis } = attentionOf(layer, run);
    return attend(x, params, { basis });
  },
};
