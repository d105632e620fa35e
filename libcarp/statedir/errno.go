package statedir

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"carp/libcarp/config"
)

// errnos are the systems' own numbers, which differ, and OpenBSD's. Where OpenBSD's meaning is nearest to another number of
// ours, that one stands.
var errnos = map[syscall.Errno]config.Errno{
	unix.EPERM:           config.EPERM,
	unix.EACCES:          config.EPERM,
	unix.ENOENT:          config.ENOENT,
	unix.EIO:             config.EIO,
	unix.ENXIO:           config.ENXIO,
	unix.ENOMEM:          config.ENOMEM,
	unix.ENOBUFS:         config.ENOMEM,
	unix.EBUSY:           config.EBUSY,
	unix.EEXIST:          config.EEXIST,
	unix.ENODEV:          config.ENODEV,
	unix.ENOTDIR:         config.ENOTDIR,
	unix.EISDIR:          config.EISDIR,
	unix.EINVAL:          config.EINVAL,
	unix.ENOTTY:          config.ENOTTY,
	unix.ENOSPC:          config.ENOSPC,
	unix.EDQUOT:          config.ENOSPC,
	unix.EROFS:           config.EROFS,
	unix.EPIPE:           config.EPIPE,
	unix.EAGAIN:          config.EAGAIN,
	unix.EPROTONOSUPPORT: config.EPROTONOSUPP,
	unix.EOPNOTSUPP:      config.EOPNOTSUPP,
	unix.EAFNOSUPPORT:    config.EAFNOSUPPORT,
	unix.EADDRINUSE:      config.EADDRINUSE,
	unix.EADDRNOTAVAIL:   config.EADDRNOTAVAIL,
	unix.ETIMEDOUT:       config.ETIMEDOUT,
	unix.EHOSTDOWN:       config.EHOSTDOWN,
	unix.ENAMETOOLONG:    config.ENAMETOOLONG,
}

// ErrnoOf returns the number that a BSD would have given for err: its own when it carries one of config's, else the one for
// the system's number in it, else EIO; config.OK for nil.
func ErrnoOf(err error) config.Errno {
	var ours config.Errno
	var theirs syscall.Errno
	switch {
	case err == nil:
		return config.OK
	case errors.As(err, &ours):
		return ours
	case errors.As(err, &theirs):
		if e, ok := errnos[theirs]; ok {
			return e
		}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return config.ETIMEDOUT
	}
	return config.EIO
}
