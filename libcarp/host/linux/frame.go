//go:build linux

package linux

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"carp/libcarp/host"
	"carp/libcarp/wire"
)

const (
	ethernetHeader = 14
	notWhole       = 0x3fff // more fragments, or a fragment offset
)

// adverts is the filter of a port: IPv4 packets of protocol 112, whole, to us or to a group, and not of a VLAN. Peers share our MAC and, on carpdevs without
// an address, our source address: only the kernel's mark tells our own frames.
var adverts = []bpf.Instruction{
	bpf.LoadExtension{Num: bpf.ExtType},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PACKET_OUTGOING, SkipTrue: 11},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PACKET_OTHERHOST, SkipTrue: 10},
	bpf.LoadExtension{Num: bpf.ExtVLANTag},
	bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0x0fff}, // VLAN 0 is a priority alone
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipFalse: 7},
	bpf.LoadAbsolute{Off: 12, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IP, SkipFalse: 5},
	bpf.LoadAbsolute{Off: 23, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: wire.Protocol, SkipFalse: 3},
	bpf.LoadAbsolute{Off: 20, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: notWhole, SkipTrue: 1},
	bpf.RetConstant{Val: 2048},
	bpf.RetConstant{Val: 0},
}

// parseFrame reads an Ethernet frame with an advert over IPv4. The payload, a part of the frame, ends where the IP header says.
func parseFrame(frame []byte) (p host.Packet, ok bool) {
	if len(frame) < ethernetHeader+wire.IPv4Header || binary.BigEndian.Uint16(frame[12:]) != unix.ETH_P_IP {
		return p, false
	}
	ip := frame[ethernetHeader:]
	header, total := int(ip[0]&15)*4, int(binary.BigEndian.Uint16(ip[2:]))
	if ip[0]>>4 != 4 || header < wire.IPv4Header || total < header || len(ip) < total ||
		ip[9] != wire.Protocol || binary.BigEndian.Uint16(ip[6:])&notWhole != 0 {
		return p, false
	}
	p.TTL = int(ip[8])
	p.Src, p.Dst = netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20]))
	p.Payload = ip[header:total]
	return p, true
}
