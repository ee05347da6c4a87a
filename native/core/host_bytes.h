// Bytes on their way between the host and a device. Large ones are pages of their own and go back to the system: the
// heap would keep a network's weights for as long as the process runs. One block of a moderate size is kept for the
// next of its size: the batches of a training are all alike, and new pages take longer than the copy into them.
#pragma once
#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

namespace spikeloom {

// Pages that were given back last; for every thread.
class SparePages {
 public:
  static constexpr size_t kMostBytes = size_t{16} << 20;

  // The kept pages if they are of this size, else null.
  void* take(size_t bytes) {
    const std::lock_guard lock(mutex_);
    return bytes == bytes_ ? std::exchange(data_, nullptr) : nullptr;
  }

  void give(void* data, size_t bytes) {
    if (bytes <= kMostBytes) {
      const std::lock_guard lock(mutex_);
      std::swap(data, data_);
      std::swap(bytes, bytes_);
    }
    if (data != nullptr) munmap(data, bytes);
  }

 private:
  std::mutex mutex_;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

inline SparePages& sparePages() {
  static SparePages* const kPages = new SparePages;  // outlives every thread that gives some back
  return *kPages;
}

template <class T>
struct PageAllocator {
  using value_type = T;
  static constexpr size_t kOwnPages = size_t{256} << 10;

  PageAllocator() = default;
  template <class U>
  PageAllocator(const PageAllocator<U>&) {}

  T* allocate(size_t n) {
    const size_t bytes = n * sizeof(T);
    if (bytes < kOwnPages) {
      if (void* data = std::malloc(bytes)) return static_cast<T*>(data);
      throw std::bad_alloc();
    }
    if (void* spare = sparePages().take(bytes)) return static_cast<T*>(spare);
    void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) throw std::bad_alloc();
    return static_cast<T*>(data);
  }
  void deallocate(T* data, size_t n) {
    if (n * sizeof(T) < kOwnPages) std::free(data);
    else sparePages().give(data, n * sizeof(T));
  }
  bool operator==(const PageAllocator&) const { return true; }
};

using HostBytes = std::vector<char, PageAllocator<char>>;

}  // namespace spikeloom
