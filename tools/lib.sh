# SPDX-License-Identifier: GPL-2.0
# Shared by the scripts in this directory: where the cache lies, how a command runs inside the tool
# root, how a script speaks to the person. Sourced, never run.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
CACHE=${RKVM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rkvm}

# chroot and mount lie there on Debian, outside an ordinary user's path.
PATH=$PATH:/usr/sbin:/sbin

# Fixed places inside the tool root, so that paths recorded in build trees hold for every checkout.
ROOT_CACHE=/rkvm/cache
ROOT_REPO=/rkvm/repo

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

# key FILE-OR-TEXT...: a content key; an argument that names a file stands for what it holds.
key() {
	local part
	for part in "$@"; do
		if [ -f "$part" ]; then cat "$part"; else printf '%s\n' "$part"; fi
	done | sha256sum | cut -c1-16
}

# The tool root and the kernel trees are named by the content of the scripts that make them.
TOOL_ROOT=$CACHE/root-$(key "$REPO/tools/setup.d/root")
KERNELS=$CACHE/kernels-$(key "$REPO/tools/setup.d/root" "$REPO/tools/setup.d/kernels")

# guest_kit_of ARCH: what a guest of a VMM boots from.
guest_kit_of() {
	echo "$CACHE/guest-$1-$(key "${KERNELS##*/}" "$REPO/tools/guest-linux/make" "$REPO/tools/guest-linux/init")"
}

# in_namespace COMMAND...: runs COMMAND with mounts of its own, as root or as the root of a user namespace.
in_namespace() {
	if [ "$(id -u)" = 0 ]; then
		exec unshare --mount --propagation private -- "$@"
	else
		exec unshare --user --map-root-user --map-auto --mount --propagation private -- "$@"
	fi
}

# Runs inside in_namespace: $1 the root, $2 the cache, $3 the repository, then a working directory
# and the command. Only the namespace sees these mounts: nothing stays behind, and no clean-up of the
# cache can reach the machine's own /dev.
ENTER_ROOT='
set -e
root=$1 cache=$2 repo=$3 dir=$4
shift 4
mkdir -p "$root/rkvm/cache" "$root/rkvm/repo"
mount --bind "$cache" "$root/rkvm/cache"
mount --bind "$repo" "$root/rkvm/repo"
mount --rbind /proc "$root/proc"
mount -t tmpfs -o mode=755 dev "$root/dev"
for node in null zero full random urandom tty; do
	: >"$root/dev/$node"
	mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount --rbind /dev/pts "$root/dev/pts"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
if [ -e /etc/resolv.conf ]; then
	[ -e "$root/etc/resolv.conf" ] || : >"$root/etc/resolv.conf"
	mount --bind /etc/resolv.conf "$root/etc/resolv.conf"
fi
# Where a download is checked by certificates of its own, it is so in the root, too.
certificates=/etc/ssl/certs/ca-certificates.crt
[ ! -f "${SSL_CERT_FILE:-}" ] || [ ! -f "$root$certificates" ] || mount --bind "$SSL_CERT_FILE" "$root$certificates"
# Only what a download needs of the environment comes along.
proxies=$(env | grep -i -E "^(https?|no)_proxy=[^[:space:]]*$") || true
cd "$root$dir"
exec chroot "$root" /usr/bin/env -i HOME=/tmp TERM="${TERM:-dumb}" LC_ALL=C.UTF-8 $proxies \
	PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
	sh -c "cd \"\$0\" && exec \"\$@\"" "$dir" "$@"
'

# in_root DIR COMMAND...: replaces this shell by COMMAND run in the tool root, in DIR (a path inside it).
in_root() {
	local dir=$1
	shift
	in_namespace sh -c "$ENTER_ROOT" enter-root "$TOOL_ROOT" "$CACHE" "$REPO" "$dir" "$@"
}

# check_namespace: says in one line why this user can have no namespace, and ends.
check_namespace() {
	command -v unshare >/dev/null || die "unshare is missing: install the package util-linux"
	if [ "$(id -u)" = 0 ]; then
		unshare --mount true 2>/dev/null ||
			die "mount namespaces are not allowed here (a container needs CAP_SYS_ADMIN)"
		return
	fi
	command -v newuidmap >/dev/null || die "newuidmap is missing: install the package uidmap"
	grep -q "^$(id -un):" /etc/subuid 2>/dev/null ||
		die "no subordinate ids for $(id -un): as root run usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)"
	unshare --user --map-root-user --map-auto --mount true 2>/dev/null ||
		die "user namespaces are not allowed here (see kernel.unprivileged_userns_clone or apparmor_restrict_unprivileged_userns); run as root"
}

# kit_of ARCH: the directory from which machines of ARCH boot.
kit_of() {
	echo "$CACHE/kit-$1-$(key "${KERNELS##*/}" "$REPO/tools/setup.d/kit" "$REPO/tools/guest/init" \
		"$REPO/tools/guest/load-kvm" "$REPO/tools/guest/stub.S" \
		"$REPO/tools/setup.d/unpack-bzimage.py" "$REPO/tools/setup.d/seal-rom.py")"
}
