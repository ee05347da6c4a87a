// The weight gradient on the bfloat16 matrix unit: a product over 32 images at a time, at one pixel, or over few images at
// as many pixels as make 32 (tile_run_weights.inl).
//
//   gw[32 c, tap, 32 o] = sum over groups of 32 images, pixels of  x[32 c, 32 images, source(pixel, tap)] * gy[32 images, pixel, 32 o]
//
// One of the two is turned to channels x images, the other to pairs of images (cpu/tile_window.inl); both are made once
// per window of pixels and serve all taps. Where all images are small enough in tiles (small pictures), or smaller than
// the sums (linear layers), all windows are made first and a task owns 32 x 32 weights: gy is turned, so that sums have the order of the weights and go straight
// home. Else a task goes through its slice of the windows, x is turned (bits: one mask a channel), and the slices' sums
// are added in order. How the work is cut depends on the shapes alone.
#define SPIKELOOM_FILE "ops/conv2d/amx_weights.cpp"
#define SPIKELOOM_MATRIX_UNIT
#include "cpu/levels.h"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/geometry.h"
#include "ops/conv2d/lower.h"

#if defined(__x86_64__)
#include "cpu/level_begin.inl"
#include "cpu/bf16_rows.inl"
#include "cpu/tiles.inl"
#include "cpu/tile_window.inl"
#include "ops/conv2d/bias_gradient.inl"
#include "ops/conv2d/tile_images.inl"

constexpr int64_t kWindowBytes = 1 << 20;    // tiles of a window, x and gy together
constexpr int64_t kResidentBytes = 4 << 20;  // tiles of all windows, where they are made first
constexpr int64_t kSliceBytes = 4 << 20;     // sums of all slices
constexpr int64_t kSums = 1024;              // 32 c x 32 o

// What is multiplied, and the way home.
struct WeightGradient {
  const Call& call;
  Geometry g;
  int xParts, gyParts;

  explicit WeightGradient(const Call& c) : call(c), g(geometry(c.tensors[1], c.tensors[0], c.tensors[2], c.attributes)) {
    const DType gy = c.tensors[0].dtype, x = c.tensors[1].dtype;
    const bool rounded = gy == DType::bf16 || x == DType::bf16;
    xParts = x == DType::f32 && !rounded ? 3 : 1;
    gyParts = rounded ? 1 : 3;
  }

  // How many images make a step of a product; 0 where vectors are faster.
  int64_t images() const {
    const bool isThin = g.C < 8 && call.tensors[1].dtype != DType::spike;
    if (g.O < 16 || (g.C < 16 && gyParts > 1) || isThin) return 0;
    return TileRows{g, g.Q}.images(2, 1.25, 0.5);
  }
  int64_t taps() const { return g.kh * g.kw; }
  int64_t inputs() const { return ceilDivide(g.C, 32); }
  int64_t outputs() const { return ceilDivide(g.O, 32); }
  int64_t blocks() const { return inputs() * outputs(); }

  // As many rows of gy as make a window, of which bytes(rows) says how large it is.
  template <class F>
  int64_t rowsOfWindow(const F& bytes) const {
    int64_t rows = g.P;
    while (rows > 1 && bytes(rows) > kWindowBytes) rows = (rows + 1) / 2;
    return rows;
  }

  // The rows of x that rows p0 <= p < p1 of gy meet.
  struct Rows {
    int64_t first, end;
  };
  Rows rowsMet(int64_t p0, int64_t p1) const {
    const auto inside = [&](int64_t h, int64_t first) { return h < first ? first : least(h, g.H); };
    const int64_t first = inside(p0 * g.sh - g.ph, 0);
    return {first, inside((p1 - 1) * g.sh - g.ph + g.kh, first)};
  }

