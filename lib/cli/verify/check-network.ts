import { backward, type Device, scope, type Tensor, tensor } from '../../core/index.ts';
import { loadWeights, type ModelPlan, model, Net, releasedNames } from '../../nn/index.ts';
import { crossEntropy } from '../../ops/cross-entropy.ts';
import { sgd } from '../../optim/index.ts';
import { type Comparison, compare, negligibleBeside } from './compare.ts';
import type { Fixture } from './fixture.ts';

interface Prepared {
  net: Net;
  /** Our name of every parameter and buffer -> the released one. */
  names: ReadonlyMap<string, string>;
  /** Loss of the one batch, in training mode; to be called in a scope. */
  loss(): { logits: Tensor; loss: Tensor };
  batch: number;
}

function planOf(fixture: Fixture): { plan: ModelPlan; batch: number } {
  const { model: name, attention, smoothing: _smoothing, ...config } = fixture.config<'network'>();
  const { steps, classes, channels, width, reduction, basis, filters } = config;
  const shape = fixture.shape('x');
  const isImage = shape.length === 4;
  if (shape.at(-3) !== channels || !(isImage || (shape.length === 5 && shape[0] === steps))) {
    fixture.fail(`'x' is [B,${channels},H,W] or [${steps},B,${channels},H,W], but here [${shape}]`);
  }
  const [height, columns] = shape.slice(-2) as [number, number];
  const kind = attention ? 'fsta' : 'none';
  const own = { width, reduction, basis, filters, attention: kind } as const;
  const plan = model(name).plan({ steps, classes, channels, size: [height, columns], ...own });
  return { plan, batch: shape.at(-4)! };
}

/** Checks all tensors by name and shape before any memory is taken: a config may promise more than the file holds. */
function checkTensors(fixture: Fixture, plan: ModelPlan, extra: { gradients: boolean }): void {
  const names = releasedNames(plan);
  for (const { parameters, buffers } of plan.walk()) {
    for (const { name, shape } of parameters) {
      fixture.expect(`param.${names.get(name)}`, shape);
      if (extra.gradients) fixture.expect(`grad.${names.get(name)}`, shape);
    }
    for (const { name, shape } of buffers) {
      fixture.expect(`buffer.${names.get(name)}`, shape);
      if (extra.gradients) fixture.expect(`after.${names.get(name)}`, shape);
    }
  }
}

function prepare(fixture: Fixture, device: Device, extra: { gradients: boolean }): Prepared {
  const { plan, batch } = planOf(fixture);
  checkTensors(fixture, plan, extra);
  const { classes, smoothing } = fixture.config<'network'>();
  const data = fixture.real('x');
  const labels = fixture.labels('labels', batch, classes);
  const shape = fixture.shape('x');
  const net = new Net(plan, { dtype: 'f64', device });
  loadWeights(net, fixture.path, { rename: (name) => /^(?:param|buffer)\.(.*)$/s.exec(name)?.[1] });
  const loss = () => {
    const logits = net(tensor(data, { shape, device }));
    return { logits, loss: crossEntropy(logits, tensor(labels, { device }), { smoothing }) };
  };
  return { net, names: releasedNames(plan), loss, batch };
}

/** Logits, loss, gradient of every parameter, running statistics after one pass in training mode. */
export async function checkNetwork(fixture: Fixture, device: Device, tolerance: number): Promise<Comparison[]> {
  const { net, names, loss, batch } = prepare(fixture, device, { gradients: true });
  try {
    const expected = {
      logits: fixture.real('logits', [batch, fixture.config<'network'>().classes]),
      loss: fixture.real('loss', []),
    };
    fixture.refuseOthers();
    const made = scope(() => {
      const result = loss();
      backward(result.loss);
      return result;
    });
    const compared: Comparison[] = [];
    for (const name of ['logits', 'loss'] as const) {
      compared.push(compare(name, await made[name].array(), expected[name], tolerance));
      made[name].dispose();
    }
    const gradients = net.parameters().map(({ name, tensor: held }) => {
      return { name: `grad.${names.get(name)}`, held: held.grad };
    });
    const negligible = negligibleBeside(gradients.map(({ name }) => fixture.real(name)));
    for (const { name, held } of gradients) {
      const computed = held ? await held.array() : [];
      compared.push(compare(name, computed, fixture.real(name), tolerance, { negligible }));
    }
    for (const { name, tensor: held } of net.buffers()) {
      const after = `after.${names.get(name)}`;
      compared.push(compare(after, await held.array(), fixture.real(after), tolerance));
    }
    return compared;
  } finally {
    net.dispose();
  }
}

/** The loss before each of several SGD updates on one batch. */
export async function checkTraining(fixture: Fixture, device: Device, tolerance: number): Promise<Comparison[]> {
  const { updates, lr, momentum, nesterov } = fixture.config<'training'>();
  const expected = fixture.real('losses', [updates]);
  const { net, loss } = prepare(fixture, device, { gradients: false });
  try {
    fixture.refuseOthers();
    using optimizer = sgd({ lr, momentum, nesterov })(net.parameters());
    const losses: number[] = [];
    for (let update = 0; update < updates; update++) {
      using value = scope(() => {
        const result = loss();
        backward(result.loss);
        optimizer.step();
        return result.loss;
      });
      losses.push(await value.item());
    }
    return [compare('losses', losses, expected, tolerance)];
  } finally {
    net.dispose();
  }
}
