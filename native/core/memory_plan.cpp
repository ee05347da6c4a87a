#include "core/memory_plan.h"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>

namespace spikeloom {
namespace {

size_t aligned(size_t bytes) { return (bytes + kBlockAlignment - 1) / kBlockAlignment * kBlockAlignment; }

// The smallest gap among the blocks that live at the same time, or the room behind the last of them. `placed` is sorted
// by offset.
size_t bestOffset(const std::vector<Life>& lives, const std::vector<size_t>& placed, const Life& life) {
  const size_t bytes = aligned(life.bytes);
  size_t end = 0, best = 0, room = 0;
  for (const size_t i : placed) {
    const Life& other = lives[i];
    if (other.last < life.first || life.last < other.first) continue;
    const size_t gap = other.offset > end ? other.offset - end : 0;
    if (gap >= bytes && (room == 0 || gap < room)) {
      best = end;
      room = gap;
    }
    end = std::max(end, other.offset + aligned(other.bytes));
  }
  return room > 0 ? best : end;
}

// Returns what all take, or at least `limit` as soon as they take that much.
size_t place(std::vector<Life>& lives, const std::vector<size_t>& order, size_t limit) {
  std::vector<size_t> placed;
  placed.reserve(order.size());
  size_t total = 0;
  for (const size_t i : order) {
    if (total >= limit) break;
    Life& life = lives[i];
    life.offset = bestOffset(lives, placed, life);
    total = std::max(total, life.offset + aligned(life.bytes));
    const auto behind = std::upper_bound(placed.begin(), placed.end(), i, [&](size_t a, size_t b) { return lives[a].offset < lives[b].offset; });
    placed.insert(behind, i);
  }
  return total;
}

// The best of three orders, or the first that needs no more than any has to.
size_t placeAll(std::vector<Life>& lives) {
  std::vector<size_t> byTime(lives.size());
  std::iota(byTime.begin(), byTime.end(), size_t{0});
  std::stable_sort(byTime.begin(), byTime.end(), [&](size_t a, size_t b) { return lives[a].first < lives[b].first; });
  auto sortedBy = [&](auto weight) {
    std::vector<size_t> order = byTime;
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return weight(lives[a]) > weight(lives[b]); });
    return order;
  };
  const std::vector<size_t> orders[] = {
      sortedBy([](const Life& l) { return static_cast<double>(l.bytes); }),
      sortedBy([](const Life& l) { return static_cast<double>(l.bytes) * static_cast<double>(l.last - l.first + 1); }),
      byTime,
  };
  const size_t least = leastMemory(lives);
  std::vector<Life> best;
  size_t found = std::numeric_limits<size_t>::max();
  for (const auto& order : orders) {
    std::vector<Life> tried = lives;
    const size_t total = place(tried, order, found);
    if (total >= found) continue;
    best = std::move(tried);
    found = total;
    if (found == least) break;
  }
  lives = std::move(best);
  return found;
}

bool isOverlapped(const std::vector<Life>& lives, size_t of) {
  const Life& a = lives[of];
  return std::any_of(lives.begin(), lives.end(), [&](const Life& b) {
    return &a != &b && a.first <= b.last && b.first <= a.last && a.offset < b.offset + aligned(b.bytes) && b.offset < a.offset + aligned(a.bytes);
  });
}

// Moves blocks that do not let others live as long as they wish, or cannot themselves, where the slab has another place.
// Where it has none, less is asked for.
void grantWishes(std::vector<Life>& lives, size_t slab) {
  for (const int64_t share : {1, 2, 4}) {
    std::vector<Life> longer = lives;
    for (Life& life : longer) life.last = std::max(life.last, life.last + (life.wish - life.last) / share);
    std::vector<size_t> byOffset(lives.size());
    std::iota(byOffset.begin(), byOffset.end(), size_t{0});
    for (size_t i = 0; i < lives.size(); i++) {
      if (!isOverlapped(longer, i)) continue;
      std::sort(byOffset.begin(), byOffset.end(), [&](size_t a, size_t b) { return longer[a].offset < longer[b].offset; });
      std::vector<size_t> others = byOffset;
      std::erase(others, i);
      const size_t offset = bestOffset(longer, others, longer[i]);
      if (offset + aligned(longer[i].bytes) <= slab) longer[i].offset = lives[i].offset = offset;
    }
  }
}

}  // namespace

size_t planMemory(std::vector<Life>& lives) {
  const size_t slab = placeAll(lives);
  if (std::any_of(lives.begin(), lives.end(), [](const Life& life) { return life.wish > life.last; })) grantWishes(lives, slab);
  return slab;
}

size_t leastMemory(const std::vector<Life>& lives) {
  std::map<int64_t, int64_t> changes;
  for (const Life& life : lives) {
    changes[life.first] += static_cast<int64_t>(aligned(life.bytes));
    changes[life.last + 1] -= static_cast<int64_t>(aligned(life.bytes));
  }
  int64_t now = 0, most = 0;
  for (const auto& [call, change] : changes) most = std::max(most, now += change);
  return static_cast<size_t>(most);
}

}  // namespace spikeloom
