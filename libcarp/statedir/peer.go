package statedir

import (
	"errors"
	"net"
)

// withFD calls f with the descriptor of c. Each system tells the other end's user in its own way.
func withFD(c *net.UnixConn, f func(fd int) (int, error)) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	n := -1
	var inner error
	err = raw.Control(func(fd uintptr) { n, inner = f(int(fd)) })
	return n, errors.Join(err, inner)
}
