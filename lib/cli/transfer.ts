// Progress of a download, or of other work whose amount is known, on stderr: one line that is redrawn on a terminal,
// else a line every half minute.
import { CLEAR_LINE, redraws } from '../core/terminal.ts';
import { binaryBytes } from '../nn/summary.ts';
import { duration, type ProgressStream } from '../train/progress.ts';

export interface TransferOptions {
  stream?: ProgressStream;
  /** Milliseconds; only differences count. */
  clock?: () => number;
  env?: Readonly<Record<string, string | undefined>>;
  redrawMs?: number;
  quietMs?: number;
  /** An amount as text (default: bytes). */
  unit?: (amount: number) => string;
}

const BAR = 24;
const DEFAULT_COLUMNS = 80;

/** Of one file. Rates count what this process has brought. */
export class Transfer {
  readonly #name: string;
  readonly #options: Required<TransferOptions>;
  readonly #redraws: boolean;
  #first: { at: number; done: number } | undefined;
  #shown = Number.NEGATIVE_INFINITY;

  constructor(
    name: string,
    {
      stream = process.stderr,
      clock = () => performance.now(),
      env = process.env,
      redrawMs = 100,
      quietMs = 30_000,
      unit = binaryBytes,
    }: TransferOptions = {},
  ) {
    this.#name = name;
    this.#options = { stream, clock, env, redrawMs, quietMs, unit };
    this.#redraws = redraws(stream, env);
  }

  /** Call as often as something is done; draws only as often as the options say. */
  update(done: number, total: number): void {
    const now = this.#options.clock();
    this.#first ??= { at: now, done };
    if (this.#shown === Number.NEGATIVE_INFINITY && !this.#redraws) this.#shown = now;
    if (now - this.#shown < (this.#redraws ? this.#options.redrawMs : this.#options.quietMs)) return;
    this.#shown = now;
    const line = this.#line(done, total, now);
    this.#options.stream.write(this.#redraws ? `${CLEAR_LINE}${line}` : `${line}\n`);
  }

  /** Removes the line. */
  close(): void {
    if (this.#redraws && this.#first) this.#options.stream.write(CLEAR_LINE);
  }

  #line(done: number, total: number, now: number): string {
    const share = Math.min(1, done / total);
    const rate = ((done - this.#first!.done) / (now - this.#first!.at)) * 1000;
    const filled = Math.round(BAR * share);
    const { unit } = this.#options;
    const figures = [`${unit(done)} of ${unit(total)}`, `${Math.floor(100 * share)} %`];
    if (rate > 0 && Number.isFinite(rate)) {
      figures.push(`${unit(rate)}/s`, `ETA ${duration(((total - done) / rate) * 1000)}`);
    }
    const bar = this.#redraws ? [`${'█'.repeat(filled)}${'░'.repeat(BAR - filled)}`] : [];
    const columns = this.#options.stream.columns || DEFAULT_COLUMNS;
    const text = [this.#name, ...bar, ...figures].join('  ');
    return this.#redraws ? text.slice(0, columns - 1) : text;
  }
}
