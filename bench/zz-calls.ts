import { recordStep } from '../lib/core/index.ts';
import { watchCalls } from './calls.ts';
import { prepareTraining } from './training.ts';
const options = { model: 'fsta-resnet20', steps: 2, batch: 32, size: 32, channels: 3, classes: 10, attention: 'fsta', threads: 2, device: 'cpu', precision: (process.argv[2] ?? 'bf16'), warmup: 2, repeats: 15, seed: 0 } as never;
const { net, step: body } = prepareTraining(options);
const calls: any[] = [];
const step = watchCalls(() => recordStep(net.device, body), (c: any) => calls.push(c));
for (let i = 0; i < 3; i++) { step.replay(); await net.device.finish(); }
const runs: Float64Array[] = [];
for (let i = 0; i < 15; i++) runs.push(await step.replayTimed());
const rows = calls.map((c, i) => { const t = runs.map((r) => r[i]!).sort((a, b) => a - b); return { c, t: t[3]! }; });
const groups = new Map<string, { n: number; t: number }>();
for (const { c, t } of rows) {
  const d = (o: any) => o ? `${o.dtype}[${o.shape.join(',')}]` : '';
  const k = `${c.op} ${Object.entries(c.inputs).filter(([k]) => /^(x|w|gy|g|y|add)$/.test(k)).map(([k, o]) => k + ':' + d(o)).join(' ')} -> ${Object.values(c.outputs).slice(0, 1).map(d).join(' ')} ${c.attributes.sh ?? ''}`;
  const g = groups.get(k) ?? { n: 0, t: 0 }; g.n++; g.t += t; groups.set(k, g);
}
console.log('sum', rows.reduce((s, r) => s + r.t, 0) * 1e3);
for (const [k, g] of [...groups].sort((a, b) => b[1].t - a[1].t).slice(0, 60)) console.log((g.t * 1e3).toFixed(2).padStart(7), String(g.n).padStart(3), k);
