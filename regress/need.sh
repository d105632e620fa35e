#!/bin/sh
# Makes sure that what the demo, the tests or lint need is here, and installs what is missing where apt-get can.
# Exits with 77 after one line when it cannot. usage: need.sh demo|test|lint
set -u
cant() {
	echo "carp: make $what: $1" >&2
	exit 77
}

what=${1:?}
case $what in # command:package
demo) need='ip:iproute2 ping:iputils-ping' ;;
test) need='ip:iproute2 ping:iputils-ping tcpdump:tcpdump ucarp:ucarp arping:arping mandoc:mandoc tc:iproute2 nft:nftables radvd:radvd setpriv:util-linux unshare:util-linux nsenter:util-linux dash:dash ksh:ksh mksh:mksh ksh93:ksh93u+m busybox:busybox bmake:bmake man:man-db systemd-analyze:systemd pgrep:procps spin:spin jq:jq cc:build-essential insserv:insserv' ;;
lint) need='mandoc:mandoc shellcheck:shellcheck git:git' ;;
*) exit 64 ;;
esac
PATH=$PATH:/usr/sbin:/sbin
if [ "$what" != lint ]; then
	[ "$(id -u)" -eq 0 ] || cant 'needs root'
	[ "$(uname -s)" = Linux ] || cant 'needs Linux and its network namespaces'
fi

missing='' packages=''
for n in $need; do
	command -v "${n%%:*}" >/dev/null 2>&1 && continue
	missing="$missing ${n%%:*}" packages="$packages ${n#*:}"
done
if [ -n "$missing" ]; then
	command -v apt-get >/dev/null 2>&1 || cant "needs$missing"
	[ "$(id -u)" -eq 0 ] || cant "needs$missing, and root to install them"
	echo "carp: make $what needs$missing; installing$packages with apt-get"
	if [ -t 0 ]; then
		printf 'Go on? [Y/n] '
		read -r answer
		case $answer in
		[Nn]*) cant "needs$missing" ;;
		esac
	fi
	# No package may start a service here: see invoke-rc.d(8), policy-rc.d.
	policy=/usr/sbin/policy-rc.d
	if [ ! -e "$policy" ]; then
		printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
		trap 'rm -f "$policy"' EXIT INT TERM
	fi
	export DEBIAN_FRONTEND=noninteractive
	# shellcheck disable=SC2086 # a list of packages
	{ apt-get -qq update && apt-get -qq -y --no-install-recommends install $packages; } >/dev/null 2>&1 </dev/null ||
		cant "needs$missing, and apt-get failed to install$packages"
fi

if [ "$what" != lint ]; then
	ns=carp-need-$$
	why=$(ip netns add "$ns" 2>&1) || cant "needs to make network namespaces, and may not ($why)"
	why=$(ip -n "$ns" link add v0 type veth peer name v1 2>&1 &&
		ip -n "$ns" link add m0 link v0 type macvlan mode private 2>&1)
	ok=$?
	ip netns del "$ns" 2>/dev/null
	[ $ok -eq 0 ] || cant "needs a kernel with veth and macvlan ($(echo "$why" | tail -n 1))"
fi
exit 0
