// Native ops as functions of named tensors and numbers.

import { device } from './device.ts';
import type { DType, RealType } from './dtype.ts';
import { nativeError, SpikeloomError } from './errors.ts';
import { buildCommand, native } from './native.ts';
import { kindOf } from './options.ts';
import { markPlace } from './places.ts';
import {
  type AttributeSpec,
  bindInputs,
  outputShape,
  parseSignature,
  type Signature,
  type TensorSpec,
} from './signature.ts';
import { isStepRecording, noteMade, noteWrite } from './step.ts';
import { elements, empty, isTensor, needMade, needTensors, type Tensor } from './tensor.ts';

export interface RunOptions {
  /** Sizes that the inputs do not fix, by their names in the signature. */
  dims?: Record<string, number>;
  /** The dtype of an output whose signature offers several. */
  types?: Record<string, DType>;
  /** Which optional outputs to compute (default: none). */
  want?: readonly string[];
  /** The real type when no input fixes it (default f32). */
  real?: RealType;
  /**
   * Outputs that may lie where an input lies: the kernel reads and writes element by element, and the caller needs the
   * input no more. It is done where types and sizes agree and no other tensor holds the input's memory.
   */
  reuse?: Record<string, Tensor | undefined>;
  /** The name in messages, where users call it by another one. Default: the op's. */
  calledAs?: string | undefined;
}

function attributeValue(signature: Signature, spec: AttributeSpec, given: number | boolean | undefined): number {
  const value = typeof given === 'boolean' ? Number(given) : given;
  if (value === undefined) throw new SpikeloomError(`${signature.name}: attribute '${spec.name}' is missing`);
  const whole = spec.type === 'float' || Number.isSafeInteger(value);
  if (typeof value !== 'number' || Number.isNaN(value) || !whole)
    throw new SpikeloomError(`${signature.name}: attribute '${spec.name}' is ${spec.type}, not ${kindOf(value)}`);
  return value;
}

function realType({ name }: Signature, real: RealType = 'f32'): RealType {
  if (real !== 'f32' && real !== 'f64')
    throw new SpikeloomError(`${name}: a real type is f32 or f64, not ${kindOf(real)}`);
  return real;
}

function outputType(signature: Signature, spec: TensorSpec, real: RealType, options: RunOptions): DType {
  const chosen = options.types?.[spec.name] ?? (spec.types.length === 1 ? spec.types[0] : undefined);
  if (chosen === undefined)
    throw new SpikeloomError(`${signature.name}: output '${spec.name}' may be ${spec.types.join(' or ')}; say which`);
  return chosen === 'real' ? real : chosen;
}

/** An op of the addon. `Output` lists the names of its outputs. */
export class NativeOp<Output extends string = string> {
  private bound: { signature: Signature; call: (...numbers: number[]) => void } | undefined;

  constructor(readonly name: string) {}

  get signature(): Signature {
    return this.bind().signature;
  }

  private bind() {
    if (this.bound) return this.bound;
    const found = opTable().get(this.name);
    if (!found)
      throw new SpikeloomError(`the addon has no op '${this.name}'; build it again with '${buildCommand('build')}'`);
    const { signature, index } = found;
    this.bound = { signature, call: native().bind(index, signature.inputs.length + signature.outputs.length) };
    return this.bound;
  }

  /**
   * Checks the inputs, makes the outputs and queues the call. Returns at once.
   * @throws SpikeloomError for wrong shapes, dtypes or attributes; what fails later surfaces at the next read
   */
  run(
    inputs: Record<string, Tensor | undefined>,
    attributes: Record<string, number | boolean> = {},
    options: RunOptions = {},
  ): Record<Output, Tensor> {
    const { signature: own, call } = this.bind();
    const { calledAs } = options;
    const signature = calledAs === undefined ? own : { ...own, name: calledAs };
    for (const name in inputs) {
      const given = inputs[name];
      if (given === undefined) continue;
      if (!isTensor(given)) needTensors(signature.name, { [name]: given });
      if (!isStepRecording()) needMade(given);
    }
    const binding = bindInputs(signature, inputs);
    const numbers = signature.inputs.map((spec) => inputs[spec.name]?.handle ?? 0);
    const given = Object.values(inputs).find((t) => t !== undefined);
    const on = given?.device ?? device();
    const made: Record<string, Tensor> = {};
    for (const spec of signature.outputs) {
      if (spec.optional && !options.want?.includes(spec.name)) {
        numbers.push(0);
        continue;
      }
      const real = binding.real ?? realType(signature, options.real);
      const shape = outputShape(signature, spec, binding, options.dims ?? {});
      const dtype = outputType(signature, spec, real, options);
      const from = options.reuse?.[spec.name];
      const fits = from?.dtype === dtype && from.size === elements(shape) && native().isOnlyView(from.handle);
      const output = fits ? from!.alias(shape) : empty(shape, dtype, on);
      made[spec.name] = output;
      noteMade(output);
      numbers.push(output.handle);
    }
    for (const spec of signature.attributes) numbers.push(attributeValue(signature, spec, attributes[spec.name]));
    markPlace();
    try {
      call(...numbers);
    } catch (error) {
      throw nativeError((error as Error).message, error);
    }
    for (const { name, inPlace } of signature.inputs) {
      const written = inPlace && inputs[name];
      if (written) noteWrite(written);
    }
    return made as Record<Output, Tensor>;
  }
}

/** An op of the addon. Its signature is parsed when it is first asked for. */
class OpEntry {
  readonly index: number;
  readonly #text: string;
  #signature: Signature | undefined;

  constructor(text: string, index: number) {
    this.#text = text;
    this.index = index;
  }

  get signature(): Signature {
    this.#signature ??= parseSignature(this.#text);
    return this.#signature;
  }
}

let table: ReadonlyMap<string, OpEntry> | undefined;

/** Every op of the addon with its signature and number. */
export function opTable(): ReadonlyMap<string, { readonly signature: Signature; readonly index: number }> {
  table ??= new Map(
    native()
      .ops()
      .map((text, index) => [text.slice(0, text.indexOf('(')).trim(), new OpEntry(text, index)]),
  );
  return table;
}

/** Declares an op by its name; it is looked up when first run. */
export const nativeOp = <Output extends string>(name: string): NativeOp<Output> => new NativeOp<Output>(name);
