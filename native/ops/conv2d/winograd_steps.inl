// What Winograd's forms for 3x3 kernels share: 16 positions of a tile, the steps between pixels and positions, and where tiles pay.
constexpr int64_t kPositions = 16;

// The steps of B^T, A^T and 2G, on vectors of floats or integers.
struct Winograd {
  template <class V>
  static void source(const V d[4], V v[4]) {
    v[0] = d[0] - d[2], v[1] = d[1] + d[2], v[2] = d[2] - d[1], v[3] = d[1] - d[3];
  }
  template <class V>
  static void target(const V m[4], V* first, V* second) {
    *first = m[0] + m[1] + m[2], *second = m[1] - m[2] - m[3];
  }
  template <class V>
  static void kernel(V g0, V g1, V g2, V* u, int step) {
    const V outer = g0 + g2;
    u[0] = g0 + g0, u[step] = outer + g1, u[2 * step] = outer - g1, u[3 * step] = g2 + g2;
  }
  // Four times the weights of the 16 positions, of 9 kernel elements.
  template <class V>
  static void kernel(const V g[9], V u[16]) {
    V rows[12];
    for (int j = 0; j < 3; j++) kernel(g[j], g[3 + j], g[6 + j], rows + j, 3);
    for (int i = 0; i < 4; i++) kernel(rows[i * 3], rows[i * 3 + 1], rows[i * 3 + 2], u + i * 4, 1);
  }
};

// Whether tiles of 2x2 pixels take at most so many of the products that kernel elements take, of which those outside of the picture are left out.
bool takesTiles(const Geometry& g, double share) {
  if (g.kh != 3 || g.kw != 3 || g.sh != 1 || g.sw != 1 || g.ph != 1 || g.pw != 1) return false;
  const int64_t tiles = ceilDivide(g.P, 2) * ceilDivide(g.Q, 2), direct = (3 * g.P - 2) * (3 * g.Q - 2);
  return static_cast<double>(kPositions * tiles) <= share * static_cast<double>(direct);
}
