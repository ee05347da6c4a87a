// Mean and variance from parts: a part holds the count, mean and squared deviations from that mean of its own elements,
// and parts are merged in order, in double. No sum of squares of the values themselves is ever taken, so a large mean
// costs no digits.
#pragma once
#include <cmath>

#include "core/host_device.h"

namespace spikeloom {

struct Moments {
  double count = 0, mean = 0, squares = 0;

  SPIKELOOM_HD void add(double n, double m, double s) {
    if (n == 0) return;
    const double total = count + n, apart = m - mean;
    squares += s + apart * apart * (count * n / total);
    mean += apart * (n / total);
    count = total;
  }
  // Sums of deviations from `shift` and of their squares.
  SPIKELOOM_HD void addShifted(double n, double shift, double sum, double square) {
    if (n > 0) add(n, shift + sum / n, square - sum * sum / n);
  }
  SPIKELOOM_HD double variance() const { return squares > 0 ? squares / count : 0; }
  SPIKELOOM_HD double unbiased() const { return count > 1 ? squares / (count - 1) : squares; }
};

SPIKELOOM_HD double inverseDeviation(double variance, double eps) { return 1.0 / std::sqrt(variance + eps); }

// What a running statistic becomes.
SPIKELOOM_HD double runningValue(double running, double now, double momentum) { return (1 - momentum) * running + momentum * now; }

}  // namespace spikeloom
