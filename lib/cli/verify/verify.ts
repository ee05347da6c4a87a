// Runs a numeric fixture through the engine: the numbers behind `spikeloom verify`.

import { SpikeloomError } from '../../core/errors.ts';
import { type Device, device as openDevice, type RealType } from '../../core/index.ts';
import { checkFsta } from './check-fsta.ts';
import { checkLif } from './check-lif.ts';
import { checkNetwork, checkTraining } from './check-network.ts';
import type { Comparison } from './compare.ts';
import { Fixture, type FixtureKind } from './fixture.ts';

const TOLERANCE: Readonly<Record<RealType, number>> = { f64: 1e-9, f32: 1e-4 };

export interface VerifyOptions {
  /** Arithmetic. Default 'f64'. */
  dtype?: RealType;
  /** Default 'cpu'. */
  device?: string;
}

export interface Verification {
  fixture: string;
  kind: FixtureKind;
  config: unknown;
  dtype: RealType;
  device: string;
  /** Largest error that passes. */
  tolerance: number;
  ok: boolean;
  results: Comparison[];
  /** Neurons of a lif fixture in float32 that were left out, since rounding alone may turn their result. */
  leftOut?: { flipped: number; onEdge: number };
}

/**
 * Computes what a fixture holds and compares every output and gradient.
 * @throws SpikeloomError for a file that is damaged or not a fixture, and for networks in float32
 */
export async function verify(path: string, options: VerifyOptions = {}): Promise<Verification> {
  const { dtype = 'f64', device: name = 'cpu' } = options;
  const fixture = new Fixture(path);
  try {
    const { kind } = fixture;
    if (dtype === 'f32' && (kind === 'network' || kind === 'training')) {
      throw new SpikeloomError(
        `a '${kind}' fixture is checked in f64 only: in f32 one rounding difference flips a spike, and from there on the two runs have nothing to do with each other. Leave out --dtype f32`,
      );
    }
    const device = openDevice(name);
    const tolerance = TOLERANCE[dtype];
    const { results, ...rest } = await check(fixture, dtype, device, tolerance);
    const ok = results.every((result) => result.ok);
    const config = fixture.config();
    return { fixture: path, kind, config, dtype, device: name, tolerance, ok, results, ...rest };
  } finally {
    fixture.close();
  }
}

async function check(
  fixture: Fixture,
  dtype: RealType,
  device: Device,
  tolerance: number,
): Promise<Pick<Verification, 'results' | 'leftOut'>> {
  switch (fixture.kind) {
    case 'lif': {
      const { results, ...leftOut } = await checkLif(fixture, dtype, device, tolerance);
      return dtype === 'f32' ? { results, leftOut } : { results };
    }
    case 'fsta':
      return { results: await checkFsta(fixture, dtype, device, tolerance) };
    case 'network':
      return { results: await checkNetwork(fixture, device, tolerance) };
    case 'training':
      return { results: await checkTraining(fixture, device, tolerance) };
  }
}
