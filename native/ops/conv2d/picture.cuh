// The factors of convolutions as cuda/matrix_product.cuh finds them element by element: pictures (bits, bf16, real) whose
// lines are pixels, and weights as they rest.
#pragma once
#include "cuda/matrix_product.cuh"
#include "cuda/storage.cuh"
#include "ops/conv2d/geometry.h"

namespace spikeloom::cuda {

// Geometry in ints, which the device divides faster.
struct Sizes {
  int N, C, H, W, O, P, Q, kh, kw, sh, sw, ph, pw;

  explicit Sizes(const Geometry& g)
      : N(narrow(g.N)), C(narrow(g.C)), H(narrow(g.H)), W(narrow(g.W)), O(narrow(g.O)), P(narrow(g.P)), Q(narrow(g.Q)), kh(narrow(g.kh)),
        kw(narrow(g.kw)), sh(narrow(g.sh)), sw(narrow(g.sw)), ph(narrow(g.ph)), pw(narrow(g.pw)) {}
  SPIKELOOM_HD int taps() const { return kh * kw; }
  SPIKELOOM_HD int inputs() const { return N * H * W; }
  SPIKELOOM_HD int outputs() const { return N * P * Q; }

 private:
  static int narrow(int64_t n) { return static_cast<int>(n); }
};

struct SpikeBits {};  // how spikes rest, where a type of elements is asked for

// A tensor that is read as T: elements of S, rounded as bf16 has them where factors are.
template <class T, class S>
struct Picture {
  const S* data;
  int C;
  bool rounded;

  Picture(const TensorView& t, bool rounded_) : data(as<S>(t)), C(static_cast<int>(channels(t))), rounded(rounded_) {}
  __device__ T at(int pixel, int c) const {
    const T value = loadAs(data + static_cast<int64_t>(pixel) * C + c);
    return rounded ? static_cast<T>(toFloat(toBf16(static_cast<float>(value)))) : value;
  }
};

template <class T>
struct Picture<T, SpikeBits> {
  const uint32_t* data;
  int words;

  Picture(const TensorView& t, bool) : data(as<uint32_t>(t)), words(static_cast<int>(spikeWords(channels(t)))) {}
  __device__ T at(int pixel, int c) const { return fired(data + static_cast<int64_t>(pixel) * words, c) ? T(1) : T(0); }
};

// On the host: calls body.template operator()<S>() with the type that x rests in, spikes included.
template <class T, class F>
void withPicture(const TensorView& x, F&& body) {
  if (x.dtype == DType::spike) return body.template operator()<SpikeBits>();
  withStorage<T>(x, body);
}

// Where a kernel begins to read in x for an output pixel.
struct Corner {
  int image, h, w;

  Corner() = default;
  __device__ Corner(const Sizes& g, int pixel) : image(pixel / (g.P * g.Q)), h(pixel / g.Q % g.P * g.sh - g.ph), w(pixel % g.Q * g.sw - g.pw) {}
  // The pixel of x for a kernel element, or -1 outside of the picture.
  __device__ int pixel(const Sizes& g, int i, int j) const {
    const int row = h + i, column = w + j;
    return row >= 0 && row < g.H && column >= 0 && column < g.W ? (image * g.H + row) * g.W + column : -1;
  }
};

// A kernel element and a channel: what the terms of a pixel's sum are numbered by, channels running fastest.
struct Tap {
  int i, j, c;

  Tap() = default;
  __device__ Tap(const Sizes& g, int k, int C) : i(k / C / g.kw), j(k / C % g.kw), c(k % C) {}
};

// Weights as they rest, [O][kh][kw][C], rounded as bf16 has them where factors are.
template <class T>
struct Kernels {
  const T* data;
  bool rounded;

  __device__ T at(int64_t i) const { return rounded ? static_cast<T>(toFloat(toBf16(static_cast<float>(data[i])))) : data[i]; }
};

}  // namespace spikeloom::cuda
