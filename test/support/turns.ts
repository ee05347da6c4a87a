// Turns of the event loop within a step that is recorded in turns.

/** Yields until the event loop had its turn, which comes when the one under way has been long enough. */
export function* untilOver(): Generator<void, void, void> {
  let over = false;
  setImmediate(() => {
    over = true;
  });
  while (!over) yield;
}
