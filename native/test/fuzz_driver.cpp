// Stands in for libFuzzer where there is none: makes inputs for a harness without following its code. Built by
// scripts/fuzz.mjs.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

// Seeds with bytes flipped, set, repeated, left out: the same inputs on every machine.
int main(int argc, char** argv) {
  const long runs = argc > 1 ? std::atol(argv[1]) : 0;
  std::vector<std::vector<uint8_t>> seeds(1, std::vector<uint8_t>(64));
  for (int i = 2; i < argc; i++) {
    FILE* file = std::fopen(argv[i], "rb");
    if (!file) {
      std::fprintf(stderr, "%s: a seed cannot be read\n", argv[i]);
      return 1;
    }
    std::vector<uint8_t> bytes(1 << 16);
    bytes.resize(std::fread(bytes.data(), 1, bytes.size(), file));
    std::fclose(file);
    seeds.push_back(bytes);
  }
  uint64_t state = 1;
  const auto below = [&](size_t n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<size_t>(state >> 33) % (n ? n : 1);
  };
  for (long run = 0; run < runs; run++) {
    std::vector<uint8_t> input = seeds[below(seeds.size())];
    for (size_t change = below(12); change > 0; change--) {
      const size_t at = below(input.size()), count = below(input.size() - at) % 40;
      switch (input.empty() ? 3 : below(4)) {
        case 0: input[at] ^= static_cast<uint8_t>(1u << below(8)); break;
        case 1: input[at] = static_cast<uint8_t>(below(256)); break;
        case 2: input.erase(input.begin() + static_cast<long>(at), input.begin() + static_cast<long>(at + count)); break;
        default: input.insert(input.begin() + static_cast<long>(input.empty() ? 0 : at), 1 + below(8), static_cast<uint8_t>(below(256))); break;
      }
    }
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::printf("%s: %ld inputs\n", std::getenv("SPIKELOOM_FUZZ"), runs);
  return 0;
}
