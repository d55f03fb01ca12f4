#!/usr/bin/env bash
# The tests of the native UDP addon under AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer: `npm run test:native-asan`.
# Needs gcc with libasan. Everything happens in a copy of the tree, so the addon in use stays as it is.
set -euo pipefail
cd "$(dirname "$0")/.."

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$copy" 2>/dev/null || true
ln -s "$PWD/node_modules" "$copy/node_modules"
cd "$copy"

flags='-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g -O1'
CXXFLAGS="$flags" LDFLAGS='-fsanitize=address,undefined' node scripts/build-addon.mjs
[ -f src/net/native/build/Release/udp.node ] || { echo 'the addon was not built'; exit 1; }

export LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
export ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1:log_path=$copy/report"
# What Node itself leaves behind at its end is no failure: the reports are searched for what the addon has.
export LSAN_OPTIONS=exitcode=0
export UBSAN_OPTIONS=print_stacktrace=1
# All of this takes several times longer than usual.
export TAP_TIMEOUT=300

failed=0
for test in batched-transport peer-words udp; do
  echo "== test/net/$test.test.ts"
  node --import=tsx "test/net/$test.test.ts" > "$test.log" 2>&1 || {
    failed=1
    grep -vE '^ *(ok|# Subtest|1\.\.)' "$test.log" | head -n 100
  }
  grep -E '^# \{' "$test.log" || failed=1
done
# Reports of leaks are separated by empty lines; frames name the source files of the addon.
found=$(cat report.* 2>/dev/null | awk -v RS= '/(addon|datagram_socket)\.(cc|h)|runtime error/ { print; print "" }' || true)
if [ -n "$found" ]; then
  failed=1
  echo "$found" | head -n 60
fi
[ "$failed" -eq 0 ] && echo 'No fault found.'
exit "$failed"
