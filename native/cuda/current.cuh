// The current x[t,b,c,p] = scale[c] y + shift[c] (+ r), read N channels at a time and never stored (see ops/current_stats). y rests as S;
// r is absent, packed spikes, or a second convolution's output with an affine map of its own. A y (or r) of one step serves every t.
// What kind of residual there is, is asked once for N channels: a branch that all threads take alike.
#pragma once
#include "cuda/vectors.cuh"

namespace spikeloom::cuda {

// The sizes of a current.
struct FireSizes {
  int64_t steps, B, P, C;
};

// What has been read for N channels at one step, before it is used: reads of several steps are under way together.
template <class S, int N>
struct RawCurrent {
  Packed<S, N> y, r;
  uint32_t bits;
};

// The bits of vector c of the pixel whose words begin at `first`, lowest first; what follows them is other channels'.
template <int N>
__device__ __forceinline__ uint32_t bitsOf(const uint32_t* words, uint32_t first, uint32_t c) {
  if constexpr (N == 8) return reinterpret_cast<const uint8_t*>(words + first)[c];
  const uint32_t channel = c * N;
  return words[first + channel / 32] >> (channel % 32);
}

template <class T, int N>
struct ChannelMap {
  T scale[N], shift[N];
};

template <class T, class S, int N>
struct Current {
  const S *y, *r;
  const uint32_t* bits;
  const T *scale, *shift, *rscale, *rshift;
  uint32_t steps, words, vectors;  // words and vectors of a pixel
  uint32_t yStep, rStep;           // from step to step, in vectors; of spikes in words

  // x as it is, of any rank.
  explicit Current(const TensorView& x)
      : y(as<S>(x)), r(nullptr), bits(nullptr), scale(nullptr), shift(nullptr), rscale(nullptr), rshift(nullptr),
        steps(static_cast<uint32_t>(x.dims[0])) {
    words = static_cast<uint32_t>(spikeWords(channels(x)));
    vectors = static_cast<uint32_t>(channels(x) / N);
    yStep = static_cast<uint32_t>(pixels(x) / x.dims[0]) * vectors;
    rStep = 0;
  }

  // in: y, scale, shift; residual: r, rscale, rshift.
  Current(const TensorView* in, const TensorView* residual, int64_t steps_) : Current(in[0]) {
    scale = as<T>(in[1]);
    shift = as<T>(in[2]);
    rscale = as<T>(residual[1]);
    rshift = as<T>(residual[2]);
    steps = static_cast<uint32_t>(steps_);
    const bool spikes = residual[0].dtype == DType::spike;
    if (spikes) bits = as<uint32_t>(residual[0]);
    else r = as<S>(residual[0]);
    if (residual[0].data && residual[0].dims[0] > 1) rStep = spikes ? yStep / vectors * words : yStep;
    if (in[0].dims[0] == 1) yStep = 0;
  }
  bool sameEveryStep() const { return yStep == 0 && rStep == 0; }

  // What belongs to the channels of vector c of a pixel.
  __device__ __forceinline__ ChannelMap<T, N> mapAt(uint32_t c) const {
    ChannelMap<T, N> map;
    if (scale) {
      loadVector<T, N>(scale, c, map.scale);
      loadVector<T, N>(shift, c, map.shift);
    } else {
#pragma unroll
      for (int i = 0; i < N; i++) {
        map.scale[i] = 1;
        map.shift[i] = 0;
      }
    }
    return map;
  }

  // Vector c of pixel i of all images.
  __device__ __forceinline__ RawCurrent<S, N> read(uint32_t t, uint32_t i, uint32_t c) const {
    RawCurrent<S, N> raw;
    raw.y = loadPacked<N>(y, t * yStep + i * vectors + c);
    if (r) raw.r = loadPacked<N>(r, t * rStep + i * vectors + c);
    raw.bits = bits ? bitsOf<N>(bits, t * rStep + i * words, c) : 0;
    return raw;
  }

  __device__ __forceinline__ void value(const RawCurrent<S, N>& raw, const ChannelMap<T, N>& map, uint32_t c, T (&x)[N]) const {
#pragma unroll
    for (int i = 0; i < N; i++) x[i] = map.scale[i] * raw.y.number(i) + map.shift[i];
    if (bits) {
#pragma unroll
      for (int i = 0; i < N; i++) x[i] = x[i] + ((raw.bits >> i) & 1u ? T(1) : T(0));
    } else if (r) {
      T slope[N], offset[N];
      loadVector<T, N>(rscale, c, slope);
      loadVector<T, N>(rshift, c, offset);
#pragma unroll
      for (int i = 0; i < N; i++) x[i] = x[i] + (slope[i] * raw.r.number(i) + offset[i]);
    }
  }
};

// On the host: whether y and the residual can be read in vectors of N channels.
template <class S, int N>
bool takesCurrent(const TensorView& y, const TensorView& r) {
  return takesVectors<N>(channels(y), as<S>(y)) && (r.dtype == DType::spike || takesVectors<N>(channels(y), as<S>(r)));
}

// On the host: whether the storages go together: y and r as real numbers of T or, for float, both as bf16; steps 1 or T.
inline bool fits(const Call& call, const TensorView& y, const TensorView& r, int64_t steps, bool isDouble) {
  if (isDouble && (y.dtype == DType::bf16 || r.dtype == DType::bf16)) {
    fail(call.status, "bf16 goes with parameters in f32, not f64; make them f32");
  } else if (r.data && r.dtype != DType::spike && r.dtype != y.dtype) {
    fail(call.status, "a residual that is no spikes has the type of y; make both the same");
  } else if ((y.dims[0] != 1 && y.dims[0] != steps) || (r.data && r.dims[0] != 1 && r.dims[0] != steps)) {
    fail(call.status, "y and the residual have 1 step or all T = %lld of them", static_cast<long long>(steps));
  }
  return !call.status->failed;
}

}  // namespace spikeloom::cuda
