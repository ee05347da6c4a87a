import { given, needOptions } from '../core/options.ts';
import { CLEAR_LINE, redraws } from '../core/terminal.ts';

/** What progress is written to; process.stderr by default. */
export interface ProgressStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
  on?(event: 'error', listener: (error: Error) => void): unknown;
}

export interface ProgressOptions {
  /** Epochs of the whole run. */
  epochs: number;
  /** Updates in an epoch. */
  steps: number;
  /** When a run is resumed: the epoch it continues with. Default 0. */
  startEpoch?: number;
  /** When a run is resumed: the updates already done in that epoch. Default 0. */
  startStep?: number;
  /** Default: process.stderr. */
  stream?: ProgressStream;
  /** Milliseconds; only differences count. Default: performance.now(). */
  clock?: () => number;
  /** Where NO_COLOR and TERM are looked up. Default: process.env. */
  env?: Readonly<Record<string, string | undefined>>;
  /** Least time between two drawings of the bar, in ms. Default 100. */
  redrawMs?: number;
  /** Least time between two lines where there is no terminal, in ms. Default 30,000. */
  quietMs?: number;
}

/** The state after an update; accuracy is 0 to 1, null or undefined where there is none. */
export interface StepProgress {
  /** From 0. */
  epoch: number;
  /** Updates done in this epoch. */
  step: number;
  /** Images seen in this epoch since the start of the process. */
  images: number;
  loss?: number;
  accuracy?: number | null;
}

/** The state after an epoch; rates and accuracies are 0 to 1, null or undefined where there are none. */
export interface EpochProgress {
  /** From 0. */
  epoch: number;
  loss?: number;
  accuracy?: number | null;
  testAccuracy?: number | null;
  /** Shown where there is no test accuracy. */
  testLoss?: number;
  firingRate?: number;
  /** The part of the training time that was spent waiting for data. */
  waitShare?: number;
  /** Samples that could not be read and were replaced. */
  skipped?: number;
}

const DEFAULT_COLUMNS = 80;
const LONGEST_BAR = 30;
const SHORTEST_BAR = 5;

/**
 * Progress of a training run. On a terminal one line with a bar is redrawn, and a finished epoch leaves a line above
 * it. Elsewhere there is a line for each epoch and one every half minute. NO_COLOR and TERM=dumb are honored.
 * Nothing here ever throws: a terminal that is narrow, gone or closed must not end a run.
 */
export class Progress {
  readonly #options: Required<ProgressOptions>;
  readonly #redraws: boolean;
  readonly #colour: boolean;
  readonly #start: number;
  #epochStart: number;
  #lastShown: number;
  #lastStep: { at: number; images: number } | undefined;
  #drawn = false;
  #closed = false;

  constructor(options: ProgressOptions) {
    const defaults = { startEpoch: 0, startStep: 0, stream: process.stderr, env: process.env, redrawMs: 100 };
    const all = { ...defaults, clock: () => performance.now(), quietMs: 30_000 };
    needOptions('progress', options, { epochs: true, steps: true, ...all });
    this.#options = { ...all, ...given(options) };
    const { stream, env, clock } = this.#options;
    this.#redraws = redraws(stream, env);
    this.#colour = this.#redraws && !env.NO_COLOR;
    this.#start = clock();
    this.#epochStart = this.#start;
    this.#lastShown = this.#redraws ? Number.NEGATIVE_INFINITY : this.#start;
    ignoreErrorsOf(stream);
  }

