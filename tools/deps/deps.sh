#!/usr/bin/env bash
# deps.sh: everything that building Sluice needs and this machine lacks.
#
#   deps.sh [--tests] [--root DIR] [--no-system] [--offline] [--strict] [--print-missing]
#
#   --tests          also what only the tests need: a clang, and Python environments in third_party/venv and third_party/venv-mlflow2
#   --root DIR       make DIR/third_party instead of the one of this checkout
#   --no-system      leave the distribution's packages alone (they are there, or somebody else installs them)
#   --offline        never use the network
#   --strict         refuse the distribution's newer build of a locked upstream version
#   --print-missing  print the distribution's packages that are missing, and end
#
# 1. Packages of the distribution (tools/deps/packages): one apt-get call. Without root: the command to run, exit 3.
# 2. What the distribution lacks (tools/deps/lock): into DIR/third_party only. Nothing is installed, no package script runs.
#
# Idempotent: a second run compares one stamp and ends. Resumable: a verified file stays in third_party/cache. Parallel: one
# job per file. Exit status: 0 done, 1 a fetch or a checksum failed, 2 usage, 3 root needed.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
TESTS=0 SYSTEM=1 OFFLINE=0 STRICT=0 PRINT=0

say() { printf 'deps: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

while [ $# -gt 0 ]; do
	case $1 in
	--tests) TESTS=1 ;;
	--root)
		[ $# -ge 2 ] || { say "--root needs a folder"; exit 2; }
		ROOT=$(mkdir -p "$2" && cd "$2" && pwd)
		shift
		;;
	--no-system) SYSTEM=0 ;;
	--offline) OFFLINE=1 ;;
	--strict) STRICT=1 ;;
	--print-missing) PRINT=1 ;;
	-h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
	*) say "unknown option $1"; exit 2 ;;
	esac
	shift
done

TP=$ROOT/third_party
CACHE=$TP/cache PREFIX=$TP/prefix LOG=$TP/log
# One stamp for everything that decides the content of the prefix.
KEY=$(cat "$HERE"/{fetch,assemble}.sh "$HERE/lock" | sha256sum | cut -c1-64)
# The tests' Python environments in $TP, and the lock of each.
VENVS=(venv:python.lock venv-mlflow2:python-mlflow2.lock)

source "$HERE/system.sh"
source "$HERE/fetch.sh"
source "$HERE/assemble.sh"

stamped() { # file key
	local key=
	[ -f "$1" ] && read -r key <"$1" && [ "$key" = "$2" ]
}

venv_stamped() { # name lock
	stamped "$TP/$1/.complete" "$(sha256sum "$HERE/$2" | cut -c1-64)"
}

up_to_date() {
	local venv
	stamped "$PREFIX/.complete" "$KEY" || return 1
	for venv in "${VENVS[@]}"; do
		[ $TESTS = 0 ] || venv_stamped "${venv%:*}" "${venv#*:}" || return 1
	done
	[ $SYSTEM = 0 ] || [ -z "$(missing_packages)" ]
}

make_prefix() {
	stamped "$PREFIX/.complete" "$KEY" && return 0
	local start=$SECONDS
	fetch_all || die "start it again: what was fetched and verified is kept"
	assemble "$PREFIX"
	say "third_party/prefix is made: $((SECONDS - start)) s, $(du -sm "$PREFIX" | cut -f1) MB"
}

# The tests' Python packages, every file pinned by hash. Downloaded first, so that the environment can be made again offline.
make_venv() { # name lock
	local start=$SECONDS wheels=$CACHE/wheels dir=$TP/$1 lock=$HERE/$2 log=$LOG/$1.log
	venv_stamped "$1" "$2" && return 0
	mkdir -p "$wheels"
	say "making third_party/$1 for the tests"
	if [ $OFFLINE = 0 ]; then
		retry python3 -m pip download --quiet --disable-pip-version-check --no-cache-dir --require-hashes --only-binary=:all: \
			-d "$wheels" -r "$lock" >"$log" 2>&1 || { tail -5 "$log" >&2; die "pip failed, see $log"; }
	fi
	rm -rf "$dir"
	python3 -m venv "$dir" >>"$log" 2>&1 || die "python3 -m venv failed, see $log"
	"$dir/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --find-links "$wheels" --require-hashes \
		-r "$lock" >>"$log" 2>&1 || { tail -5 "$log" >&2; die "pip failed, see $log"; }
	sha256sum "$lock" | cut -c1-64 >"$dir/.complete"
	say "third_party/$1 is made: $((SECONDS - start)) s"
}

if [ $PRINT = 1 ]; then
	missing_packages
	exit 0
fi
if up_to_date; then
	exit 0
fi
mkdir -p "$CACHE" "$LOG"
exec 9>"$TP/lock"
flock 9
rm -rf "$TP"/tmp.*
[ $SYSTEM = 0 ] || install_packages
make_prefix
[ $TESTS = 1 ] || exit 0
for venv in "${VENVS[@]}"; do
	make_venv "${venv%:*}" "${venv#*:}"
done
