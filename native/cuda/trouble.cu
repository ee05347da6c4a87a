#include "cuda/trouble.h"

#include <atomic>

#include "core/bad_data.h"

namespace spikeloom::cuda {

bool openTrouble(Context& context, Status* status) {
  void *trouble = nullptr, *isStopped = nullptr;
  if (!check(status, cudaMallocHost(&trouble, sizeof(Trouble)), "taking pinned memory")) return false;
  context.trouble = static_cast<Trouble*>(trouble);
  *context.trouble = {};
  if (!check(status, cudaMalloc(&isStopped, sizeof(int32_t)), "taking memory")) return false;
  context.isStopped = static_cast<int32_t*>(isStopped);
  return check(status, cudaMemsetAsync(isStopped, 0, sizeof(int32_t), context.streamForOthers()), "clearing memory");
}

void closeTrouble(Context& context) {
  if (context.trouble) cudaFreeHost(context.trouble);
  if (context.isStopped) cudaFree(context.isStopped);
}

void reportTrouble(Context& context, Status* status) {
  Trouble& found = *context.trouble;
  if (!std::atomic_ref(found.op).load(std::memory_order_acquire)) return;
  const auto index = static_cast<long long>(found.index);
  if (found.kind == Trouble::Kind::label) fail(status, kLabelRule, found.op, static_cast<int>(found.label), index, static_cast<long long>(found.classes - 1));
  else if (found.kind == Trouble::Kind::number) fail(status, kFiniteRule, found.op, index, found.number);
  else fail(status, kFoundRule, found.op, found.number);
  found = {};
  check(status, cudaMemsetAsync(context.isStopped, 0, sizeof(int32_t), context.streamForOthers()), "clearing memory");
}

}  // namespace spikeloom::cuda
