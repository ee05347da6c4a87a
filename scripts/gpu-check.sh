#!/bin/sh
# Checks and measures the CUDA backend on a server that has a GPU and python3, but no network and no Node. Programs are
# packed as they were built; nvcc, g++ and make are needed there only where they do not load.
#   sh scripts/gpu-check.sh pack [FOLDER]      here: everything that is needed, below 40 MiB (default: carry/gpu-check)
# There, in the packed folder:
#   sh gpu-check.sh PIECE...                   build, tables, verify, sanitizer, train, bench, profile; in this order.
#                                              all: every one; quarter: of all of them what a quarter of an hour with a
#                                              GPU is best spent on, the most telling first: two calls
# A call ends within GPU_CHECK_SECONDS (default 480, of quarter 540) or a little later and says 'to be continued' with
# status 3 where there is more to do: call it again. What is done is not done again; GPU_CHECK_AGAIN=1 does. Status 1:
# something failed, see the logs.
#   GPU_CHECK_WORK     what is built, and marks of what is done (default: work beside the script)
#   GPU_CHECK_OUT      JSON and logs (default: out in GPU_CHECK_WORK); all of it once more in $OUT/gpu-check.tar.gz, if
#                      there is a folder $OUT
#   GPU_CHECK_BUILD    1: build there what was packed as it was built
#   GPU_CHECK_DEVICE   cuda (default), cuda:N, or emulated: the host in place of a GPU, to try the script itself
#   GPU_CHECK_SOON, GPU_CHECK_LATER   what 'quarter' measures before and after all that is not timed: PIECE/ITEM:SECONDS
#   GPU_CHECK_SANITIZED   the ops whose tables 'quarter' runs under the sanitizers
#   GPU_CHECK_PYTHON   a Python with PyTorch, for the peers and the GPU's ceilings (default: python3 where it has torch)
set -eu

here=$(cd "$(dirname "$0")" && pwd)

say() { printf '%s\n' "gpu-check: $*"; }
die() { say "$*" >&2; exit 1; }

# ---- pack

# Machine code shrinks by a twentieth more where its jumps are turned into addresses first.
squeeze() {
  case $(uname -m) in x86_64) code=--x86 ;; *) code= ;; esac
  # shellcheck disable=SC2086 # no word, or one
  xz -T1 $code --lzma2=preset=9e,dict=128MiB -c
}

# The addon and the CUDA library. Without nvcc here the library is built there.
pack_built() {
  node scripts/build.mjs --addon --cuda
  staged=$(mktemp -d)
  mkdir -p "$staged/build/Release"
  for built in spikeloom.node libspikeloom_cuda.so; do
    [ ! -f "build/Release/$built" ] || strip -o "$staged/build/Release/$built" "build/Release/$built"
  done
  tar -C "$staged" -cf - build | squeeze > "$1/built.tar.xz"
  rm -r "$staged"
}

pack_node() {
  version=$(node -p 'process.version + " " + process.arch')
  [ -f "$1/node.xz" ] && [ "$(cat "$1/node.version" 2>/dev/null)" = "$version" ] && return
  say "compressing Node ($version), which takes minutes"
  cp -L "$(node -p process.execPath)" "$1/node"
  strip "$1/node"
  squeeze < "$1/node" > "$1/node.xz"
  rm "$1/node"
  printf '%s\n' "$version" > "$1/node.version"
}

