// What every backend says of bad data, for printf.
#pragma once

namespace spikeloom {

// A class label that is none: op (text), label (int), index and last class (long long).
inline constexpr char kLabelRule[] = "%s: label %d at index %lld is outside of 0..%lld; give the net as many classes as the data has";
// A number that is not finite: op (text), index (long long), the number (double).
inline constexpr char kFiniteRule[] = "%s: a finite number is needed, but number %lld is %g";
// The same, where it was an earlier call that met one: op (text), the number (double).
inline constexpr char kFoundRule[] = "%s: finite numbers are needed, but an earlier one was %g";

}  // namespace spikeloom
