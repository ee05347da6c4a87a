// Work shared by the threads of the CPU stream.
//
// A kernel splits its work into tasks whose number and bounds depend on the shapes alone. Threads take tasks as they
// come free, each task writes what no other task writes and adds in its own fixed order: the result has the same bits
// for any number of threads.
#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "core/abi.h"

namespace spikeloom {

using TaskBody = void (*)(void* closure, int64_t task, int thread);

// Runs body for 0 <= task < tasks on the pool behind call.context and returns when all are done.
void runTasks(const Call& call, int64_t tasks, TaskBody body, void* closure);

// Scratch memory of one thread, 64-byte aligned, valid until the kernel returns; grows and is kept. `slot` tells apart
// the buffers that a kernel needs at the same time (0..3). Thread 0 is the caller's when used outside of runTasks.
void* scratchBytes(const Call& call, int thread, int slot, size_t bytes);

template <class F>
inline void parallelFor(const Call& call, int64_t tasks, F&& body) {
  using Body = std::remove_reference_t<F>;
  const TaskBody run = [](void* closure, int64_t task, int thread) { (*static_cast<Body*>(closure))(task, thread); };
  runTasks(call, tasks, run, const_cast<void*>(static_cast<const void*>(&body)));
}

template <class T>
inline T* scratch(const Call& call, int thread, int slot, int64_t n) {
  return static_cast<T*>(scratchBytes(call, thread, slot, static_cast<size_t>(n) * sizeof(T)));
}

// Elementwise work: calls body(begin, end) on ranges of [0, n) of at least `grain` elements.
template <class F>
inline void parallelRange(const Call& call, int64_t n, int64_t grain, F&& body) {
  const int64_t tasks = n <= grain ? 1 : (n + grain - 1) / grain;
  parallelFor(call, tasks, [&](int64_t task, int) {
    const int64_t begin = task * grain;
    const int64_t end = begin + grain < n ? begin + grain : n;
    if (begin < end) body(begin, end);
  });
}

// Records why a kernel cannot go on (printf style). The first message stays.
void fail(const Call& call, const char* format, ...) __attribute__((format(printf, 2, 3)));

}  // namespace spikeloom
