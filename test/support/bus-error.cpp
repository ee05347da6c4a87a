// A library that touches a mapped file behind its end as soon as it is loaded: a SIGBUS that is nobody's of ours.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>

__attribute__((constructor)) static void touch() {
  const int file = fileno(tmpfile());
  if (ftruncate(file, 1) != 0) return;
  void* page = mmap(nullptr, 1, PROT_READ, MAP_SHARED, file, 0);
  if (page == MAP_FAILED || ftruncate(file, 0) != 0) return;
  static_cast<void>(*static_cast<volatile char*>(page));
}
