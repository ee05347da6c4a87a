// What the lanes of a warp give each other when they have all come to the same call.
#pragma once
#include <cstring>
#include <string>

#include "emulated/device.h"

namespace spikeloom::emulated {

const char* nameOf(Meeting kind);
inline const char* fileOf(const char* path) {
  const char* slash = std::strrchr(path, '/');
  return slash ? slash + 1 : path;
}

// `lanes` holds null for those that do not take part. The rule that was broken, or nothing.
std::string exchangeValues(Meeting kind, Exchange* const* lanes);
std::string loadMatrixOfWarp(Exchange* const* lanes);
std::string multiplyTilesOfWarp(Exchange* const* lanes);

}  // namespace spikeloom::emulated
