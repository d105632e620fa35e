package statedir

import (
	"encoding/hex"

	"golang.org/x/sys/unix"
)

// bootID tells one boot from another: the 16 random bytes of kern.boot_id, "" on a FreeBSD that does not have it.
func bootID() string {
	id, err := unix.SysctlRaw("kern.boot_id")
	if err != nil {
		return ""
	}
	return hex.EncodeToString(id)
}
