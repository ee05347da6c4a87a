import type { Tensor } from '../../lib/core/index.ts';
import { abs, clamp, div, exp, log, pow, shift, sqrt, sub, tanh } from '../../lib/ops/pointwise.ts';
import { type HostTensor, host, noise, type OpTable } from '../support/op-table.ts';

const shapes = [[1], [3, 2, 33, 5, 7], [2, 31], [40000]];

/** Numbers of 0.25 to 2.25, away from where a function has no derivative. */
const positive = (shape: number[], seed?: number): HostTensor => {
  const { data } = noise(shape, seed);
  return host(
    shape,
    data.map((v) => Math.fround(Math.abs(v) + 0.25)),
  );
};

/** The same with both signs. */
const signed = (shape: number[], seed?: number): HostTensor => {
  const { data } = noise(shape, seed);
  return host(
    shape,
    data.map((v) => Math.fround(v + (v < 0 ? -0.25 : 0.25))),
  );
};

type Made = (shape: number[], seed?: number) => HostTensor;

const unary = (name: string, run: (x: Tensor) => Tensor, twin: (x: number) => number, made: Made = noise): OpTable => ({
  name,
  natives: [name, ...(['sqrt', 'abs', 'tanh'].includes(name) ? [`${name}Grad`] : [])],
  cases: shapes.map((shape) => ({ name: `[${shape}]`, inputs: () => ({ x: made(shape) }) })),
  run: ({ x }) => [run(x!)],
  twin: ({ x }) => [host(x!.shape, x!.data.map(twin))],
  gradients: ['x'],
});

export const expTable = unary('exp', exp, Math.exp);
export const logTable = unary('log', log, Math.log, positive);
export const sqrtTable = unary('sqrt', sqrt, Math.sqrt, positive);
export const absTable = unary('abs', abs, Math.abs, signed);
export const tanhTable = unary('tanh', tanh, Math.tanh);
export const shiftTable = unary(
  'shift',
  (x) => shift(x, -0.75),
  (x) => x - 0.75,
);

export const powTable: OpTable = {
  name: 'pow',
  natives: ['pow', 'powGrad'],
  cases: [
    ...[2, 1.5, 1, 0, -0.5].flatMap((exponent) =>
      shapes.map((shape) => ({
        name: `[${shape}] to ${exponent}`,
        inputs: () => ({ x: positive(shape) }),
        options: { exponent },
      })),
    ),
    ...[3, 2, -1].map((exponent) => ({
      name: `of both signs to ${exponent}`,
      inputs: () => ({ x: signed([3, 31]) }),
      options: { exponent },
    })),
  ],
  run: ({ x }, { exponent }) => [pow(x!, exponent as number)],
  twin: ({ x }, { exponent }) => [
    host(
      x!.shape,
      x!.data.map((v) => v ** (exponent as number)),
    ),
  ],
  gradients: ['x'],
};

export const clampTable: OpTable = {
  name: 'clamp',
  natives: ['clamp', 'clampGrad'],
  cases: [{ min: -0.5, max: 0.3125 }, { min: 0.125 }, { max: -0.125 }, { min: 0, max: 0 }].flatMap((limits) =>
    shapes.map((shape) => ({
      name: `[${shape}] to ${limits.min ?? ''}..${limits.max ?? ''}`,
      inputs: () => ({ x: signed(shape) }),
      options: limits,
    })),
  ),
  run: ({ x }, limits) => [clamp(x!, limits)],
  twin: ({ x }, { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY }) => [
    host(
      x!.shape,
      x!.data.map((v) => Math.min(Math.max(v, min as number), max as number)),
    ),
  ],
  gradients: ['x'],
};

export const tanhFar: OpTable = {
  ...tanhTable,
  name: 'tanh far from 0 and near it',
  cases: [{ name: '[8]', inputs: () => ({ x: host([8], [-800, -90, -20, -1e-6, 1e-6, 20, 90, 800]) }) }],
};

const binary = (
  name: string,
  natives: string[],
  run: (x: Tensor, y: Tensor) => Tensor,
  twin: (x: number, y: number) => number,
): OpTable => ({
  name,
  natives,
  cases: shapes.map((shape) => ({ name: `[${shape}]`, inputs: () => ({ x: noise(shape), y: signed(shape, 2) }) })),
  run: ({ x, y }) => [run(x!, y!)],
  twin: ({ x, y }) => [
    host(
      x!.shape,
      x!.data.map((v, i) => twin(v, y!.data[i]!)),
    ),
  ],
  gradients: ['x', 'y'],
});

export const subTable = binary('sub', ['sub'], sub, (x, y) => x - y);
export const divTable = binary('div', ['div', 'divGradY'], div, (x, y) => x / y);
