// How late a timer of the event loop comes. It makes next to no garbage itself: the collector is part of what it sees.
import { closeSync, openSync, readSync } from 'node:fs';

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

/** Linux's account of the main thread: nanoseconds that it has run, and that it was ready to and had no core. */
class Account {
  readonly #fd: number | undefined;
  #bytes = Buffer.alloc(64);
  #before = Buffer.alloc(64);

  constructor() {
    try {
      this.#fd = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r');
    } catch {}
    this.read();
  }

  read(): void {
    if (this.#fd === undefined) return;
    [this.#bytes, this.#before] = [this.#before, this.#bytes];
    readSync(this.#fd, this.#bytes, 0, 64, 0);
  }

  /** What passed between the last two readings. */
  passed(): { ran_ms?: number; no_core_ms?: number } {
    if (this.#fd === undefined) return {};
    const [now, before] = [this.#bytes, this.#before].map((bytes) =>
      bytes.toString('latin1').split(' ', 2).map(Number),
    );
    return { ran_ms: (now![0]! - before![0]!) / 1e6, no_core_ms: (now![1]! - before![1]!) / 1e6 };
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
  }
}

/** A timer's delays beyond its period. */
export class Lateness {
  readonly #account = new Account();
  readonly #start = performance.now();
  #due = this.#start + PERIOD_MS;
  readonly #timer = setInterval(() => this.#tick(), PERIOD_MS);
  readonly late: Late[] = [];
  most = 0;
  ticks = 0;

  #tick(): void {
    const now = performance.now();
    const late = now - this.#due;
    this.#due = now + PERIOD_MS;
    this.ticks++;
    this.most = Math.max(this.most, late);
    this.#account.read();
    if (late <= LIMIT_MS) return;
    this.late.push({ at_s: (now - this.#start) / 1e3, late_ms: late, ...this.#account.passed() });
  }

  stop(): number {
    clearInterval(this.#timer);
    this.#account.close();
    return (performance.now() - this.#start) / 1e3;
  }
}
