import { backward, type Device, type RealType, scope, tensor } from '../../core/index.ts';
import { lif } from '../../ops/lif.ts';
import { type Comparison, compare, compareExactly } from './compare.ts';
import type { Fixture } from './fixture.ts';

/** In float32 a membrane this close to a point where the result jumps may fall on its other side. */
const ROUNDING = 1e-5;

export interface LifCheck {
  results: Comparison[];
  /** Neurons left out in float32: a spike that differs, first at a membrane within 1e-5 of the threshold. */
  flipped: number;
  /** Neurons whose gradient is left out in float32: a membrane within 1e-5 of an end of the surrogate. */
  onEdge: number;
}

/**
 * Spikes must be equal one by one; the gradient of x is compared. In float32 neurons on the brink are left out and
 * counted.
 */
export async function checkLif(
  fixture: Fixture,
  dtype: RealType,
  device: Device,
  tolerance: number,
): Promise<LifCheck> {
  const { decay, v_th: vth, temperature } = fixture.config<'lif'>();
  const shape = fixture.shape('x');
  const [x, gy, y, grad] = ['x', 'gy', 'y', 'grad.x'].map((name) => fixture.real(name, shape)) as Four;
  fixture.refuseOthers();
  if (y.some((spike) => spike !== 0 && spike !== 1)) fixture.fail("'y' holds spikes, so 0 or 1");
  const Kind = dtype === 'f64' ? Float64Array : Float32Array;
  const options = { shape, dtype, device };
  using input = tensor(Kind.from(x), options);
  input.requiresGrad = true;
  using spikes = scope(() => {
    const s = lif(input, { decay, vth, temperature });
    backward(s, tensor(Kind.from(gy), options));
    return s;
  });
  const computed = { y: await spikes.array(), grad: await input.grad!.array() };
  const brink = dtype === 'f32' ? brinkOf(x, y, computed.y, shape[0]!, decay, vth) : NOBODY;
  const neurons = x.length / shape[0]!;
  const differing = y.filter((spike, i) => spike !== computed.y[i] && !brink.flipped.has(i % neurons)).length;
  const skip = (i: number) => brink.flipped.has(i % neurons) || brink.onEdge.has(i % neurons);
  return {
    results: [compareExactly('y', differing, y.length), compare('grad.x', computed.grad, grad, tolerance, { skip })],
    flipped: brink.flipped.size,
    onEdge: brink.onEdge.size,
  };
}

type Four = [Float64Array, Float64Array, Float64Array, Float64Array];

interface Brink {
  flipped: ReadonlySet<number>;
  onEdge: ReadonlySet<number>;
}

const NOBODY: Brink = { flipped: new Set(), onEdge: new Set() };

/** Follows every membrane in float64 along the expected spikes: u[t] = decay v[t-1] + x[t], v = u (1 - s). */
function brinkOf(
  x: Float64Array,
  y: Float64Array,
  computed: ArrayLike<number>,
  steps: number,
  decay: number,
  vth: number,
): Brink {
  const neurons = x.length / steps;
  const flipped = new Set<number>();
  const onEdge = new Set<number>();
  const isClose = (distance: number) => distance > 0 && distance < ROUNDING;
  for (let n = 0; n < neurons; n++) {
    let v = 0;
    for (let i = n; i < x.length; i += neurons) {
      const u = decay * v + x[i]!;
      const level = u / vth;
      if (y[i] !== computed[i]) {
        if (Math.abs(level - 0.5) < ROUNDING) flipped.add(n);
        break; // what follows is another course of this neuron
      }
      if (isClose(Math.abs(level)) || isClose(Math.abs(level - 1))) onEdge.add(n);
      v = u * (1 - y[i]!);
    }
  }
  return { flipped, onEdge };
}
