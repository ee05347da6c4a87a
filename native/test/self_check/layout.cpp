// The order of tensors on the host and at rest.
#include "test/self_check/check.h"

namespace spikeloom {

namespace {

void checkRoundTrip(DType dtype, const std::vector<int64_t>& dims, Draws& draws) {
  const Tensor t(dtype, dims);
  std::vector<uint8_t> host(hostBytes(t.view)), back(hostBytes(t.view), 0xaa);
  for (auto& byte : host) byte = static_cast<uint8_t>(draws.below(dtype == DType::spike ? 2 : 256));
  fromHost(t.view, host.data(), t.view.data);
  toHost(t.view, t.view.data, back.data());
  check(back == host, "round trip of rank " + std::to_string(dims.size()) + ", type " + std::to_string(static_cast<int>(dtype)));
  if (dtype != DType::spike) return;
  const int64_t words = spikeWords(channels(t.view)), used = channels(t.view) % 32;
  bool clear = true;
  for (int64_t p = 0; used != 0 && p < pixels(t.view); p++) clear = clear && as<uint32_t>(t.view)[p * words + words - 1] >> used == 0;
  check(clear, "bits past the channels are 0");
}

}  // namespace

void checkLayout() {
  Draws draws;
  const std::vector<std::vector<int64_t>> shapes = {{},        {1},          {5},          {33},           {3, 31},           {2, 32, 1},
                                                    {4, 2, 65}, {2, 33, 3, 5}, {1, 1, 1, 7}, {3, 2, 64, 1, 2}, {2, 3, 5, 7, 1}, {2, 1, 3, 31, 2, 3}};
  for (const auto& dims : shapes) {
    for (const DType dtype : {DType::f32, DType::f64, DType::bf16, DType::u8, DType::i32, DType::spike}) checkRoundTrip(dtype, dims, draws);
  }
  Tensor t(DType::i32, {1, 3, 2, 2});
  t.set<int32_t>({0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23});
  const int32_t* rest = as<int32_t>(t.view);
  check(rest[0] == 0 && rest[1] == 10 && rest[2] == 20 && rest[3] == 1, "channels come last at rest");
}

}  // namespace spikeloom