pack() {
  folder=${1:-carry/gpu-check}
  cd "$here/.."
  mkdir -p "$folder"
  folder=$(cd "$folder" && pwd)
  for tool in node git tar xz strip; do command -v $tool > /dev/null || die "pack needs $tool"; done
  [ -d node_modules/tsx ] || die "pack needs the npm packages; run npm ci"
  pack_node "$folder"
  pack_built "$folder"
  # without results, pictures, and the golden files of data sets and of most ops, which no piece reads; training-resnet19 stands for its
  # network, too. The images that ship become smaller in the archive where nothing has packed them before
  staged=$(mktemp -d)
  git ls-files -- native lib test bench scripts recipes docs datasets examples '*.json' '*.md' binding.gyp CMakeLists.txt LICENSE |
    grep -v -e '^bench/results/' -e '^docs/pictures/' -e '^test/golden/.*/' -e '^test/golden/op-[^go]' -e '^test/golden/op-opt' -e '^test/golden/network-resnet19' -e '^package-lock.json$' |
    tar -cf - -T - | tar -C "$staged" -xf -
  gunzip "$staged"/datasets/fashion-mnist-small/*.gz
  tar -C "$staged" -cf - . | squeeze > "$folder/sources.tar.xz"
  rm -r "$staged"
  # without what only checks types, builds in the second way, or reads pictures and HDF5
  left_out=
  for package in typescript @types @biomejs cmake-js sharp @img h5wasm fast-check zod/src zod/v3; do left_out="$left_out --exclude=node_modules/$package"; done
  # shellcheck disable=SC2086 # one word for each
  tar -chf - $left_out --exclude='*.map' --exclude='*.d.ts' --exclude='*.d.cts' --exclude='*.md' node_modules | squeeze > "$folder/node_modules.tar.xz"
  state=$(git rev-parse HEAD)
  [ -z "$(git status --porcelain --untracked-files=no)" ] || state="$state modified"
  printf '%s\n' "$state" > "$folder/commit"
  cp scripts/gpu-check.sh "$folder/"
  kib=$(du -sk "$folder" | cut -f1)
  [ "$kib" -le 40960 ] || die "$folder takes $kib KiB, more than 40 MiB"
  say "$folder: $kib KiB, commit $state"
}

# ---- there

prepare() {
  work=${GPU_CHECK_WORK:-$here/work}
  out=${GPU_CHECK_OUT:-$work/out}
  device=${GPU_CHECK_DEVICE:-cuda}
  mkdir -p "$work/bin" "$work/done" "$work/home" "$work/noted" "$work/ended" "$out"
  work=$(cd "$work" && pwd)
  out=$(cd "$out" && pwd)
  started=$(date +%s)
  budget=${GPU_CHECK_SECONDS:-480}
  export HOME="$work/home" PATH="$work/bin:$PATH"
  SPIKELOOM_COMMIT=$(cat "$here/commit")
  export SPIKELOOM_COMMIT
  if [ "$device" = emulated ]; then
    export SPIKELOOM_CUDA=emulated
    device=cuda
    emulated=1
  else
    emulated=
  fi
  python=${GPU_CHECK_PYTHON:-}
  if [ -z "$python" ] && python3 -c 'import torch' 2> /dev/null; then python=$(command -v python3); fi
  [ -z "$python" ] || export SPIKELOOM_PEERS_PYTHON="$python"
  failed= plan= beside=
}

# xz may be missing; Python, which the build needs anyway, reads its files, too
unxz() {
  if command -v xz > /dev/null; then xz -dc "$1"; else
    python3 -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), sys.stdout.buffer)' "$1"
  fi
}

# unpack_tar NAME [FOLDER]
unpack_tar() {
  unxz "$here/$1.tar.xz" > "$work/$1.tar" && tar -xf "$work/$1.tar" -C "${2:-$work/tree}" && rm "$work/$1.tar"
}

unpack_node() {
  [ -x "$work/bin/node" ] && return
  unxz "$here/node.xz" > "$work/bin/node.part" && chmod +x "$work/bin/node.part" && mv "$work/bin/node.part" "$work/bin/node"
}

unpack_modules() {
  [ -d "$work/tree/node_modules" ] && return
  rm -rf "$work/modules" && mkdir "$work/modules" && unpack_tar node_modules "$work/modules" &&
    mv "$work/modules/node_modules" "$work/tree/node_modules" && rmdir "$work/modules"
}

unpack() {
  [ -f "$work/done/unpack" ] && [ "$(cat "$work/done/unpack")" = "$(cat "$here/commit")" ] && return
  say "unpacking into $work"
  command -v python3 > /dev/null || die "python3 is needed"
  rm -f "$work"/done/*
  mkdir -p "$work/tree"
  unpack_node & node_pid=$!
  unpack_modules & modules_pid=$!
  unpack_tar built & built_pid=$!
  unpack_tar sources || die "the sources could not be unpacked"
  wait $node_pid || die "node could not be unpacked"
  wait $modules_pid || die "the npm packages could not be unpacked"
  wait $built_pid || die "what was built could not be unpacked"
  cp "$here/commit" "$work/done/unpack"
}

# lacks PIECE PROGRAM ORIGIN: ends it all, unless other pieces are planned
lacks() {
  [ -n "$plan$beside" ] || die "$1 needs $2, which comes with $3"
  say "$1 needs $2, which comes with $3"
}

left() { echo $((budget - $(date +%s) + started)); }

quoted() { printf "'%s'" "$(printf %s "$1" | sed "s/'/'\\\\''/g")"; }

# item NAME SECONDS COMMAND...: once, in the tree, its output in NAME.log; SECONDS is what it may take. Left for the next
# call where less time is left, unless nothing has been done in this one. While `beside` is set it is only noted, for
# together().
item() {
  name=$1
  seconds=$2
  shift 2
  if [ -n "$plan" ]; then
    case $plan in "$name":*) seconds=${plan#*:} ;; *) return 0 ;; esac
  fi
  [ -f "$work/done/$name" ] && [ -z "${GPU_CHECK_AGAIN:-}" ] && return
  if [ "$seconds" -gt "$(left)" ]; then
    if [ -n "$worked" ] && { [ -z "$beside" ] || [ "$(left)" -lt 20 ]; }; then
      again=1
      return
    fi
    seconds=$(left)
  fi
  worked=1
  if [ -n "$beside" ]; then
    {
      printf 'cd %s && most=$((%s - $(date +%%s))) && [ "$most" -gt 0 ] || exit 124\n' "$(quoted "$work/tree")" $((started + budget))
      printf '[ "$most" -lt %s ] || most=%s\nexec timeout "$most"' "$seconds" "$seconds"
      for word; do printf ' %s' "$(quoted "$word")"; done
    } > "$work/noted/$name"
    return
  fi
  say "$name (at most $seconds s)"
  status=0
  begun=$(date +%s)
  (cd "$work/tree" && timeout "$seconds" "$@") > "$out/$name.log" 2>&1 || status=$?
  [ $status = 0 ] && [ -z "$plan" ] || say "$name: $(($(date +%s) - begun)) s"
  ended "$name" $status
}

ended() {
  case $2 in
    0) : > "$work/done/$1" ;;
    124) if [ "$(left)" -gt 0 ]; then say "$1: out of time"; failed="$failed $1"; else say "$1: left for the next call"; again=1; fi ;;
    *) say "$1: status $2; the end of $1.log:"; tail -n 12 "$out/$1.log" || :; failed="$failed $1" ;;
  esac
}

# Runs what was noted, as many at once as there are processors.
together() {
  [ -n "$(ls "$work/noted")" ] || return 0
  begun=$(date +%s)
  rm -f "$work"/ended/*
  # shellcheck disable=SC2012 # names of ours
  ls "$work/noted" | xargs -P "$(nproc)" -I NAME sh -c '
    status=0; sh "$1/noted/NAME" > "$2/NAME.log" 2>&1 || status=$?; echo $status > "$1/ended/NAME"' - "$work" "$out"
  for noted in "$work"/ended/*; do ended "$(basename "$noted")" "$(cat "$noted")"; done
  say "$(ls "$work/noted" | wc -l) items together: $(($(date +%s) - begun)) s"
  rm -f "$work"/noted/*
}

spikeloom() { echo "node --import tsx lib/cli/main.ts"; }
mocha() { echo "node --import tsx node_modules/mocha/bin/mocha.js --no-config --timeout 600000 --fail-zero --exit"; }

# Whether what was packed as it was built loads here: an addon of Node, or any other library.
loads() {
  [ -z "${GPU_CHECK_BUILD:-}" ] && [ -f "$1" ] || return 1
  case $1 in
    *.node) node -e 'process.dlopen({ exports: {} }, process.argv[1])' "$1" ;;
    *) python3 -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1])' "$1" ;;
  esac > "$out/loads.log" 2>&1
}

build() {
  if loads "$work/tree/build/Release/spikeloom.node"; then : > "$work/done/addon"; else
    command -v g++ > /dev/null || die "build needs g++"
    item addon 470 node scripts/build.mjs --addon
  fi
  if [ -n "$emulated" ]; then
    command -v g++ > /dev/null || die "build needs g++"
    item backend 470 node scripts/build.mjs --emulated
  elif loads "$work/tree/build/Release/libspikeloom_cuda.so"; then : > "$work/done/backend"; else
    command -v nvcc > /dev/null || die "build needs nvcc on the PATH (CUDA 13; it is usually in /usr/local/cuda/bin)"
    item backend 470 node scripts/build.mjs --cuda
  fi
  [ -z "$again" ] || return 0
  item doctor 60 sh -c "$(spikeloom) doctor --json > '$out/doctor.json'"
  usable || true
}

# Says what the device is; false where it cannot be used.
usable() {
  [ -s "$out/doctor.json" ] || { say 'the piece build comes first'; return 1; }
  node -e '
    const { cuda } = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
    console.log(`gpu-check: CUDA ${cuda.score > 0 ? cuda.description : "cannot be used: " + cuda.reason}`);
    process.exitCode = cuda.score > 0 ? 0 : 1;' "$out/doctor.json"
}

# the first words of the tables' names
ops() { (cd "$work/tree" && node --import tsx test/support/table-names.ts); }

tables() {
  item seam 120 $(mocha) test/unit/cuda-seam.test.ts test/unit/device-graphs.test.ts
  mkdir -p "$out/tables"
  named=$(ops)
  for op in $named; do
    item "tables-$op" 240 env SPIKELOOM_TEST_COUNTS="$out/tables/$op.json" $(mocha) --reporter test/support/reporter.cjs test/ops/cuda.test.ts -g " $op\b.* on cuda "
  done
  item convolutions 300 $(mocha) test/unit/conv2d-bf16.test.ts test/unit/conv2d-added-gradient.test.ts \
    test/unit/conv2d-input-gradient.test.ts test/unit/conv2d-single-terms.test.ts test/unit/group-conv2d.test.ts -g 'on cuda'
  item units 300 $(mocha) test/unit/cuda-device.test.ts test/unit/merged-calls.test.ts test/train/log-every.test.ts test/unit/current.test.ts test/unit/lif-bits.test.ts test/unit/bad-data.test.ts \
    test/train/own-networks.test.ts
  item networks 470 env SPIKELOOM_TEST_COUNTS="$out/networks.json" $(mocha) --reporter test/support/reporter.cjs test/train/device.test.ts
}

verify() {
  for fixture in "$work"/tree/test/golden/*.safetensors; do
    kind=$(basename "$fixture" .safetensors)
    case $kind in op-*) continue ;; esac
    if [ -n "$emulated" ]; then case $kind in network-* | training-*) continue ;; esac; fi
    item "verify-$kind" 240 sh -c "$(spikeloom) verify 'test/golden/$kind.safetensors' --device $device --json > '$out/verify-$kind.json'"
  done
}

# memcheck and racecheck, one process for each op: a table under the sanitizer takes its time
sanitizer() {
  [ -z "$emulated" ] || { say 'sanitizer: the emulated device checks every access by itself'; return; }
  command -v compute-sanitizer > /dev/null || { lacks sanitizer compute-sanitizer nvcc; return 0; }
  named=${sanitized-$(ops)}
  for tool in memcheck racecheck; do
    for op in $named; do
      item "$tool-$op" 240 compute-sanitizer --tool $tool --error-exitcode 9 $(mocha) test/ops/cuda.test.ts -g " $op\b.* on cuda .*twice with the same bits"
    done
    # products by groups of warps are bf16's alone
    item "$tool-convolutions" 240 compute-sanitizer --tool $tool --error-exitcode 9 $(mocha) test/unit/conv2d-bf16.test.ts \
      -g 'on cuda .*(6 images of 16x12|one image of 13x13|5 columns|128 images of 2x2|64 channels, stride 2)'
  done
}

train() {
  small=
  [ -z "$emulated" ] || small='model.width=4 batch=8 epochs=1 data.train_limit=16 data.test_limit=8'
  for precision in fp32 bf16; do
    item "train-$precision" 300 sh -c "$(spikeloom) train recipes/quickstart.yaml --json device=$device precision=$precision \
      out='$work/runs-$precision' ${small:-epochs=2} > '$out/train-$precision.jsonl'"
  done
}

bench() {
  set -- node --import tsx bench/main.ts
  small= rounds=3
  [ -z "$plan" ] || rounds=2
  [ -z "$emulated" ] || small='--model fsta-resnet8 --width 4 --batch 2 --size 16 --warmup 1 --repeats 2'
  usual="--device $device ${small:---batch 128 --warmup 5 --repeats 20}"
  for precision in fp32 bf16; do
    item "step-$precision" 200 sh -c "$* step $usual --precision $precision --json > '$out/step-$precision.json'"
  done
  # what graphs with branches and early starts bring
  item step-one-lane 200 sh -c "SPIKELOOM_CUDA_LANES=1 $* step $usual --precision bf16 --json > '$out/step-one-lane.json'"
  item step-late 200 sh -c "SPIKELOOM_CUDA_EARLY=0 $* step $usual --precision bf16 --json > '$out/step-late.json'"
  [ -z "$emulated" ] || return 0
  for precision in fp32 bf16; do
    item "roofline-$precision" 200 "$@" roofline $usual --precision $precision --out "$out/roofline-$precision.json"
    item "curve-$precision" 300 "$@" curve $usual --steps 2 --steps 4 --steps 8 --precision $precision --out "$out/curve-$precision.json"
  done
  item ops 400 "$@" ops $usual --repeats 5 --out "$out/ops.json"
  resnet19="--device $device --model fsta-resnet19 --batch 128 --warmup 5 --repeats 10"
  resnet34="--device $device --model fsta-resnet34 --steps 4 --size 224 --classes 1000 --batch 32 --warmup 3 --repeats 10"
  item step-resnet19 200 sh -c "$* step $resnet19 --precision bf16 --json > '$out/step-resnet19.json'"
  item step-resnet34 300 sh -c "$* step $resnet34 --precision bf16 --json > '$out/step-resnet34.json'"
  if [ -z "$python" ]; then
    say 'bench: no Python with PyTorch (GPU_CHECK_PYTHON names one), so no peers'
    return 0
  fi
  item peers 470 "$@" peers $usual --rounds $rounds --forms expanded expanded-amp collapsed --out "$out/peers.json"
  item peers-best 470 "$@" peers $usual --rounds 1 --forms best --out "$out/peers-best.json"
}

# every kernel of a step, and ncu's figures for the five that take the longest
profile() {
  [ -z "$emulated" ] || { say 'profile: needs a GPU'; return; }
  set -- --device "$device" --batch 128 --precision "${GPU_CHECK_PRECISION:-bf16}"
  item kernels 120 node --import tsx bench/main.ts kernels "$@" --warmup 5 --repeats 5 --out "$out/kernels.json"
  [ -f "$work/done/kernels" ] || return 0
  command -v ncu > /dev/null || { lacks heaviest ncu 'the CUDA toolkit'; return 0; }
  heaviest=$(node -e '
    const { kernels } = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
    const names = kernels.filter(({ blocks }) => blocks > 0).map(({ name }) => name.replace(/<.*/, "").replace(/.*::/, ""));
    console.log([...new Set(names)].slice(0, 5).join("|"));' "$out/kernels.json")
  item heaviest 470 ncu --clock-control none --set detailed --kernel-name "regex:^($heaviest)\$" --launch-count 40 --csv --page details \
    --log-file "$out/heaviest.csv" node --import tsx bench/main.ts step "$@" --warmup 0 --repeats 1
}