  // gw of 32 inputs, 32 outputs and a tap from their sums [c][o].
  void put(const float* sums, int64_t input, int64_t output, int64_t tap) const {
    float* gw = as<float>(call.tensors[2]);
    const int64_t c0 = input * 32, o0 = output * 32;
    for (int64_t half = 0; half < 2 && c0 + half * 16 < g.C; half++) {
      const int64_t n = least(16, g.C - c0 - half * 16);
      for (int64_t side = 0; side < 2; side++) {
        __m512i block[16];
        for (int r = 0; r < 16; r++) block[r] = _mm512_loadu_si512(sums + (half * 16 + r) * 32 + side * 16);
        transpose16(block);
        for (int64_t r = 0; r < 16 && o0 + side * 16 + r < g.O; r++) {
          float* to = gw + ((o0 + side * 16 + r) * taps() + tap) * g.C + c0 + half * 16;
          _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << n) - 1), (__m512)block[r]);
        }
      }
    }
  }

  // The first n of 16 weights. Whole lines go past the caches: written the usual way, each would be read first.
  static void stream(float* to, __m512 v, int n) {
    if (n >= 16 && reinterpret_cast<uintptr_t>(to) % 64 == 0) _mm512_stream_ps(to, v);
    else if (n > 0) _mm512_mask_storeu_ps(to, static_cast<__mmask16>(n >= 16 ? 0xffffu : (1u << n) - 1), v);
  }

  // gw of 32 inputs, 32 outputs and a tap from their sums [o][c].
  void putTurned(const float* sums, int64_t input, int64_t output, int64_t tap) const {
    const int64_t c0 = input * 32, o0 = output * 32;
    const int n = static_cast<int>(least(32, g.C - c0));
    float* to = as<float>(call.tensors[2]) + (o0 * taps() + tap) * g.C + c0;
    for (int64_t o = 0; o < least(32, g.O - o0); o++, to += taps() * g.C, sums += 32) {
      stream(to, _mm512_loadu_ps(sums), n);
      stream(to + 16, _mm512_loadu_ps(sums + 16), n - 16);
    }
  }
};

// A window is some rows of gy's pixels of a group of 32 images, and x's pixels that they meet.
struct GroupWeights : WeightGradient {
  static constexpr bool kTurnedSlices = false;
  int64_t groups, rows, rowTasks, rowsTogether;  // rows of a window that sums are made of at a time

  explicit GroupWeights(const WeightGradient& gradient) : WeightGradient(gradient) {
    groups = ceilDivide(g.N, kLanesPerGroup);
    rowsTogether = rows = rowsOfWindow([&](int64_t r) { return windowBytes(r); });
    rowTasks = ceilDivide(g.P, rows);
  }

  int64_t windows() const { return groups * rowTasks; }
  int64_t bytes() const { return groups * windowBytes(g.P); }

  int64_t windowBytes(int64_t r) const {
    const int64_t read = least((r - 1) * g.sh + g.kh, g.H);
    return (read * g.W * inputs() * xParts + r * g.Q * outputs() * gyParts) * 2 * kTile * 2;
  }

  struct Pair {
    TileWindow x, gy;

    int64_t p0() const { return gy.h0; }
    int64_t p1() const { return gy.h1; }
    int64_t size() const { return x.size() + gy.size(); }
    void fill(Bf16* data, bool turnedGy) {
      x.data = data;
      gy.data = data + x.size();
      if (turnedGy) x.fillPairs(), gy.fillChannels();
      else x.fillChannels(), gy.fillPairs();
    }
  };

  // The window without its data. Empty where no pixel of x is met.
  Pair window(int64_t index) const {
    const int64_t n0 = index / rowTasks * kLanesPerGroup, lanes = least(kLanesPerGroup, g.N - n0);
    const int64_t p0 = index % rowTasks * rows, p1 = least(p0 + rows, g.P);
    const Rows met = rowsMet(p0, p1);
    return {TileWindow{&call.tensors[1], g.C, g.H, g.W, n0, lanes, met.first, met.end, 0, g.W, xParts, nullptr},
            TileWindow{&call.tensors[0], g.O, g.P, g.Q, n0, lanes, p0, p1, 0, g.Q, gyParts, nullptr}};
  }

  // The tiles' sums += those of rows p0 <= p < p1 of a window for 32 inputs, 32 outputs and a tap: sums[c][o], or
  // sums[o][c] where gy was turned.
  template <int PX, int PG, bool kTurnedGy>
  void addRows(const Pair& w, int64_t p0, int64_t p1, int64_t input, int64_t output, int64_t tap) const {
    const int64_t i = tap / g.kw - g.ph, j = tap % g.kw - g.pw;
    const int64_t q0 = j >= 0 ? 0 : ceilDivide(-j, g.sw);
    const int64_t q1 = g.W - 1 - j < 0 ? 0 : least(g.Q, (g.W - 1 - j) / g.sw + 1);
    for (int64_t p = p0; p < p1; p++) {
      const int64_t h = p * g.sh + i;
      if (h < 0 || h >= g.H || q1 <= q0) continue;
      const TileSteps x{w.x.data + w.x.offset(h, q0 * g.sw + j) + input * 2 * kTile, kTile, g.sw * w.x.pixelSize(), w.x.partSize()};
      const TileSteps gy{w.gy.data + w.gy.offset(p, q0) + output * 2 * kTile, kTile, w.gy.pixelSize(), w.gy.partSize()};
      if constexpr (kTurnedGy) addTileProducts<PG, PX>(gy, x, q1 - q0);
      else addTileProducts<PX, PG>(x, gy, q1 - q0);
    }
  }
};

