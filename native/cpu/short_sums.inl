// Products with bits as sums out of tables, in 16-bit integers (AVX2): three numbers have 8 sums of some of them, which
// fill 16 bytes, and three bits of a word choose one. A shuffle of bytes chooses for 16 words at once, so that it and an
// addition do the work of 48 products, however many bits are set. A tile is 4 rows of numbers x 16 P words.
//
//   sums[r][w] += sum over groups g of 3 bits of  tables[g][r][bits 3g .. 3g+2 of words[w]]
//
// Numbers are whole steps. A chunk of terms is summed in 16 bits: steps are so long that no sum of some of its numbers
// is larger.
constexpr int kShortRows = 4, kShortGroups = 11;  // groups of a word
constexpr int64_t kShortLanes = 32;               // words side by side, of which a tile takes 16 P
constexpr int64_t kShortVectors = kShortLanes / 16, kShortTable = kShortRows * 8;  // numbers of a group's tables

// What chooses: of each of 16 words the places of two bytes.
using Choices = __m256i;

// The choices of the first `groups` groups of 16 words' bits, kShortVectors apart.
inline void storeChoices(Words words, int64_t groups, Choices* to) {
  __m256i low = _mm256_permute2x128_si256(words.low, words.high, 0x20), high = _mm256_permute2x128_si256(words.low, words.high, 0x31);
  const __m256i three = _mm256_set1_epi32(7);
  for (int64_t g = 0; g < groups; g++, to += kShortVectors) {
    const __m256i chosen = _mm256_packus_epi32(_mm256_and_si256(low, three), _mm256_and_si256(high, three));
    _mm256_store_si256(to, _mm256_add_epi16(_mm256_mullo_epi16(chosen, _mm256_set1_epi16(0x0202)), _mm256_set1_epi16(0x0100)));
    low = _mm256_srli_epi32(low, 3), high = _mm256_srli_epi32(high, 3);
  }
}

// The tables of up to 32 numbers, behind which lie zeros up to kShortNumbers; kShortTable apart.
constexpr int kShortNumbers = 40;
inline void storeShortSums(const int16_t* numbers, int64_t groups, int16_t* to) {
  // of two groups: 0, a, 0, a, ...; 0, 0, b, b, ...; 0, 0, 0, 0, c, c, c, c
  const __m256i first = _mm256_setr_epi8(-1, -1, 0, 1, -1, -1, 0, 1, -1, -1, 0, 1, -1, -1, 0, 1, -1, -1, 6, 7, -1, -1, 6, 7, -1, -1, 6, 7, -1, -1, 6, 7);
  const __m256i second = _mm256_setr_epi8(-1, -1, -1, -1, 2, 3, 2, 3, -1, -1, -1, -1, 2, 3, 2, 3, -1, -1, -1, -1, 8, 9, 8, 9, -1, -1, -1, -1, 8, 9, 8, 9);
  const __m256i third =
      _mm256_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, 4, 5, 4, 5, 4, 5, 4, 5, -1, -1, -1, -1, -1, -1, -1, -1, 10, 11, 10, 11, 10, 11, 10, 11);
  for (int64_t g = 0; g < groups; g += 2, to += 2 * kShortTable) {
    const __m256i six = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(numbers + 3 * g)));
    const __m256i two = _mm256_add_epi16(_mm256_shuffle_epi8(six, first), _mm256_shuffle_epi8(six, second));
    const __m256i sums = _mm256_add_epi16(two, _mm256_shuffle_epi8(six, third));
    _mm_store_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(sums));
    if (g + 1 < groups) _mm_store_si128(reinterpret_cast<__m128i*>(to + kShortTable), _mm256_extracti128_si256(sums, 1));
  }
}

// Sums of a chunk.
template <int P>
struct ShortTile {
  __m256i rows[kShortRows][P];

  __attribute__((always_inline)) void clear() {
#pragma GCC unroll 4
    for (int r = 0; r < kShortRows; r++) {
#pragma GCC unroll 2
      for (int i = 0; i < P; i++) rows[r][i] = _mm256_setzero_si256();
    }
  }

  __attribute__((always_inline)) void add(const int16_t* tables, const Choices* choices, int64_t groups) {
    for (int64_t g = 0; g < groups; g++, tables += kShortTable, choices += kShortVectors) {
      Choices choice[P];
#pragma GCC unroll 2
      for (int i = 0; i < P; i++) {
        choice[i] = _mm256_load_si256(choices + i);
        asm("" : "+x"(choice[i]));  // loaded once, not by each shuffle
      }
#pragma GCC unroll 4
      for (int r = 0; r < kShortRows; r++) {
        const __m256i table = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(tables + r * 8)));
#pragma GCC unroll 2
        for (int i = 0; i < P; i++) {
          asm("vpaddw %1, %0, %0" : "+x"(rows[r][i]) : "x"(_mm256_shuffle_epi8(table, choice[i])));  // GCC 12 copies sums of the intrinsic
        }
      }
    }
  }

  // 16 sums as words.
  __attribute__((always_inline)) Words words(int r, int i) const {
    return {_mm256_cvtepi16_epi32(_mm256_castsi256_si128(rows[r][i])), _mm256_cvtepi16_epi32(_mm256_extracti128_si256(rows[r][i], 1))};
  }
};
