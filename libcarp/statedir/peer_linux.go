package statedir

import (
	"net"

	"golang.org/x/sys/unix"
)

// peerUID returns the effective user id with which the other end connected (unix(7), SO_PEERCRED).
func peerUID(c *net.UnixConn) (uid int, err error) {
	return withFD(c, func(fd int) (int, error) {
		cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			return -1, err
		}
		return int(cred.Uid), nil
	})
}
