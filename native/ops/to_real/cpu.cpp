// Unpacks and counts the bits; the unused ones are 0.
#define SPIKELOOM_BF16_STORES
#define SPIKELOOM_FILE "ops/to_real/cpu.cpp"
#include "cpu/levels.h"
#include "ops/to_real/to_real.h"

#include "cpu/level_begin.inl"
#include "cpu/lane_masks.inl"

template <class T>
void widen(const Call& call) {
  const Bf16* x = as<Bf16>(call.tensors[0]);
  T* y = as<T>(call.tensors[1]);
  parallelRange(call, count(call.tensors[0]), 16384, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) y[i] = static_cast<T>(toFloat(x[i]));
  });
}

template <class T>
void toBf16(const Call& call) {
  const float* x = as<float>(call.tensors[0]);
  Bf16* y = as<Bf16>(call.tensors[1]);
  parallelRange(call, count(call.tensors[0]), 16384, [&](int64_t begin, int64_t end) {
    eachVector<float>(end - begin, [&](int64_t i, auto lanes) { storeLanes<float>(y + begin + i, loadLanes<float>(x + begin + i, lanes), lanes); });
  });
}

template <class T>
void toReal(const Call& call) {
  if (call.tensors[0].dtype == DType::bf16) return widen<T>(call);
  const uint32_t* x = as<uint32_t>(call.tensors[0]);
  T* y = as<T>(call.tensors[1]);
  const int64_t C = channels(call.tensors[0]), words = spikeWords(C), n = pixels(call.tensors[0]);
  const int64_t grain = C < 16384 ? 16384 / C : 1;
  parallelRange(call, n, grain, [&](int64_t begin, int64_t end) {
    for (int64_t pixel = begin; pixel < end; pixel++) unpackSpikes(x + pixel * words, C, y + pixel * C);
  });
}

template <class From, class To>
void convertElements(const Call& call) {
  const From* x = as<From>(call.tensors[0]);
  To* y = as<To>(call.tensors[1]);
  parallelRange(call, count(call.tensors[0]), 16384, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) y[i] = static_cast<To>(x[i]);
  });
}

template <class T>
void convert(const Call& call) {
  withConversion<T>(call, [&]<class From, class To>() { convertElements<From, To>(call); });
}

template <class T>
void bytesToReal(const Call& call) {
  const uint8_t* x = as<uint8_t>(call.tensors[0]);
  T* y = as<T>(call.tensors[1]);
  const T unit = static_cast<T>(call.attributes[0]);
  parallelRange(call, count(call.tensors[0]), 16384, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) y[i] = unit * static_cast<T>(x[i]);
  });
}

template <class T>
void spikeCount(const Call& call) {
  const uint32_t* x = as<uint32_t>(call.tensors[0]);
  const int64_t n = pixels(call.tensors[0]) * spikeWords(channels(call.tensors[0]));
  constexpr int64_t kGrain = 65536;
  const int64_t tasks = (n + kGrain - 1) / kGrain;
  int64_t* parts = scratch<int64_t>(call, 0, 0, tasks);
  parallelFor(call, tasks, [&](int64_t task, int) {
    const int64_t begin = task * kGrain, end = begin + kGrain < n ? begin + kGrain : n;
    int64_t sum = 0;
    for (int64_t i = begin; i < end; i++) sum += __builtin_popcount(x[i]);
    parts[task] = sum;
  });
  int64_t total = 0;
  for (int64_t task = 0; task < tasks; task++) total += parts[task];
  *as<double>(call.tensors[1]) = static_cast<double>(total);
}

SPIKELOOM_KERNEL(kToReal, toReal)
SPIKELOOM_KERNEL(kToBf16, toBf16)
SPIKELOOM_KERNEL(kConvert, convert)
SPIKELOOM_KERNEL(kBytesToReal, bytesToReal)
SPIKELOOM_KERNEL(kSpikeCount, spikeCount)

#include "cpu/level_end.inl"
