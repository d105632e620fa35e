//go:build !linux

package statedir

// networkID is empty: this system has no network namespaces that share files. (A FreeBSD jail with a vnet has its own /var/run.)
func networkID() string { return "" }
