// What a time step costs as their number grows: time and memory of a whole training step, each T in a process of its
// own.
import { table, writeJson, writeText } from '../lib/cli/output.ts';
import { placeOf, type StepOptions } from './options.ts';
import { commandOf, type Measured, ourSide, runSide } from './peers/sides.ts';
import { provenance } from './provenance.ts';
import { makeFolderOf, writeResult } from './result-file.ts';

export interface CurveOptions extends Omit<StepOptions, 'steps'> {
  steps: number[];
  out?: string;
  json?: boolean;
}

/** A number of time steps; `_per_step` is over T. */
export interface CurvePoint {
  steps: number;
  step_s: number;
  images_per_s: number;
  /** Images times time steps in a second: constant where a time step always costs the same. */
  image_steps_per_s: number;
  seconds_per_step: number;
  peak_bytes: number;
  peak_bytes_per_step: number;
  plan_bytes: number;
  plan_bytes_per_step: number;
  command: string;
}

export function pointOf(steps: number, found: Measured & { plan_bytes: number }, command: string): CurvePoint {
  const { step_s, images_per_s, peak_bytes, plan_bytes } = found;
  return {
    steps,
    step_s,
    images_per_s,
    image_steps_per_s: images_per_s * steps,
    seconds_per_step: step_s / steps,
    peak_bytes,
    peak_bytes_per_step: peak_bytes / steps,
    plan_bytes,
    plan_bytes_per_step: plan_bytes / steps,
    command,
  };
}

function show(points: readonly CurvePoint[], options: CurveOptions): string {
  const { model, batch, size, precision } = options;
  const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(1);
  const head = [
    'T',
    'step ms',
    'ms / T',
    'images/s',
    'images/s x T',
    'peak MiB',
    'peak / T',
    'planned MiB',
    'planned / T',
  ];
  const rows = points.map((point) => [
    String(point.steps),
    (point.step_s * 1e3).toFixed(1),
    (point.seconds_per_step * 1e3).toFixed(1),
    point.images_per_s.toFixed(1),
    point.image_steps_per_s.toFixed(1),
    mib(point.peak_bytes),
    mib(point.peak_bytes_per_step),
    mib(point.plan_bytes),
    mib(point.plan_bytes_per_step),
  ]);
  const title = `${model}, batch ${batch}, ${size}x${size}, ${placeOf(options)}, ${precision}`;
  return `${title}\n${table(
    [head, ...rows],
    head.map((_, i) => i),
  )}`;
}

export async function curveCommand(options: CurveOptions): Promise<void> {
  const { out, json, ...settings } = options;
  if (out !== undefined) makeFolderOf(out);
  const points: CurvePoint[] = [];
  for (const steps of options.steps) {
    const side = ourSide({ ...settings, steps }, options.precision);
    process.stderr.write(`T = ${steps}\n`);
    points.push(pointOf(steps, (await runSide(side)) as Measured & { plan_bytes: number }, commandOf(side)));
  }
  const found = { ...provenance(options.device), options: settings, points };
  if (out !== undefined) writeResult(out, found);
  if (json) writeJson(found);
  else writeText(show(points, options));
}
