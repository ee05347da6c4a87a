// The native code without Node: memory, handles, queue, threads, layout, mapped files, and some kernels at every
// instruction-set level this machine has. Made for runs under the sanitizers (scripts/sanitize.mjs): every tensor here
// ends exactly where its memory ends.
#include <cstdio>

#include "test/self_check/check.h"

namespace spikeloom {

static int passed = 0, failed = 0;

void check(bool holds, const std::string& what) {
  (holds ? passed : failed)++;
  if (!holds) std::printf("FAILED: %s\n", what.c_str());
}

}  // namespace spikeloom

using namespace spikeloom;

int main() {
  check(registrationErrors().empty(), "every op is registered once");
  checkArena();
  checkStore();
  checkStream();
  checkMemoryPlan();
  checkEarlyUpdates();
  checkLateGradients();
  checkLanes();
  checkRecorder();
  checkThreadPool();
  checkLayout();
  checkMappedFile();
  for (int level = 0; level <= static_cast<int>(bestLevel()); level++) {
    CpuContext context(2);
    const int before = failed;
    checkKernels(context, static_cast<Level>(level));
    if (failed > before) std::printf("  at level %s\n", levelName(static_cast<Level>(level)));
  }
  std::printf("self-check: %d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
