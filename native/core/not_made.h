// Memory that holds nothing because the call or the copy that was to fill it failed or was skipped, and why. Empty as
// long as all is well.
#pragma once
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
  // Of the tensors that a call reads and does not write. What it updates may be fresh memory that calls fill part by part.
  const std::string* whyNot(const KernelCall& call) const;
  void mark(const TensorView& tensor, const std::string& why);
  void mark(const KernelCall& call, const std::string& why);  // what it makes; what it updates stays as it was
  void clear(const TensorView& tensor);
  void clear(const KernelCall& call);  // what it writes

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
