// What the commands write: results to stdout, everything about their work to stderr.

/** One line of text, or several. */
export function writeText(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** One JSON value on one line. NaN and infinities, which JSON lacks, become null. */
export function writeJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

export function writeError(message: string): void {
  process.stderr.write(`spikeloom: ${message}\n`);
}

/**
 * What cannot be written is dropped, and the work goes on. A reader that has gone away (`| head`) and a terminal that
 * was closed are no failures; a full disk under stdout is reported once and leaves exit status 1.
 */
export function keepOnWithoutOutput(): void {
  let told = false;
  const drop = (error: NodeJS.ErrnoException): void => {
    if (error.code === 'EPIPE' || (error.code === 'EIO' && process.stdout.isTTY)) return;
    process.exitCode = 1;
    if (told) return;
    told = true;
    writeError(`the output cannot be written: ${error.message}. Send it to another place`);
  };
  process.stdout.on('error', drop);
  process.stderr.on('error', () => {}); // there is no place left to say so
}

type Colour = 'green' | 'red' | 'yellow';
const CODES = { red: 31, green: 32, yellow: 33 } as const;

/** Text in color where stdout is a terminal and NO_COLOR is not set. */
export function coloured(text: string, colour: Colour): string {
  const plain = !process.stdout.isTTY || process.env.NO_COLOR || process.env.TERM === 'dumb';
  return plain ? text : `\x1b[${CODES[colour]}m${text}\x1b[0m`;
}

/** Rows of cells as lines; columns named in `right` are aligned to the right. */
export function table(rows: readonly (readonly string[])[], right: readonly number[] = []): string {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row.map((cell, i) => (right.includes(i) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))).join('  ');
  return rows.map((row) => line(row).trimEnd()).join('\n');
}
