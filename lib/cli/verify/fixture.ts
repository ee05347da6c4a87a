// Numeric fixtures: safetensors files with inputs, parameters and the results of a float64 program.
import { z } from 'zod';
import { SpikeloomError } from '../../core/errors.ts';
import type { Shape } from '../../core/index.ts';
import { openSafetensors, type SafetensorsFile } from '../../core/safetensors.ts';
import { zoo } from '../../nn/index.ts';
import { MAX_BASIS } from '../../nn/layers/fsta.ts';

const size = (most: number) => z.int().min(1).max(most);
const filterIndex = z
  .int()
  .min(0)
  .max(MAX_BASIS ** 2 - 1);
const attention = {
  steps: size(1024),
  reduction: size(MAX_BASIS ** 2),
  basis: size(MAX_BASIS).default(7),
  filters: z.union([z.literal('all'), filterIndex, z.array(filterIndex).min(1)]).default('all'),
};
const network = {
  ...attention,
  model: z.enum(Object.keys(zoo) as [string, ...string[]]),
  classes: size(2 ** 20),
  channels: size(65_536),
  attention: z.boolean(),
  smoothing: z.number().min(0).max(1),
  width: size(4096),
};

/**
 * What `config` must hold, by kind of fixture. Unknown keys are refused: they would mean something that is not checked.
 */
const configs = {
  lif: z.strictObject({
    decay: z.number().min(0).max(1),
    v_th: z.number().positive(),
    temperature: z.number().positive(),
  }),
  fsta: z.strictObject(attention),
  network: z.strictObject(network),
  training: z.strictObject({
    ...network,
    updates: size(1_000_000),
    lr: z.number().min(0),
    momentum: z.number().min(0).lt(1),
    nesterov: z.boolean(),
  }),
};

export type FixtureKind = keyof typeof configs;
export type Config<K extends FixtureKind> = z.output<(typeof configs)[K]>;

/**
 * An open fixture. Every tensor that is asked for is checked; {@link Fixture.refuseOthers} finds those that nobody
 * asked for.
 */
export class Fixture {
  readonly path: string;
  readonly kind: FixtureKind;
  readonly #config: unknown;
  readonly #file: SafetensorsFile;
  readonly #used = new Set<string>();

  /**
   * @throws SpikeloomError for a damaged file, one that is not a fixture, and a kind or configuration that cannot be
   * checked
   */
  constructor(path: string) {
    this.path = path;
    this.#file = openSafetensors(path);
    try {
      this.kind = this.#readKind();
      this.#config = this.#readConfig();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The configuration of a fixture of this kind. */
  config<K extends FixtureKind>(): Config<K> {
    return this.#config as Config<K>;
  }

  /** Names that begin with `prefix`, without it. */
  names(prefix: string): string[] {
    return this.#file.names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  }

  /** The shape of a tensor, which must be there. */
  shape(name: string): Shape {
    const entry = this.#file.entries.get(name);
    if (!entry) this.fail(`a '${this.kind}' fixture has a tensor '${name}', but it is missing here`);
    return entry.shape;
  }

  /** Checks a tensor of real numbers without reading it. */
  expect(name: string, shape: Shape): void {
    this.#check(name, shape, ['F64', 'F32']);
  }

  /** The numbers of a tensor of this shape, as float64. */
  real(name: string, shape: Shape = this.shape(name)): Float64Array {
    this.#check(name, shape, ['F64', 'F32']);
    const data = this.#file.read(name);
    return data instanceof Float64Array ? data : Float64Array.from(data as Float32Array);
  }

  /** Classes from 0 to `classes` - 1. */
  labels(name: string, batch: number, classes: number): Int32Array {
    this.#check(name, [batch], ['I64', 'I32']);
    const labels = Array.from(this.#file.read(name) as ArrayLike<bigint | number>, Number);
    const wrong = labels.find((label) => !(label >= 0 && label < classes));
    if (wrong !== undefined) this.fail(`'${name}' holds classes from 0 to ${classes - 1}, but one is ${wrong}`);
    return Int32Array.from(labels);
  }

  /** Refuses tensors that were not asked for, so that nothing passes unchecked. */
  refuseOthers(): void {
    const others = this.#file.names.filter((name) => !this.#used.has(name));
    if (others.length === 0) return;
    const shown = others.slice(0, 8).join(', ') + (others.length > 8 ? `, and ${others.length - 8} more` : '');
    this.fail(`these tensors do not belong to a '${this.kind}' fixture with this config: ${shown}`);
  }

  fail(problem: string): never {
    throw new SpikeloomError(`${this.path}: ${problem}`);
  }

  close(): void {
    this.#file.close();
  }

  #check(name: string, shape: Shape, types: readonly string[]): void {
    const found = this.shape(name);
    const { dtype } = this.#file.entries.get(name)!;
    if (!types.includes(dtype)) this.fail(`'${name}' is ${types.join(' or ')}, but here it is ${dtype}`);
    if (found.join() !== shape.join()) this.fail(`'${name}' has the shape [${shape}], but here it is [${found}]`);
    this.#used.add(name);
  }

  #readKind(): FixtureKind {
    const { 'spikeloom.fixture': version, kind } = this.#file.metadata;
    if (version === undefined) this.fail("this is not a fixture: its metadata have no 'spikeloom.fixture'");
    if (version !== '1') this.fail(`fixtures of version 1 can be checked, but this is of version ${version}`);
    const kinds = Object.keys(configs).join(', ');
    if (kind === 'op') {
      this.fail(`a fixture of single operations (kind 'op') serves the test suite; this command checks ${kinds}`);
    }
    if (kind === undefined || !Object.hasOwn(configs, kind)) {
      this.fail(`the kinds of fixtures are ${kinds}, but this one has ${kind === undefined ? 'no kind' : `'${kind}'`}`);
    }
    return kind as FixtureKind;
  }

  #readConfig(): unknown {
    let json: unknown;
    try {
      json = JSON.parse(this.#file.metadata.config ?? '');
    } catch (error) {
      this.fail(`the metadata 'config' is one JSON object, but ${(error as Error).message}`);
    }
    const parsed = configs[this.kind].safeParse(json);
    if (parsed.success) return parsed.data;
    const problems = parsed.error.issues.slice(0, 8).map(({ path, message }) => {
      return path.length === 0 ? message : `${path.join('.')}: ${message}`;
    });
    this.fail(`the config of this '${this.kind}' fixture is wrong:\n  ${problems.join('\n  ')}`);
  }
}
