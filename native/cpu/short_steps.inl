// Numbers as whole steps of 16 bits whose sums stay within 16 bits too (AVX2): of spikes, whichever of the numbers they
// choose.
constexpr float kShortMost = 32767;

inline float sumLanes(Floats x) { return sumLanes<float>((Vec<float>)_mm256_add_ps(x.low, x.high)); }

// The largest sum of some of the numbers that it was given, in either direction; of each lane, or of all.
class LargestSum {
 public:
  __attribute__((always_inline)) void add(Floats x) {
    const __m256 zero = _mm256_setzero_ps();
    up_ = up_ + Floats{_mm256_max_ps(zero, x.low), _mm256_max_ps(zero, x.high)};
    down_ = down_ - Floats{_mm256_min_ps(zero, x.low), _mm256_min_ps(zero, x.high)};
  }
  float ofAll() const { return larger(sumLanes(up_), sumLanes(down_)); }
  void ofLanes(float most[16]) const {
    alignas(32) float up[16], down[16];
    storeFloats(up, up_), storeFloats(down, down_);
    for (int i = 0; i < 16; i++) most[i] = larger(up[i], down[i]);
  }

 private:
  // NaN where one is not finite.
  static float larger(float up, float down) {
    return up + down <= std::numeric_limits<float>::max() ? std::max(up, down) : __builtin_nanf("");
  }

  Floats up_{}, down_{};  // NaN of NaN: the second operand is what a comparison with one gives
};

// Steps in 1 of `count` numbers whose largest sum is `most`: rounding adds up to half a step a number. NaN of NaN.
inline float shortSteps(float most, int64_t count) { return perNumber(kShortMost - static_cast<float>(count) / 2 - 1, most); }
