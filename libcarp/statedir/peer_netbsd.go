package statedir

import (
	"encoding/binary"
	"net"

	"golang.org/x/sys/unix"
)

// The option and its level (NetBSD, sys/sys/un.h), which x/sys does not have.
const (
	solLocal     = 0
	localPeerEID = 3
)

// peerUID returns the effective user id with which the other end connected (unix(4), LOCAL_PEEREID).
//
// The answer is a struct unpcbid: pid, euid and egid of 4 bytes each. x/sys has no call for it; so it is read with the call for an
// IPv6Mreq, which is a buffer of 20 bytes.
func peerUID(c *net.UnixConn) (uid int, err error) {
	return withFD(c, func(fd int) (int, error) {
		cred, err := unix.GetsockoptIPv6Mreq(fd, solLocal, localPeerEID)
		if err != nil {
			return -1, err
		}
		return int(binary.NativeEndian.Uint32(cred.Multiaddr[4:8])), nil
	})
}
