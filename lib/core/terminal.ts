// Lines on a terminal that are drawn again and again.

/** Clears the line that the cursor is on. */
export const CLEAR_LINE = '\r\x1b[2K';

/** Whether what is written there can be drawn anew: on a terminal, unless TERM=dumb. */
export const redraws = (stream: { isTTY?: boolean | undefined }, env: NodeJS.ProcessEnv = process.env): boolean =>
  stream.isTTY === true && env.TERM !== 'dumb';
