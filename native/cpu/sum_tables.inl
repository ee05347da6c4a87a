// Products with bits as sums out of tables (AVX2), in 16-bit integers: a table holds the sums of every choice of five or
// six rows, and as many bits of a word choose one, so that an addition does the work of 80 to 96 products, however many
// bits are set.
//
//   sum[16]  = sum over words, bits set in the word of  rows[word][bit][16]
//
// The six tables of a word's 32 rows are 8 KiB, those of three words stay in the first cache. What chooses is laid out
// once for all that it meets: a place is where the chosen sum lies in the word's tables, in bytes.
constexpr int64_t kWordTables = 6;                                              // of 6, 6, 5, 5, 5 and 5 rows
constexpr int64_t kWordRows = 32 * 16, kWordSums = (2 * 64 + 4 * 32) * 16;  // numbers of a word's rows, of its tables
constexpr int kTableWords = 3;                                              // whose tables are made at a time
constexpr int64_t kMostPlaces = 1 << 21;                                    // of a thread: long strides would lay out what nobody reads

// The places of a word's sums.
__attribute__((always_inline)) inline void storePlaces(uint32_t word, uint16_t* to) {
  const __m256i first = _mm256_setr_epi32(0, 6, 12, 17, 22, 27, 0, 0), ones = _mm256_setr_epi32(63, 63, 31, 31, 31, 31, 0, 0);
  const __m256i table = _mm256_setr_epi32(0, 64, 128, 160, 192, 224, 0, 0);
  const __m256i chosen = _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(static_cast<int>(word)), first), ones);
  const __m256i at = _mm256_slli_epi32(_mm256_or_si256(chosen, table), 5);
  const __m128i places = _mm_packus_epi32(_mm256_castsi256_si128(at), _mm256_extracti128_si256(at, 1));
  const int last = _mm_extract_epi32(places, 2);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to), places);
  __builtin_memcpy(to + 4, &last, 4);
}

// The sums of every choice of kRows rows: sum i has those whose bit is set in i.
template <int kRows>
__attribute__((always_inline)) inline void storeTable(const int16_t* first, int64_t step, __m256i* to) {
  __m256i rows[kRows];
#pragma GCC unroll 6
  for (int bit = 0; bit < kRows; bit++) rows[bit] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(first + bit * step));
  __m256i low[8] = {_mm256_setzero_si256()};  // of the first three rows
#pragma GCC unroll 7
  for (int i = 1; i < 8; i++) low[i] = _mm256_add_epi16(low[i & (i - 1)], rows[__builtin_ctz(static_cast<unsigned>(i))]);
#pragma GCC unroll 8
  for (int high = 0; high < 1 << (kRows - 3); high++, to += 8) {
    if (high > 0) {
      // from the choice before, whose lowest bits were set, to this one
      __m256i more = rows[3 + __builtin_ctz(static_cast<unsigned>(high))];
#pragma GCC unroll 2
      for (int bit = 0; bit < __builtin_ctz(static_cast<unsigned>(high)); bit++) more = _mm256_sub_epi16(more, rows[3 + bit]);
#pragma GCC unroll 8
      for (int i = 0; i < 8; i++) low[i] = _mm256_add_epi16(low[i], more);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) _mm256_store_si256(to + i, low[i]);
  }
}

// The tables of a word's 32 rows of 16 numbers, `step` apart. Rows whose bits are never set are read, and may be anything.
inline void storeTables(const int16_t* rows, int64_t step, int16_t* to) {
  __m256i* table = reinterpret_cast<__m256i*>(to);
  for (int i = 0; i < 2; i++, rows += 6 * step, table += 64) storeTable<6>(rows, step, table);
  for (int i = 0; i < 4; i++, rows += 5 * step, table += 32) storeTable<5>(rows, step, table);
}

// The sum that K words choose, whose places lie `step` apart, out of tables that follow each other.
template <int K>
__attribute__((always_inline)) inline __m256i chosenSum(const int16_t* tables, const uint16_t* places, int64_t step) {
  __m256i even = _mm256_setzero_si256(), odd = _mm256_setzero_si256();
  const auto add = [](__m256i* sum, const char* at) __attribute__((always_inline)) {
    *sum = _mm256_add_epi16(*sum, *reinterpret_cast<const __m256i*>(at));
  };
#pragma GCC unroll 3
  for (int k = 0; k < K; k++, places += step) {
    const char* of = reinterpret_cast<const char*>(tables + k * kWordSums);
#pragma GCC unroll 3
    for (int i = 0; i < kWordTables; i += 2) {
      uint32_t two;  // read at once: reading is what takes the time
      __builtin_memcpy(&two, places + i, 4);
      add(&even, of + (two & 0xffff));
      add(&odd, of + (two >> 16));
    }
  }
  return _mm256_add_epi16(even, odd);
}

// 16 integers of 16 bits as words.
SPIKELOOM_SIXTEEN Words shortsAsWords(__m256i x) {
  return {_mm256_cvtepi16_epi32(_mm256_castsi256_si128(x)), _mm256_cvtepi16_epi32(_mm256_extracti128_si256(x, 1))};
}

// Adds 16 sums of 16 bits to as many of 32.
__attribute__((always_inline)) inline void addShorts(__m256i shorts, uint32_t* sums) {
  const Words before = loadWords(sums), more = shortsAsWords(shorts);
  storeWords(sums, {_mm256_add_epi32(before.low, more.low), _mm256_add_epi32(before.high, more.high)});
}

// body<K, kFirst, kLast>() for a run of sums of K words: begun here, carried on, or completed.
template <class F>
__attribute__((always_inline)) inline void withRun(int64_t words, bool first, bool last, F&& body) {
  const auto ofWords = [&]<int K>() __attribute__((always_inline)) {
    if (first && last) body.template operator()<K, true, true>();
    else if (first) body.template operator()<K, true, false>();
    else if (last) body.template operator()<K, false, true>();
    else body.template operator()<K, false, false>();
  };
  static_assert(kTableWords == 3);
  if (words == 3) ofWords.template operator()<3>();
  else if (words == 2) ofWords.template operator()<2>();
  else if (words == 1) ofWords.template operator()<1>();
  else ofWords.template operator()<0>();
}
