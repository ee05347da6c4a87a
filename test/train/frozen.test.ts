// Parameters that are frozen and trained again between the epochs of train().
import { expect } from 'chai';
import { train } from '../../lib/train/train.ts';
import { data, makeNet, usual } from '../support/small-training.ts';

/** Trains the last layer alone in the second of three epochs; the losses, and the other parameters after each epoch. */
async function thawed(record: boolean) {
  const net = makeNet();
  const body = net.parameters().filter(({ name }) => !name.startsWith('linear'));
  const epochs: { loss: number; body: Float32Array[] }[] = [];
  for await (const { loss } of train(net, { data, ...usual, record })) {
    const numbers = await Promise.all(body.map(async ({ tensor }) => (await tensor.array()) as Float32Array));
    epochs.push({ loss, body: numbers });
    for (const { tensor } of body) tensor.requiresGrad = epochs.length !== 1;
  }
  net.dispose();
  return epochs;
}

describe('parameters frozen between two epochs of train()', () => {
  it('stay as they are until they are trained again, recorded or not', async () => {
    const [first, second, third] = await thawed(true);
    expect(second!.body).to.deep.equal(first!.body);
    expect(third!.body).to.not.deep.equal(second!.body);
    expect([first, second, third]).to.deep.equal(await thawed(false));
  });
});
