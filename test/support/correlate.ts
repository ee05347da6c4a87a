import { type HostTensor, host } from './op-table.ts';

/** One plane [H][W] of the host tensor, as a function; 0 outside. */
function planeOf(t: HostTensor, index: number): (h: number, w: number) => number {
  const [H, W] = t.shape.slice(-2) as [number, number];
  return (h, w) => (h < 0 || w < 0 || h >= H || w >= W ? 0 : t.data[(index * H + h) * W + w]!);
}

/** Cross-correlation with zero padding that keeps the size; maps [B,I,H,W], filters [O,I,k,k]. */
export function correlate(maps: HostTensor, filters: HostTensor): HostTensor {
  const [B, I, H, W] = maps.shape as [number, number, number, number];
  const [O, , k] = filters.shape as [number, number, number];
  const out = host([B, O, H, W], new Float64Array(B * O * H * W));
  const r = (k - 1) / 2;
  for (let b = 0; b < B; b++)
    for (let o = 0; o < O; o++)
      for (let h = 0; h < H; h++)
        for (let w = 0; w < W; w++) {
          let sum = 0;
          for (let c = 0; c < I; c++) {
            const at = planeOf(maps, b * I + c);
            for (let i = 0; i < k; i++)
              for (let j = 0; j < k; j++)
                sum += filters.data[((o * I + c) * k + i) * k + j]! * at(h + i - r, w + j - r);
          }
          out.data[((b * O + o) * H + h) * W + w] = sum;
        }
  return out;
}
