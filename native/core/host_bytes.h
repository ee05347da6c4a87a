// Bytes on their way between the host and a device. Large ones are pages of their own and go back to the system at
// once: the heap would keep a network's weights for as long as the process runs.
#pragma once
#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <new>
#include <vector>

namespace spikeloom {

template <class T>
struct PageAllocator {
  using value_type = T;
  static constexpr size_t kOwnPages = size_t{256} << 10;

  PageAllocator() = default;
  template <class U>
  PageAllocator(const PageAllocator<U>&) {}

  T* allocate(size_t n) {
    const size_t bytes = n * sizeof(T);
    void* data = bytes < kOwnPages ? std::malloc(bytes) : mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == nullptr || data == MAP_FAILED) throw std::bad_alloc();
    return static_cast<T*>(data);
  }
  void deallocate(T* data, size_t n) {
    if (n * sizeof(T) < kOwnPages) std::free(data);
    else munmap(data, n * sizeof(T));
  }
  bool operator==(const PageAllocator&) const { return true; }
};

using HostBytes = std::vector<char, PageAllocator<char>>;

}  // namespace spikeloom
