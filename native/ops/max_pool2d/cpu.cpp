// One task per row of a picture; channels side by side.
#define SPIKELOOM_BF16_STORES
#define SPIKELOOM_FILE "ops/max_pool2d/cpu.cpp"
#include "cpu/levels.h"
#include "ops/max_pool2d/max_pool2d.h"

#include "cpu/level_begin.inl"
#include "cpu/lane_masks.inl"

// Calls body(output pixel, picture, rows, columns) for every window.
template <class F>
void forWindows(const Call& call, const PoolWindow& s, F&& body) {
  parallelFor(call, s.N * s.h.places, [&](int64_t task, int) {
    const PoolSpan rows = s.h.inside(task % s.h.places);
    for (int64_t q = 0; q < s.w.places; q++) body(task * s.w.places + q, task / s.h.places, rows, s.w.inside(q));
  });
}

// Pixels of a picture, one for each lane of Vec<T>.
template <class T>
using Places = decltype(Vec<T>{} > Vec<T>{});

template <class T>
inline Places<T> everywhere(int64_t place) {
  return Places<T>{} + static_cast<std::conditional_t<sizeof(T) == 8, int64_t, int32_t>>(place);
}

template <class T, class X>
void maxReal(const Call& call, const PoolWindow& s) {
  forWindows(call, s, [&](int64_t pixel, int64_t n, PoolSpan rows, PoolSpan columns) {
    const X* x = as<X>(call.tensors[0]) + n * s.h.size * s.w.size * s.C;
    X* y = as<X>(call.tensors[1]) + pixel * s.C;
    int32_t* index = call.tensors[2].data ? as<int32_t>(call.tensors[2]) + pixel * s.C : nullptr;
    const int64_t first = rows.begin * s.w.size + columns.begin;
    eachVector<T>(s.C, [&](int64_t c, auto lanes) __attribute__((always_inline)) {
      Vec<T> best = loadLanes<T>(x + first * s.C + c, lanes);
      Places<T> won = everywhere<T>(first);
      for (int64_t h = rows.begin; h < rows.end; h++) {
        for (int64_t w = columns.begin; w < columns.end; w++) {
          const int64_t here = h * s.w.size + w;
          const Vec<T> value = loadLanes<T>(x + here * s.C + c, lanes);
          const Places<T> larger = (value > best) | (value != value);
          won = larger ? everywhere<T>(here) : won;
          best = larger ? value : best;
        }
      }
      storeLanes<T>(y + c, best, lanes);
      for (int i = 0; index != nullptr && i < lanes; i++) index[c + i] = static_cast<int32_t>(won[i]);
    });
  });
}

void maxSpikes(const Call& call, const PoolWindow& s) {
  const int64_t words = spikeWords(s.C);
  forWindows(call, s, [&](int64_t pixel, int64_t n, PoolSpan rows, PoolSpan columns) {
    const uint32_t* x = as<uint32_t>(call.tensors[0]) + n * s.h.size * s.w.size * words;
    uint32_t* y = as<uint32_t>(call.tensors[1]) + pixel * words;
    std::fill(y, y + words, 0u);
    for (int64_t h = rows.begin; h < rows.end; h++) {
      for (int64_t w = columns.begin; w < columns.end; w++) {
        const uint32_t* from = x + (h * s.w.size + w) * words;
        for (int64_t k = 0; k < words; k++) y[k] |= from[k];
      }
    }
  });
}

template <class T>
void maxPool2d(const Call& call) {
  const PoolWindow s = poolWindow(call.tensors[0], call.tensors[1], call.attributes);
  if (call.tensors[1].dtype != call.tensors[0].dtype) return fail(call, "y has the type of x; make both the same");
  if (call.tensors[0].dtype != DType::spike) return withStorage<T>(call.tensors[0], [&]<class X>() { maxReal<T, X>(call, s); });
  if (call.tensors[2].data) return fail(call, "index is of real numbers; the gradient of spikes is spikeMaxPool2dGrad's");
  maxSpikes(call, s);
}

template <class T, class G, class X>
void spread(const Call& call, const PoolWindow& s, const G* gy, X* gx) {
  const int32_t* index = as<int32_t>(call.tensors[1]);
  parallelFor(call, s.N * s.h.size, [=](int64_t task, int) {
    const int64_t n = task / s.h.size, h = task % s.h.size;
    const PoolSpan rows = s.h.covering(h);
    for (int64_t w = 0; w < s.w.size; w++) {
      const PoolSpan columns = s.w.covering(w);
      const int32_t here = static_cast<int32_t>(h * s.w.size + w);
      X* out = gx + (task * s.w.size + w) * s.C;
      eachVector<T>(s.C, [&](int64_t c, auto lanes) __attribute__((always_inline)) {
        Vec<T> sum{};
        for (int64_t p = rows.begin; p < rows.end; p++) {
          for (int64_t q = columns.begin; q < columns.end; q++) {
            const int64_t at = ((n * s.h.places + p) * s.w.places + q) * s.C + c;
            sum += whereEqual<T>(index + at, here, lanes, loadLanes<T>(gy + at, lanes));
          }
        }
        storeLanes<T>(out + c, sum, lanes);
      });
    }
  });
}

template <class T>
void maxPool2dGrad(const Call& call) {
  const TensorView &gy = call.tensors[0], &gx = call.tensors[2];
  const PoolWindow s = poolWindow(gx, gy, call.attributes);
  withStorage<T>(gy, [&]<class G>() {
    withStorage<T>(gx, [&]<class X>() { spread<T>(call, s, as<G>(gy), as<X>(gx)); });
  });
}

