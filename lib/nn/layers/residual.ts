import { z } from 'zod';
import { add } from '../../ops/add.ts';
import { type Layer, type LayerKind, layerSchema, needTime, type Options, signalText } from '../layer.ts';

const layers = z.array(z.unknown());

const schema = layerSchema('residual', {
  body: layers,
  shortcut: layers.default([]),
  /** 'always', or 'where-needed': the shortcut only where the body changes the shape, x itself elsewhere. */
  use: z.enum(['always', 'where-needed']).default('always'),
});

type Checked = z.output<typeof schema>;

export interface ResidualLayer extends Layer {
  kind: 'residual';
  body: readonly Layer[];
  shortcut?: readonly Layer[] | undefined;
  use?: 'always' | 'where-needed' | undefined;
}

/**
 * y = body(x) + shortcut(x), or body(x) + x without shortcut. Both must have one shape.
 * @example residual({ body: [conv2d(64, { kernel: 3 }), norm()] })
 */
export const residual = (
  options: Options<typeof schema, 'body' | 'shortcut'> & Pick<ResidualLayer, 'body' | 'shortcut'>,
): ResidualLayer => ({ kind: 'residual', ...options });

export const residualKind: LayerKind<Checked> = {
  kind: 'residual',
  label: 'residual',
  schema,
  overTime: 'all',
  plan(layer, input, context) {
    needTime(input, context);
    const body = context.list(layer.body, input);
    const same = body.output.shape.join() === input.shape.join();
    const wanted = layer.use === 'always' || !same ? layer.shortcut : [];
    const shortcut = context.list(wanted, input, 'shortcut.');
    const { output } = shortcut;
    if (body.output.shape.join() !== output.shape.join() || !body.output.timed || !output.timed) {
      const side = wanted.length > 0 ? 'the shortcut' : 'x itself';
      const remedy =
        wanted.length > 0 ? 'make strides and channels of the two agree' : 'give a shortcut that makes the same shape';
      context.fail(
        `adds equal shapes, but the body gives ${signalText(body.output)} and ${side} ${signalText(output)}; ${remedy}`,
      );
    }
    return {
      output: { ...body.output, spikes: false },
      children: { body: body.layers, shortcut: shortcut.layers },
    };
  },
  forward(_layer, x, run) {
    const { body = [], shortcut = [] } = run.planned.children;
    return add(run.list(body, x), run.list(shortcut, x), { real: run.real });
  },
};
