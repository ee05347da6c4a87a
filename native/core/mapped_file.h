// A file mapped for reading that may be cut, or fail on its medium, at any time. Touching what is not there any more
// raises SIGBUS, which would end the process; here zeros take its place, and the read says so.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

namespace spikeloom {

// Of one thread. The descriptor it was made from may be closed meanwhile.
class MappedFile {
 public:
  // Null where the file cannot be mapped: it is empty or no regular file, its file system has no mappings, too many are
  // open, or SIGBUS cannot be caught. Positioned reads are the way then.
  static std::unique_ptr<MappedFile> open(int descriptor);
  ~MappedFile() { close(); }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // Copies `bytes` from `offset` on. False where they are not all there: what `to` holds then is nothing to go by.
  bool read(uint64_t offset, size_t bytes, void* to);
  // May be called twice; nothing can be read afterwards.
  void close();

 private:
  MappedFile(char* data, size_t size, int range) : data_(data), size_(size), range_(range) {}
  char* data_;
  size_t size_;
  int range_;  // its place in the list that the signal handler looks through
};

}  // namespace spikeloom
