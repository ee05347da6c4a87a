// Steps noted one behind the other: `run` returns the log and the row that comes next.
import { type DeviceLog, logMetrics } from '../../lib/ops/log-metrics.ts';
import { type HostInputs, type HostTensor, host, noise, type OpTable } from '../support/op-table.ts';

const integer = (value: number): HostTensor => ({ ...host([1], [value]), kind: 'i32' });

/** A log of some rows, the row to begin with, and the numbers of some steps. */
const inputs = (rows: number, next: number, steps: number) => (): HostInputs => {
  const made: HostInputs = { log: noise([rows, 2], 1), next: integer(next) };
  for (let i = 0; i < steps; i++) {
    made[`loss${i}`] = noise([1], 10 + i);
    made[`correct${i}`] = integer(100 * i + 7);
  }
  return made;
};

export const logMetricsTable: OpTable = {
  name: 'logMetrics',
  natives: ['logMetrics'],
  cases: [
    { name: 'one row, written again and again', inputs: inputs(1, 0, 3) },
    { name: 'the first rows', inputs: inputs(5, 0, 2) },
    { name: 'around the end', inputs: inputs(5, 3, 4) },
    { name: 'more steps than rows', inputs: inputs(3, 1, 8) },
    { name: 'many rows', inputs: inputs(256, 250, 9) },
    { name: 'a row that is none is taken modulo N', inputs: inputs(4, 11, 2) },
    { name: 'a large count', inputs: () => ({ ...inputs(2, 0, 1)(), correct0: integer(2 ** 24 - 1) }) },
  ],
  run({ log, next, ...steps }) {
    const metrics: DeviceLog = { log: log!, next: next! };
    for (let i = 0; steps[`loss${i}`]; i++) {
      logMetrics(metrics, { loss: steps[`loss${i}`]!, correct: steps[`correct${i}`]! });
    }
    return [metrics.log, metrics.next];
  },
  twin({ log, next, ...steps }) {
    const rows = log!.shape[0]!;
    let row = next!.data[0]! % rows;
    for (let i = 0; steps[`loss${i}`]; i++) {
      log!.data[2 * row] = steps[`loss${i}`]!.data[0]!;
      log!.data[2 * row + 1] = steps[`correct${i}`]!.data[0]!;
      row = (row + 1) % rows;
    }
    return [log!, integer(row)];
  },
};
