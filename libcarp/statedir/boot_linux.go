package statedir

import (
	"os"
	"strings"
)

// bootID tells one boot from another; "" where /proc is missing.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
