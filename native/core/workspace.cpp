#include "core/workspace.h"

namespace spikeloom {

Workspace::~Workspace() {
  if (data_) arena_->giveWhole(data_, bytes_);
}

bool Workspace::join(size_t bytes, Status* status) {
  if (bytes > bytes_) {
    if (data_) arena_->releaseWhole(data_, bytes_);
    data_ = arena_->takeWhole(bytes, status);
    running_ = nullptr;
    if (!data_ && bytes_ > 0) {  // the programs so far go on with what they had
      Status ignored{};
      data_ = arena_->takeWhole(bytes_, &ignored);
      if (!data_) bytes_ = 0;
      return false;
    }
    if (!data_) return false;
    bytes_ = bytes;
  }
  programs_++;
  return true;
}

void Workspace::leave(const Program* program) {
  if (running_ == program) running_ = nullptr;
  if (--programs_ > 0 || !data_) return;
  arena_->giveWhole(data_, bytes_);
  data_ = nullptr;
  bytes_ = 0;
}

bool Workspace::begin(const Program* program, size_t part) {
  if (part != 0 && (running_ != program || next_ != part)) return false;
  running_ = program;
  next_ = part + 1;
  return true;
}

}  // namespace spikeloom
