//go:build linux

package linux

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"carp/libcarp/config"
	"carp/libcarp/host"
	"carp/libcarp/wire"
)

const (
	ethernetHeader = 14
	notWhole       = 0x3fff // more fragments, or a fragment offset
)

// drop is a jump to the end of a filter, where nothing is taken; take to where the frame is.
const (
	drop = 0xff
	take = 0xfe
)

// isAdvert is passed by packets of protocol 112 over IPv4, whole, or over IPv6 without extension headers, to us or to a group, and not of a VLAN. Peers
// share our MAC and, on carpdevs without an address, our source address: only the kernel's mark tells our own frames. Claims pass too.
var isAdvert = []bpf.Instruction{
	bpf.LoadExtension{Num: bpf.ExtType},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PACKET_OUTGOING, SkipTrue: drop},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PACKET_OTHERHOST, SkipTrue: drop},
	bpf.LoadExtension{Num: bpf.ExtVLANTag},
	bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0x0fff}, // VLAN 0 is a priority alone
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipFalse: drop},
	bpf.LoadAbsolute{Off: 12, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_ARP, SkipFalse: 4},
	bpf.LoadAbsolute{Off: ethernetHeader + arpSenderIP, Size: 4},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipFalse: drop},
	bpf.LoadAbsolute{Off: ethernetHeader + arpTargetMAC, Size: 4},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: macPrefix, SkipTrue: take, SkipFalse: drop},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IPV6, SkipTrue: 5},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IP, SkipFalse: drop},
	bpf.LoadAbsolute{Off: 23, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: wire.Protocol, SkipFalse: drop},
	bpf.LoadAbsolute{Off: 20, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: notWhole, SkipTrue: drop, SkipFalse: 2},
	bpf.LoadAbsolute{Off: 20, Size: 1}, // the next header of IPv6
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: wire.Protocol, SkipFalse: drop},
}

// isFrom is passed by frames with the Ethernet source mac.
func isFrom(mac config.MAC) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 6, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(mac[:]), SkipFalse: drop},
		bpf.LoadAbsolute{Off: 10, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(binary.BigEndian.Uint16(mac[4:])), SkipFalse: drop},
	}
}

// filter takes the frames that pass every test.
func filter(tests ...[]bpf.Instruction) []bpf.Instruction {
	program := append(slices.Concat(tests...), bpf.RetConstant{Val: 2048}, bpf.RetConstant{Val: 0})
	for n, i := range program {
		if j, ok := i.(bpf.JumpIf); ok {
			end := uint8(len(program) - 2 - n)
			switch j.SkipTrue {
			case drop:
				j.SkipTrue = end
			case take:
				j.SkipTrue = end - 1
			}
			if j.SkipFalse == drop {
				j.SkipFalse = end
			}
			program[n] = j
		}
	}
	return program
}

// parseFrame reads an Ethernet frame with an advert or a claim. The payload, a part of the frame, ends where the IP header says.
func parseFrame(frame []byte) (p host.Packet, ok bool) {
	if len(frame) < ethernetHeader {
		return p, false
	}
	ip := frame[ethernetHeader:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case unix.ETH_P_IP:
		return parseIPv4(ip)
	case unix.ETH_P_IPV6:
		return parseIPv6(ip)
	case unix.ETH_P_ARP:
		return parseClaim(ip)
	}
	return p, false
}

func parseIPv4(ip []byte) (p host.Packet, ok bool) {
	if len(ip) < wire.IPv4Header {
		return p, false
	}
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

// parseIPv6 takes no extension headers: no system sends adverts with any.
func parseIPv6(ip []byte) (p host.Packet, ok bool) {
	if len(ip) < wire.IPv6Header {
		return p, false
	}
	total := wire.IPv6Header + int(binary.BigEndian.Uint16(ip[4:]))
	if ip[0]>>4 != 6 || len(ip) < total || ip[6] != wire.Protocol {
		return p, false
	}
	p.TTL = int(ip[7])
	p.Src, p.Dst = netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40]))
	p.Payload = ip[wire.IPv6Header:total]
	return p, true
}

// frameOf puts an Ethernet header before an IP packet.
func frameOf(to, from config.MAC, packet []byte) []byte {
	kind := uint16(unix.ETH_P_IP)
	if packet[0]>>4 == 6 {
		kind = unix.ETH_P_IPV6
	}
	frame := make([]byte, 0, ethernetHeader+len(packet))
	frame = append(append(frame, to[:]...), from[:]...)
	return append(binary.BigEndian.AppendUint16(frame, kind), packet...)
}

// multicastMAC maps a group to its Ethernet address (RFC 1112, section 6.4; RFC 2464, section 7).
func multicastMAC(group netip.Addr) config.MAC {
	if group.Is4() {
		g := group.As4()
		return config.MAC{1, 0, 0x5e, g[1] & 0x7f, g[2], g[3]}
	}
	g := group.As16()
	return config.MAC{0x33, 0x33, g[12], g[13], g[14], g[15]}
}
