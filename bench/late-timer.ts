// How late a timer of the event loop comes.
import { readFileSync } from 'node:fs';

export const PERIOD_MS = 2;
export const LIMIT_MS = 10;

/**
 * A delay over the limit: when, how long, and for how much of it the thread ran, or was ready to and had no core
 * (Linux).
 */
export interface Late {
  at_s: number;
  late_ms: number;
  ran_ms?: number;
  no_core_ms?: number;
}

/** Milliseconds that this thread has run, and that it was ready to; undefined where the system does not say. */
function scheduled(): { ran: number; ready: number } | undefined {
  try {
    const [ran, ready] = readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ', 2).map(Number);
    return { ran: ran! / 1e6, ready: ready! / 1e6 };
  } catch {
    return undefined;
  }
}

/** A timer's delays beyond its period. */
export class Lateness {
  readonly #start = performance.now();
  #due = this.#start + PERIOD_MS;
  readonly #timer = setInterval(() => this.#tick(), PERIOD_MS);
  #before = scheduled();
  readonly late: Late[] = [];
  most = 0;
  ticks = 0;

  #tick(): void {
    const now = performance.now();
    const late = now - this.#due;
    this.#due = now + PERIOD_MS;
    this.ticks++;
    this.most = Math.max(this.most, late);
    const [before, after] = [this.#before, scheduled()];
    this.#before = after;
    if (late <= LIMIT_MS) return;
    const times = before && after ? { ran_ms: after.ran - before.ran, no_core_ms: after.ready - before.ready } : {};
    this.late.push({ at_s: (now - this.#start) / 1e3, late_ms: late, ...times });
  }

  stop(): number {
    clearInterval(this.#timer);
    return (performance.now() - this.#start) / 1e3;
  }
}
