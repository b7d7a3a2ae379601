#!/usr/bin/env bash
# Vets, lints and runs every test, once with the race detector.
#
#   ./test.sh          everything, at most 20 minutes on two cores with a warm build cache
#   ./test.sh --soak   the long versions of the tests that have one
#
# What is missing is installed where this is Debian (or made of it) and apt-get may be
# used; elsewhere it is named. With CI set a missing component fails the run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

timeout=18m
case "${1:-}" in
'') ;;
--soak)
	export MUSTER_SOAK=1
	timeout=4h
	;;
*)
	echo "usage: ./test.sh [--soak]" >&2
	exit 2
	;;
esac
if [ $# -gt 1 ]; then
	echo "usage: ./test.sh [--soak]" >&2
	exit 2
fi

began=$SECONDS
tools=$(mktemp -d)
release= # the process that makes the release beside the tests

# The last words of a run, and not its outcome: a command that fails here must not turn
# an exit with 0 into one with 1, as it would under set -e.
leave() {
	if [ -n "$release" ]; then
		kill "$release" 2>/dev/null || true
	fi
	rm -rf "$tools" || true
}
trap leave EXIT

failed=()

# step NAME COMMAND... runs a command and says how long it took. A failure is kept for
# the end, so that one run shows everything that is wrong.
step() {
	local name=$1 from=$SECONDS code=0
	shift
	printf '\n== %s\n' "$name"
	"$@" || code=$?
	if [ "$code" -ne 0 ]; then
		printf '== %s: failed with %d after %d s\n' "$name" "$code" $((SECONDS - from))
		failed+=("$name")
		return
	fi
	printf '== %s: %d s\n' "$name" $((SECONDS - from))
}

# need NAME COMMAND... is a step that the others need: its failure ends the run.
need() {
	step "$@"
	if [ ${#failed[@]} -gt 0 ]; then
		exit 1
	fi
}

postgres() {
	type -P postgres >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null
}

compiler() {
	command -v gcc >/dev/null && printf '#include <stdlib.h>\nint main(void){return 0;}\n' | gcc -x c -o /dev/null - 2>/dev/null
}

# as_root COMMAND... runs as root, or fails where that would need a password.
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo -n "$@"
	fi
}

apt() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o=Dpkg::Use-Pty=0 "$@" >/dev/null
}

# without_starting COMMAND... keeps Debian from starting the servers that it installs:
# the tests start servers of their own.
without_starting() {
	local policy=/usr/sbin/policy-rc.d code=0
	if [ -e "$policy" ]; then
		"$@"
		return
	fi
	printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null && as_root chmod 755 "$policy" || return
	"$@" || code=$?
	as_root rm -f "$policy"
	return "$code"
}

install_packages() {
	apt update && case " $* " in
	*' postgresql '*)
		# The tests start servers of their own: no cluster is made or run.
		apt install -y --no-install-recommends postgresql-common &&
			as_root sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
		;;
	esac && without_starting apt install -y --no-install-recommends "$@"
}

pgbouncer() {
	type -P pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ]
}

nginx() {
	type -P nginx >/dev/null || [ -x /usr/sbin/nginx ]
}

missing() {
	missing=()
	if ! command -v git >/dev/null; then missing+=(git); fi
	if ! command -v strace >/dev/null; then missing+=(strace); fi
	if ! compiler; then missing+=(gcc libc6-dev); fi
	if ! postgres; then missing+=(postgresql); fi
	if ! pgbouncer; then missing+=(pgbouncer); fi
	if ! nginx; then missing+=(nginx); fi
	if ! command -v systemd-analyze >/dev/null; then missing+=(systemd); fi
	if ! command -v systemd-nspawn >/dev/null; then missing+=(systemd-container); fi
	if ! command -v skopeo >/dev/null; then missing+=(skopeo); fi
	if ! command -v umoci >/dev/null; then missing+=(umoci); fi
	if ! command -v runc >/dev/null; then missing+=(runc); fi
	if ! command -v man >/dev/null; then missing+=(man-db); fi
	# What the samples of docs/integrate.md are written in.
	if ! command -v php >/dev/null; then missing+=(php-cli); fi
	if ! command -v python3 >/dev/null; then missing+=(python3); fi
	if ! command -v curl >/dev/null; then missing+=(curl); fi
}

components() {
	if ! command -v go >/dev/null; then
		echo "Go is missing: install $(sed -n 's/^go /go /p' go.mod) or newer from https://go.dev/dl/" >&2
		return 1
	fi
	missing
	if [ ${#missing[@]} -gt 0 ] && command -v apt-get >/dev/null; then
		echo "installing: ${missing[*]}"
		install_packages "${missing[@]}" || echo "apt-get did not install them" >&2
		missing
	fi
	go version
	if [ ${#missing[@]} -eq 0 ]; then
		return 0
	fi
	echo "missing (names of Debian's packages): ${missing[*]}" >&2
	if [ -n "${CI:-}" ]; then
		return 1
	fi
	echo "the tests that need them are skipped, and listed at the end" >&2
}

build_tools() {
	(cd tools && go build -o "$tools/" honnef.co/go/tools/cmd/staticcheck mvdan.cc/gofumpt ./testlog)
}

static_build() {
	CGO_ENABLED=0 go build -trimpath -o "$tools/muster" ./cmd/muster && "$tools/muster" version
}

format() {
	local files
	files=$("$tools/gofumpt" -l .) || return
	if [ -n "$files" ]; then
		printf 'not formatted (gofumpt -w does it):\n%s\n' "$files" >&2
		return 1
	fi
}

vet() {
	go vet ./... && (cd tools && go vet ./...) && (cd release && go vet ./...)
}

staticcheck() {
	"$tools/staticcheck" ./... && (cd release && "$tools/staticcheck" ./...)
}

run_tests() {
	local race=()
	if compiler; then
		race=(-race)
		export CGO_ENABLED=1
	else
		echo "without the race detector: it needs a C compiler" >&2
	fi
	# -race also checks every pointer; in SQLite, which is C made Go, that took a third of a run.
	go test -json -vet=off -timeout "$timeout" "${race[@]}" -gcflags=modernc.org/...=-d=checkptr=0 ./... | "$tools/testlog" "$tools/why"
}

# test_release makes the packages twice, in the user's build cache (two empty ones with
# --soak), and installs and runs them. It is a module of its own.
test_release() {
	(cd release && go test -json -vet=off -timeout "$timeout" ./...) | "$tools/testlog" "$tools/why"
}

release_is_over() {
	local code=0
	wait "$release" || code=$?
	release=
	cat "$tools/release.log"
	return "$code"
}

need 'components' components
need 'tools' build_tools
need 'static build' static_build
export MUSTER_BINARY=$tools/muster # for the tests that run the program as its users do
# With the race detector each process sleeps a second before it ends, of which the tests start hundreds.
export GORACE="atexit_sleep_ms=0 ${GORACE:-}"
step 'format' format
step 'vet' vet
step 'staticcheck' staticcheck
# The release is made beside the tests, which wait more than they work.
test_release >"$tools/release.log" 2>&1 &
release=$!
step 'tests' run_tests
step 'release, begun with the tests' release_is_over
if [ ${#failed[@]} -gt 0 ]; then
	# The end of a run is what others see of it.
	cat "$tools/why" 2>/dev/null || true
	printf '\nfailed after %d s: %s\n' $((SECONDS - began)) "${failed[*]}"
	exit 1
fi
printf '\nall passed in %d s\n' $((SECONDS - began))
