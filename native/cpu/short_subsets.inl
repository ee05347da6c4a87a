// Products with bits as sums out of tables (AVX-512), in 16-bit integers: sixteen numbers have three tables, of the sums
// of every choice of six, five and five of them, and 16 bits of a word choose one of each. The 32 lanes are 32 words, so
// that three permutations and additions do the work of 512 products, however many bits are set; f32 needs eight for that
// (cpu/subset_sums.inl). A tile is 4 rows of numbers x 32 P words.
//
//   sums[r][w] += sum over steps of 16 numbers of  the three numbers that words[step][w] chooses of tables[step][r]
//
// Sums wrap around: who adds them up sees to it that they stay within 16 bits (cpu/short_steps.inl).
constexpr int kShortRows = 4, kShortVectors = 4;  // of the largest tile
constexpr int64_t kShortLanes = 32, kShortBits = 16;
constexpr int64_t kShortTable = 4 * kShortLanes, kShortStep = kShortRows * kShortTable;  // sums of 16 numbers, of a step

// Of two rows, the sum that each lane's lowest five (six) bits choose. Two permutations and then two additions: a Zen 4
// takes 2.1 cycles for these and 2.5 for the same in turn. GCC 12 permutes for all sums before it adds to the first, and
// runs out of registers, so the four instructions stand together.
SPIKELOOM_SIXTEEN void addOfFive(__m512i& a, __m512i& b, __m512i choice, __m512i tableOfA, __m512i tableOfB) {
#ifdef SPIKELOOM_SOFTWARE_LEVELS
  a = _mm512_add_epi16(a, _mm512_permutexvar_epi16(choice, tableOfA));
  b = _mm512_add_epi16(b, _mm512_permutexvar_epi16(choice, tableOfB));
#else
  __m512i ofA, ofB;
  asm("vpermw %4, %6, %2\n\tvpermw %5, %6, %3\n\tvpaddw %2, %0, %0\n\tvpaddw %3, %1, %1"
      : "+v"(a), "+v"(b), "=&v"(ofA), "=&v"(ofB)
      : "v"(tableOfA), "v"(tableOfB), "v"(choice));
#endif
}
SPIKELOOM_SIXTEEN void addOfSix(__m512i& a, __m512i& b, __m512i choice, const __m512i tableOfA[2], const __m512i tableOfB[2]) {
#ifdef SPIKELOOM_SOFTWARE_LEVELS
  a = _mm512_add_epi16(a, _mm512_permutex2var_epi16(tableOfA[0], choice, tableOfA[1]));
  b = _mm512_add_epi16(b, _mm512_permutex2var_epi16(tableOfB[0], choice, tableOfB[1]));
#else
  __m512i ofA, ofB;
  asm("vmovdqa64 %4, %2\n\tvmovdqa64 %6, %3\n\tvpermt2w %5, %8, %2\n\tvpermt2w %7, %8, %3\n\tvpaddw %2, %0, %0\n\tvpaddw %3, %1, %1"
      : "+v"(a), "+v"(b), "=&v"(ofA), "=&v"(ofB)
      : "v"(tableOfA[0]), "v"(tableOfA[1]), "v"(tableOfB[0]), "v"(tableOfB[1]), "v"(choice));
#endif
}

template <int P>
struct ShortTile {
  __m512i rows[kShortRows][P];

  __attribute__((always_inline)) void clear() {
#pragma GCC unroll 4
    for (int r = 0; r < kShortRows; r++) {
#pragma GCC unroll 4
      for (int p = 0; p < P; p++) rows[r][p] = allWords(0);
    }
  }

  // Of 16 numbers of each row; vectors of words lie `step` words apart.
  __attribute__((always_inline)) void add(const int16_t* tables, const uint16_t* words, int64_t step) {
    __m512i choice[P];
#pragma GCC unroll 4
    for (int p = 0; p < P; p++) choice[p] = _mm512_loadu_si512(words + p * step);
    eachTwoRows(tables, [&](__m512i* a, __m512i* b, const int16_t* ofA, const int16_t* ofB) __attribute__((always_inline)) {
      const __m512i tableOfA[] = {load(ofA), load(ofA + kShortLanes)}, tableOfB[] = {load(ofB), load(ofB + kShortLanes)};
#pragma GCC unroll 4
      for (int p = 0; p < P; p++) addOfSix(a[p], b[p], choice[p], tableOfA, tableOfB);
    });
#pragma GCC unroll 2
    for (int table = 2; table < 4; table++) {
#pragma GCC unroll 4
      for (int p = 0; p < P; p++) choice[p] = table == 2 ? _mm512_srli_epi16(choice[p], 6) : _mm512_srli_epi16(choice[p], 5);
      eachTwoRows(tables + table * kShortLanes, [&](__m512i* a, __m512i* b, const int16_t* ofA, const int16_t* ofB) __attribute__((always_inline)) {
        const __m512i tableOfA = load(ofA), tableOfB = load(ofB);
#pragma GCC unroll 4
        for (int p = 0; p < P; p++) addOfFive(a[p], b[p], choice[p], tableOfA, tableOfB);
      });
    }
  }

