// What every backend says of a class label that is none, for printf: op (text), label (int), index and last class (long long).
#pragma once

namespace spikeloom {

inline constexpr char kLabelRule[] = "%s: label %d at index %lld is outside of 0..%lld; give the net as many classes as the data has";

}  // namespace spikeloom
