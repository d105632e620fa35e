//go:build !linux && !freebsd

package statedir

// bootID is empty: the only thing that OpenBSD and NetBSD tell of a boot is kern.boottime, which moves whenever the clock is
// set, and to discard a running machine's configuration for that would be worse than to keep a dead one's. Their /etc/rc
// empties /var/run at boot.
func bootID() string { return "" }
