package statedir

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// networkID names the network namespace of this process: device and inode, which name it for as long as it lives. It is empty
// where /proc is missing.
func networkID() string {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &st); err != nil {
		return ""
	}
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}
