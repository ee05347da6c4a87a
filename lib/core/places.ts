// Where queued work was asked for, so that a failure names its line (SPIKELOOM_DEBUG=1).
import { fileURLToPath } from 'node:url';
import { nativeError } from './errors.ts';
import { native } from './native.ts';

/** How many calls are remembered: the last ones. */
const MOST = 4096;

/** Frames of a stack that are looked at: a network's own may be many. */
const DEPTH = 100;

const debug = process.env.SPIKELOOM_DEBUG === '1';
const places: { call: number; text: string }[] = [];
let calls = 0;

/** The package's folders between an op and who asks for it, as paths and as URLs: a stack has either. */
const OWN = ['lib', 'dist'].flatMap((half) =>
  ['core', 'ops', 'nn'].flatMap((part) => {
    const { href } = new URL(`../../${half}/${part}/`, import.meta.url);
    return [href, fileURLToPath(href)];
  }),
);

/** Frames of the language itself, as a generator's next(), name no file. */
const isOwn = (frame: string): boolean =>
  frame.endsWith('(<anonymous>)') || OWN.some((folder) => frame.includes(folder));

/** The first frame of a stack that is not the package's own; empty where there is none. */
export function callerIn(stack: string): string {
  const [, ...frames] = stack.split('\n');
  return frames.find((frame) => !isOwn(frame))?.trim() ?? '';
}

function stackHere(): string {
  const usual = Error.stackTraceLimit;
  Error.stackTraceLimit = DEPTH;
  const { stack = '' } = new Error();
  Error.stackTraceLimit = usual;
  return stack;
}

/** Numbers the call that is about to be queued. */
export function markPlace(): void {
  if (!debug) return;
  calls++;
  places[calls % MOST] = { call: calls, text: callerIn(stackHere()) };
  native().setPlace(calls);
}

/** Throws what native work failed for, with its line in place of its number, where that is remembered. */
export function explain(error: Error): never {
  const call = / \[call (\d+)\]$/.exec(error.message);
  if (!call) throw nativeError(error.message);
  const number = Number(call[1]);
  const place = places[number % MOST];
  const message = error.message.slice(0, call.index);
  throw nativeError(place?.call === number && place.text ? `${message} (${place.text})` : message);
}
