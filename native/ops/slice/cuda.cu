// Every unit of what is written by one thread, as large a unit as sizes allow; what is read and written crosses once.
#include <numeric>

#include "cuda/elementwise.cuh"
#include "cuda/units.cuh"
#include "ops/slice/slice.h"

namespace spikeloom::cuda {
namespace {

// In units U: rows of the part, of the whole, and where the part begins in a row.
template <class U>
struct Slice {
  const U* x;
  U* y;
  int64_t part, whole, before;

  __device__ void operator()(int64_t i) const {
    const Division at = divide(i, part);
    y[i] = x[at.quotient * whole + before + at.rest];
  }
};

template <class U, bool kClear>
struct Place {
  const U* x;
  U* y;
  int64_t part, whole, before;

  __device__ void operator()(int64_t i) const {
    const Division at = divide(i, kClear ? whole : part);
    const int64_t k = kClear ? at.rest - before : at.rest;
    if constexpr (kClear) y[i] = k >= 0 && k < part ? x[at.quotient * part + k] : U{};
    else y[at.quotient * whole + before + k] = x[i];
  }
};

template <class T>
struct AddPart {
  const T* x;
  T* y;
  int64_t part, whole, before;

  __device__ void operator()(int64_t i) const {
    const Division at = divide(i, part);
    y[at.quotient * whole + before + at.rest] += x[i];
  }
};

struct SliceBits {
  const uint32_t* x;
  uint32_t* y;
  int64_t part, from, partWords, wholeWords;

  __device__ void operator()(int64_t i) const {
    const Division at = divide(i, partWords);
    y[i] = slicedWord(x + at.quotient * wholeWords, from, part, at.rest);
  }
};

struct PlaceBits {
  const uint32_t* x;
  uint32_t* y;
  int64_t part, from, partWords, wholeWords;

  __device__ void operator()(int64_t i) const {
    const Division at = divide(i, placedWords(part, from));
    uint32_t* to = y + at.quotient * wholeWords + from / 32 + at.rest;
    *to = placedWord(x + at.quotient * partWords, part, from, at.rest, at.rest == 0 && from % 32 ? *to : 0);
  }
};

Strips stripsOf(const Call& call, const TensorView& whole, const TensorView& part) {
  return Strips(whole, part, static_cast<int>(call.attributes[0]), static_cast<int64_t>(call.attributes[1]));
}

// body.template operator()<U>(part, whole, before), the sizes in units U.
template <class F>
void withRows(const Strips& s, DType dtype, F&& body) {
  const int64_t bytes = static_cast<int64_t>(restBytes(dtype)), part = s.partRow() * bytes, whole = s.wholeRow() * bytes, before = s.before() * bytes;
  withUnit(std::gcd(std::gcd(part, whole), before), 16, [&]<class U>() {
    constexpr int64_t kUnit = sizeof(U);
    body.template operator()<U>(part / kUnit, whole / kUnit, before / kUnit);
  });
}

template <class T>
void slice(const Call& call) {
  const TensorView &x = call.tensors[0], &y = call.tensors[1];
  const Strips s = stripsOf(call, x, y);
  if (s.areBits) {
    const int64_t words = spikeWords(s.part);
    return forEach(call, s.outer * words, SliceBits{as<uint32_t>(x), as<uint32_t>(y), s.part, s.from, words, spikeWords(s.whole)});
  }
  withRows(s, x.dtype, [&]<class U>(int64_t part, int64_t whole, int64_t before) {
    forEach(call, s.outer * part, Slice<U>{as<U>(x), as<U>(y), part, whole, before});
  });
}

template <class T>
void place(const Call& call) {
  const TensorView &x = call.tensors[0], &y = call.tensors[1];
  const Strips s = stripsOf(call, y, x);
  if (s.areBits) {
    const PlaceBits body{as<uint32_t>(x), as<uint32_t>(y), s.part, s.from, spikeWords(s.part), spikeWords(s.whole)};
    return forEach(call, s.outer * placedWords(s.part, s.from), body);
  }
  withRows(s, x.dtype, [&]<class U>(int64_t part, int64_t whole, int64_t before) {
    if (call.attributes[2] != 0) forEach(call, s.outer * whole, Place<U, true>{as<U>(x), as<U>(y), part, whole, before});
    else forEach(call, s.outer * part, Place<U, false>{as<U>(x), as<U>(y), part, whole, before});
  });
}

template <class T>
void addPart(const Call& call) {
  const TensorView &x = call.tensors[0], &y = call.tensors[1];
  const Strips s = stripsOf(call, y, x);
  forEach(call, count(x), AddPart<T>{as<T>(x), as<T>(y), s.partRow(), s.wholeRow(), s.before()});
}

SPIKELOOM_CUDA_KERNEL(kSlice, slice)
SPIKELOOM_CUDA_KERNEL(kPlace, place)
SPIKELOOM_CUDA_KERNEL(kAddPart, addPart)

}  // namespace
}  // namespace spikeloom::cuda
