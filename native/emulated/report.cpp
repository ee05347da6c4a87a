// Names for places in the code, from the library's debugging lines: asked of addr2line (it comes with the linker) once
// something broke.
#include <dlfcn.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "emulated/machine.h"

namespace spikeloom::emulated {
namespace {

struct Library {
  std::string path;
  uintptr_t start = 0;
};

Library library() {
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&linesOf), &info) == 0) return {};
  return {info.dli_fname, reinterpret_cast<uintptr_t>(info.dli_fbase)};
}

// Lines that addr2line prints for an address of the library.
std::vector<std::string> ask(const char* options, uintptr_t offset, const std::string& path) {
  std::vector<std::string> lines;
  const std::string command = text("addr2line %s -e '%s' 0x%zx 2>/dev/null", options, path.c_str(), static_cast<size_t>(offset));
  FILE* answer = popen(command.c_str(), "r");
  if (!answer) return lines;
  std::array<char, 4096> line;
  while (std::fgets(line.data(), line.size(), answer)) {
    line[std::strcspn(line.data(), "\n")] = '\0';
    lines.emplace_back(line.data());
  }
  pclose(answer);
  return lines;
}

void eraseAll(std::string* from, std::string_view what) {
  for (size_t at = from->find(what); at != std::string::npos; at = from->find(what)) from->erase(at, what.size());
}

bool isKnown(const std::string& line) { return !line.empty() && line[0] != '?'; }

}  // namespace

std::string linesOf(uintptr_t pc) {
  const Library from = library();
  const uintptr_t offset = pc - 1 - from.start;
  std::string result;
  for (std::string line : ask("-i -s", offset, from.path)) {
    if (!isKnown(line)) continue;
    line = line.substr(0, line.find(' '));
    const bool isKernelFile = line.find(".cu:") != std::string::npos;
    if (result.empty()) result = line;
    else if (isKernelFile) result += " from " + line;
    if (isKernelFile) break;
  }
  return result.empty() ? text("offset 0x%zx", static_cast<size_t>(offset)) : result;
}

std::string functionAt(const void* function) {
  const Library from = library();
  const uintptr_t offset = reinterpret_cast<uintptr_t>(function) - from.start;
  const std::vector<std::string> lines = ask("-f -C -s", offset, from.path);
  if (lines.empty() || !isKnown(lines[0])) return text("at offset 0x%zx", static_cast<size_t>(offset));
  std::string name = lines[0];
  eraseAll(&name, "(anonymous namespace)::");
  eraseAll(&name, "spikeloom::cuda::");
  eraseAll(&name, "spikeloom::");
  if (name.rfind("void ", 0) == 0) name.erase(0, 5);
  return name.substr(0, name.find('('));
}

}  // namespace spikeloom::emulated
