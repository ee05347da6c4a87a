// Times whole training steps, recorded and replayed: forward pass, cross-entropy, backward pass, update, and the loss
// read.
import { existsSync, readFileSync } from 'node:fs';
import { asUsage } from '../lib/cli/exit.ts';
import { writeJson, writeText } from '../lib/cli/output.ts';
import {
  type Device,
  device,
  native,
  type RecordedStep,
  recordStep,
  SpikeloomError,
  type Tensor,
} from '../lib/core/index.ts';
import type { Net } from '../lib/nn/index.ts';
import { describeEnvironment } from '../lib/train/environment.ts';
import { Lateness } from './late-timer.ts';
import { planOf } from './networks.ts';
import { median, placeOf, type StepOptions } from './options.ts';
import { prepareTraining } from './training.ts';

interface Trained {
  net: Net;
  step: RecordedStep<Tensor>;
}

interface Timing {
  /** Wall time of a step until its loss was read and the device had finished, in seconds. */
  step: number;
  /** Of that, the time until JavaScript had queued everything; the device may have begun meanwhile. */
  queueing: number;
  loss: number;
}

function prepare(options: StepOptions): Trained {
  const { net, step } = prepareTraining(options);
  return { net, step: recordStep(net.device, step) };
}

async function timeStep({ net, step }: Trained): Promise<Timing> {
  const start = performance.now();
  step.replay();
  const queued = performance.now();
  const value = await step.result.item();
  await net.device.finish();
  const end = performance.now();
  if (!Number.isFinite(value)) throw new SpikeloomError(`a step is timed while the loss is finite, but it is ${value}`);
  return { step: (end - start) / 1e3, queueing: (queued - start) / 1e3, loss: value };
}

/**
 * The peak of this process's resident memory so far. Linux counts in maxRSS the peak of the process that started this
 * one, too, so its own count (VmHWM, in KiB as well) is taken where there is one.
 */
function peakBytes(): number {
  const file = '/proc/self/status';
  const own = existsSync(file) && /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(file, 'utf8'));
  return (own ? Number(own[1]) : process.resourceUsage().maxRSS) * 1024;
}

/** The longest delay of a timer of the event loop while `work` ran, in seconds. */
async function latenessDuring(work: () => Promise<void>): Promise<number> {
  const watch = new Lateness();
  try {
    await work();
  } finally {
    watch.stop();
  }
  return watch.most / 1e3;
}

/** Memory in use so far: of the device where it has memory of its own (by all programs), else of this process. */
function takenBytes(device: Device): number {
  const memory = device.memory();
  return memory ? memory.totalBytes - memory.freeBytes : peakBytes();
}

/** Measures as the options say; the result is what --json prints. */
export async function measureStep(options: StepOptions) {
  const { steps, batch, size, threads, precision, warmup, repeats } = options;
  const before = takenBytes(device(options.device));
  const trained = prepare(options);
  for (let i = 0; i < warmup; i++) await timeStep(trained);
  const timings: Timing[] = [];
  for (let i = 0; i < repeats; i++) timings.push(await timeStep(trained));
  // steps of their own: a timer that fires all the time takes its share of the processor
  const late = await latenessDuring(async () => {
    for (let i = 0; i < repeats; i++) await timeStep(trained);
  });
  const seconds = timings.map(({ step }) => step);
  const { cpu, node, git, date } = describeEnvironment();
  return {
    model: options.model,
    steps,
    batch,
    size,
    device: options.device,
    threads,
    precision,
    step_s: median(seconds),
    min_s: Math.min(...seconds),
    images_per_s: batch / median(seconds),
    peak_bytes: takenBytes(trained.net.device) - before,
    device_peak_bytes: trained.net.device.stats().peakBytes,
    plan_bytes: trained.step.peakBytes,
    graphs: trained.net.device.stats().capturesRun,
    graph_problem: trained.net.device.stats().captureProblem || null,
    late_s: late,
    js_s: median(timings.map(({ queueing }) => queueing)),
    parameters: trained.net.parameters().reduce((n, { tensor }) => n + tensor.size, 0),
    loss: timings.at(-1)!.loss,
    cpu,
    gpu: trained.net.device.backend.name === 'cpu' ? null : trained.net.device.backend.description,
    node,
    level: native().level,
    commit: git?.commit ?? null,
    modified: git?.modified ?? null,
    date,
  };
}

export async function stepCommand({ json, ...options }: StepOptions & { json?: boolean }): Promise<void> {
  const { model, steps, size } = options;
  asUsage(() => planOf(options));
  const found = await measureStep(options);
  if (json) return writeJson(found);
  const ms = (seconds: number) => `${(seconds * 1e3).toFixed(1)} ms`;
  const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  writeText(
    [
      `${model}, T=${steps}, batch ${options.batch}, ${size}x${size}, ${placeOf(options)}, ${found.precision}`,
      `step: ${ms(found.step_s)} median, ${ms(found.min_s)} minimum; ${found.images_per_s.toFixed(1)} images/s`,
      `JavaScript: ${ms(found.js_s)} to queue a step; a timer was ${ms(found.late_s)} late at most`,
      `memory: ${mib(found.peak_bytes)} more at the peak, ${mib(found.device_peak_bytes)} on the device, ${mib(found.plan_bytes)} planned for a step`,
      `${found.cpu}, ${found.level}, node ${found.node}, commit ${found.commit ?? 'unknown'}${found.modified ? ' (modified)' : ''}`,
    ].join('\n'),
  );
}