# PIECE/ITEM:SECONDS: timings, the most telling first, before and after all that may run beside other work.
SOON=${GPU_CHECK_SOON-"bench/step-bf16:60 bench/step-one-lane:60 bench/step-late:60 bench/step-fp32:60 profile/kernels:60 bench/roofline-bf16:90"}
LATER=${GPU_CHECK_LATER-"bench/peers:200 bench/peers-best:300 profile/heaviest:120 bench/step-resnet19:60 bench/step-resnet34:90
  bench/roofline-fp32:60 bench/curve-bf16:60"}

# An item for which too little time is left gives way to shorter ones.
in_turn() {
  for planned; do
    plan=${planned#*/}
    "${planned%%/*}"
  done
  plan=
}

quarter() {
  build
  [ -z "$again$failed" ] || return 0
  usable > /dev/null || exit 1
  # shellcheck disable=SC2086 # one word for each
  in_turn $SOON
  beside=1 sanitized=${GPU_CHECK_SANITIZED-conv2d fire fstaMap}
  tables
  verify
  train
  sanitizer
  beside=
  together
  # shellcheck disable=SC2086
  in_turn $LATER
}

# What docs/support.md is written from, once it is committed as bench/results/DATE-tables-GPU.json: the tables' counts
# in one.
gather_tables() {
  [ -d "$out/tables" ] && [ -s "$out/doctor.json" ] || return 0
  node -e '
    const { readdirSync, readFileSync, writeFileSync } = require("fs");
    const out = process.argv[1];
    const read = (file) => JSON.parse(readFileSync(`${out}/${file}`, "utf8"));
    const all = { passed: 0, failed: 0, skipped: 0, suites: {} };
    for (const file of readdirSync(`${out}/tables`).sort()) {
      const { suites, ...counts } = read(`tables/${file}`);
      for (const kind of Object.keys(counts)) all[kind] += counts[kind];
      Object.assign(all.suites, suites);
    }
    const [commit, modified] = process.env.SPIKELOOM_COMMIT.split(" ");
    const head = { date: new Date().toISOString(), machine: { gpu: read("doctor.json").cuda.description }, commit, modified: Boolean(modified) };
    writeFileSync(`${out}/tables.json`, JSON.stringify({ ...head, tables: all }, null, 2));' "$out"
}

# The numbers that are looked at first.
tell() {
  gather_tables
  for file in "$out"/step-*.json; do
    [ -s "$file" ] && node -e '
      const { images_per_s, step_s, device_peak_bytes } = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
      if (images_per_s === undefined) process.exit();
      const [ms, mib] = [(step_s * 1e3).toFixed(2), (device_peak_bytes / 2 ** 20).toFixed(0)];
      console.log(`gpu-check: ${process.argv[2]}: ${images_per_s.toFixed(0)} images/s, ${ms} ms, ${mib} MiB`);
    ' "$file" "$(basename "$file" .json)"
  done
  for file in "$out"/tables.json "$out"/networks.json; do
    [ -s "$file" ] && node -e '
      const { tables, ...counts } = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
      const { passed, failed, skipped } = tables ?? counts;
      console.log(`gpu-check: ${process.argv[2]}: ${passed} passed, ${failed} failed, ${skipped} skipped`);
    ' "$file" "$(basename "$file" .json)"
  done
}

# All that there is, however the script ends.
keep() {
  [ -z "${OUT:-}" ] || [ ! -d "$OUT" ] || tar -czf "$OUT/gpu-check.tar.gz" -C "$out" .
}

case ${1:-} in
  pack)
    shift
    pack "$@"
    exit
    ;;
  build | tables | verify | sanitizer | train | bench | profile | all | quarter) ;;
  *)
    sed -n '2,19s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
[ "$1" = all ] && set -- build tables verify sanitizer train bench profile
[ "$1" != quarter ] || : "${GPU_CHECK_SECONDS:=540}"
prepare
trap keep EXIT
trap 'exit 143' HUP INT TERM
unpack
again= worked=
for piece; do
  case $piece in build | quarter) ;; *) usable || exit 1 ;; esac
  "$piece"
  [ -z "$again" ] || break  # what comes behind may need what is left
done
tell || :
[ -z "$failed" ] || die "failed:$failed"
if [ -n "$again" ]; then
  say "to be continued: call it again"
  exit 3
fi
say "done; JSON and logs are in $out"
