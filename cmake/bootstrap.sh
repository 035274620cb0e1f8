# SPDX-License-Identifier: Apache-2.0
# Sourced by the run scripts: from a bare Debian machine to a built program, and nothing to do the second time.
# Everything is said on standard error, so that standard output belongs to the program.

sjd_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
sjd_build=${SJD_BUILD_DIR:-$sjd_root/build}

sjd_say() { printf '%s: %s\n' "$sjd_name" "$*" >&2; }

# Debian packages out of "$@" that are not installed; none where there is no dpkg.
sjd_missing_packages() {
  command -v dpkg-query >/dev/null || return 0
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s ' "$package"
  done
}

# Installs what is missing of the packages "$@".
sjd_install() {
  local missing apt
  missing=$(sjd_missing_packages "$@")
  [ -n "$missing" ] || return 0
  apt="apt-get install -y -qq --no-install-recommends $missing"
  if [ "$(id -u)" != 0 ]; then
    sjd_say "these Debian packages are missing; install them as root:"
    sjd_say "  $apt"
    exit 69
  fi
  sjd_say "installing $missing"
  local log
  log=$(mktemp)
  export DEBIAN_FRONTEND=noninteractive
  if ! { $apt || { apt-get update -qq && $apt; }; } >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    rm -f "$log"
    sjd_say "apt-get could not install them"
    exit 69
  fi
  rm -f "$log"
}

# Whether the last build of target $1 is newer than every file under the other arguments.
sjd_up_to_date() {
  local stamp=$sjd_build/.$1.stamp
  [ -x "$sjd_build/bin/$1" ] && [ -e "$stamp" ] || return 1
  shift
  [ -z "$(find "$@" -type f \( -name '*.[ch]pp' -o -name '*.cu' -o -name '*.cuh' -o -name '*.inc' \
             -o -name '*.cmake' -o -name CMakeLists.txt \) -newer "$stamp" -print -quit)" ]
}

# Compilations side by side: one a core, but no more than one for each GB of memory that is free.
sjd_jobs() {
  local cores free
  cores=$(nproc)
  free=$(awk '/MemAvailable/ { print int($2 / 1000000) }' /proc/meminfo)
  [ "$free" -ge 1 ] || free=1
  [ "$cores" -le "$free" ] && echo "$cores" || echo "$free"
}

# Builds target $1 and shows how far it is; the whole log only if it fails.
sjd_build_target() {
  local log=$sjd_build/$1.log line shown=0
  sjd_say "building, log in $log"
  if [ -t 2 ]; then
    shown=1
  fi
  set +e
  cmake --build "$sjd_build" --target "$1" -j "$(sjd_jobs)" 2>&1 | tee "$log" | while read -r line; do
    case $line in
      "["*) [ $shown = 1 ] && printf '\r%.78s\033[K' "$line" >&2 ;;
    esac
  done
  local status=${PIPESTATUS[0]}
  set -e
  if [ $shown = 1 ]; then
    printf '\r\033[K' >&2
  fi
  if [ "$status" != 0 ]; then
    cat "$log" >&2
    sjd_say "the build failed"
    exit 70
  fi
}

# sjd_bootstrap NAME SOURCE...: builds build/bin/NAME unless it is newer than the sources.
sjd_bootstrap() {
  sjd_name=$1
  shift
  if sjd_up_to_date "$sjd_name" "$@"; then
    return 0
  fi
  local start=$SECONDS log
  sjd_install g++ cmake make libfmt-dev nlohmann-json3-dev libpng-dev
  mkdir -p "$sjd_build"
  local options=()
  [ -e "$sjd_build/CMakeCache.txt" ] || options=(-DCMAKE_BUILD_TYPE=Release -DSJD_BUILD_TESTS=OFF)
  log=$sjd_build/configure.log
  if ! cmake -S "$sjd_root" -B "$sjd_build" "${options[@]}" >"$log" 2>&1; then
    cat "$log" >&2
    sjd_say "cmake could not configure $sjd_root"
    exit 70
  fi
  touch "$sjd_build/.$sjd_name.pending"
  sjd_build_target "$sjd_name"
  # The stamp is as old as the start of the build: a file changed meanwhile is built next time.
  mv "$sjd_build/.$sjd_name.pending" "$sjd_build/.$sjd_name.stamp"
  sjd_say "ready after $((SECONDS - start)) s: $sjd_build/bin/$sjd_name"
}
