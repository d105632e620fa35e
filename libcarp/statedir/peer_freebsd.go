package statedir

import (
	"net"

	"golang.org/x/sys/unix"
)

// solLocal is SOL_LOCAL (FreeBSD, sys/sys/un.h).
const solLocal = 0

// peerUID returns the effective user id with which the other end connected (unix(4), LOCAL_PEERCRED).
func peerUID(c *net.UnixConn) (uid int, err error) {
	return withFD(c, func(fd int) (int, error) {
		cred, err := unix.GetsockoptXucred(fd, solLocal, unix.LOCAL_PEERCRED)
		if err != nil {
			return -1, err
		}
		return int(cred.Uid), nil
	})
}
