#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage:
  ./launch.sh CONFIG [flags]        run a job, e.g. ./launch.sh configs/vae_split.py --config.targets.kld=20
  ./launch.sh test [pytest flags]   run the tests (test --slow: all of them)
  ./launch.sh python ARGUMENTS      run the environment's Python, e.g. ./launch.sh python -m experiments.bench_step
  ./launch.sh --help                this text

The first call makes .venv beside this script and installs what fits the accelerator it finds: an NVIDIA GPU, a TPU,
else the CPU (some 2 GB). Later calls start at once. It needs Python 3.11 or 3.12 and, the first time, the network.

  --cpu       use the CPU, whatever accelerator is there (before python)
  CONFIG      FILE.py[:arg], looked for here and beside this script
  flags       --workdir=FOLDER, --config.key=value; CONFIG --help lists all keys with their meaning

The same call goes on with a run that stopped. Exit status of a job: 0 done, 2 the command or the data need a change,
3 stopped and can go on, 1 anything else.
TEXT
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
venv=$here/.venv
ours=$venv/made-by-launch
stamp=$venv/installed
log=$here/.launch.log

say() { echo "launch: $*" >&2; }
fail() { echo "error: $*" >&2; exit "${status:-1}"; }

find_accelerator() {
  if nvidia-smi -L 2>/dev/null | grep -q '^GPU'; then
    echo cuda
  elif compgen -G '/dev/accel[0-9]*' >/dev/null; then
    echo tpu
  elif compgen -G '/dev/vfio/[0-9]*' >/dev/null && grep -qs 0x1ae0 /sys/bus/pci/devices/*/vendor; then
    echo tpu  # newer TPUs; other passed-through devices are not Google's
  else
    echo cpu
  fi
}

find_python() {
  local name
  for name in python3.11 python3.12 python3 python; do
    if "$name" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
  fail 'no Python 3.11 or 3.12 found; install one (Debian, Ubuntu: apt-get install python3.11 python3.11-venv) and call again'
}

# What a complete environment for an accelerator says of itself; anything else there is installed again.
wanted_stamp() {
  local version hash
  version=$("$venv/bin/python" -V 2>/dev/null) || return 1
  hash=$(cat "$here/requirements-$1.lock" "$here/setup.cfg" "$here/pyproject.toml" | cksum)
  echo "$1 | $version | $here | $hash"
}

installed() { [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(wanted_stamp "$1")" ]; }

# Runs a command with its output in the log and a line now and then; prints the log's last error where it fails.
logged() {
  local what=$1 total=$2 started=$SECONDS next=15 job
  shift 2
  "$@" >>"$log" 2>&1 &
  job=$!
  trap 'kill $job 2>/dev/null; exit 130' INT TERM
  while kill -0 "$job" 2>/dev/null; do
    sleep 0.2
    if [ $((SECONDS - started)) -ge $next ]; then
      next=$((next + 15))
      say "$what: $((SECONDS - started)) s, $(grep -c '^Collecting' "$log" || true) of $total packages fetched"
    fi
  done
  if ! wait "$job"; then
    fail "$what failed: $(grep -i '^ *error' "$log" | tail -n 1 | cut -c 1-200 || true)" \
      "(all of it: $log); check the network, the free space and pip's settings, then call again"
  fi
  trap - INT TERM
}

# Makes or completes the environment. A stamp with this accelerator and folder means a whole one, of older locks.
install() {
  local kind=$1 python total
  local -a pip=("$venv/bin/python" -m pip --disable-pip-version-check install --no-deps --progress-bar off --no-input)
  total=$(grep -c '==' "$here/requirements-$kind.lock")
  : >"$log"
  if [ -f "$stamp" ] && [ "$(cut -d '|' -f 1-3 "$stamp")" = "$(wanted_stamp "$kind" | cut -d '|' -f 1-3)" ]; then
    rm -f "$stamp"
  else
    [ ! -e "$venv" ] || [ -e "$ours" ] || fail "$venv was not made by launch.sh; move it away and call again"
    python=$(find_python)
    say "making $venv with $("$python" -V)"
    rm -rf "$venv"
    mkdir "$venv"
    touch "$ours"
    "$python" -m venv "$venv" >>"$log" 2>&1 ||
      fail "$python cannot make an environment (see $log); install its venv module (Debian, Ubuntu: apt-get install" \
        "$(basename "$python")-venv) and call again"
  fi
  say "installing $total packages for $kind (some minutes the first time)"
  logged 'installing' "$total" "${pip[@]}" -r "$here/requirements-$kind.lock"
  logged 'installing defect_jax' "$total" "${pip[@]}" --no-build-isolation -e "$here"
  wanted_stamp "$kind" >"$stamp"
  say 'installed'
}

# One launch installs, others wait for it. The lock is let go before the job starts.
ensure_installed() {
  installed "$1" && return
  exec 9>"$here/.launch.lock"
  if command -v flock >/dev/null && ! flock -n 9; then
    say 'waiting for another launch that is installing'
    flock 9
  fi
  installed "$1" || install "$1"
  exec 9>&-
}

force_cpu=
if [ "${1:-}" = --cpu ]; then
  force_cpu=1
  shift
elif [ "${1:-}" != python ]; then
  arguments=()
  for argument in "$@"; do
    if [ "$argument" = --cpu ]; then force_cpu=1; else arguments+=("$argument"); fi
  done
  set -- "${arguments[@]}"
fi
case "${1:-}" in
  -h | --help | help) usage; exit 0 ;;
  '') usage >&2; exit 2 ;;
  -*) status=2 fail "$1: the first argument is a config file, test or python (see --help)" ;;
esac

kind=$(find_accelerator)
if [ -n "$force_cpu" ]; then
  export JAX_PLATFORMS=cpu
  # An environment for the accelerator serves the CPU too.
  installed "$kind" || kind=cpu
fi
ensure_installed "$kind"

case "$1" in
  test)
    shift
    cd "$here"
    # Two at a time, as two cores do best; each file's tests in one process, since they share what they have trained.
    exec "$venv/bin/python" -m pytest -n 2 --dist loadfile "$@"
    ;;
  python)
    shift
    exec "$venv/bin/python" "$@"
    ;;
  *)
    config=$1
    shift
    echo "launch: running on ${JAX_PLATFORMS:-$kind}"
    export DEFECT_JAX_LAUNCHER=$0  # so that commands on pages are as this one was
    exec "$venv/bin/python" -m defect_jax.main --config="$config" "$@"
    ;;
esac
