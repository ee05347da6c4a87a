// bfloat16: the upper half of a float. Rounded to nearest, ties to even; a NaN stays a (quiet) NaN.
#pragma once
#include <cstdint>
#include <cstring>

#include "core/host_device.h"

namespace spikeloom {

struct Bf16 {
  uint16_t bits;
};

SPIKELOOM_HD float toFloat(Bf16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

SPIKELOOM_HD Bf16 toBf16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((bits >> 16) | 0x40u)};
  return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

}  // namespace spikeloom
