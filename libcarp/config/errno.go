package config

import "fmt"

// An Errno is an error number of OpenBSD's errno(2). Scripts and the ctl protocol see these numbers and texts on every
// system that we run on; Linux has others.
type Errno int

// The numbers that our requests can end in (OpenBSD, sys/sys/errno.h).
const (
	OK            Errno = 0
	EPERM         Errno = 1
	ENOENT        Errno = 2
	EIO           Errno = 5
	ENXIO         Errno = 6
	ENOMEM        Errno = 12
	EACCES        Errno = 13
	EBUSY         Errno = 16
	EEXIST        Errno = 17
	ENODEV        Errno = 19
	ENOTDIR       Errno = 20
	EISDIR        Errno = 21
	EINVAL        Errno = 22
	ENOTTY        Errno = 25
	ENOSPC        Errno = 28
	EROFS         Errno = 30
	EPIPE         Errno = 32
	EAGAIN        Errno = 35
	EPROTONOSUPP  Errno = 43
	EOPNOTSUPP    Errno = 45
	EAFNOSUPPORT  Errno = 47
	EADDRINUSE    Errno = 48
	EADDRNOTAVAIL Errno = 49
	ETIMEDOUT     Errno = 60
	EHOSTDOWN     Errno = 64
	ENAMETOOLONG  Errno = 63
	EPROGMISMATCH Errno = 75
)

var errnoTexts = map[Errno]string{
	EPERM:         "Operation not permitted",
	ENOENT:        "No such file or directory",
	EIO:           "Input/output error",
	ENXIO:         "Device not configured",
	ENOMEM:        "Cannot allocate memory",
	EACCES:        "Permission denied",
	EBUSY:         "Device busy",
	EEXIST:        "File exists",
	ENODEV:        "Operation not supported by device",
	ENOTDIR:       "Not a directory",
	EISDIR:        "Is a directory",
	EINVAL:        "Invalid argument",
	ENOTTY:        "Inappropriate ioctl for device",
	ENOSPC:        "No space left on device",
	EROFS:         "Read-only file system",
	EPIPE:         "Broken pipe",
	EAGAIN:        "Resource temporarily unavailable",
	EPROTONOSUPP:  "Protocol not supported",
	EOPNOTSUPP:    "Operation not supported",
	EAFNOSUPPORT:  "Address family not supported by protocol family",
	EADDRINUSE:    "Address already in use",
	EADDRNOTAVAIL: "Can't assign requested address",
	ETIMEDOUT:     "Operation timed out",
	EHOSTDOWN:     "Host is down",
	ENAMETOOLONG:  "File name too long",
	EPROGMISMATCH: "Program version wrong",
}

// Error gives OpenBSD's strerror(3) text.
func (e Errno) Error() string {
	if s, ok := errnoTexts[e]; ok {
		return s
	}
	return fmt.Sprintf("Unknown error: %d", int(e))
}

// An Error is why a request was refused: the number, which of its clauses failed (from 0), and, where the number alone does
// not say enough, a sentence. Without a sentence commands print the number's text as a BSD would, else the whole, as logs do.
type Error struct {
	Errno  Errno
	Clause int
	Msg    string
}

func (e *Error) Error() string {
	if e.Msg == "" {
		return e.Errno.Error()
	}
	return e.Msg + ": " + e.Errno.Error()
}

// Unwrap lets errors.Is find the number.
func (e *Error) Unwrap() error { return e.Errno }
