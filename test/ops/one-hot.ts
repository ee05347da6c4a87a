import { oneHot } from '../../lib/ops/one-hot.ts';
import { host, type OpTable } from '../support/op-table.ts';

export const table: OpTable = {
  name: 'oneHot',
  natives: ['oneHot'],
  cases: [
    [1, 1],
    [5, 31],
    [7, 32],
    [33, 10],
    [9000, 3],
  ].map(([B, K]) => ({
    name: `[${B},${K}]`,
    inputs: () => ({
      labels: host(
        [B!],
        Array.from({ length: B! }, (_, b) => (b * 7 + K! - 1) % K!),
        'i32',
      ),
    }),
    options: { classes: K },
  })),
  run: ({ labels }, { classes }) => [
    oneHot(labels!, { classes: classes as number }),
    oneHot(labels!, { classes: classes as number, real: 'f64' }),
  ],
  twin: ({ labels }, { classes }) => {
    const K = classes as number;
    const data = new Float64Array(labels!.data.length * K);
    labels!.data.forEach((label, b) => {
      data[b * K + label] = 1;
    });
    return [host([labels!.data.length, K], data), host([labels!.data.length, K], data)];
  },
};
