// The threads of one CPU stream. One job at a time; the calling thread takes part as thread 0.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include "cpu/parallel.h"

namespace spikeloom {

class ThreadPool {
 public:
  explicit ThreadPool(int threads) { start(threads); }
  ~ThreadPool() { stop(); }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }
  // Throws std::runtime_error where the system starts no more threads; then the caller's is the only one.
  void resize(int threads);
  // False: a task ran out of memory.
  bool run(int64_t tasks, TaskBody body, void* closure);

 private:
  void start(int threads);
  void stop();
  void workerLoop(int thread);
  void takeTasks(int thread);
  bool enter(uint32_t seen);

  std::vector<std::thread> workers_;
  // gate_: the job's number in the high half, kOpen while workers may enter, and the count of workers inside in the low
  // bits.
  static constexpr uint64_t kOpen = uint64_t{1} << 31;
  std::atomic<uint64_t> gate_{0};
  std::atomic<uint32_t> job_{0};  // what sleeping workers wait on
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) std::atomic<bool> quit_{false};
  std::atomic<bool> outOfMemory_{false};
  int64_t tasks_ = 0;
  TaskBody body_ = nullptr;
  void* closure_ = nullptr;
};

// The context behind Call::context on the CPU.
class CpuContext {
 public:
  explicit CpuContext(int threads) : pool(threads), buffers_(kMaxThreads * kSlots) {}
  ~CpuContext();
  void* scratch(int thread, int slot, size_t bytes);

  static constexpr int kMaxThreads = 256;
  ThreadPool pool;

 private:
  static constexpr int kSlots = 4;
  struct Buffer {
    void* data = nullptr;
    size_t bytes = 0;
  };
  std::vector<Buffer> buffers_;
};

}  // namespace spikeloom
