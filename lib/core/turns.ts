import { setImmediate as nextTurn } from 'node:timers/promises';

/** How long work goes on before the event loop gets a turn, in ms. */
export const TURN_MS = 1;

/** Long work in pieces: await pause() between them, and timers and servers wait for no more than one piece. */
export class Turns {
  #since = performance.now();

  /** Gives the event loop a turn where the pieces so far have taken long enough. */
  async pause(): Promise<void> {
    if (performance.now() - this.#since < TURN_MS) return;
    await nextTurn();
    this.#since = performance.now();
  }
}

/** Runs a generator that yields between turns to its end, without them. */
export function runToEnd<R>(turns: Generator<void, R, void>): R {
  let turn = turns.next();
  while (!turn.done) turn = turns.next();
  return turn.value;
}
