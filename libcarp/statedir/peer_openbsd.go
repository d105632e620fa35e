package statedir

import (
	"encoding/binary"
	"net"

	"golang.org/x/sys/unix"
)

// peerUID returns the effective user id with which the other end connected (getsockopt(2), SO_PEERCRED).
//
// The answer is a struct sockpeercred: uid, gid and pid of 4 bytes each. x/sys has no call for it, and system calls go through
// libc here; so it is read with the call for an IPv6Mreq, which is a buffer of 20 bytes.
func peerUID(c *net.UnixConn) (uid int, err error) {
	return withFD(c, func(fd int) (int, error) {
		cred, err := unix.GetsockoptIPv6Mreq(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			return -1, err
		}
		return int(binary.NativeEndian.Uint32(cred.Multiaddr[0:4])), nil
	})
}
