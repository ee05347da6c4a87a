// The threads that compute go behind those they work for: where all cores compute, an event loop that wakes up would wait for a time slice
// or two, which are milliseconds. Other programs at their usual priority go first, too.
#pragma once

#if defined(__linux__)
#include <sys/resource.h>
#endif

namespace spikeloom {

// For the thread that calls it (on Linux every thread has a priority of its own).
inline void giveWay() {
#if defined(__linux__)
  constexpr int kNice = 10;
  if (getpriority(PRIO_PROCESS, 0) < kNice) setpriority(PRIO_PROCESS, 0, kNice);
#endif
}

}  // namespace spikeloom
