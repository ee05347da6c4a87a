// The current x[t,b,c,p] = scale[c] y + shift[c] (+ r), read a vector of channels at a time and never stored. y rests
// as S; r is absent, packed spikes, or a second convolution's output with an affine map of its own. A y (or r) of one
// step serves every t.
#include "cpu/lane_masks.inl"

enum class Residual { none, spikes, real };

template <class T, class S, Residual kResidual>
struct Current {
  const S* y;
  const T *scale, *shift, *rscale, *rshift;
  const void* r;
  int64_t T_, B, C, P, words, yStep, rStep;

  // in: y, scale, shift; residual: r, rscale, rshift.
  Current(const TensorView* in, const TensorView* residual, int64_t steps)
      : y(as<S>(in[0])), scale(as<T>(in[1])), shift(as<T>(in[2])), rscale(as<T>(residual[1])), rshift(as<T>(residual[2])), r(residual[0].data) {
    const Shape5 shape = shape5(in[0]);
    T_ = steps;
    B = shape.B;
    C = shape.C;
    P = shape.H * shape.W;
    words = spikeWords(C);
    yStep = shape.T == 1 ? 0 : B * P * C;
    rStep = r == nullptr || residual[0].dims[0] == 1 ? 0 : B * P * (kResidual == Residual::spikes ? words : C);
  }
  bool sameEveryStep() const { return yStep == 0 && rStep == 0; }

  // Pixel p of image b, at every t. It holds no reference, so that what it reads by stays in registers while results
  // are written.
  struct Pixel {
    const T *scale, *shift, *rscale, *rshift;
    const S* y;
    const S* r;
    const uint32_t* bits;
    int64_t yStep, rStep;

    // The pixel `rows` further on.
    Pixel below(int64_t rows, int64_t C) const {
      Pixel next = *this;
      next.y += rows * C;
      if constexpr (kResidual == Residual::real) next.r += rows * C;
      if constexpr (kResidual == Residual::spikes) next.bits += rows * spikeWords(C);
      return next;
    }
    // Fetches what at() will read.
    void fetch(int64_t t, int64_t c) const {
      __builtin_prefetch(y + t * yStep + c);
      if constexpr (kResidual == Residual::real) __builtin_prefetch(r + t * rStep + c);
    }
    Vec<T> raw(int64_t t, int64_t c, int n) const { return loadLanes<T>(y + t * yStep + c, n); }
    Vec<T> at(int64_t t, int64_t c, int n) const {
      const Vec<T> x = loadLanes<T>(scale + c, n) * raw(t, c, n) + loadLanes<T>(shift + c, n);
      if constexpr (kResidual == Residual::none) {
        return x;
      } else if constexpr (kResidual == Residual::spikes) {
        return x + whereSet<T>(laneMask<T>(bits + t * rStep, c), splat(T(1)));
      } else {
        const Vec<T> second = loadLanes<T>(r + t * rStep + c, n);
        return x + (loadLanes<T>(rscale + c, n) * second + loadLanes<T>(rshift + c, n));
      }
    }
  };
  Pixel pixel(int64_t b, int64_t p) const {
    const int64_t at = b * P + p;
    const S* second = kResidual == Residual::real ? static_cast<const S*>(r) + at * C : nullptr;
    const uint32_t* bits = kResidual == Residual::spikes ? static_cast<const uint32_t*>(r) + at * words : nullptr;
    return {scale, shift, rscale, rshift, y + at * C, second, bits, yStep, rStep};
  }
};

// An image's blocks of pixels, each over all T: about 8192 numbers of a step.
struct Blocks {
  int64_t B, P, size, perImage;

  Blocks(int64_t B_, int64_t P_, int64_t C) : B(B_), P(P_) {
    size = std::min(P, std::max<int64_t>(1, 8192 / C));
    perImage = (P + size - 1) / size;
  }
  int64_t tasks() const { return B * perImage; }
  int64_t b(int64_t task) const { return task / perImage; }
  int64_t begin(int64_t task) const { return task % perImage * size; }
  int64_t end(int64_t task) const { return std::min(P, begin(task) + size); }
};

// sums[2][C] = the sums of parts[task][2][C], in order, in double; body(c, first, second).
template <class T, class F>
inline void mergePairs(const Call& call, const T* parts, int64_t tasks, int64_t C, F&& body) {
  constexpr int64_t kGrain = 64;
  parallelRange(call, C, kGrain, [&](int64_t begin, int64_t end) {
    double first[kGrain] = {}, second[kGrain] = {};
    for (int64_t k = 0; k < tasks; k++) {
      const T* a = parts + 2 * k * C;
      const T* b = a + C;
      for (int64_t c = begin; c < end; c++) {
        first[c - begin] += static_cast<double>(a[c]);
        second[c - begin] += static_cast<double>(b[c]);
      }
    }
    for (int64_t c = begin; c < end; c++) body(c, first[c - begin], second[c - begin]);
  });
}

// Whether the storages go together: y and r as real numbers of T or, for float, both as bf16; steps 1 or T.
inline bool fits(const Call& call, const TensorView& y, const TensorView& r, int64_t steps, bool isDouble) {
  if (isDouble && (y.dtype == DType::bf16 || r.dtype == DType::bf16)) {
    fail(call, "bf16 goes with parameters in f32, not f64; make them f32");
    return false;
  }
  if (r.data && r.dtype != DType::spike && r.dtype != y.dtype) {
    fail(call, "a residual that is no spikes has the type of y; make both the same");
    return false;
  }
  if ((y.dims[0] != 1 && y.dims[0] != steps) || (r.data && r.dims[0] != 1 && r.dims[0] != steps)) {
    fail(call, "y and the residual have 1 step or all T = %lld of them", static_cast<long long>(steps));
    return false;
  }
  return true;
}

// Calls body(current) for y's type at rest and the kind of residual.
template <class T, class F>
inline void withCurrent(const Call& call, const TensorView* in, const TensorView* residual, int64_t steps, F&& body) {
  if (!fits(call, in[0], residual[0], steps, sizeof(T) == 8)) return;
  withStorage<T>(in[0], [&]<class S>() {
    if (residual[0].data == nullptr) body(Current<T, S, Residual::none>(in, residual, steps));
    else if (residual[0].dtype == DType::spike) body(Current<T, S, Residual::spikes>(in, residual, steps));
    else body(Current<T, S, Residual::real>(in, residual, steps));
  });
}
