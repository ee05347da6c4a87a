// Products with spikes as sums of what fires: one addition of weights (or of output gradients) for each spike and
// vector of outputs, in the order in which the dense products add. x is read as bits; nothing is expanded.

// Below these shares of spikes the additions take less time than dense products do. A sum of weights stays in
// registers, one of output gradients does not.
constexpr double kSparseForward = 0.3, kSparseWeights = 0.2;

inline bool isSparse(const Call& call, const TensorView& x, double below) {
  if (x.dtype != DType::spike) return false;
  const uint32_t* words = as<uint32_t>(x);
  const int64_t n = pixels(x) * spikeWords(channels(x)), grain = 1 << 16, tasks = (n + grain - 1) / grain;
  int64_t* counts = scratch<int64_t>(call, 0, 0, tasks);
  parallelFor(call, tasks, [&](int64_t task, int) {
    int64_t spikes = 0;
    for (int64_t i = task * grain; i < n && i < (task + 1) * grain; i++) spikes += __builtin_popcount(words[i]);
    counts[task] = spikes;
  });
  int64_t spikes = 0;
  for (int64_t task = 0; task < tasks; task++) spikes += counts[task];
  return static_cast<double>(spikes) < below * static_cast<double>(count(x));
}

// The channels that fire at each pixel of rows h0 <= h < h1 of one image after the other.
class SpikeLists {
 public:
  SpikeLists(const Call& call, int thread, const TensorView& x, const Geometry& g, const Span& s, int64_t h0, int64_t h1)
      : g_(g), n0_(s.n0), h0_(h0), rows_(h1 - h0) {
    const int64_t words = spikeWords(g.C), all = (s.n1 - s.n0) * rows_ * g.W;
    uint32_t* ends = scratch<uint32_t>(call, thread, 0, all + 1 + all * words * 32);
    uint32_t* out = ends + all + 1;
    starts_ = ends;
    channels_ = out;
    uint32_t filled = 0;
    *ends++ = 0;
    for (int64_t n = s.n0; n < s.n1; n++) {
      const uint32_t* from = as<uint32_t>(x) + (n * g.H + h0) * g.W * words;
      for (int64_t p = 0; p < rows_ * g.W; p++, from += words) {
        for (int64_t k = 0; k < words; k++) {
          for (uint32_t word = from[k]; word != 0; word &= word - 1) {
            out[filled++] = static_cast<uint32_t>(k * 32 + __builtin_ctz(word));
          }
        }
        *ends++ = filled;
      }
    }
  }

  const uint32_t* begin(int64_t n, int64_t h, int64_t w) const { return channels_ + starts_[pixel(n, h, w)]; }
  const uint32_t* end(int64_t n, int64_t h, int64_t w) const { return channels_ + starts_[pixel(n, h, w) + 1]; }

 private:
  int64_t pixel(int64_t n, int64_t h, int64_t w) const { return ((n - n0_) * rows_ + h - h0_) * g_.W + w; }

  const Geometry& g_;
  int64_t n0_, h0_, rows_;
  const uint32_t* starts_;
  const uint32_t* channels_;
};

// One output pixel and NP panels of NV vectors: sums[panel][vector] over all taps inside the picture.
template <class T, int NP, int NV>
void addSpikes(const SpikeLists& lists, const Geometry& g, const Panels<T>& panels, int64_t panel, int64_t n, int64_t p, int64_t q, const T* bias,
               T* out) {
  constexpr int L = kLanes<T>;
  Vec<T> acc[NP][NV];
  const auto columns = [&](int a, int v) { return static_cast<int>(std::min<int64_t>(L, panels.N - ((panel + a) * NV + v) * L)); };
  for (int a = 0; a < NP; a++) {
    for (int v = 0; v < NV; v++) {
      const T* from = bias + ((panel + a) * NV + v) * L;
      acc[a][v] = !bias || columns(a, v) <= 0 ? Vec<T>{} : loadPart(from, columns(a, v));
    }
  }
  for (int64_t i = 0; i < g.kh; i++) {
    const int64_t h = p * g.sh - g.ph + i;
    if (h < 0 || h >= g.H) continue;
    const T* weights[NP];
    for (int a = 0; a < NP; a++) weights[a] = panels.panel(panel + a, i);
    for (int64_t j = 0; j < g.kw; j++) {
      const int64_t w = q * g.sw - g.pw + j;
      if (w < 0 || w >= g.W) continue;
      const uint32_t* last = lists.end(n, h, w);
      for (const uint32_t* c = lists.begin(n, h, w); c != last; c++) {
        const int64_t at = (j * g.C + *c) * NV * L;
        for (int a = 0; a < NP; a++) {
          for (int v = 0; v < NV; v++) acc[a][v] += load(weights[a] + at + v * L);
        }
      }
    }
  }
  for (int a = 0; a < NP; a++) {
    for (int v = 0; v < NV; v++) {
      const int n_ = columns(a, v);
      T* to = out + ((panel + a) * NV + v) * L;
      if (n_ == L) store(to, acc[a][v]);
      else if (n_ > 0) storePart(to, acc[a][v], n_);
    }
  }
}

// All outputs of a unit's pixels; rows(at) is where the pixel's outputs go.
template <class T, class F>
void sparseForward(const Call& call, int thread, const Geometry& g, const Span& s, const Panels<T>& panels, const T* bias, F&& rows) {
  const auto inside = [&](int64_t h) { return h < 0 ? 0 : h > g.H ? g.H : h; };
  const int64_t h0 = inside(s.r0 * g.sh - g.ph), h1 = std::max(h0, inside((s.r1 - 1) * g.sh - g.ph + g.kh));
  const SpikeLists lists(call, thread, call.tensors[0], g, s, h0, h1);
  const auto run = [&](auto np, auto nv, int64_t panel) {
    int64_t at = 0;
    for (int64_t n = s.n0; n < s.n1; n++) {
      for (int64_t p = s.r0; p < s.r1; p++) {
        for (int64_t q = 0; q < g.Q; q++, at += g.O) {
          addSpikes<T, decltype(np)::value, decltype(nv)::value>(lists, g, panels, panel, n, p, q, bias, rows(at));
        }
      }
    }
  };
  using One = std::integral_constant<int, 1>;
  using Two = std::integral_constant<int, 2>;
  for (int64_t panel = 0; panel < panels.count;) {
    const bool pair = panel + 1 < panels.count;
    if (panels.width == kLanes<T>) run(One{}, One{}, panel);
    else if (pair) run(Two{}, Two{}, panel);
    else run(One{}, Two{}, panel);
    panel += pair && panels.width != kLanes<T> ? 2 : 1;
  }
}

// sum[c][o] += gy[o] for every spike c of a pixel; both padded to whole vectors.
template <class T>
inline void addGradients(const uint32_t* words, int64_t count, const T* gy, int64_t width, T* sum) {
  for (int64_t k = 0; k < count; k++) {
    for (uint32_t word = words[k]; word != 0; word &= word - 1) {
      T* to = sum + (k * 32 + __builtin_ctz(word)) * width;
      for (int64_t o = 0; o < width; o += kLanes<T>) store(to + o, load(to + o) + load(gy + o));
    }
  }
}
