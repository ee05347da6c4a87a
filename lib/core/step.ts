// Recorded steps: the calls of a function are noted once, with a plan of their memory, and replayed in one native call.
import { setTimeout as sleep } from 'node:timers/promises';
import { type Device, needDevice } from './device.ts';
import { nativeError, SpikeloomError, UnmadeError } from './errors.ts';
import { native, type RecordedProgram } from './native.ts';
import { isGenerator, needArguments } from './options.ts';
import {
  closeScope,
  keep,
  keepMade,
  leaveScopes,
  onParameter,
  onUnanswered,
  openScope,
  passOut,
  refusePromise,
  type Tensor,
  tensorsIn,
} from './tensor.ts';
import { runToEnd, TURN_MS } from './turns.ts';

/** Memory and size of a recorded step. */
export interface StepPlan {
  /** What a run of the step needs beside the tensors that existed before: workspaceBytes + resultBytes. */
  readonly peakBytes: number;
  /**
   * Of what is made and used up within a run. The recorded steps of a device share one workspace, as large as the
   * largest of them.
   */
  readonly workspaceBytes: number;
  /** The most bytes that live in the workspace at once: no plan could need less. */
  readonly leastBytes: number;
  /** Of tensors that were made in the step and outlive it. */
  readonly resultBytes: number;
  /** Kernel calls. */
  readonly calls: number;
}

/**
 * What is recorded: a synchronous function. cut() ends a part; each part is replayed by itself, and numbers can be read
 * between them.
 */
export type StepBody<R> = (cut: () => void) => R;

/**
 * The same as a generator; where it yields, the event loop may get a turn. It may yield often: a recording goes on for
 * {@link TURN_MS} first.
 */
export type StepTurns<R> = (cut: () => void) => Generator<void, R, void>;

/**
 * How long a recording in turns sleeps then, in ms. Where other threads take all cores (a step that is being replayed),
 * the system lets a thread that never sleeps wait for several ms at a time, and timers with it.
 */
const REST_MS = 1;

interface Recording {
  readonly device: Device;
  /** For every part: what is written before it is replayed. */
  readonly hooks: (() => void)[][];
  /** Tensors that got their gradient in the recording. */
  readonly leaves: Set<Tensor>;
  /** Tensors of stepInput(). */
  readonly inputs: Tensor[];
  /** What calls write that existed before them, by the tensors' `writes`, and how often. */
  readonly written: Map<Tensor['writes'], number>;
  /** The same of what calls make. */
  readonly made: WeakSet<Tensor['writes']>;
  /** What the first read of what calls make failed for. */
  unanswered?: UnmadeError;
}

let current: Recording | undefined;

onUnanswered((error) => {
  if (!current || !(error instanceof UnmadeError)) return false;
  current.unanswered ??= error;
  return true;
});

/** @internal Refuses a step that reads what it makes; what runs a part of it names the part. */
export function needAnswered(): void {
  if (current?.unanswered) throw current.unanswered;
}

/** Whether a step is being recorded: then calls are noted and not queued. */
export const isStepRecording = (): boolean => current !== undefined;

/**
 * Within a step that is being recorded: calls `hook` before every replay of the part under way. It writes what changes
 * from step to step (the number of a pass, a learning rate) into tensors that existed before the recording. A net and
 * an optimizer do so by themselves.
 */
export function beforeReplay(hook: () => void): void {
  if (!current)
    throw new SpikeloomError(
      'beforeReplay() is called while a step is recorded, but none is being recorded; call the hook itself',
    );
  current.hooks.at(-1)!.push(hook);
}

/**
 * Within a step that is being recorded: a tensor made as if before the recording, so that it can be written before
 * replays. It lives as long as the step.
 */
export function stepInput(make: () => Tensor): Tensor {
  if (!current)
    throw new SpikeloomError(
      'stepInput() is called while a step is recorded, but none is being recorded; make the tensor itself',
    );
  const recording = current;
  native().pauseRecording(true);
  current = undefined;
  try {
    const made = keep(make());
    recording.inputs.push(made);
    return made;
  } finally {
    current = recording;
    native().pauseRecording(false);
  }
}

/** @internal Whether calls on a device are being recorded: those on others run at once. */
export const isRecordedOn = (device: Device): boolean => current?.device === device;

/** @internal A call writes into a tensor that existed before it; in a recorded step every replay does. */
export function noteWrite(tensor: Tensor): void {
  if (isRecordedOn(tensor.device)) current!.written.set(tensor.writes, timesWritten(tensor) + 1);
  else tensor.writes.count++;
}

/** @internal A call makes a tensor. */
export function noteMade({ writes, device }: Tensor): void {
  if (isRecordedOn(device)) current!.made.add(writes);
}

/** @internal How often a tensor was written so far; while a step is recorded: by its calls. */
export const timesWritten = ({ writes, device }: Tensor): number =>
  isRecordedOn(device) ? (current!.written.get(writes) ?? 0) : writes.count;

