// Plans and networks of layers of the user's own, for their tests.
import { noGrad, scope, type Tensor } from '../../lib/core/index.ts';
import { type Layer, type LayerDefinition, layer, ModelPlan, Net, type NetOptions } from '../../lib/nn/index.ts';
import { noise, toDevice } from './op-table.ts';

export const input = { channels: 3, height: 6, width: 5 };
export const json = (layers: readonly unknown[], steps = 2) =>
  ({ format: 'spikeloom-model', version: 1, model: 'own', steps, input, layers }) as const;
export const plan = (...layers: Layer[]) => new ModelPlan(json(layers));
export const netOf = (layers: Layer[], options: NetOptions & { steps?: number } = {}) => {
  const { steps, ...rest } = options;
  return new Net(new ModelPlan(json(layers, steps)), { seed: 3, ...rest });
};
export const any = (value: unknown) => value as never;

/** A layer that gives x, but for what is said otherwise. */
export const same = (more: object = {}, kind = 'same') =>
  layer({ kind, forward: (x: Tensor) => x, ...more } as LayerDefinition<Record<string, unknown>>);

/** Output of a network in evaluation, for noise, as numbers. */
export async function outputOf(net: Net, batch = 2): Promise<{ shape: readonly number[]; data: number[] }> {
  const x = toDevice(noise([batch, 3, 6, 5], 4), net.dtype, net.device.name);
  const y = noGrad(() => scope(() => net.eval()(x)));
  const made = { shape: y.shape, data: [...(await y.array())].map(Number) };
  for (const held of [x, y, net]) held.dispose();
  return made;
}
