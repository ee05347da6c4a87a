#include "cpu/thread_pool.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>

#include "core/denormals.h"
#include "cpu/memory.h"

namespace spikeloom {
namespace {

constexpr int kSpins = 4000;  // about 50 us before a thread goes to sleep
constexpr size_t kTrimmed = size_t{256} << 10;  // bytes of scratch that go back to the system when more are needed
constexpr int kSharesPerThread = 8;  // of the tasks that are left, one at a time is taken

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

void ThreadPool::start(int threads) {
  quit_ = false;
  try {
    for (int i = 1; i < threads; i++) workers_.emplace_back([this, i] { workerLoop(i); });
  } catch (const std::system_error& error) {
    const size_t started = workers_.size() + 1;
    stop();
    throw std::runtime_error("the system started " + std::to_string(started) + " of " + std::to_string(threads) + " threads (" + error.what() + "); set fewer");
  }
}

void ThreadPool::stop() {
  quit_ = true;
  job_.fetch_add(1);
  job_.notify_all();
  for (auto& worker : workers_) worker.join();
  workers_.clear();
}

void ThreadPool::resize(int threads) {
  if (threads == size()) return;
  stop();
  start(threads);
}

void ThreadPool::takeTasks(int thread) {
  const int64_t tasks = tasks_, shares = kSharesPerThread * size();
  int64_t task = next_.load(std::memory_order_relaxed);
  while (task < tasks) {
    const int64_t end = task + std::max<int64_t>(1, (tasks - task) / shares);
    if (!next_.compare_exchange_weak(task, end, std::memory_order_relaxed)) continue;
    for (; task < end; task++) {
      try {
        body_(closure_, task, thread);
      } catch (const std::bad_alloc&) {
        outOfMemory_.store(true, std::memory_order_relaxed);
      }
    }
    task = next_.load(std::memory_order_relaxed);
  }
}

bool ThreadPool::run(int64_t tasks, TaskBody body, void* closure) {
  tasks_ = tasks;
  body_ = body;
  closure_ = closure;
  next_.store(0, std::memory_order_relaxed);
  outOfMemory_.store(false, std::memory_order_relaxed);
  if (tasks <= 1 || workers_.empty()) {
    takeTasks(0);
    return !outOfMemory_.load(std::memory_order_relaxed);
  }
  const uint32_t number = job_.load(std::memory_order_relaxed) + 1;
  gate_.store((uint64_t{number} << 32) | kOpen, std::memory_order_release);
  job_.store(number, std::memory_order_release);
  job_.notify_all();
  takeTasks(0);
  gate_.fetch_and(~kOpen, std::memory_order_acq_rel);
  while ((gate_.load(std::memory_order_acquire) & (kOpen - 1)) != 0) pause();
  return !outOfMemory_.load(std::memory_order_relaxed);
}

// Joins job `number` unless it is closed already.
bool ThreadPool::enter(uint32_t number) {
  uint64_t gate = gate_.load(std::memory_order_acquire);
  while ((gate >> 32) == number && (gate & kOpen)) {
    if (gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel)) return true;
  }
  return false;
}

void ThreadPool::workerLoop(int thread) {
  flushDenormals();
  uint32_t seen = job_.load(std::memory_order_acquire);
  while (!quit_.load(std::memory_order_acquire)) {
    uint32_t now = job_.load(std::memory_order_acquire);
    for (int i = 0; now == seen && i < kSpins; i++) {
      pause();
      now = job_.load(std::memory_order_acquire);
    }
    if (now == seen) {
      job_.wait(seen, std::memory_order_acquire);
      continue;
    }
    seen = now;
    if (!enter(now)) continue;
    takeTasks(thread);
    gate_.fetch_sub(1, std::memory_order_acq_rel);
  }
}

CpuContext::~CpuContext() {
  for (auto& buffer : buffers_) std::free(buffer.data);
}

void* CpuContext::scratch(int thread, int slot, size_t bytes) {
  Buffer& buffer = buffers_[static_cast<size_t>(thread * kSlots + slot)];
  if (buffer.bytes < bytes) {
    std::free(buffer.data);
    if (buffer.bytes >= kTrimmed) trimHeap();
    buffer = {};
    void* data = allocatePages(bytes);
    if (!data) throw std::bad_alloc();
    buffer = {data, bytes};
  }
  return buffer.data;
}

void runTasks(const Call& call, int64_t tasks, TaskBody body, void* closure) {
  if (!static_cast<CpuContext*>(call.context)->pool.run(tasks, body, closure)) fail(call, "out of memory for scratch buffers");
}

void* scratchBytes(const Call& call, int thread, int slot, size_t bytes) {
  return static_cast<CpuContext*>(call.context)->scratch(thread, slot, bytes);
}

void fail(const Call& call, const char* format, ...) {
  static std::mutex lock;
  const std::lock_guard<std::mutex> guard(lock);
  if (call.status->failed) return;
  call.status->failed = true;
  va_list args;
  va_start(args, format);
  std::vsnprintf(call.status->message, sizeof call.status->message, format, args);
  va_end(args);
}

}  // namespace spikeloom
