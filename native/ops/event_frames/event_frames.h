// Events of B recordings to T frames each, one channel per polarity. An event is one number: column in bits 0..14, row
// in bits 15..29, polarity in bit 30; a negative number is none. bounds[b,t] and bounds[b,t+1] say where slice t of
// recording b begins and ends among them.
//   n[t,b,p,i,j] = events of the slice with polarity p at row top + i, column left + j,   0 <= i < rows, 0 <= j < columns
//   m = min(n, clip) (clip 0: n),   divided by the largest m of the frame where `normalise` and it is not 0
//   y[t,b,p] = m[t,b,p] brought to H x W: bilinear, corners not aligned, no smoothing (as PyTorch's interpolate)
// A window may reach beyond the sensor: there are no events. Bounds that are none make an empty slice; nothing outside
// of `events` is read.
#pragma once
#include <cstdint>

#include "core/host_device.h"

namespace spikeloom {

inline constexpr char kEventFrames[] =
    "eventFrames(events:i32[E], bounds:i32[B,S]; top:int, left:int, rows:int, columns:int, clip:int, normalise:bool) -> y:real[T,B,2,H,W]";

// The part of the sensor that is counted.
struct EventWindow {
  int32_t top, left, rows, columns;

  // Where an event counts among the window's (row, column, polarity); -1: nowhere.
  SPIKELOOM_HD int64_t place(int32_t event) const {
    const int32_t row = (event >> 15 & 0x7fff) - top, column = (event & 0x7fff) - left;
    const bool isInside = event >= 0 && row >= 0 && row < rows && column >= 0 && column < columns;
    return isInside ? (static_cast<int64_t>(row) * columns + column) * 2 + (event >> 30) : -1;
  }
};

// Which events a slice has: [begin, end).
struct EventSlice {
  int64_t begin, end;
};

SPIKELOOM_HD EventSlice eventSlice(const int32_t* bounds, int64_t slice, int64_t events) {
  const int64_t begin = bounds[slice], end = bounds[slice + 1];
  return begin >= 0 && begin < end && end <= events ? EventSlice{begin, end} : EventSlice{0, 0};
}

// A frame's counts as numbers: min(n, limit), as parts of `most` of them where that is not 0.
template <class T>
struct EventLevels {
  int32_t limit;
  T scale;

  SPIKELOOM_HD EventLevels(int32_t clip, int32_t most) : limit(clip > 0 ? clip : 0x7fffffff), scale(most > 0 ? static_cast<T>(cut(most)) : T(1)) {}
  SPIKELOOM_HD int32_t cut(int32_t n) const { return n < limit ? n : limit; }
  SPIKELOOM_HD T of(int32_t n) const { return static_cast<T>(cut(n)) / scale; }
};

// The two lines that a line of the output lies between, and the share of the second one.
struct EventTap {
  int64_t first, second;
  double share;
};

SPIKELOOM_HD EventTap eventTap(int64_t i, int64_t from, int64_t to) {
  const double at = (static_cast<double>(i) + 0.5) * static_cast<double>(from) / static_cast<double>(to) - 0.5;
  const double inside = at < 0 ? 0 : at;
  const int64_t low = static_cast<int64_t>(inside);
  const int64_t first = low < from - 1 ? low : from - 1;
  return {first, first + 1 < from ? first + 1 : first, inside - static_cast<double>(first)};
}

// Between four neighbours; the same expression on every device.
template <class T>
SPIKELOOM_HD T eventBlend(T a, T b, T c, T d, T down, T across) {
  return (1 - down) * ((1 - across) * a + across * b) + down * ((1 - across) * c + across * d);
}

}  // namespace spikeloom
