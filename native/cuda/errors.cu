// What the runtime answers, and what it means for the process.
#include <mutex>
#include <string>

#include "cuda/host.h"

namespace spikeloom::cuda {
namespace {

std::mutex mutex;
std::string lostReason;  // written once

// After these the driver answers every later call of the process in the same way.
bool endsAll(cudaError_t error) {
  switch (error) {
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContained:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorContextIsDestroyed:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorMpsClientTerminated:
    case cudaErrorExternalDevice:
    case cudaErrorUnknown: return true;
    default: return false;
  }
}

}  // namespace

bool check(Status* status, cudaError_t error, const char* what) {
  if (error == cudaSuccess) return true;
  if (!endsAll(error)) {
    cudaGetLastError();  // or the next launch would find it
    fail(status, "%s: %s (%s)", what, cudaGetErrorString(error), cudaGetErrorName(error));
    return false;
  }
  {
    const std::lock_guard<std::mutex> guard(mutex);
    if (lostReason.empty()) {
      lostReason = std::string("the GPU is lost to this process: ") + cudaGetErrorString(error) + " (" + cudaGetErrorName(error) + ", seen at: " + what +
                   "); nothing more can be computed or read here, what was saved is whole: start the program again (nvidia-smi shows whether the GPU is well)";
    }
  }
  fail(status, "%s", lostReason.c_str());
  return false;
}

const char* lost() {
  const std::lock_guard<std::mutex> guard(mutex);
  return lostReason.empty() ? nullptr : lostReason.c_str();
}

bool enter(const Context& context, Status* status) {
  const char* reason = lost();
  if (!reason) return check(status, cudaSetDevice(context.device), "choosing the GPU");
  fail(status, "%s", reason);
  return false;
}

}  // namespace spikeloom::cuda
