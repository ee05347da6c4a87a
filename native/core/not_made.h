// Memory that holds nothing because the call or the copy that was to fill it failed or was skipped, and why. Empty as
// long as all is well.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "core/program.h"

namespace spikeloom {

class NotMade {
 public:
  bool isEmpty() const { return ranges_.empty(); }
  // Null: it was made.
  const std::string* why(const TensorView& tensor) const;
  const std::string* whyNot(const KernelCall& call) const;  // of the tensors that a call reads or updates
  bool touches(const Program& program, size_t part) const;
  // What a call was to make or fill. What it updates stays as it was.
  void mark(const TensorView& tensor, const std::string& why);
  void mark(const KernelCall& call, const std::string& why);
  void clear(const void* data, size_t bytes);
  void clear(const KernelCall& call);  // what it makes
  void clear(const Program& program);  // the workspace, as far as the program uses it
  void forget(const Program& program, size_t part);  // what its calls were to make or fill

 private:
  struct Range {
    uintptr_t end;
    std::shared_ptr<const std::string> why;
  };
  std::shared_ptr<const std::string> kept(const std::string& why);

  std::map<uintptr_t, Range> ranges_;  // by where they begin; no two overlap
  std::shared_ptr<const std::string> latest_;
};

}  // namespace spikeloom