#include "ops/conv2d/tile_run_weights.inl"

// Small pictures: all windows first (shared scratch slot 3), then 32 x 32 weights a task.
template <int PX, int PG, class Way>
void runResident(const Way& way) {
  const Call& call = way.call;
  std::vector<typename Way::Pair> all;
  std::vector<int64_t> places;
  int64_t size = 0;
  for (int64_t i = 0; i < way.windows(); i++) {
    all.push_back(way.window(i));
    places.push_back(size);
    size += all.back().size();
  }
  Bf16* data = scratch<Bf16>(call, 0, 3, size);
  parallelFor(call, way.windows(), [&](int64_t i, int) {
    const auto window = static_cast<size_t>(i);
    all[window].fill(data + places[window], true);
  });
  parallelFor(call, way.blocks(), [&](int64_t block, int thread) {
    float* sums = scratch<float>(call, thread, 1, kSums);
    const int64_t input = block % way.inputs(), output = block / way.inputs();
    const TileUse use;
    for (int64_t tap = 0; tap < way.taps(); tap++) {
      clearSums();
      for (const auto& pair : all) way.template addRows<PX, PG, true>(pair, pair.p0(), pair.p1(), input, output, tap);
      storeSums(sums);
      way.putTurned(sums, input, output, tap);
    }
    _mm_sfence();
  });
}

// Large pictures: slices of the windows, each with sums of its own (shared scratch slot 2), then all slices' sums.
template <int PX, int PG, class Way>
void runSliced(const Way& way) {
  const Call& call = way.call;
  const int64_t all = way.blocks() * way.taps() * kSums;
  const int64_t room = kSliceBytes / (all * 4);
  const int64_t slices = least(way.windows(), room < 2 ? 2 : room > 16 ? 16 : room);
  float* sums = scratch<float>(call, 0, 2, slices * all);
  parallelFor(call, slices, [&](int64_t slice, int thread) {
    float* mine = sums + slice * all;
    __builtin_memset(mine, 0, static_cast<size_t>(all) * 4);
    const TileUse use;
    for (int64_t i = slice; i < way.windows(); i += slices) {
      auto pair = way.window(i);
      pair.fill(scratch<Bf16>(call, thread, 0, pair.size()), Way::kTurnedSlices);
      for (int64_t block = 0; block < way.blocks(); block++) {
        for (int64_t p = pair.p0(); p < pair.p1(); p += way.rowsTogether) {
          float* at = mine + block * way.taps() * kSums;
          for (int64_t tap = 0; tap < way.taps(); tap++, at += kSums) {
            loadSums(at);
            const int64_t end = least(p + way.rowsTogether, pair.p1());
            way.template addRows<PX, PG, Way::kTurnedSlices>(pair, p, end, block % way.inputs(), block / way.inputs(), tap);
            storeSums(at);
          }
        }
      }
    }
  });
  parallelFor(call, way.blocks() * way.taps(), [&](int64_t task, int) {
    float* first = sums + task * kSums;
    for (int64_t slice = 1; slice < slices; slice++) {
      const float* more = first + slice * all;
      for (int64_t i = 0; i < kSums; i += 16) _mm512_storeu_ps(first + i, _mm512_add_ps(_mm512_loadu_ps(first + i), _mm512_loadu_ps(more + i)));
    }
    const int64_t block = task / way.taps(), input = block % way.inputs(), output = block / way.inputs();
    if (Way::kTurnedSlices) way.putTurned(first, input, output, task % way.taps());
    else way.put(first, input, output, task % way.taps());
    _mm_sfence();
  });
}

template <class Way>
void run(const Way& way) {
  withParts(way.xParts, way.gyParts, [&](auto x, auto gy) {
    constexpr int PX = decltype(x)::value, PG = decltype(gy)::value;
    const bool resident = way.bytes() <= std::max(kResidentBytes, way.blocks() * way.taps() * kSums * 4) && way.blocks() >= 8;
    if (resident) runResident<PX, PG>(way);
    else runSliced<PX, PG>(way);
  });
}

template <class T>
void conv2dGradW(const Call& call) {
  const WeightGradient gradient(call);
  const int64_t images = gradient.images();
  if (images == 0) return runLower(kLevel, kConv2dGradW, call);
  if (images == kLanesPerGroup) run(GroupWeights(gradient));
  else run(RunWeights(gradient, images));
  biasGradient<float>(call);
}

SPIKELOOM_KERNEL(kConv2dGradW, conv2dGradW)

#include "cpu/level_end.inl"
#endif
