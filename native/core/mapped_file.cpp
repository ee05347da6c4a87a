#include "core/mapped_file.h"

#include <dlfcn.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/auxv.h>
#endif

#include <atomic>
#include <cerrno>
#include <cstring>

namespace spikeloom {
namespace {

// Where a file is mapped. The handler reads these while other threads come and go: it takes a range for one only if
// `end` is the same before and after it has looked at `begin`, and `end` is 0 whenever `begin` changes.
struct Range {
  std::atomic<bool> taken{false};
  std::atomic<uintptr_t> begin{0}, end{0};
  std::atomic<bool> torn{false};  // whether zeros have taken the place of a part
};
static_assert(std::atomic<uintptr_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free, "for use in a signal handler");

constexpr int kMostRanges = 256;
Range ranges[kMostRanges];
struct sigaction before;  // what was done about SIGBUS before us
size_t pageBytes = 0;

// Puts zeros from the page of `address` to the end of its range; false where it lies in none of ours.
bool mend(uintptr_t address) {
  for (Range& range : ranges) {
    const uintptr_t end = range.end.load();
    if (address >= end) continue;
    const uintptr_t begin = range.begin.load();
    if (address < begin || range.end.load() != end) continue;
    const uintptr_t page = address & ~(pageBytes - 1);
    range.torn.store(true);
    const int flags = MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS;
    return mmap(reinterpret_cast<void*>(page), end - page, PROT_READ, flags, -1, 0) != MAP_FAILED;
  }
  return false;
}

// Only what may be called in a signal handler; mmap is a bare system call.
void onBusError(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  const bool isFault = info->si_code > 0;  // not sent by a process, which has no address to tell
  const bool isOurs = isFault && mend(reinterpret_cast<uintptr_t>(info->si_addr));
  errno = error;
  if (isOurs) return;
  if (before.sa_flags & SA_SIGINFO) return before.sa_sigaction(signal, info, context);
  if (before.sa_handler == SIG_IGN && !isFault) return;
  if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) return before.sa_handler(signal);
  ::signal(signal, SIG_DFL);
  raise(signal);  // comes when this handler is left
}

// The handler must stay where it is, also when the last Node environment that loaded the addon has ended.
bool holdInMemory() {
  Dl_info here;
  if (dladdr(reinterpret_cast<void*>(onBusError), &here) == 0) return false;
#ifdef __linux__
  Dl_info program;  // which cannot be held, and need not be
  if (dladdr(reinterpret_cast<void*>(getauxval(AT_PHDR)), &program) != 0 && program.dli_fbase == here.dli_fbase) return true;
#endif
  return dlopen(here.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE) != nullptr;
}

bool install() {
  pageBytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  if (!holdInMemory()) return false;
  // `before` has to be known when the handler first runs.
  if (sigaction(SIGBUS, nullptr, &before) != 0) return false;
  struct sigaction ours {};
  ours.sa_sigaction = onBusError;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&ours.sa_mask);
  return sigaction(SIGBUS, &ours, nullptr) == 0;
}

// Whether a SIGBUS of this thread would come to our handler: somebody may have put another one in its place, or block
// the signal.
bool isCaught() {
  static const bool isInstalled = install();
  struct sigaction now;
  sigset_t blocked;
  return isInstalled && sigaction(SIGBUS, nullptr, &now) == 0 && (now.sa_flags & SA_SIGINFO) && now.sa_sigaction == onBusError &&
         pthread_sigmask(SIG_BLOCK, nullptr, &blocked) == 0 && !sigismember(&blocked, SIGBUS);
}

int takeRange() {
  for (int i = 0; i < kMostRanges; i++) {
    if (!ranges[i].taken.exchange(true)) return i;
  }
  return -1;
}

}  // namespace

std::unique_ptr<MappedFile> MappedFile::open(int descriptor) {
  struct stat about;
  if (fstat(descriptor, &about) != 0 || !S_ISREG(about.st_mode) || about.st_size <= 0 || !isCaught()) return nullptr;
  const auto size = static_cast<size_t>(about.st_size);
  const int place = takeRange();
  if (place < 0) return nullptr;
  Range& range = ranges[place];
  void* data = mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor, 0);
  if (data == MAP_FAILED) {
    range.taken = false;
    return nullptr;
  }
  const auto begin = reinterpret_cast<uintptr_t>(data);
  range.torn = false;
  range.begin = begin;
  range.end = begin + (size + pageBytes - 1) / pageBytes * pageBytes;
  return std::unique_ptr<MappedFile>(new MappedFile(static_cast<char*>(data), size, place));
}

bool MappedFile::read(uint64_t offset, size_t bytes, void* to) {
  if (!data_ || offset > size_ || bytes > size_ - offset || !isCaught()) return false;
  const size_t first = offset / pageBytes * pageBytes;
#ifdef MADV_POPULATE_READ
  // One call for all pages instead of a fault for every few. Where it fails, the copy faults as it would have.
  madvise(data_ + first, offset + bytes - first, MADV_POPULATE_READ);
#endif
  if (bytes > 0) std::memcpy(to, data_ + offset, bytes);  // `to` may be null otherwise
  std::atomic_signal_fence(std::memory_order_seq_cst);  // the handler ran in this thread, within the copy
  const bool isWhole = !ranges[range_].torn.load();
  // The pages stay with the system, but do not count as ours any longer: reading a whole file takes the memory of one
  // read.
  madvise(data_ + first, offset + bytes - first, MADV_DONTNEED);
  return isWhole;
}

void MappedFile::close() {
  if (!data_) return;
  Range& range = ranges[range_];
  range.end = 0;  // first: what lies there next is not ours
  munmap(data_, size_);
  range.begin = 0;
  range.taken = false;
  data_ = nullptr;
}

}  // namespace spikeloom
