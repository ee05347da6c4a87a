import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { openSafetensors } from '../../lib/core/safetensors.ts';
import { optimizerOf, trainRecipe } from '../../lib/train/assemble.ts';
import { parseRecipe, resolveSettings } from '../../lib/train/recipe.ts';
import { runPaths } from '../../lib/train/run-folder.ts';
import { refusal } from '../support/failure.ts';
import { newFolders } from '../support/small-training.ts';

const root = fileURLToPath(new URL('../../datasets/fashion-mnist-small', import.meta.url));
const folder = newFolders();

describe('optimizer.groups of a recipe', () => {
  const settings = (groups?: unknown) =>
    resolveSettings({
      ...{ out: folder(), epochs: 1, batch: 8, model: { name: 'fsta-resnet8', width: 2 } },
      data: { name: 'fashion-mnist', root, train_limit: 16, test_limit: 4 },
      optimizer: { weight_decay: 0.1, ...(groups ? { groups } : {}) },
    });

  it('are those of the optimizer', () => {
    const text = `model: { name: fsta-resnet8 }
data: { name: cifar10, root: somewhere }
optimizer:
  groups:
    - { names: 'linear1.*', lr_scale: 10 }
    - names: ['*.bias', conv1.weight]
      weight_decay: 0.01
`;
    const groups = [
      { names: ['linear1.*'], lrScale: 10 },
      { names: ['*.bias', 'conv1.weight'], lrScale: 1, weightDecay: 0.01 },
    ];
    for (const kind of ['sgd', 'adamw', 'lamb']) {
      const recipe = parseRecipe(text, 'r.yaml', [`optimizer.kind=${kind}`]);
      expect(optimizerOf(recipe).settings.groups).to.deep.equal(groups);
    }
    expect(
      optimizerOf(parseRecipe(text, 'r.yaml', ['optimizer.groups=[{names: conv1.weight, lr_scale: 0}]'])).settings
        .groups,
    ).to.deep.equal([{ names: ['conv1.weight'], lrScale: 0 }]);
    expect(() => parseRecipe(text.replace('lr_scale', 'lrScale'), 'r.yaml')).to.throw(
      /r\.yaml:5: 'optimizer\.groups' .* must be a list of \{ names, lr_scale, weight_decay \}/,
    );
  });

  it('leave what they scale by 0 as it was made, in a whole run', async () => {
    const weightsAfter = async (groups?: unknown) => {
      const { folder: run } = await trainRecipe(settings(groups));
      const file = openSafetensors(runPaths(run).last);
      const read = (name: string) => [...file.read(name)];
      const both = { first: read('conv1.0.pool.weight'), last: read('fc.conv.weight') };
      file.close();
      return both;
    };
    const [plain, frozen] = [await weightsAfter(), await weightsAfter([{ names: '*', lr_scale: 0 }])];
    const head = await weightsAfter([{ names: 'conv1.0.weight', lr_scale: 0 }]);
    expect(head.first).to.deep.equal(frozen.first);
    expect(head.first).to.not.deep.equal(plain.first);
    expect(head.last).to.not.deep.equal(frozen.last);
  });

  it('are refused before a folder is made where they name no parameter', async () => {
    const used = settings([{ names: 'linear9.*' }]);
    expect(await refusal(trainRecipe(used))).to.match(
      /sgd: a group names 'linear9\.\*', but no parameter is called so/,
    );
    expect(existsSync(used.out)).to.equal(false);
  });
});