onParameter(({ writes }) => {
  if (current?.made.has(writes))
    throw new SpikeloomError(
      'a parameter keeps its numbers from step to step, but what a recorded step makes is made anew by every replay; make it before the step',
    );
});

/** @internal What tells the recording under way from others; undefined: none is. */
export const recordingUnderWay = (): object | undefined => current;

/** @internal backward() is about to leave a gradient in `leaf` */
export function noteGradient(leaf: Tensor): void {
  if (!current) return;
  if (leaf.grad && !current.leaves.has(leaf)) {
    throw new SpikeloomError(
      'a recorded step begins without gradients, since every replay would add the same old one, but a parameter has one; make a step with it or free it first',
    );
  }
  current.leaves.add(leaf);
}

/** Turns native errors of recorded steps into SpikeloomErrors. */
function explained<V>(call: () => V): V {
  try {
    return call();
  } catch (error) {
    throw error instanceof SpikeloomError ? error : nativeError((error as Error).message, error);
  }
}

interface Recorded<R> {
  result: R;
  /** Tensors of the result that the step owns. */
  made: Tensor[];
  hooks: (() => void)[][];
  program: RecordedProgram;
  device: Device;
}

/**
 * Records the calls of `body`. Where that yields after a turn that was long enough, and around the first half of the
 * planning, the recording is left until this generator continues.
 */
function* recordCalls<R>(device: Device, body: StepTurns<R>, dry: boolean): Generator<void, Recorded<R>, void> {
  needDevice(device);
  needArguments('a recorded step', 'a function', { body });
  const recording: Recording = {
    device,
    hooks: [[]],
    leaves: new Set(),
    inputs: [],
    written: new Map(),
    made: new WeakSet(),
  };
  const cut = () => {
    if (current !== recording) throw new SpikeloomError('a step is cut into parts while it is recorded, not later');
    native().cutRecording();
    recording.hooks.push([]);
  };
  explained(() => native().beginRecording(device.id));
  current = recording;
  let kept = false;
  // The inner scope frees what passes, the outer one owns what is returned until the step does.
  const [outer, inner] = [openScope(), openScope()];
  let open = [outer, inner];
  let since = performance.now();
  function* rest(): Generator<void, void, void> {
    if (performance.now() - since < TURN_MS) return;
    const left = native().leaveRecording();
    const resumeScopes = leaveScopes(outer);
    current = undefined;
    try {
      yield;
    } finally {
      native().resumeRecording(left);
      resumeScopes();
      current = recording;
      since = performance.now();
    }
  }
  try {
    const turns = body(cut);
    needArguments('what a step recorded in turns returns', 'a generator', { turns });
    let turn: IteratorResult<void, R>;
    do {
      yield* rest();
      turn = turns.next();
      needAnswered();
    } while (!turn.done);
    yield* rest();
    const result = turn.value;
    passOut(result);
    closeScope(inner);
    open = [outer];
    native().arrangeRecording();
    yield* rest();
    const program = explained(() => native().endRecording(dry));
    kept = !dry;
    const results = kept ? keepMade(tensorsIn(result)) : [];
    for (const tensor of results) Object.assign(tensor, { node: undefined, requiresGrad: false });
    const made = results.map(({ writes }) => writes).filter((writes) => recording.made.has(writes));
    for (const writes of made) writes.awaitsReplay = true;
    const written = [...recording.written];
    recording.hooks[0]!.push(() => {
      for (const [writes, times] of written) writes.count += times;
      for (const writes of made) writes.awaitsReplay = false;
    });
    return { result, made: [...results, ...recording.inputs], hooks: recording.hooks, program, device };
  } finally {
    for (const scope of open.reverse()) closeScope(scope);
    current = undefined;
    native().cancelRecording();
    if (!kept) {
      for (const leaf of recording.leaves) leaf.freeGrad();
      for (const input of recording.inputs) input.dispose();
    }
  }
}

/** A body that runs in one turn. */
const inOneTurn = <R>(body: StepBody<R>): StepTurns<R> => {
  needArguments('a recorded step', 'a function', { body });
  // biome-ignore lint/correctness/useYield: one turn
  return function* (cut) {
    const result = body(cut);
    refusePromise(result);
    if (isGenerator(result))
      throw new SpikeloomError('recordStep() records a plain function, not a generator; use recordStepInTurns()');
    return result;
  };
};

const planOf = ({ workspaceBytes, leastBytes, resultBytes, calls }: RecordedProgram): StepPlan => {
  return { peakBytes: workspaceBytes + resultBytes, workspaceBytes, leastBytes, resultBytes, calls };
};

const dropped = new FinalizationRegistry<number>((program) => native().freeProgram(program));

