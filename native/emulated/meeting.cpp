#include "emulated/meeting.h"

#include "emulated/machine.h"

namespace spikeloom::emulated {
namespace {

constexpr const char* kNames[] = {"nothing",         "__syncthreads()",     "__syncthreads_or()", "__syncthreads_and()", "__syncthreads_count()",
                                  "__syncwarp()",    "__shfl_sync()",       "__shfl_up_sync()",   "__shfl_down_sync()",  "__shfl_xor_sync()",
                                  "__ballot_sync()", "__any_sync()",        "__all_sync()",       "loadMatrix",          "multiplyTiles"};

// The lane that `lane` reads from; its own where the wanted one lies outside of its group of `width`.
int sourceOf(Meeting kind, int lane, const Exchange& own) {
  const int first = lane & ~(own.width - 1), end = first + own.width;
  switch (kind) {
    case Meeting::shuffle: return first + (own.lane & (own.width - 1));
    case Meeting::shuffleUp: return lane - own.lane >= first ? lane - own.lane : lane;
    case Meeting::shuffleDown: return lane + own.lane < end ? lane + own.lane : lane;
    default: return (lane ^ own.lane) < end ? lane ^ own.lane : lane;
  }
}

std::string shuffleValues(Meeting kind, Exchange* const* lanes) {
  for (int lane = 0; lane < static_cast<int>(kLanes); lane++) {
    if (!lanes[lane]) continue;
    Exchange& own = *lanes[lane];
    if (own.width < 1 || own.width > 32 || (own.width & (own.width - 1)) != 0) return text("a width of %d is no power of two up to 32", own.width);
    const int source = sourceOf(kind, lane, own);
    if (source < 0 || source >= static_cast<int>(kLanes) || !lanes[source]) {
      return text("lane %d reads from lane %d, which does not take part", lane, source);
    }
    own.result = lanes[source]->value;
  }
  return "";
}

void countVotes(Meeting kind, Exchange* const* lanes) {
  uint32_t votes = 0, present = 0;
  for (unsigned lane = 0; lane < kLanes; lane++) {
    if (!lanes[lane]) continue;
    present |= 1u << lane;
    if (lanes[lane]->value) votes |= 1u << lane;
  }
  const uint64_t result = kind == Meeting::ballot ? votes : kind == Meeting::any ? votes != 0 : votes == present;
  for (unsigned lane = 0; lane < kLanes; lane++) {
    if (lanes[lane]) lanes[lane]->result = result;
  }
}

}  // namespace

const char* nameOf(Meeting kind) { return kNames[static_cast<int>(kind)]; }

std::string exchangeValues(Meeting kind, Exchange* const* lanes) {
  switch (kind) {
    case Meeting::shuffle:
    case Meeting::shuffleUp:
    case Meeting::shuffleDown:
    case Meeting::shuffleXor: return shuffleValues(kind, lanes);
    case Meeting::loadMatrix: return loadMatrixOfWarp(lanes);
    case Meeting::multiplyTiles: return multiplyTilesOfWarp(lanes);
    default: countVotes(kind, lanes); return "";
  }
}

}  // namespace spikeloom::emulated
