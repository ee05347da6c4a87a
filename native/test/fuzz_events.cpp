// The event decoders under bytes that nobody wrote: no read or write outside of what they were given, an end for every
// input, events within the sensor, and the same events whether the input comes whole or in pieces. scripts/fuzz.mjs
// builds it, with libFuzzer where there is clang, or with the plain driver below.
//
//   SPIKELOOM_FUZZ=evt3 fuzz_events -runs=1000000 SEEDS        (libFuzzer)
//   SPIKELOOM_FUZZ=evt3 fuzz_events 1000000 SEED_FILE ...      (driver)
//
// Byte 0 of an input chooses the sensor, byte 1 the pieces; the others are the recording.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "events/decoder.h"

namespace {

using namespace spikeloom;

struct Event {
  uint16_t x, y;
  uint8_t p;
  double t;
  bool operator==(const Event&) const = default;
};

struct Run {
  std::vector<Event> events;
  size_t used = 0;
  EventResult result;
};

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "fuzz_events: %s\n", what);
  std::abort();
}

const EventDecoder& decoder() {
  static const EventDecoder* chosen = [] {
    const char* name = std::getenv("SPIKELOOM_FUZZ");
    for (const EventDecoder& each : kEventDecoders) {
      if (name && std::string(name) == each.name) return &each;
    }
    fail("SPIKELOOM_FUZZ must name a decoder");
  }();
  return *chosen;
}

constexpr uint32_t kSensors[][2] = {{34, 34}, {128, 128}, {1280, 720}, {32768, 32768}, {1, 1}, {304, 240}, {640, 480}, {2, 3}};

// One call on a piece that lies in memory of its own, with outputs of exactly `room` events: the sanitizer sees each
// byte beyond.
void decodePiece(const uint8_t* data, size_t size, const uint32_t* sensor, size_t room, EventState& state, Run& run) {
  const std::unique_ptr<uint8_t[]> bytes(new uint8_t[size]);
  std::memcpy(bytes.get(), data, size);
  const std::unique_ptr<uint16_t[]> x(new uint16_t[room]), y(new uint16_t[room]);
  const std::unique_ptr<uint8_t[]> p(new uint8_t[room]);
  const std::unique_ptr<double[]> t(new double[room]);
  EventInput input{bytes.get(), size, 0, sensor[0], sensor[1]};
  EventOutput output{x.get(), y.get(), p.get(), t.get(), room, 0};
  run.result = decoder().decode(&state, input, output);
  if (input.used > size || output.count > room) fail("more was used or written than there is");
  if (run.result.stop == EventStop::full && input.used == 0 && output.count == 0) fail("no way on");
  for (size_t i = 0; i < output.count; i++) {
    if (x[i] >= sensor[0] || y[i] >= sensor[1] || p[i] > 1) fail("an event outside of the sensor");
    run.events.push_back({x[i], y[i], p[i], t[i]});
  }
  run.used += input.used;
}

// Pieces of up to `longest` bytes, each behind what was left of the one before; outputs with room for `room`.
Run decodeAll(const uint8_t* data, size_t size, const uint32_t* sensor, size_t longest, size_t room) {
  Run run;
  EventState state{};
  size_t end = 0;
  uint32_t draw = static_cast<uint32_t>(longest);
  while (true) {
    decodePiece(data + run.used, end - run.used, sensor, room, state, run);
    if (run.result.stop == EventStop::full) continue;
    if (run.result.stop != EventStop::end || end == size) return run;
    draw = draw * 1664525u + 1013904223u;
    end += 1 + (draw >> 8) % longest;
    if (end > size) end = size;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const uint32_t* sensor = kSensors[data[0] % (sizeof kSensors / sizeof kSensors[0])];
  const Run whole = decodeAll(data + 2, size - 2, sensor, size, 6 * size);
  const Run pieces = decodeAll(data + 2, size - 2, sensor, 1 + data[1] % 64, kLeastEvents + (data[1] >> 6));
  if (whole.events != pieces.events || whole.used != pieces.used) fail("pieces give other events than the whole");
  if (whole.result.stop != pieces.result.stop || whole.result.due != pieces.result.due) fail("pieces end in another way than the whole");
  if (whole.result.x != pieces.result.x || whole.result.y != pieces.result.y) fail("pieces stop at another event than the whole");
  return 0;
}
