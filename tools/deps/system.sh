# Part of deps.sh: the distribution and its own packages.

# Debian and what is made of it, or Ubuntu and what is made of it.
distribution() {
	local ID= ID_LIKE=
	[ ! -r /etc/os-release ] || source /etc/os-release
	case " $ID $ID_LIKE " in
	*' ubuntu '*) echo ubuntu ;;
	*) echo debian ;;
	esac
}
DISTRIBUTION=$(distribution)

wanted_packages() {
	local lists="build $DISTRIBUTION"
	[ $TESTS = 0 ] || lists="$lists test"
	python3 -c 'import pip, venv, ensurepip' >/dev/null 2>&1 || lists="$lists python"
	awk -v lists=" $lists " '/^[a-z]/ && index(lists, " " $1 " ") { print $2 }' "$HERE/packages"
}

missing_packages() {
	comm -23 <(wanted_packages | sort) \
		<(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 2>/dev/null | awk '$1 == "ii" { print $2 }' | sort -u) | xargs
}

install_packages() {
	local missing command as_root=
	missing=$(missing_packages)
	[ -n "$missing" ] || return 0
	command="apt-get install -y --no-install-recommends $missing"
	if [ "$(id -u)" != 0 ]; then
		if ! sudo -n true 2>/dev/null; then
			say "packages of the distribution are missing, and only root can install them. Run this, then start again:"
			say "  sudo apt-get update && sudo $command"
			exit 3
		fi
		as_root='sudo -n'
	fi
	[ $OFFLINE = 0 ] || die "offline, but missing: $missing"
	say "installing $(wc -w <<<"$missing") packages of the distribution: $missing"
	{ $as_root apt-get update -qq && $as_root env DEBIAN_FRONTEND=noninteractive $command; } >"$LOG/apt-system.log" 2>&1 ||
		{ tail -5 "$LOG/apt-system.log" >&2; die "apt-get failed, see $LOG/apt-system.log"; }
}
