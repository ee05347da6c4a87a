// Files that are cut while threads read their mappings.
#include "core/mapped_file.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>

#include "test/self_check/check.h"

namespace spikeloom {

namespace {

constexpr size_t kBytes = 300001;

// A file without a name whose byte i is i % 251.
class CutFile {
 public:
  CutFile() { restore(); }
  ~CutFile() { std::fclose(file_); }
  CutFile(const CutFile&) = delete;
  CutFile& operator=(const CutFile&) = delete;

  int descriptor() const { return fileno(file_); }
  void cut(size_t bytes) { check(ftruncate(descriptor(), static_cast<off_t>(bytes)) == 0, "a file is cut"); }
  void restore() {
    std::vector<uint8_t> bytes(kBytes);
    for (size_t i = 0; i < kBytes; i++) bytes[i] = static_cast<uint8_t>(i % 251);
    check(pwrite(descriptor(), bytes.data(), kBytes, 0) == static_cast<ssize_t>(kBytes), "a file is written");
  }

 private:
  std::FILE* file_ = std::tmpfile();
};

// Whether the bytes from `offset` on are all there, and are the right ones.
bool reads(MappedFile& file, size_t offset, size_t bytes) {
  std::vector<uint8_t> into(bytes);
  if (!file.read(offset, bytes, into.data())) return false;
  for (size_t i = 0; i < bytes; i++) {
    if (into[i] != static_cast<uint8_t>((offset + i) % 251)) return false;
  }
  return true;
}

void checkCut() {
  CutFile file, sound;
  const auto mapped = MappedFile::open(file.descriptor()), other = MappedFile::open(sound.descriptor());
  check(mapped && other, "files are mapped");
  if (!mapped || !other) return;
  check(reads(*mapped, 0, kBytes) && reads(*mapped, kBytes, 0) && reads(*mapped, 4097, 1), "a mapping has the file's bytes");
  check(!reads(*mapped, 1, kBytes) && !reads(*mapped, kBytes + 1, 0) && !reads(*mapped, ~uint64_t{0}, 2), "and none behind its end");
  file.cut(100000);
  check(!reads(*mapped, 0, kBytes), "a file that was cut is told");
  check(reads(*other, 0, kBytes), "the others go on");
  file.restore();
  check(!reads(*mapped, 0, kBytes), "a mapping with zeros in it stays told");
  const auto again = MappedFile::open(file.descriptor());
  check(again && reads(*again, 0, kBytes), "a new one is whole");
  mapped->close();
  mapped->close();
  check(!reads(*mapped, 0, 1), "a closed one reads nothing");
}

// Opens, reads and closes mappings of a file that is cut and restored meanwhile.
void checkThreads() {
  CutFile file;
  std::atomic<int> whole{0}, torn{0};
  std::atomic<bool> done{false};
  const auto body = [&](uint32_t seed) {
    Draws draws{seed};
    std::vector<uint8_t> into(kBytes);
    while (!done) {
      const auto mapped = MappedFile::open(file.descriptor());
      for (int i = 0; mapped && i < 20; i++) {
        const size_t offset = draws.below(kBytes);
        (mapped->read(offset, kBytes - offset, into.data()) ? whole : torn)++;
      }
    }
  };
  std::vector<std::thread> threads;
  for (uint32_t seed = 1; seed <= 3; seed++) threads.emplace_back(body, seed);
  Draws draws{9};
  for (int i = 0; i < 5000 && (i < 100 || whole < 200 || torn < 200); i++) {
    file.cut(draws.below(kBytes));
    std::this_thread::sleep_for(std::chrono::microseconds(500));
    file.restore();
    std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
  done = true;
  for (auto& thread : threads) thread.join();
  check(whole >= 200 && torn >= 200, "threads read what is there and are told what is not");
  const auto last = MappedFile::open(file.descriptor());
  check(last && reads(*last, 0, kBytes), "and it goes on afterwards");
}

}  // namespace

void checkMappedFile() {
  checkCut();
  checkThreads();
  check(!MappedFile::open(-1), "what is no file is not mapped");
}

}  // namespace spikeloom
