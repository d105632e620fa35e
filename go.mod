module carp

go 1.22

require (
	github.com/cilium/ebpf v0.17.3
	github.com/google/gopacket v1.1.19
	github.com/mdlayher/packet v1.1.2
	github.com/vishvananda/netlink v1.3.1
	golang.org/x/net v0.35.0
	golang.org/x/sys v0.30.0
)

require (
	github.com/josharian/native v1.1.0 // indirect
	github.com/mdlayher/socket v0.4.1 // indirect
	github.com/vishvananda/netns v0.0.5 // indirect
	golang.org/x/sync v0.1.0 // indirect
)
