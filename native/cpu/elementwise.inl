// Elementwise work in vectors: body(i, at) handles the elements from i on, as many as `at` loads and stores. The body
// is copied, with what it captured by value, so that what it stores can change none of its numbers and they stay in
// registers.
struct WholeVector {
  template <class T>
  Vec<T> load(const T* p) const {
    return loadAs(p);
  }
  template <class T>
  void store(T* p, Vec<T> v) const {
    storeAs(p, v);
  }
};

struct PartVector {
  int n;
  template <class T>
  Vec<T> load(const T* p) const {
    return loadPart(p, n);
  }
  template <class T>
  void store(T* p, Vec<T> v) const {
    storePart(p, v, n);
  }
};

template <class T, class F>
inline void forVectors(int64_t begin, int64_t end, F body) {
  int64_t i = begin;
  for (; i + kLanes<T> <= end; i += kLanes<T>) body(i, WholeVector{});
  if (i < end) body(i, PartVector{static_cast<int>(end - i)});
}
