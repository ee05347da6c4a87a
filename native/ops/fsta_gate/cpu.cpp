// One task per image and block of pixels; the gate of a block is computed once and serves all T steps.
#define SPIKELOOM_FILE "ops/fsta_gate/cpu.cpp"
#include "cpu/levels.h"
#include "core/gate.h"
#include "ops/fsta_gate/fsta_gate.h"

#include "cpu/level_begin.inl"
#include "cpu/lane_masks.inl"
#include "cpu/peaks.inl"
#include "cpu/surrogate_lanes.inl"
#include "cpu/gate_lanes.inl"

constexpr int64_t kBlock = 256;

// How [B, H W] is cut into tasks: task = b * blocks + block.
struct Blocks {
  explicit Blocks(const Shape5& shape) : s(shape), P(s.H * s.W), blocks((P + kBlock - 1) / kBlock) {}
  int64_t tasks() const { return s.B * blocks; }
  int64_t b(int64_t task) const { return task / blocks; }
  int64_t begin(int64_t task) const { return task % blocks * kBlock; }
  int64_t end(int64_t task) const { return begin(task) + kBlock < P ? begin(task) + kBlock : P; }

  Shape5 s;
  int64_t P, blocks;
};

template <class T>
void fstaGate(const Call& call) {
  const T* a = as<T>(call.tensors[1]);
  const T* F = as<T>(call.tensors[2]);
  const T m = *as<T>(call.tensors[3]), n = *as<T>(call.tensors[4]);
  const Blocks blocks(shape5(call.tensors[0]));
  const Shape5& s = blocks.s;
  parallelFor(call, blocks.tasks(), [&](int64_t task, int thread) {
    const int64_t b = blocks.b(task), begin = blocks.begin(task), size = blocks.end(task) - begin;
    T* G = scratch<T>(call, thread, 1, size);
    openShares(F + b * blocks.P + begin, size, G);
    for (int64_t t = 0; t < s.T; t++) {
      const int64_t first = ((t * s.B + b) * blocks.P + begin) * s.C;
      const T* x = as<T>(call.tensors[0]) + first;
      T* y = as<T>(call.tensors[5]) + first;
      const T gain = gateGain(a[t * s.B + b]);
      for (int64_t i = 0; i < size; i++) {
        const T k = gain * gateFactor(m, n, G[i]);
        for (int64_t c = i * s.C; c < (i + 1) * s.C; c++) y[c] = x[c] * k;
      }
    }
  });
}

// sum of gy x over the channels of a pixel; with gx, gx = gy k in the same pass.
template <class T>
inline T gatePixel(const T* gy, const T* x, T* gx, T k, int64_t C) {
  const Vec<T> gain = splat(k);
  Vec<T> sum{};
  int64_t c = 0;
  for (; c + kLanes<T> <= C; c += kLanes<T>) {
    const Vec<T> g = load(gy + c);
    sum = mulAdd(g, load(x + c), sum);
    if (gx) store(gx + c, g * gain);
  }
  T total = sumLanes<T>(sum);
  for (; c < C; c++) {
    total += gy[c] * x[c];
    if (gx) gx[c] = gy[c] * k;
  }
  return total;
}

// What a task adds to ga (T numbers), gm and gn.
template <class T>
void gateBlockGrad(const Call& call, const Blocks& blocks, int64_t task, int thread, double* parts) {
  const Shape5& s = blocks.s;
  const int64_t b = blocks.b(task), begin = blocks.begin(task), size = blocks.end(task) - begin;
  const T* a = as<T>(call.tensors[2]);
  const T m = *as<T>(call.tensors[4]), n = *as<T>(call.tensors[5]);
  T* gF = as<T>(call.tensors[8]) + b * blocks.P + begin;
  T* G = scratch<T>(call, thread, 1, size);
  double* r = scratch<double>(call, thread, 2, size);
  openShares(as<T>(call.tensors[3]) + b * blocks.P + begin, size, G);
  for (int64_t i = 0; i < size; i++) r[i] = 0;
  for (int64_t t = 0; t < s.T; t++) {
    const int64_t first = ((t * s.B + b) * blocks.P + begin) * s.C;
    const T* gy = as<T>(call.tensors[0]) + first;
    const T* x = as<T>(call.tensors[1]) + first;
    T* gx = as<T>(call.tensors[6]);
    if (gx) gx += first;
    const T gain = gateGain(a[t * s.B + b]);
    double ga = 0;
    for (int64_t i = 0; i < size; i++) {
      const T k = gateFactor(m, n, G[i]);
      const T q = gatePixel(gy + i * s.C, x + i * s.C, gx ? gx + i * s.C : gx, gain * k, s.C);
      ga += static_cast<double>(q) * static_cast<double>(k);
      r[i] += static_cast<double>(q) * static_cast<double>(gain);
    }
    parts[t] = ga;
  }
  GateSums sums;
  for (int64_t i = 0; i < size; i++) {
    const double open = static_cast<double>(G[i]);
    gF[i] = static_cast<T>(mapSlope(r[i], static_cast<double>(n), open));
    sums.add(r[i], open);
  }
  parts[s.T] = sums.m;
  parts[s.T + 1] = sums.n;
}

template <class T>
void fstaGateGrad(const Call& call) {
  const Blocks blocks(shape5(call.tensors[0]));
  const Shape5& s = blocks.s;
  const int64_t width = s.T + 2;
  double* parts = scratch<double>(call, 0, 0, blocks.tasks() * width);
  parallelFor(call, blocks.tasks(), [&](int64_t task, int thread) { gateBlockGrad<T>(call, blocks, task, thread, parts + task * width); });
  double gm = 0, gn = 0;
  for (int64_t b = 0; b < s.B; b++) {
    const double* image = parts + b * blocks.blocks * width;
    for (int64_t t = 0; t < s.T; t++) {
      double ga = 0;
      for (int64_t i = 0; i < blocks.blocks; i++) ga += image[i * width + t];
      as<T>(call.tensors[7])[t * s.B + b] = static_cast<T>(ga);
    }
    for (int64_t i = 0; i < blocks.blocks; i++) {
      gm += image[i * width + s.T];
      gn += image[i * width + s.T + 1];
    }
  }
  *as<T>(call.tensors[9]) = static_cast<T>(gm);
  *as<T>(call.tensors[10]) = static_cast<T>(gn);
}

SPIKELOOM_KERNEL(kFstaGate, fstaGate)
SPIKELOOM_KERNEL(kFstaGateGrad, fstaGateGrad)

#include "cpu/level_end.inl"
