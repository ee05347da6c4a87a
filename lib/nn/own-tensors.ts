// The tensors that layers of the user's own hold, as their definition gives them: checked, by role.
import { elements } from '../core/index.ts';
import { contentOf, isPromise, kindOf } from '../core/options.ts';
import type { ConstantPlan, PlanContext, TensorPlan } from './layer.ts';

/** A tensor that a layer of your own holds: its shape, and how it starts. */
export type InitialTensor = Omit<TensorPlan, 'role'>;

/**
 * A tensor that never changes: its shape, and a function that gives its numbers, the last axis next to each other;
 * infinities may be among them, NaN not.
 */
export interface ConstantTensor {
  readonly shape: readonly number[];
  values(): ArrayLike<number>;
}

/** Elements of one tensor. */
const MAX_ELEMENTS = 2 ** 31;
const MAX_AXES = 6;

/** What a function of the definition gives; what it throws refuses the layer. */
export function answerOf(of: string, ask: () => unknown, context: PlanContext): unknown {
  let value: unknown;
  try {
    value = ask();
  } catch (error) {
    context.fail(error instanceof Error ? error.message : `${of} threw ${kindOf(error)}`, { cause: error });
  }
  if (isPromise(value)) {
    Promise.resolve(value).catch(() => {}); // what it says is not what was wrong
    context.fail(`${of} gave a promise; it must not be async`);
  }
  return value;
}

/** The entries of what a function gave, with shapes that are some; `keys` is what each has. */
function entriesOf(of: string, given: unknown, keys: readonly string[], context: PlanContext): [string, object][] {
  const each = `an object of { ${keys.join(', ')} }`;
  if (typeof given !== 'object' || given === null) context.fail(`${of} gives ${each} by role, not ${kindOf(given)}`);
  for (const [role, value] of Object.entries(given as object)) {
    if (!/^[A-Za-z]\w{0,59}$/.test(role) || role === 'num_batches_tracked') {
      context.fail(
        `a role in ${of} is a name of up to 60 letters, digits and _, first a letter, and not num_batches_tracked, which files skip; not ${kindOf(role)}`,
      );
    }
    const has = typeof value === 'object' && value !== null ? Object.keys(value) : undefined;
    if (has?.length !== keys.length || !keys.every((key) => has.includes(key)))
      context.fail(`'${role}' of ${of} is ${each}, not ${has ? `of { ${has.join(', ')} }` : kindOf(value)}`);
    needShape(`'${role}' of ${of}`, (value as { shape: unknown }).shape, context);
  }
  return Object.entries(given as object);
}

function needShape(of: string, shape: unknown, context: PlanContext): void {
  const isSize = (size: unknown) => Number.isSafeInteger(size) && (size as number) >= 1;
  const fits = Array.isArray(shape) && shape.length >= 1 && shape.length <= MAX_AXES && shape.every(isSize);
  if (!fits || elements(shape) > MAX_ELEMENTS) {
    context.fail(
      `the shape of ${of} is 1 to ${MAX_AXES} whole numbers of at least 1, 2^31 elements at most, not ${contentOf(shape)}`,
    );
  }
}

/** What is learned, or kept as state. */
export function tensorsFrom(of: string, given: unknown, context: PlanContext): TensorPlan[] {
  const entries = entriesOf(of, given, ['shape', 'init'], context) as [string, InitialTensor][];
  return entries.map(([role, { shape, init }]) => {
    needInit(`'${role}' of ${of}`, init, context);
    return { role, shape: [...shape], init: { ...init } };
  });
}

function needInit(of: string, init: unknown, context: PlanContext): void {
  const given = typeof init === 'object' && init !== null ? Object.entries(init) : [];
  const [key, value] = given[0] ?? [];
  const isKnown = key === 'constant' || key === 'std' || key === 'bound';
  if (isKnown && given.length === 1 && Number.isFinite(value) && (key === 'constant' || value >= 0)) return;
  const shown = given.map(([name, number]) => `${name}: ${kindOf(number)}`).join(', ');
  const what = given.length > 0 ? `{ ${shown} }` : kindOf(init);
  context.fail(
    `the 'init' of ${of} is { constant }, { std } or { bound }, a finite number, std and bound not below 0; not ${what}`,
  );
}

/** What never changes; the values are asked for, and checked, when a network is made. */
export function constantsFrom(of: string, given: unknown, context: PlanContext): ConstantPlan[] {
  const entries = entriesOf(of, given, ['shape', 'values'], context) as [string, ConstantTensor][];
  return entries.map(([role, { shape, values }]) => {
    if (typeof values !== 'function')
      context.fail(`'values' of '${role}' of ${of} is a function that gives numbers, not ${kindOf(values)}`);
    const size = elements(shape);
    const each = `'values' of '${role}' of ${of}`;
    return {
      role,
      shape: [...shape],
      values() {
        const numbers = answerOf(each, values, context);
        const isList = Array.isArray(numbers) || ArrayBuffer.isView(numbers);
        const list = isList ? Array.from(numbers as ArrayLike<number>) : [];
        if (list.length !== size || !list.every((value) => typeof value === 'number'))
          return context.fail(`${each} gives ${size} numbers, not ${contentOf(numbers)}`);
        const nan = list.findIndex(Number.isNaN);
        if (nan >= 0)
          return context.fail(
            `${each} gives numbers or infinities, but at index ${nan} NaN; see what it is computed of`,
          );
        return Float64Array.from(list);
      },
    };
  });
}

/** @throws SpikeloomError for a role that a layer gives to two tensors */
export function needDistinct(tensors: readonly { role: string }[], context: PlanContext): void {
  const roles = tensors.map(({ role }) => role);
  const twice = roles.find((role, at) => roles.indexOf(role) !== at);
  if (twice !== undefined) context.fail(`holds two tensors '${twice}'; give one of them another role`);
}