  /** Call after every update; draws only as often as the options say. */
  step(progress: StepProgress): void {
    if (this.#closed) return;
    const now = this.#options.clock();
    this.#lastStep = { at: now, images: progress.images };
    const wait = this.#redraws ? this.#options.redrawMs : this.#options.quietMs;
    if (now - this.#lastShown < wait) return;
    this.#lastShown = now;
    if (this.#redraws) {
      this.#write(`\r\x1b[2K${this.#barLine(progress, now)}`);
      this.#drawn = true;
    } else this.#write(`${[this.#epochText(progress.epoch), ...this.#figures(progress, now)].join('  ')}\n`);
  }

  /** Call after an epoch and its evaluation: leaves one line. */
  epoch(progress: EpochProgress): void {
    if (this.#closed) return;
    const { epoch, loss, accuracy, testAccuracy, testLoss, firingRate, waitShare, skipped = 0 } = progress;
    const now = this.#options.clock();
    const parts = [this.#epochText(epoch)];
    if (loss !== undefined) parts.push(`loss ${decimal(loss)}`);
    if (isKnown(accuracy)) parts.push(`accuracy ${percent(accuracy)}`);
    if (isKnown(testAccuracy)) parts.push(`test accuracy ${percent(testAccuracy)}`);
    else if (testLoss !== undefined) parts.push(`test loss ${decimal(testLoss)}`);
    if (firingRate !== undefined) parts.push(`firing rate ${percent(firingRate)}`);
    const last = this.#lastStep;
    if (last !== undefined) parts.push(speed(last.images, last.at - this.#epochStart));
    if (waitShare !== undefined) parts.push(`waiting for data ${percent(waitShare)}`);
    if (skipped > 0) parts.push(`${skipped} broken samples replaced`);
    parts.push(duration(now - this.#epochStart));
    this.note(parts.join('  '));
    this.#epochStart = now;
    this.#lastStep = undefined;
    if (!this.#redraws) this.#lastShown = now;
  }

  /** A line of its own, above the bar if there is one. */
  note(text: string): void {
    if (this.#closed) return;
    this.#erase();
    this.#write(`${text}\n`);
    if (this.#redraws) this.#lastShown = Number.NEGATIVE_INFINITY;
  }

  /** Removes the bar; later calls do nothing. */
  close(): void {
    if (!this.#closed) this.#erase();
    this.#closed = true;
  }

  /** Figures come before the bar: it takes the room that they leave. */
  #barLine(progress: StepProgress, now: number): string {
    const room = this.#columns() - 1; // writing the last column would wrap on some terminals
    const epoch = this.#epochText(progress.epoch);
    const figures = this.#figures(progress, now).slice(1);
    while (figures.length > 0 && [epoch, ...figures].join('  ').length > room) figures.pop();
    const rest = room - [epoch, '', ...figures].join('  ').length;
    if (rest < SHORTEST_BAR) return [epoch, ...figures].join('  ').slice(0, Math.max(0, room));
    return [epoch, this.#bar(progress.step, Math.min(rest, LONGEST_BAR)), ...figures].join('  ');
  }

  #bar(step: number, width: number): string {
    const done = Math.round(width * Math.min(1, Math.max(0, step / this.#options.steps || 0)));
    const [full, empty] = ['█'.repeat(done), '░'.repeat(width - done)];
    return this.#colour ? `\x1b[32m${full}\x1b[2m${empty}\x1b[0m` : full + empty;
  }

  /** In the order in which a narrow terminal keeps them. */
  #figures({ epoch, step, images, loss, accuracy }: StepProgress, now: number): string[] {
    const { steps, epochs, startEpoch, startStep } = this.#options;
    const done = (epoch - startEpoch) * steps + step - startStep;
    const left = (epochs - epoch) * steps - step;
    const figures = [`step ${step}/${steps}`, speed(images, now - this.#epochStart)];
    figures.push(`ETA ${duration(((now - this.#start) / done) * Math.max(0, left))}`);
    if (loss !== undefined) figures.push(`loss ${decimal(loss)}`);
    if (isKnown(accuracy)) figures.push(`accuracy ${percent(accuracy)}`);
    return figures;
  }

  #epochText(epoch: number): string {
    const total = String(this.#options.epochs);
    return `epoch ${String(epoch + 1).padStart(total.length)}/${total}`;
  }

  #columns(): number {
    const { columns } = this.#options.stream;
    return columns !== undefined && columns > 0 ? Math.floor(columns) : DEFAULT_COLUMNS;
  }

  #erase(): void {
    if (this.#drawn) this.#write(CLEAR_LINE);
    this.#drawn = false;
  }

  #write(text: string): void {
    try {
      this.#options.stream.write(text);
    } catch {
      this.#closed = true; // nobody is looking any more
    }
  }
}

const guarded = new WeakSet<ProgressStream>();

/** A closed pipe reports its error later, as an event that would end the process. */
function ignoreErrorsOf(stream: ProgressStream): void {
  if (guarded.has(stream)) return;
  guarded.add(stream);
  stream.on?.('error', () => {});
}

function speed(images: number, ms: number): string {
  const rate = (images / ms) * 1000;
  if (!Number.isFinite(rate)) return '- images/s';
  return `${rate < 100 ? rate.toFixed(1) : rate.toFixed(0)} images/s`;
}

/** h:mm:ss, or m:ss below an hour. */
export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return '-:--';
  const seconds = Math.round(Math.max(0, ms) / 1000);
  const two = (value: number) => String(value).padStart(2, '0');
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

const isKnown = (value: number | null | undefined): value is number => value !== null && value !== undefined;

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function decimal(value: number): string {
  const size = Math.abs(value);
  return size === 0 || (size >= 1e-3 && size < 1e4) ? value.toFixed(4) : value.toPrecision(4);
}
