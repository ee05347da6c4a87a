// Numbers as whole steps.
constexpr float kMostPerNumber = 0x1p126f;  // so that the inverse of a step is finite where all numbers are 0

// The inverse of a step of which `steps` make up `largest`; 0 where that is infinite, NaN where it is NaN.
inline float perNumber(float steps, float largest) { return largest < steps / kMostPerNumber ? kMostPerNumber : steps / largest; }

// Steps of 16 bits whose sums stay within 16 bits too: of spikes, whichever of the numbers they choose.
constexpr float kShortMost = 32767;

// The largest sum of some of the numbers that it was given, in either direction; of each lane, or of all.
class LargestSum {
 public:
  __attribute__((always_inline)) void add(Floats x) {
    up_ = up_ + positivePart(x);
    down_ = down_ - negativePart(x);
  }
  float ofAll() const { return larger(sumLanes(up_), sumLanes(down_)); }
  void ofLanes(float most[16]) const {
    alignas(64) float up[16], down[16];
    storeFloats(up, up_), storeFloats(down, down_);
    for (int i = 0; i < 16; i++) most[i] = larger(up[i], down[i]);
  }

 private:
  // NaN where their sum is not finite.
  static float larger(float up, float down) {
    return up + down <= std::numeric_limits<float>::max() ? std::max(up, down) : __builtin_nanf("");
  }

  Floats up_{}, down_{};
};

// Steps in 1 of `count` numbers whose largest sum is `most`: rounding adds up to half a step a number. NaN of NaN.
inline float shortSteps(float most, int64_t count) { return perNumber(kShortMost - static_cast<float>(count) / 2 - 1, most); }
