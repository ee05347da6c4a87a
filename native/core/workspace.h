// Memory that all recorded programs of a device share: one of them runs at a time, and what lies here does not outlive
// its run.
#pragma once
#include <cstddef>

#include "core/arena.h"
#include "core/program.h"

namespace spikeloom {

class Workspace {
 public:
  explicit Workspace(Arena* arena) : arena_(arena) {}
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  // One program more, which needs so many bytes. False, with status set, when there is no memory.
  bool join(size_t bytes, Status* status);
  // One program less; with the last one the memory goes back to the arena.
  void leave(const Program* program);
  // Whether this part may run now: the first part always may, another one only behind the part before it, with no other
  // program between.
  bool begin(const Program* program, size_t part);

  char* data() const { return static_cast<char*>(data_); }
  size_t bytes() const { return bytes_; }

 private:
  Arena* arena_;
  void* data_ = nullptr;
  size_t bytes_ = 0;
  int programs_ = 0;
  const Program* running_ = nullptr;
  size_t next_ = 0;
};

}  // namespace spikeloom
