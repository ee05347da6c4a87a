// Matrix products by groups of 32 images (ops/conv2d/image_groups.inl):
//
//   forward    y[32 images, pixel, 32 o]  = sum over taps, c of  x[32 images, source(pixel, tap), c] * w[tap][c][o]
//   gradient   gx[32 images, pixel, 32 c] = sum over taps, o of gy[32 images, source(pixel, tap), o] * w[tap][o][c]
//
// A task is a window of pixels of one group: its sources are laid out once as the products take them, and stay in the
// second cache while all output channels are made. Weights are packed once a call. Few windows of many channels (small
// pictures) are laid out first; then a task is 32 output channels of all of them, and packs their weights itself, so
// that these never leave its second cache.
//
// How the products are made is a Way's: Item, Window, Panels and Reading (what a window's pixels read), tasks(),
// window(), panels(), and run() of a window for 32 output channels, with room for sumsSize() sums.
constexpr int64_t kManyColumns = 8;  // blocks of 32 output channels that are work for many threads

// A way's run() pixel by pixel: sums() makes those of one pixel and 32 channels for kImages images. Sums of kRun
// pixels, if there are as many in a row, go home together. Use is held meanwhile.
template <class Way>
void runPixels(const Way& way, const Job& job, int64_t index, const typename Way::Window& window, const Reads& reads,
               const typename Way::Panels& panels, int64_t column, float* sums) {
  const Job::Area a = job.area(index);
  Job::Channels channels(job, index, column);
  [[maybe_unused]] const typename Way::Use use;
  for (int64_t lane = 0; lane < a.lanes; lane += Way::kImages) {
    int64_t pixel = 0;
    for (int64_t t = a.t0; t < a.t1; t++) {
      for (int64_t u = a.u0; u < a.u1; u += Way::kRun) {
        const int64_t run = job.least(Way::kRun, a.u1 - u);
        for (int64_t i = 0; i < run; i++) way.sums(window, panels, column, lane, reads.of(pixel++), sums + i * 32);
        channels.put(sums, job.least(Way::kImages, a.lanes - lane), Way::kRun * 32, run, job.pixel(a.n0 + lane, t, u),
                     job.p.targetH * job.p.targetW);
      }
    }
  }
  channels.close();
}

template <class Way>
void runWindows(const Way& way, const Job& job, const typename Way::Panels& panels) {
  parallelFor(job.call, job.tasks.windows(), [&](int64_t index, int thread) {
    const Job::Area area = job.area(index);
    const typename Way::Reading reading(job.p, area);
    typename Way::Window window = way.window(job, area);
    window.data = scratch<typename Way::Item>(job.call, thread, 0, window.size());
    window.fillRows();
    float* sums = scratch<float>(job.call, thread, 1, way.sumsSize(job.tasks));
    for (int64_t column = 0; column < job.p.columns(); column++) way.run(job, index, window, reading, panels, column, sums);
  });
}

// `panels`: null where a task packs those of its column.
template <class Way>
void runColumns(const Way& way, const Job& job, const typename Way::Panels* panels) {
  using Item = typename Way::Item;
  std::vector<typename Way::Window> windows;
  std::vector<typename Way::Reading> readings;
  int64_t size = 0;
  for (int64_t i = 0; i < job.tasks.windows(); i++) {
    windows.push_back(way.window(job, job.area(i)));
    readings.emplace_back(job.p, job.area(i));
    size += windows.back().size();
  }
  Item* data = scratch<Item>(job.call, 0, 3, size);
  for (auto& window : windows) {
    window.data = data;
    data += window.size();
  }
  parallelFor(job.call, job.tasks.windows(), [&](int64_t i, int) { windows[static_cast<size_t>(i)].fillRows(); });
  const auto run = [&](int64_t window, const typename Way::Panels& weights, int64_t column, int thread) {
    const auto i = static_cast<size_t>(window);
    way.run(job, window, windows[i], readings[i], weights, column, scratch<float>(job.call, thread, 1, way.sumsSize(job.tasks)));
  };
  if (panels) {
    parallelFor(job.call, job.tasks.windows() * job.p.columns(), [&](int64_t task, int thread) {
      run(task % job.tasks.windows(), *panels, task / job.tasks.windows(), thread);
    });
    return;
  }
  parallelFor(job.call, job.p.columns(), [&](int64_t column, int thread) {
    const auto mine = way.panels(scratch<Item>(job.call, thread, 0, way.columnSize()), column);
    mine.packFirst(as<float>(job.call.tensors[1]));
    for (int64_t window = 0; window < job.tasks.windows(); window++) run(window, mine, column, thread);
  });
}

// Scratch slots: 0 a thread's window or panels, 1 its sums, 2 (thread 0's, shared) panels and parts of moments, 3
// (shared) all windows.
template <class Way>
void multiply(const Way& way, const Call& call, const Product& p, const TensorView& source, const Results& to) {
  using Item = typename Way::Item;
  const Tasks tasks = way.tasks();
  const bool wantMoments = to.mean.data || to.var.data;
  const bool shared = !tasks.byBlocks || p.columns() < kManyColumns;
  const int64_t panelSize = shared ? p.columns() * way.columnSize() : 0;
  const int64_t partsSize = wantMoments ? tasks.windows() * 3 * p.targetC : 0;
  Item* room = scratch<Item>(call, 0, 2, panelSize + partsSize * static_cast<int64_t>(sizeof(float) / sizeof(Item)));
  const auto panels = way.panels(room, 0);
  if (shared) panels.packAll(call, as<float>(call.tensors[1]));
  float* parts = wantMoments ? reinterpret_cast<float*>(room + panelSize) : nullptr;
  const Job job{call, p, tasks, source, to.target, to.added, as<float>(to.bias), parts};
  if (tasks.byBlocks) runColumns(way, job, shared ? &panels : nullptr);
  else runWindows(way, job, panels);
  if (wantMoments) mergeMoments(job, to.mean, to.var);
}
