// A thread has a vector of channels (16 bytes) of some pixels of an image, over all T; the gate of a pixel is computed once and serves all
// steps. x is read and y written once; gradient: gy and x are read and gx written once.
#include "cuda/gate.cuh"
#include "cuda/vectors.cuh"
#include "ops/fsta_gate/fsta_gate.h"

namespace spikeloom::cuda {
namespace {

template <class T, int N>
__global__ void __launch_bounds__(kThreads) gateKernel(const T* x, GateIn<T> gate, T* y, PixelTiles<N> tiles, uint32_t steps) {
  waitForKernelsBefore();
  const PixelPlace<N> at(tiles, blockIdx.x);
  for (uint32_t p = at.begin; p < at.end; p += at.rows) {
    if (!at.has(p)) continue;
    const uint32_t i = at.b * tiles.P + at.pixelAt(p);
    const T k = gate.factor(gate.scale(), gate.open(gate.map(i)));
    for (uint32_t t = 0; t < steps; t++) {
      const uint32_t place = (t * tiles.pixels() + i) * tiles.vectors + at.vector;
      const T factor = gate.gain(t * tiles.B + at.b) * k;
      T v[N];
      loadVector<T, N>(x, place, v);
#pragma unroll
      for (int e = 0; e < N; e++) v[e] = v[e] * factor;
      storeVector<T, N>(y, place, v);
    }
  }
}

template <class T, int N>
__global__ void __launch_bounds__(kThreads) gateGradKernel(const T* gy, const T* x, GateIn<T> gate, T* gx, GateParts<T> parts, PixelTiles<N> tiles,
                                                           uint32_t steps) {
  waitForKernelsBefore();
  clearGainSums(steps);
  const PixelPlace<N> at(tiles, blockIdx.x);
  GateScalars<T> scalars;
  for (uint32_t p = at.begin; p < at.end; p += at.rows) {
    const uint32_t i = at.b * tiles.P + at.pixelAt(p);
    const bool used = at.has(p);
    const T open = gate.open(gate.map(i)), k = gate.factor(gate.scale(), open);
    T overTime = 0;
    for (uint32_t t = 0; t < steps; t++) {
      const uint32_t place = (t * tiles.pixels() + i) * tiles.vectors + at.vector;
      const T gain = gate.gain(t * tiles.B + at.b), factor = gain * k;
      T g[N], v[N], q = 0;
      loadVector<T, N>(gy, place, g);
      loadVector<T, N>(x, place, v);
#pragma unroll
      for (int e = 0; e < N; e++) {
        q += g[e] * v[e];
        g[e] = g[e] * factor;
      }
      if (gx && used) storeVector<T, N>(gx, place, g);
      q = used ? q : T(0);
      overTime += q * gain;
      addGain(steps, t, q * k);
    }
    scalars.add(tiles, at, i, used, overTime, open, parts.r);
  }
  double* part = parts.sums + static_cast<int64_t>(blockIdx.x) * (steps + kGateTotals);
  writeGains(steps, part);
  double totals[kGateTotals] = {scalars.gm(), scalars.gn(), 0};
  writeSums(totals, part + steps);
}

// Calls body.template operator()<N>() with the channels of a thread.
template <class T, class F>
void withVector(const TensorView* v, F&& body) {
  constexpr int N = kVector<T>;
  if (takesVectors<N>(channels(v[0]), as<T>(v[0])) && takesVectors<N>(channels(v[0]), as<T>(v[1]))) body.template operator()<N>();
  else body.template operator()<1>();
}

template <class T>
void fstaGate(const Call& call) {
  const TensorView* v = call.tensors;
  const Shape5 s = shape5(v[0]);
  const TensorView vectors[] = {v[0], v[5]};
  withVector<T>(vectors, [&]<int N>() {
    const PixelTiles<N> tiles(s.B, s.H * s.W, s.C);
    if (!tiles.fits(call, s.T)) return;
    launch(call, gateKernel<T, N>, tiles.blocks(), as<T>(v[0]), GateIn<T>(v + 1), as<T>(v[5]), tiles, static_cast<uint32_t>(s.T));
  });
}

template <class T>
void fstaGateGrad(const Call& call) {
  const TensorView* v = call.tensors;
  const Shape5 s = shape5(v[0]);
  withVector<T>(v, [&]<int N>() {
    const PixelTiles<N> tiles(s.B, s.H * s.W, s.C);
    if (!tiles.fits(call, s.T)) return;
    const GateIn<T> gate(v + 2);
    const GateOut<T> out{as<T>(v[7]), as<T>(v[8]), as<T>(v[9]), as<T>(v[10]), nullptr};
    const int64_t sums = gateSums(tiles, s.T, out), numbers = gateNumbers(tiles, out);
    double* room = static_cast<double*>(scratchBytes(call, static_cast<size_t>(sums) * sizeof(double) + static_cast<size_t>(numbers) * sizeof(T)));
    if (room == nullptr) return;
    const GateParts<T> parts{room, reinterpret_cast<T*>(room + sums)};
    launch(call, gateGradKernel<T, N>, Grid(tiles.blocks(), kThreads, gateSharedBytes(s.T)), as<T>(v[0]), as<T>(v[1]), gate, as<T>(v[6]), parts,
           tiles, static_cast<uint32_t>(s.T));
    finishGate(call, tiles, s.T, gate, static_cast<const T*>(nullptr), parts, out);
  });
}

SPIKELOOM_CUDA_KERNEL(kFstaGate, fstaGate)
SPIKELOOM_CUDA_KERNEL(kFstaGateGrad, fstaGateGrad)

}  // namespace
}  // namespace spikeloom::cuda
