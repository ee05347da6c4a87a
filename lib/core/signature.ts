// The signature language that native op headers speak, parsed once per op:
//
//   lif(x:real[T,B,C,H,W], v0?:real[B,C,H,W]; decay:float, hard:bool)
//     -> s:spike[T,B,C,H,W], v?:real[B,C,H,W] | mean:real[C]
//
// Tensors: name, '?' optional, '!' updated in place, '=' memory to be filled, '?!' optional and updated, types joined by
// '|' ('real': f32 or f64, the same for all of a call), dimensions in brackets: a letter or word stands for one size
// wherever it appears, a number for itself, '...N' (once in a tensor, at any place, as in [T,...R]) for any number of
// axes, the same wherever it appears.
// Then, after ';', the attributes (float, int, bool). After '->' the outputs; after '|' what is kept for the gradient.
import type { DType, RealType } from './dtype.ts';
import { SpikeloomError } from './errors.ts';
import { describe, type Tensor } from './tensor.ts';

export type TypeName = DType | 'real';

export interface TensorSpec {
  name: string;
  optional: boolean;
  inPlace: boolean;
  types: TypeName[];
  dims: (string | number)[];
  text: string;
}

export interface AttributeSpec {
  name: string;
  type: 'float' | 'int' | 'bool';
}

export interface Signature {
  name: string;
  text: string;
  inputs: TensorSpec[];
  attributes: AttributeSpec[];
  /** Outputs, followed by what is saved for the gradient. */
  outputs: TensorSpec[];
}

function parseTensor(text: string): TensorSpec {
  const match = /^(\w+)(\??[!=]?):([\w|]+)\[([^\]]*)\]$/.exec(text);
  if (!match) throw new SpikeloomError(`a tensor of a signature reads name:type[dims], not '${text}'`);
  const [, name, mark, types, dims] = match;
  return {
    name: name!,
    optional: mark!.startsWith('?'),
    inPlace: /[!=]$/.test(mark!),
    types: types!.split('|') as TypeName[],
    dims: dims === '' ? [] : dims!.split(',').map((d) => (/^\d+$/.test(d) ? Number(d) : d)),
    text: `[${dims}]`,
  };
}

function parseAttribute(text: string): AttributeSpec {
  const match = /^(\w+):(float|int|bool)$/.exec(text);
  if (!match) throw new SpikeloomError(`an attribute of a signature reads name:float|int|bool, not '${text}'`);
  return { name: match[1]!, type: match[2] as AttributeSpec['type'] };
}

/** Splits at commas outside of brackets. */
function list(text: string): string[] {
  return text
    .replace(/\s+/g, '')
    .split(/,(?![^[]*\])/)
    .filter((part) => part !== '');
}

export function parseSignature(text: string): Signature {
  const match = /^(\w+)\((.*)\)\s*->\s*(.*)$/s.exec(text.trim());
  if (!match) throw new SpikeloomError(`a signature reads name(inputs; attributes) -> outputs | saved, not '${text}'`);
  const [, name, front, back] = match;
  const [inputs = '', attributes = ''] = front!.split(';');
  const [outputs = '', saved = ''] = back!.split(/(?<=\])\s*\|/);
  return {
    name: name!,
    text,
    inputs: list(inputs).map(parseTensor),
    attributes: list(attributes).map(parseAttribute),
    outputs: [...list(outputs), ...list(saved)].map(parseTensor),
  };
}

/** What the inputs of a call have fixed: sizes by name, '...' axes by name, the real type. */
export interface Binding {
  sizes: Map<string, number>;
  rests: Map<string, readonly number[]>;
  real: RealType | undefined;
}

function fail(signature: Signature, message: string): never {
  throw new SpikeloomError(`${signature.name}: ${message}`);
}

function bindType(signature: Signature, spec: TensorSpec, t: Tensor, binding: Binding): void {
  if (spec.types.includes(t.dtype)) return;
  const isReal = t.dtype === 'f32' || t.dtype === 'f64';
  const takesReals = spec.types.includes('real');
  if (!isReal || !takesReals) {
    const remedy = { spike: '; ops.toReal() makes numbers of spikes', bf16: '; ops.toReal() makes f32 of bf16' };
    const said = (takesReals && remedy[t.dtype as keyof typeof remedy]) || '';
    fail(signature, `'${spec.name}' is ${spec.types.join(' or ')}, not ${t.dtype}${said}`);
  }
  binding.real ??= t.dtype as RealType;
  if (binding.real !== t.dtype)
    fail(signature, `'${spec.name}' is ${t.dtype} where another input is ${binding.real}; make them the same type`);
}

function bindShape(signature: Signature, spec: TensorSpec, t: Tensor, binding: Binding): void {
  const shown = `${describe(t)} vs ${spec.text}`;
  const at = spec.dims.findIndex((dim) => typeof dim === 'string' && dim.startsWith('...'));
  const fixed = spec.dims.filter((_, i) => i !== at);
  const spare = t.shape.length - fixed.length;
  if (spare < 0 || (at < 0 && spare !== 0)) {
    fail(
      signature,
      `'${spec.name}' has ${t.shape.length} dimensions, expected ${at < 0 ? '' : 'at least '}${fixed.length} (${shown})`,
    );
  }
  if (at >= 0) {
    const rest = spec.dims[at] as string;
    const axes = t.shape.slice(at, at + spare);
    const before = binding.rests.get(rest);
    if (before && before.join() !== axes.join()) {
      fail(
        signature,
        `the axes ${rest} are [${before.join(',')}] elsewhere but [${axes.join(',')}] in '${spec.name}' (${shown})`,
      );
    }
    binding.rests.set(rest, axes);
  }
  fixed.forEach((dim, i) => {
    const size = t.shape[at < 0 || i < at ? i : i + spare]!;
    const before = typeof dim === 'number' ? dim : binding.sizes.get(dim);
    if (before !== undefined && before !== size) {
      fail(signature, `dimension ${dim} is ${before} elsewhere but ${size} in '${spec.name}' (${shown})`);
    }
    if (typeof dim === 'string') binding.sizes.set(dim, size);
  });
}

/**
 * Checks the inputs of a call against the signature. Throws SpikeloomError naming the op, the tensor and both shapes.
 */
export function bindInputs(signature: Signature, inputs: Record<string, Tensor | undefined>): Binding {
  const binding: Binding = { sizes: new Map(), rests: new Map(), real: undefined };
  for (const spec of signature.inputs) {
    const t = inputs[spec.name];
    if (!t) {
      if (!spec.optional) fail(signature, `'${spec.name}' is missing; the op reads ${signature.text}`);
      continue;
    }
    bindType(signature, spec, t, binding);
    bindShape(signature, spec, t, binding);
  }
  for (const name of Object.keys(inputs)) {
    if (!signature.inputs.some((spec) => spec.name === name))
      fail(signature, `there is no input '${name}'; the op reads ${signature.text}`);
  }
  return binding;
}

/**
 * The shape of an output, from the sizes the inputs fixed and the ones the caller adds (output sizes of a convolution).
 */
export function outputShape(
  signature: Signature,
  spec: TensorSpec,
  binding: Binding,
  dims: Record<string, number>,
): number[] {
  return spec.dims.flatMap((dim) => {
    if (typeof dim === 'number') return [dim];
    if (dim.startsWith('...'))
      return [...(binding.rests.get(dim) ?? fail(signature, `nothing fixes ${dim} of output '${spec.name}'`))];
    return [
      dims[dim] ?? binding.sizes.get(dim) ?? fail(signature, `nothing fixes the size ${dim} of output '${spec.name}'`),
    ];
  });
}
