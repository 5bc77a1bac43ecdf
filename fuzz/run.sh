#!/usr/bin/env bash
# run.sh BUILD SECONDS: every fuzzer of the build folder for so long, each on its corpus. New inputs of worth stay in
# BUILD/corpus; a finding is kept in BUILD/findings, and the run ends with 1. A finding that is fixed becomes a corpus file.
set -euo pipefail
build=$1 seconds=$2 here=$(cd "$(dirname "$0")" && pwd) failed=0
mkdir -p "$build/findings"
for source in "$here"/fuzz_*.c; do
	name=$(basename "$source" .c)
	mkdir -p "$build/corpus/$name"
	echo "== $name, $seconds s"
	"$build/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$build/findings/$name-" \
		"$build/corpus/$name" "$here/corpus/${name#fuzz_}" >"$build/$name.log" 2>&1 || { tail -40 "$build/$name.log"; failed=1; }
	grep -E 'stat::number_of_executed_units|stat::new_units_added' "$build/$name.log" || true
done
[ $failed = 0 ] || echo "findings are in $build/findings"
exit $failed
