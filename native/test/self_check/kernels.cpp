// Some kernels beside plain loops.
#include <cmath>

#include "test/self_check/check.h"

namespace spikeloom {

namespace {

template <class T>
constexpr DType kReal = sizeof(T) == 8 ? DType::f64 : DType::f32;

// Calls an op on tensors in the order of its signature; null for those not given.
template <class T>
void callOp(CpuContext& context, Level level, const char* name, const std::vector<const Tensor*>& tensors, const std::vector<double>& attributes) {
  Kernel kernel = nullptr;
  for (const Op& op : ops()) {
    if (op.name == name) kernel = findCpuKernel(op, level, kReal<T>);
  }
  check(kernel != nullptr, std::string("there is a kernel for ") + name);
  if (!kernel) return;
  TensorView views[kMaxTensors] = {};
  double values[kMaxAttributes] = {};
  for (size_t i = 0; i < tensors.size(); i++) views[i] = tensors[i] ? tensors[i]->view : TensorView{};
  for (size_t i = 0; i < attributes.size(); i++) values[i] = attributes[i];
  Status status{};
  kernel(Call{views, values, &context, &status});
  check(!status.failed, std::string(name) + ": " + status.message);
}

// Small whole numbers: every sum of their products is exact in any order.
template <class T>
std::vector<T> wholeNumbers(int64_t n, Draws& draws) {
  std::vector<T> values(static_cast<size_t>(n));
  for (auto& v : values) v = static_cast<T>(static_cast<int>(draws.below(9)) - 4);
  return values;
}

template <class T>
void checkRelu(CpuContext& context, Level level, Draws& draws) {
  for (const int64_t n : {1, 7, 33, 40001}) {
    Tensor x(kReal<T>, {n}), y(kReal<T>, {n}), gy(kReal<T>, {n}), gx(kReal<T>, {n});
    const auto values = wholeNumbers<T>(n, draws), slopes = wholeNumbers<T>(n, draws);
    x.set(values);
    gy.set(slopes);
    callOp<T>(context, level, "relu", {&x, &y}, {});
    callOp<T>(context, level, "reluGrad", {&gy, &y, &gx}, {});
    auto expected = values, gradient = slopes;
    for (size_t i = 0; i < values.size(); i++) {
      if (values[i] <= 0) expected[i] = gradient[i] = 0;
    }
    check(y.get<T>() == expected && gx.get<T>() == gradient, "relu of " + std::to_string(n));
  }
}

struct Conv {
  int64_t N, C, H, W, O, kh, kw, sh, sw, ph, pw;
  int64_t P() const { return (H + 2 * ph - kh) / sh + 1; }
  int64_t Q() const { return (W + 2 * pw - kw) / sw + 1; }

