// Trains a recipe by the package as it is built, beside a timer of the event loop: the process that bench lateness starts.
// Nothing in it compiles TypeScript. Arguments: the URL of the built package's folder, a recipe, its overrides.
import { Lateness } from './late-timer.ts';

const [dist, recipe, ...overrides] = process.argv.slice(2);
const { trainRecipe }: typeof import('../lib/train/assemble.ts') = await import(`${dist}/train/assemble.js`);
const { loadRecipe }: typeof import('../lib/train/recipe.ts') = await import(`${dist}/train/recipe.js`);

let watch: Lateness | undefined;
const { epochs } = await trainRecipe(loadRecipe(recipe!, overrides), {
  onStart: () => {
    watch = new Lateness();
  },
});
const seconds = watch!.stop();
const { ticks, most, late } = watch!;
/** What bench lateness is told. */
export interface LateRun {
  seconds: number;
  ticks: number;
  most_ms: number;
  over_10_ms: number;
  late: typeof late;
  images_per_s: number[];
}
const found: LateRun = {
  seconds,
  ticks,
  most_ms: most,
  over_10_ms: late.length,
  late,
  images_per_s: epochs.map((epoch) => epoch.imagesPerSecond),
};
process.send!(found, () => process.disconnect());
