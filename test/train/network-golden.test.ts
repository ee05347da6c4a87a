// Whole networks against the fixtures of test/golden in float64: logits, loss, every gradient, running statistics.
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { backward, scope, tensor } from '../../lib/core/index.ts';
import { openSafetensors, type SafetensorsFile } from '../../lib/core/safetensors.ts';
import { loadWeights, model, type Net, releasedNames } from '../../lib/nn/index.ts';
import { crossEntropy } from '../../lib/ops/cross-entropy.ts';

const golden = fileURLToPath(new URL('../golden/', import.meta.url));

/** |a - b| / |b| over all elements. */
function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).to.equal(b.length);
  let [difference, size] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    size += b[i]! ** 2;
  }
  return Math.sqrt(difference / size);
}

function networkOf(fixture: SafetensorsFile): Net {
  const config = JSON.parse(fixture.metadata.config!);
  const { steps, classes, channels, width, reduction, basis } = config;
  const [height, columns] = fixture.entries.get('x')!.shape.slice(-2) as [number, number];
  const attention = config.attention ? 'fsta' : 'none';
  const net = model(config.model)({
    steps,
    classes,
    channels,
    width,
    reduction,
    basis,
    attention,
    size: [height, columns],
    dtype: 'f64',
  });
  loadWeights(net, fixture.path, { rename: (name) => /^(?:param|buffer)\.(.*)$/.exec(name)?.[1] });
  return net;
}

describe('golden networks', () => {
  for (const file of readdirSync(golden).filter((name) => name.startsWith('network-'))) {
    it(file, async () => {
      const fixture = openSafetensors(golden + file);
      const read = (name: string) => fixture.read(name) as Float64Array;
      const net = networkOf(fixture);
      const { smoothing } = JSON.parse(fixture.metadata.config!);
      const result = scope(() => {
        const x = tensor(read('x'), { shape: fixture.entries.get('x')!.shape });
        const labels = tensor(Int32Array.from(fixture.read('labels') as BigInt64Array, Number));
        const logits = net(x);
        const loss = crossEntropy(logits, labels, { smoothing });
        backward(loss);
        return { logits, loss };
      });
      expect(relativeError(await result.loss.array(), read('loss')), 'loss').to.be.below(1e-12);
      expect(relativeError(await result.logits.array(), read('logits')), 'logits').to.be.below(1e-11);
      const names = releasedNames(net.plan);
      for (const { name, tensor: held } of net.parameters()) {
        const released = names.get(name)!;
        expect(relativeError(await held.grad!.array(), read(`grad.${released}`)), `grad.${released}`).to.be.below(1e-9);
      }
      for (const { name, tensor: held } of net.buffers()) {
        const released = names.get(name)!;
        expect(relativeError(await held.array(), read(`after.${released}`)), `after.${released}`).to.be.below(1e-11);
      }
      result.loss.dispose();
      result.logits.dispose();
      net.dispose();
      fixture.close();
    });
  }
});