  // Calls body(x index, w index, y index, o) for every product of the convolution.
  template <class F>
  void eachProduct(F&& body) const {
    for (int64_t i = 0; i < N * O * P() * Q() * C * kh * kw; i++) {
      int64_t r = i;
      const auto take = [&r](int64_t size) {
        const int64_t part = r % size;
        r /= size;
        return part;
      };
      const int64_t b = take(kw), a = take(kh), c = take(C), q = take(Q()), p = take(P()), o = take(O), n = take(N);
      const int64_t h = p * sh + a - ph, w = q * sw + b - pw;
      if (h < 0 || h >= H || w < 0 || w >= W) continue;
      body(static_cast<size_t>(((n * C + c) * H + h) * W + w), static_cast<size_t>(((o * C + c) * kh + a) * kw + b),
           static_cast<size_t>(((n * O + o) * P() + p) * Q() + q), static_cast<size_t>(o));
    }
  }
};

template <class T>
void checkConv(CpuContext& context, Level level, const Conv& g, bool spikes, Draws& draws) {
  const std::vector<int64_t> in = {g.N, g.C, g.H, g.W}, out = {g.N, g.O, g.P(), g.Q()}, kernel = {g.O, g.C, g.kh, g.kw};
  Tensor x(spikes ? DType::spike : kReal<T>, in), w(kReal<T>, kernel), bias(kReal<T>, {g.O}), y(kReal<T>, out), gy(kReal<T>, out),
      gx(kReal<T>, in), gxSum(kReal<T>, in), arrived(kReal<T>, in), gw(kReal<T>, kernel), gb(kReal<T>, {g.O});
  auto xs = wholeNumbers<T>(count(x.view), draws);
  if (spikes) {
    std::vector<uint8_t> fired(xs.size());
    for (size_t i = 0; i < xs.size(); i++) xs[i] = fired[i] = static_cast<uint8_t>(draws.below(2));
    x.set(fired);
  } else {
    x.set(xs);
  }
  const auto ws = wholeNumbers<T>(count(w.view), draws), bs = wholeNumbers<T>(g.O, draws), gys = wholeNumbers<T>(count(gy.view), draws);
  const auto before = wholeNumbers<T>(count(gx.view), draws);
  arrived.set(before);
  w.set(ws);
  bias.set(bs);
  gy.set(gys);
  const std::vector<double> window = {double(g.sh), double(g.sw), double(g.ph), double(g.pw)};
  callOp<T>(context, level, "conv2d", {&x, &w, &bias, &y}, window);
  callOp<T>(context, level, "conv2dGradX", {&gy, &w, nullptr, &gx}, window);
  callOp<T>(context, level, "conv2dGradX", {&gy, &w, &arrived, &gxSum}, window);
  callOp<T>(context, level, "conv2dGradW", {&gy, &x, &gw, &gb}, window);

  std::vector<T> ey(gys.size()), egx(xs.size(), T(0)), egw(ws.size(), T(0)), egb(bs.size(), T(0));
  const size_t area = static_cast<size_t>(g.P() * g.Q());
  for (size_t i = 0; i < ey.size(); i++) {
    ey[i] = bs[i / area % bs.size()];
    egb[i / area % bs.size()] += gys[i];
  }
  g.eachProduct([&](size_t xi, size_t wi, size_t yi, size_t) {
    ey[yi] += xs[xi] * ws[wi];
    egx[xi] += gys[yi] * ws[wi];
    egw[wi] += gys[yi] * xs[xi];
  });
  const std::string name = std::string("conv2d on ") + (spikes ? "spikes" : "numbers") + ", " + std::to_string(g.C) + " to " + std::to_string(g.O);
  check(y.get<T>() == ey, name);
  check(gx.get<T>() == egx, name + ": gradient of x");
  for (size_t i = 0; i < egx.size(); i++) egx[i] += before[i];
  check(gxSum.get<T>() == egx, name + ": gradient of x, added to what has arrived");
  check(gw.get<T>() == egw && gb.get<T>() == egb, name + ": gradient of the weights");
}

template <class T>
void checkLif(CpuContext& context, Level level, int64_t C, bool soft, Draws& draws) {
  const std::vector<int64_t> shape = {3, 2, C, 3, 1}, state = {2, C, 3, 1};
  Tensor x(kReal<T>, shape), v0(kReal<T>, state), s(DType::spike, shape), v(kReal<T>, state), gs(kReal<T>, shape), gx(kReal<T>, shape),
      gv0(kReal<T>, state);
  auto xs = wholeNumbers<T>(count(x.view), draws), vs = wholeNumbers<T>(count(v0.view), draws);
  for (auto& value : xs) value *= T(0.3);
  x.set(xs);
  v0.set(vs);
  gs.set(wholeNumbers<T>(count(gs.view), draws));
  const T decay = T(0.25), vth = T(0.5), threshold = T(1);
  callOp<T>(context, level, "lif", {&x, &v0, nullptr, &s, &v}, {0.25, 0.5, 1, soft ? 1.0 : 0.0});
  callOp<T>(context, level, "lifGrad", {&gs, nullptr, &x, &s, &v0, nullptr, &gx, &gv0, nullptr}, {0.25, 0.5, 1, soft ? 1.0 : 0.0, 0, 0, 1});
  std::vector<uint8_t> fired(xs.size());
  for (size_t i = 0; i < xs.size(); i++) {
    T& now = vs[i % vs.size()];
    const T u = decay * now + xs[i];
    fired[i] = u / vth > threshold;
    now = soft ? u - (fired[i] ? threshold * vth : T(0)) : fired[i] ? T(0) : u;
  }
  const std::string name = "lif of " + std::to_string(C) + " channels" + (soft ? ", soft" : "");
  check(s.get<uint8_t>() == fired, name + ": spikes");
  check(v.get<T>() == vs, name + ": membrane");
  bool finite = true;
  for (const auto* t : {&gx, &gv0}) {
    for (const T value : t->template get<T>()) finite = finite && std::isfinite(value);
  }
  check(finite, name + ": gradients are whole");
}

template <class T>
void checkKernelsOf(CpuContext& context, Level level) {
  Draws draws;
  checkRelu<T>(context, level, draws);
  const Conv convs[] = {{2, 33, 5, 7, 5, 3, 3, 1, 1, 1, 1}, {1, 3, 6, 5, 17, 3, 2, 2, 1, 0, 1}, {3, 64, 1, 1, 1, 1, 1, 1, 1, 0, 0},
                        {1, 1, 9, 8, 2, 5, 5, 2, 3, 2, 2},  {2, 31, 3, 3, 40, 1, 1, 2, 2, 0, 0},
                        {18, 37, 2, 3, 20, 3, 3, 1, 1, 1, 1}, {66, 20, 1, 5, 9, 1, 3, 1, 2, 0, 1},
                        {8, 20, 12, 12, 9, 3, 3, 1, 1, 1, 1}, {36, 16, 2, 2, 260, 1, 1, 1, 1, 0, 0}};
  for (const Conv& g : convs) {
    checkConv<T>(context, level, g, true, draws);
    checkConv<T>(context, level, g, false, draws);
  }
  for (const int64_t C : {1, 31, 32, 33, 64, 70}) {
    checkLif<T>(context, level, C, false, draws);
    checkLif<T>(context, level, C, true, draws);
  }
}

}  // namespace

void checkKernels(CpuContext& context, Level level) {
  checkKernelsOf<float>(context, level);
  checkKernelsOf<double>(context, level);
}

}  // namespace spikeloom
