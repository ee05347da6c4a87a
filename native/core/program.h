// A row of calls that was recorded once and is run as one task, in parts that are queued one after the other.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/abi.h"

namespace spikeloom {

// A kernel with its tensors and numbers.
struct KernelCall {
  Kernel kernel = nullptr;
  MergedKernel merged = nullptr;  // of the same op, where the device has one
  const char* op = nullptr;
  int64_t place = 0;  // the number of the call, given by the caller for messages (0: none)
  int32_t tensorCount = 0;
  TensorView tensors[kMaxTensors];
  double attributes[kMaxAttributes];
  uint32_t written = 0, made = 0, filled = 0;  // a bit for each tensor, see Op
  uint32_t number = 0;     // in the order of a recording
  uint32_t row = 1;        // where a row begins that the device runs as one: how many calls that are
  bool isUpdate = false, isCheck = false;  // see core/early_updates.h
  bool isAside = false;    // on the second lane (core/lanes.h)
  bool isAwaited = false;  // by a row of the other lane, with the row that begins with it
  int64_t waitsFor = -1;   // the call with which a row of the other lane begins that has to be done before; -1: none

  bool writes(int32_t tensor) const { return tensors[tensor].data && (written >> tensor & 1) != 0; }
  bool makes(int32_t tensor) const { return tensors[tensor].data && (made >> tensor & 1) != 0; }
  bool fills(int32_t tensor) const { return tensors[tensor].data && (filled >> tensor & 1) != 0; }
};

struct Program {
  // A tensor that lies in the workspace, which all programs of a device share and which may move when another one needs
  // more.
  struct Resident {
    uint32_t call, tensor;
    size_t offset;
  };
  // A part as its device has noted it, where the device can.
  struct Noted {
    void* capture = nullptr;
    int64_t generation = 0;  // of the context's memory at that time
    int64_t aside = 0;       // how many calls are on the second lane
    bool hasRun = false;     // call by call, which sizes the memory that kernels share
    bool isSimple = false;   // the device could not note it as it was
    bool isRefused = false;  // nor as simply as it can be
  };
  std::vector<KernelCall> calls;
  std::vector<size_t> parts;   // where each part ends
  std::vector<int64_t> joins;  // with which call the last row aside begins that the end of each part waits for; -1: none
  std::vector<Noted> noted;   // of each part; the stream's thread alone uses it
  int64_t number = 0;         // by which messages name it
  std::vector<Resident> residents;
  std::vector<double> seconds;  // of each call, by its number, in the last timed run; the stream's thread writes, others read when it is done
  char* workspace = nullptr;  // where it was at the last run

  size_t begin(size_t part) const { return part == 0 ? 0 : parts[part - 1]; }
  // Gives the calls another order: number order[i] comes to place i. In place: a copy of all of them is a megabyte.
  void reorder(std::vector<size_t> order) {
    for (size_t first = 0; first < order.size(); first++) {
      if (order[first] == first) continue;
      const KernelCall held = calls[first];
      size_t place = first;
      for (size_t from; (from = order[place]) != first; place = from) {
        calls[place] = calls[from];
        order[place] = place;
      }
      calls[place] = held;
      order[place] = place;
    }
  }
  // Called when it is made, and by the stream's thread before a part is run. True when the tensors lie elsewhere than
  // before.
  bool moveTo(char* place) {
    if (place == workspace) return false;
    for (const Resident& r : residents) calls[r.call].tensors[r.tensor].data = place + r.offset;
    workspace = place;
    return true;
  }
};

}  // namespace spikeloom
