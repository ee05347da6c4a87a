// Where a recording is cut into the slices that become frames.
import { SpikeloomError } from '../../core/errors.ts';
import { kindOf, needOptions } from '../../core/options.ts';
import { LARGEST_COORDINATE, packEvent } from '../../ops/event-frames.ts';
import { type Events, needEvents } from './events.ts';

/**
 * How a recording is cut into T slices of events in the order of the file:
 *
 * * 'count': floor(N / T) events each, the last one takes the rest (SpikingJelly's 'number'; FSTA-SNN is trained on it)
 * * 'duration': the time from the first event to the last in T equal spans
 * * 'window': spans of `window` microseconds from the first event on; what comes after the T-th is left out
 *
 * Where times step back, an event stays in the slice that is open.
 */
export type BinningRule = 'count' | 'duration' | 'window';

const BINNING_RULES: readonly BinningRule[] = ['count', 'duration', 'window'];

/** Options of {@link eventSlices}. */
export interface SliceOptions {
  /** The rule. */
  by: BinningRule;
  /** T; with 'window' as many as the recording fills where it is not given. */
  steps?: number;
  /** Microseconds of a slice, for 'window'. */
  window?: number;
}

/** Most slices of a recording: more are a mistake in the window's unit. */
const MOST_STEPS = 2 ** 20;

/**
 * @internal Ends of T slices in microseconds, of a recording from `first` to `last`; none where the rule counts events.
 */
export function sliceEdges(by: BinningRule, steps: number, window: number, first: number, last: number): Float64Array {
  if (by === 'count') return new Float64Array(0);
  if (by === 'window') return Float64Array.from({ length: steps }, (_, k) => first + (k + 1) * window);
  const ends = Float64Array.from({ length: steps }, (_, k) => first + ((k + 1) * (last - first)) / steps);
  ends[steps - 1] = Number.POSITIVE_INFINITY;
  return ends;
}

/** @internal Bounds [T+1] of slices with floor(N / T) events each, the last one with the rest. */
export function countBounds(count: number, steps: number): Int32Array<ArrayBuffer> {
  const each = Math.floor(count / steps);
  return Int32Array.from({ length: steps + 1 }, (_, k) => (k < steps ? k * each : count));
}

function checkedSteps(steps: number): number {
  if (Number.isInteger(steps) && steps >= 1 && steps <= MOST_STEPS) return steps;
  throw new SpikeloomError(`a recording is cut into 1 to ${MOST_STEPS} slices, not ${kindOf(steps)}`);
}

/** @internal */
export function checkBinning(by: BinningRule, window: number | undefined): void {
  if (!BINNING_RULES.includes(by)) {
    throw new SpikeloomError(`binning is one of ${BINNING_RULES.join(', ')}, not ${kindOf(by)}`);
  }
  if (by === 'window' && !(Number.isFinite(window) && window! > 0)) {
    throw new SpikeloomError(`binning by window needs its length in microseconds, above 0, not ${kindOf(window)}`);
  }
}

/**
 * The bounds of a recording's slices [T+1]: slice t has the events bounds[t] to bounds[t+1] - 1. See
 * {@link BinningRule}.
 * @throws SpikeloomError where steps or window are missing or out of range
 * @example eventSlices(readEvents('00002.bin'), { by: 'count', steps: 10 })
 */
export function eventSlices(events: Events, options: SliceOptions): Int32Array<ArrayBuffer> {
  needEvents('eventSlices()', events);
  needOptions('eventSlices()', options, { by: true, steps: true, window: true });
  const { by, steps, window } = options;
  checkBinning(by, window);
  const { count, t } = events;
  const first = count > 0 ? t[0]! : 0;
  let last = first;
  for (let i = 0; i < count; i++) if (t[i]! > last) last = t[i]!;
  const open = by === 'window' ? Math.max(1, Math.floor((last - first) / window!) + 1) : Number.NaN;
  const T = checkedSteps(steps ?? open);
  if (by === 'count') return countBounds(count, T);
  const edges = sliceEdges(by, T, window!, first, last);
  const bounds = new Int32Array(T + 1);
  let slice = 0;
  for (let i = 0; i < count && slice < T; i++) {
    while (slice < T && t[i]! >= edges[slice]!) bounds[++slice] = i;
  }
  bounds.fill(count, slice + 1);
  return bounds;
}

/** A column, row or polarity as it is packed. */
function packable(name: string, values: ArrayLike<number>, i: number, most: number): number {
  const value = values[i]!;
  if (Number.isInteger(value) && value >= 0 && value <= most) return value;
  throw new SpikeloomError(
    `packEvents(): ${name} of event ${i} is ${kindOf(value)}; it is packed as a whole number from 0 to ${most}`,
  );
}

/**
 * Events as the numbers that eventFrames() takes [N].
 * @throws SpikeloomError where a column or row is not 0..32767, or a polarity neither 0 nor 1
 * @example eventFrames(tensor(packEvents(events)), tensor(bounds, { shape: [1, T + 1] }), { window: [34, 34] })
 */
export function packEvents(events: Events): Int32Array<ArrayBuffer> {
  needEvents('packEvents()', events);
  const { count, x, y, p } = events;
  const packed = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const [column, row] = [
      packable('the column', x, i, LARGEST_COORDINATE),
      packable('the row', y, i, LARGEST_COORDINATE),
    ];
    packed[i] = packEvent(column, row, packable('the polarity', p, i, 1));
  }
  return packed;
}
