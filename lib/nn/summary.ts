// What a model costs, layer by layer, before anything is computed.
import { elements, SpikeloomError } from '../core/index.ts';
import { kindOf, needArguments, needOptions } from '../core/options.ts';
import type { PlannedLayer, Signal } from './layer.ts';
import type { ModelPlan } from './plan.ts';

export interface SummaryOptions {
  /** Samples in a batch, for the bytes of activations. Default 1. */
  batch?: number;
  /** Type of numbers. Default 'f32'. */
  dtype?: 'f32' | 'f64';
}

export interface SummaryRow {
  path: string;
  kind: string;
  /** Output per sample and time step. */
  shape: readonly number[];
  parameters: number;
  /**
   * Multiply-accumulates per image and time step, of convolutions and linear layers computed densely; of a layer behind
   * the end of the time axis, which runs once, a share of 1 / T.
   */
  macs: number;
  neurons: number;
  /** Parameters, and the output of a batch over all time steps. */
  bytes: number;
}

export interface SummaryTotals {
  parameters: number;
  macsPerStep: number;
  /**
   * Of FSTA in its collapsed form (DCT, learned convolutions, time matrix); it works on all steps together, so this is
   * its total divided by T.
   */
  attentionMacsPerStep: number;
  neuronsPerStep: number;
  /** Parameters, their gradients and one momentum each; running statistics. */
  stateBytes: number;
  /**
   * Estimate for a batch in training: the output of every layer, which is kept until its gradient is computed. Spikes
   * take one bit.
   */
  activationBytes: number;
  /** The sum of both. */
  bytes: number;
}

export interface Summary {
  model: string;
  steps: number;
  batch: number;
  rows: SummaryRow[];
  /** Paths of layers of your own that do not say their multiply-accumulates; they count as 0. */
  uncounted: string[];
  totals: SummaryTotals;
  /** The rows and totals as a table of plain text. */
  toString(): string;
}

/** Bytes of a signal for one sample and step: spikes are packed along the channels in words of 32. */
function signalBytes({ shape, spikes }: Signal, real: number): number {
  if (!spikes) return elements(shape) * real;
  const channels = shape[0]!;
  return (elements(shape) / channels) * Math.ceil(channels / 32) * 4;
}

const count = (tensors: PlannedLayer['parameters']): number => tensors.reduce((n, { shape }) => n + elements(shape), 0);
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

export function summarize(plan: ModelPlan, options: SummaryOptions): Summary {
  needOptions('a summary', options, { batch: true, dtype: true });
  const { batch = 1, dtype = 'f32' } = options;
  if (!Number.isSafeInteger(batch) || batch < 1 || (dtype !== 'f32' && dtype !== 'f64')) {
    throw new SpikeloomError(
      `a summary is of a batch of at least 1 in 'f32' or 'f64', not of ${kindOf(batch)} in ${kindOf(dtype)}`,
    );
  }
  const real = dtype === 'f64' ? 8 : 4;
  const layers = [...plan.walk()];
  const samples = batch * plan.steps;
  const kept = (planned: PlannedLayer) => signalBytes(planned.output, real) * (planned.output.timed ? samples : batch);
  const rows = layers.map((planned) => ({
    path: planned.path,
    kind: planned.layer.kind,
    shape: planned.output.shape,
    parameters: count(planned.parameters),
    macs: planned.macs / (planned.input.timed ? 1 : plan.steps),
    neurons: planned.neurons,
    bytes: count(planned.parameters) * real + kept(planned),
  }));
  const parameters = sum(rows.map((row) => row.parameters));
  const stateBytes = (3 * parameters + sum(layers.map(({ buffers }) => count(buffers)))) * real;
  const activationBytes = sum(layers.map(kept));
  const totals = {
    parameters,
    macsPerStep: sum(rows.map((row) => row.macs)),
    attentionMacsPerStep: sum(layers.map((planned) => planned.attentionMacs)) / plan.steps,
    neuronsPerStep: sum(rows.map((row) => row.neurons)),
    stateBytes,
    activationBytes,
    bytes: stateBytes + activationBytes,
  };
  const uncounted = layers.filter((planned) => planned.uncounted).map(({ path }) => path);
  const summary = { model: plan.model, steps: plan.steps, batch, rows, uncounted, totals };
  // not enumerable, so that JSON and comparisons see the numbers alone
  return Object.defineProperty(summary, 'toString', { value: () => renderSummary(summary) });
}

const whole = (n: number): string => Math.round(n).toLocaleString('en-US');

/** '1.5 MiB'. */
export function binaryBytes(n: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(units.length - 1, n < 1 ? 0 : Math.floor(Math.log2(n) / 10));
  return `${(n / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}

/** A summary as a table of plain text with a line for each layer. */
export function renderSummary(summary: Omit<Summary, 'toString'>): string {
  needArguments('renderSummary()', 'an object', { summary });
  const { model, steps, batch, rows, uncounted, totals } = summary;
  needArguments('renderSummary()', 'an array', { rows });
  needArguments('renderSummary()', 'an array', { uncounted });
  const dash = (n: number) => (n === 0 ? '' : whole(n));
  const cells = [
    ['layer', 'kind', 'output', 'parameters', 'MACs/step', 'neurons', 'bytes'],
    ...rows.map((row) => [
      row.path,
      row.kind,
      row.shape.join('x'),
      dash(row.parameters),
      uncounted.includes(row.path) ? '?' : dash(row.macs),
      dash(row.neurons),
      binaryBytes(row.bytes),
    ]),
    [
      'total',
      '',
      '',
      whole(totals.parameters),
      whole(totals.macsPerStep),
      whole(totals.neuronsPerStep),
      binaryBytes(totals.bytes),
    ],
  ];
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  const lines = cells.map((row) =>
    row
      .map((cell, column) => (column < 3 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join('  ')
      .trimEnd(),
  );
  const rule = '-'.repeat(sum(widths) + 2 * (widths.length - 1));
  return [
    `${model}, T = ${steps}, batch ${batch}`,
    lines[0],
    rule,
    ...lines.slice(1, -1),
    rule,
    lines.at(-1),
    `attention: ${whole(totals.attentionMacsPerStep)} MACs/step beside these`,
    `memory: ${binaryBytes(totals.stateBytes)} weights, gradients and momentum; about ${binaryBytes(totals.activationBytes)} activations in training`,
    ...(uncounted.length === 0 ? [] : ['MACs/step: ? counts as 0; layers of your own say theirs by macs()']),
  ].join('\n');
}