/** A step that was recorded; made by {@link recordStep}. */
export class RecordedStep<R> implements StepPlan, Disposable {
  readonly peakBytes: number;
  readonly workspaceBytes: number;
  readonly leastBytes: number;
  readonly resultBytes: number;
  readonly calls: number;
  /** How many parts it was cut into, 1 or more. */
  readonly parts: number;
  /** What the function returned. The tensors made in it are the step's, and every replay gives them new numbers. */
  readonly result: R;
  readonly #program: number;
  readonly #device: Device;
  readonly #hooks: (() => void)[][];
  readonly #made: Tensor[];
  #disposed = false;

  /** @internal use recordStep() */
  constructor({ result, made, hooks, program, device }: Recorded<R>) {
    const plan = planOf(program);
    this.peakBytes = plan.peakBytes;
    this.workspaceBytes = plan.workspaceBytes;
    this.leastBytes = plan.leastBytes;
    this.resultBytes = plan.resultBytes;
    this.calls = plan.calls;
    this.parts = program.parts;
    this.result = result;
    this.#program = program.program;
    this.#device = device;
    this.#hooks = hooks;
    this.#made = made;
    dropped.register(this, this.#program, this);
  }

  /**
   * Queues the step, or one part of it, in one call; nothing is waited for. A failure in it is reported by the next
   * read, as for single calls.
   * @param part from 0; parts are replayed in their order, with no other recorded step of the device between
   * @throws SpikeloomError for a step that was disposed, or a part out of its order
   */
  replay(part?: number): void {
    this.#needLive();
    if (part === undefined) for (let i = 0; i < this.parts; i++) this.#replayPart(i);
    else this.#replayPart(part);
  }

  #replayPart(part: number, timed = false): void {
    for (const hook of this.#hooks[part] ?? []) hook();
    explained(() => native().replay(this.#program, part, timed));
  }

  /**
   * Replays the whole step, waiting for every call, and returns the seconds of each in the order of the recording: for
   * measurements. The sum leaves out the time between the calls.
   */
  async replayTimed(): Promise<Float64Array> {
    this.#needLive();
    for (let i = 0; i < this.parts; i++) this.#replayPart(i, true);
    await this.#device.finish();
    return native().callSeconds(this.#program);
  }

  #needLive(): void {
    if (this.#disposed)
      throw new SpikeloomError('a recorded step cannot be replayed after its dispose(); record it again');
  }

  /** Frees the calls and the tensors of the result that were made in the step. Harmless when done already. */
  dispose(): void {
    this.#disposed = true;
    dropped.unregister(this);
    for (const tensor of this.#made) tensor.dispose();
    native().freeProgram(this.#program);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * Records what `body` does on a device without running any of it, plans the memory, and returns a step that replays it.
 *
 * In `body` nothing is computed yet: it is run once, numbers of what it makes can neither be written nor read (the step
 * is refused then; zeros() are made anew by every replay), and what it decides (in JavaScript) stays decided. Inputs
 * are tensors made before, written by set() before a replay. Tensors that the step uses stay in memory until dispose(),
 * even where they were freed meanwhile. A replay has the same bits as the calls themselves. backward() and the update
 * that uses up its gradients belong into the same step.
 *
 * @throws SpikeloomError for a recording inside a recording, when there is not enough memory, and whatever `body`
 * throws; nothing is kept then
 * @example
 * const step = recordStep(net.device, () => {
 *   const loss = crossEntropy(net(x), labels);
 *   backward(loss);
 *   optimizer.step();
 *   return { loss };
 * });
 * for (const batch of batches) {
 *   x.set(batch.images);
 *   labels.set(batch.labels);
 *   step.replay();
 * }
 */
export function recordStep<R>(device: Device, body: StepBody<R>): RecordedStep<R> {
  return new RecordedStep(runToEnd(recordCalls(device, inOneTurn(body), false)));
}

/**
 * The same in turns: where `body` yields, the event loop gets a turn every few milliseconds, so that timers and servers
 * are not kept waiting while a large step is recorded. What runs in between, recordings and replays included, is not
 * part of this step; parameters must not change.
 *
 * @throws as {@link recordStep}, by the promise
 * @example
 * const step = await recordStepInTurns(net.device, function* (cut) {
 *   const loss = crossEntropy(yield* net.forwardInTurns(x), labels);
 *   cut();
 *   yield* backwardInTurns(loss);
 *   yield* optimizer.stepInTurns();
 *   return { loss };
 * });
 */
export async function recordStepInTurns<R>(device: Device, body: StepTurns<R>): Promise<RecordedStep<R>> {
  const turns = recordCalls(device, body, false);
  let turn = turns.next();
  while (!turn.done) {
    await sleep(REST_MS);
    turn = turns.next();
  }
  const step = new RecordedStep(turn.value);
  await sleep(REST_MS); // planning took a turn
  return step;
}

/** The memory that recordStep() would plan for the same function. Nothing is run, and no memory is taken. */
export function planStep(device: Device, body: StepBody<unknown>): StepPlan {
  return planOf(runToEnd(recordCalls(device, inOneTurn(body), true)).program);
}