  // The sums of vector p in 32 bits: of the lower and of the higher halves of 16 words.
  __attribute__((always_inline)) Words low(int r, int p) const { return _mm512_srai_epi32(_mm512_slli_epi32(rows[r][p], 16), 16); }
  __attribute__((always_inline)) Words high(int r, int p) const { return _mm512_srai_epi32(rows[r][p], 16); }

 private:
  template <class F>
  __attribute__((always_inline)) void eachTwoRows(const int16_t* tables, F&& add) {
#pragma GCC unroll 2
    for (int r = 0; r < kShortRows; r += 2) add(rows[r], rows[r + 1], tables + r * kShortTable, tables + (r + 1) * kShortTable);
  }
  static __attribute__((always_inline)) __m512i load(const int16_t* p) { return _mm512_loadu_si512(p); }
};

// Calls body.operator()<P>() with P = vectors, 1 to kShortVectors of them.
template <int P = kShortVectors, class F>
__attribute__((always_inline)) inline void withShortVectors(int64_t vectors, F&& body) {
  if constexpr (P > 1) {
    if (vectors < P) return withShortVectors<P - 1>(vectors, body);
  }
  body.template operator()<P>();
}

// 16 words and 16 more as 32 words of 16 bits, in turn: their lower halves, or their higher ones.
SPIKELOOM_SIXTEEN Words lowerHalves(Words first, Words second) { return (first & allWords(0xffff)) | shiftLeft<16>(second); }
SPIKELOOM_SIXTEEN Words higherHalves(Words first, Words second) {
  return shiftRight<16>(first) | (second & allWords(static_cast<int>(0xffff0000)));
}

// Of kNumbers numbers, every second lane of x from the one at `first` on, the sum of those whose bit is set in the lane's
// number.
template <int kNumbers>
SPIKELOOM_SIXTEEN __m512i sumsFrom(__m512i x, __m512i first) {
  constexpr __mmask32 kSet[] = {0xaaaaaaaa, 0xcccccccc, 0xf0f0f0f0};
  __m512i sum = _mm512_maskz_permutexvar_epi16(kSet[0], first, x);
#pragma GCC unroll 2
  for (int bit = 1; bit < kNumbers; bit++) {
    const __m512i at = _mm512_add_epi16(first, _mm512_set1_epi16(static_cast<short>(2 * bit)));
    sum = _mm512_add_epi16(sum, _mm512_maskz_permutexvar_epi16(kSet[bit], at, x));
  }
  return sum;
}
SPIKELOOM_SIXTEEN __m512i placesAfter(const uint16_t* places, int64_t more) {
  return _mm512_add_epi16(_mm512_load_si512(places), _mm512_set1_epi16(static_cast<short>(more)));
}

// The tables of two times 16 numbers, `step` apart; `count`: 1 or 2 of them. A lane's first three bits choose one of eight
// sums of three numbers, which repeat themselves, and the next two one of four sums of two: of the six numbers these are
// half of eight sums of three for each half of the table.
SPIKELOOM_SIXTEEN void storeShortTables(Words first, Words second, int64_t count, int16_t* to, int64_t step) {
  // The lanes of the first of three numbers (0, 6, 11 and 3) and of the two behind those at 6 and 11; which sum is chosen.
  alignas(64) static constexpr uint16_t kThrees[32] = {0,  0,  0,  0,  0,  0,  0,  0,  12, 12, 12, 12, 12, 12, 12, 12,
                                                       22, 22, 22, 22, 22, 22, 22, 22, 6,  6,  6,  6,  6,  6,  6,  6};
  alignas(64) static constexpr uint16_t kTwos[32] = {18, 18, 18, 18, 28, 28, 28, 28, 19, 19, 19, 19, 29, 29, 29, 29};
  alignas(64) static constexpr uint16_t kNext[32] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,
                                                     2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3};
  const __m512i x = lowerHalves(first, second), twos = sumsFrom<2>(x, _mm512_load_si512(kTwos));
#pragma GCC unroll 2
  for (int64_t i = 0; i < 2; i++, to += step) {
    if (i == count) break;
    const __m512i threes = sumsFrom<3>(x, placesAfter(kThrees, i)), repeated = _mm512_shuffle_i32x4(threes, threes, 0x00);
    const auto put = [&](int64_t table, __m512i three, __m512i next, int64_t chosen) __attribute__((always_inline)) {
      _mm512_storeu_si512(to + table * kShortLanes, _mm512_add_epi16(three, _mm512_permutexvar_epi16(placesAfter(kNext, chosen), next)));
    };
    put(0, repeated, threes, 24), put(1, repeated, threes, 28);
    put(2, _mm512_shuffle_i32x4(threes, threes, 0x55), twos, 8 * i), put(3, _mm512_shuffle_i32x4(threes, threes, 0xaa), twos, 8 * i + 4);
  }
}