// to = from where the bits of a pixel's words are set, else 0.
template <class T, class X>
void copyWhere(const uint32_t* words, const X* from, X* to, int64_t C) {
#if SPIKELOOM_LEVEL_NOW >= 2
  if constexpr (sizeof(X) == 2) {
    for (int64_t c = 0; c < C; c += 32) {
      const __mmask32 there = C - c >= 32 ? ~0u : (1u << (C - c)) - 1u;
      _mm512_mask_storeu_epi16(to + c, there, _mm512_maskz_loadu_epi16(words[c / 32] & there, from + c));
    }
    return;
  }
#endif
  eachVector<T>(C, [&](int64_t c, auto lanes) __attribute__((always_inline)) {
    storeLanes<T>(to + c, whereSet<T>(laneMask<T>(words, c), loadLanes<T>(from + c, lanes)), lanes);
  });
}

// Where every pixel lies in one window (see wonOfWindow): a window's pixels are read and written together.
template <class T, class X>
void spreadToTiles(const Call& call, const PoolWindow& s, const X* gy, X* gx) {
  const int64_t words = spikeWords(s.C), size = s.h.kernel * s.w.kernel;
  parallelFor(call, s.N * s.h.places, [=, &call](int64_t task, int thread) {
    uint32_t* const won = scratch<uint32_t>(call, thread, 0, size * words);
    const int64_t row = task * s.h.kernel * s.w.size;  // pixels of all pictures before the windows'
    const uint32_t* bits = as<uint32_t>(call.tensors[1]) + row * words;
    for (int64_t q = 0; q < s.w.places; q++) {
      const auto pixel = [&](int64_t i) { return i / s.w.kernel * s.w.size + q * s.w.kernel + i % s.w.kernel; };
      std::fill(won, won + words, 0u);
      for (int64_t i = 1; i < size; i++) {
        const uint32_t *before = bits + pixel(i - 1) * words, *here = bits + pixel(i) * words;
        uint32_t *all = won, *to = won + i * words;  // all: of the pixels before
        for (int64_t k = 0; k < words; k++) all[k] |= before[k], to[k] = here[k] & ~all[k];
      }
      const uint32_t *first = bits + pixel(0) * words, *last = bits + pixel(size - 1) * words;
      for (int64_t k = 0; k < words; k++) won[k] = first[k] | ~(won[k] | last[k]);
      for (int64_t i = 0; i < size; i++) copyWhere<T>(won + i * words, gy + (task * s.w.places + q) * s.C, gx + (row + pixel(i)) * s.C, s.C);
    }
  });
}

template <class T, class G, class X>
void spreadToSpikes(const Call& call, const PoolWindow& s, const G* gy, X* gx) {
  const int64_t words = spikeWords(s.C), most = std::min(s.h.places, s.h.kernel) * std::min(s.w.places, s.w.kernel);
  const uint32_t* bits = as<uint32_t>(call.tensors[1]);
  parallelFor(call, s.N * s.h.size, [=](int64_t task, int thread) {
    uint32_t* const won = scratch<uint32_t>(call, thread, 0, most * words);
    const G** const from = scratch<const G*>(call, thread, 1, most);
    const int64_t n = task / s.h.size, h = task % s.h.size;
    const uint32_t* picture = bits + n * s.h.size * s.w.size * words;
    const PoolSpan rows = s.h.covering(h);
    for (int64_t w = 0; w < s.w.size; w++) {
      const PoolSpan columns = s.w.covering(w);
      int64_t windows = 0;
      for (int64_t p = rows.begin; p < rows.end; p++) {
        for (int64_t q = columns.begin; q < columns.end; q++, windows++) {
          from[windows] = gy + ((n * s.h.places + p) * s.w.places + q) * s.C;
          uint32_t* to = won + windows * words;
          for (int64_t k = 0; k < words; k++) to[k] = wonOfWindow(picture + k, words, s.w.size, s.h.inside(p), s.w.inside(q), h, w);
        }
      }
      X* out = gx + (task * s.w.size + w) * s.C;
      eachVector<T>(s.C, [&](int64_t c, auto lanes) __attribute__((always_inline)) {
        Vec<T> sum{};
        for (int64_t i = 0; i < windows; i++) sum += whereSet<T>(laneMask<T>(won + i * words, c), loadLanes<T>(from[i] + c, lanes));
        storeLanes<T>(out + c, sum, lanes);
      });
    }
  });
}

template <class T>
void spikeMaxPool2dGrad(const Call& call) {
  const TensorView &gy = call.tensors[0], &gx = call.tensors[2];
  const PoolWindow s = poolWindow(gx, gy, call.attributes);
  withStorage<T>(gy, [&]<class G>() {
    withStorage<T>(gx, [&]<class X>() {
      if constexpr (std::is_same_v<G, X>) {
        if (s.h.isTiled() && s.w.isTiled()) return spreadToTiles<T>(call, s, as<X>(gy), as<X>(gx));
      }
      spreadToSpikes<T>(call, s, as<G>(gy), as<X>(gx));
    });
  });
}

SPIKELOOM_KERNEL(kMaxPool2d, maxPool2d)
SPIKELOOM_KERNEL(kMaxPool2dGrad, maxPool2dGrad)
SPIKELOOM_KERNEL(kSpikeMaxPool2dGrad, spikeMaxPool2dGrad)

#include "cpu/level_end.inl"
