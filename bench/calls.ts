// The native calls of a piece of work: which ops, with which tensors and numbers.
import { type DType, elements, NativeOp, type Tensor } from '../lib/core/index.ts';
import type { RunOptions } from '../lib/core/op.ts';

export interface Operand {
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** A call as the op's signature names its parts. */
export interface Call {
  readonly op: string;
  readonly inputs: Readonly<Record<string, Operand>>;
  readonly outputs: Readonly<Record<string, Operand>>;
  readonly attributes: Readonly<Record<string, number | boolean>>;
}

/** What a call was made with, to repeat it. */
export interface Arguments {
  readonly inputs: Record<string, Tensor | undefined>;
  readonly attributes: Record<string, number | boolean>;
  readonly options: RunOptions;
}

type Note = (call: Call, made: Arguments, outputs: Readonly<Record<string, Tensor>>) => void;

const operands = (tensors: Record<string, Tensor | undefined>): Record<string, Operand> =>
  Object.fromEntries(
    Object.entries(tensors).flatMap(([name, t]) => (t ? [[name, { dtype: t.dtype, shape: [...t.shape] }]] : [])),
  );

/** Runs `work` and reports every call in it to `note`, after the call. NativeOp.run is wrapped meanwhile. */
export function watchCalls<R>(work: () => R, note: Note): R {
  const run = NativeOp.prototype.run;
  NativeOp.prototype.run = function (this: NativeOp, inputs, attributes = {}, options = {}) {
    const outputs = run.call(this, inputs, attributes, options);
    const call = { op: this.name, inputs: operands(inputs), outputs: operands(outputs), attributes };
    note(call, { inputs, attributes, options }, outputs);
    return outputs;
  };
  try {
    return work();
  } finally {
    NativeOp.prototype.run = run;
  }
}

const written = ({ dtype, shape }: Operand): string => `${dtype === 'f32' ? '' : `${dtype} `}${shape.join('x')}`;

const sizeOf = ({ shape }: Operand): number => elements(shape);

/** The op with all types, shapes and numbers: the same for calls that do the same amount of work. */
export const identityOf = ({ op, inputs, outputs, attributes }: Call): string =>
  JSON.stringify([op, inputs, outputs, attributes]);

/**
 * The tensors that matter, in one line: those that have at least a hundredth of the largest one's elements, and the
 * weights.
 */
export function describeCall({ inputs, outputs }: Call): string {
  const all = [...Object.values(inputs), ...Object.values(outputs)];
  const least = Math.max(...all.map(sizeOf)) / 100;
  const list = (tensors: Readonly<Record<string, Operand>>) => {
    const entries = Object.entries(tensors);
    const large = entries.filter(([name, operand]) => name === 'w' || sizeOf(operand) >= least);
    return (large.length > 0 ? large : entries.slice(0, 1))
      .map(([name, operand]) => `${name} ${written(operand)}`)
      .join(', ');
  };
  const made = list(outputs);
  return made ? `${list(inputs)} -> ${made}` : list(inputs);
}
