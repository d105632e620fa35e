//go:build linux

package linux

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"carp/libcarp/config"
	"carp/libcarp/host"
)

// A claim is an ARP probe (RFC 5227, section 1.1) for a shared address with the virtual MAC where a probe has zeros: nobody else looks there, nobody learns
// from a probe, and it comes from the carpdev's own MAC, so that it passes where the adverts do not. Where there is no IPv4 address it asks for 0.0.0.0.
const (
	arpSize      = 28
	arpOp        = 6
	arpSenderMAC = 8
	arpSenderIP  = 14
	arpTargetMAC = 18
	arpTargetIP  = 24
	arpRequest   = 1
	arpReply     = 2
	macPrefix    = 0x00005e00 // of every virtual MAC
)

// Claim sends a claim from the carpdev's own MAC.
func (h *Host) Claim(carpdev int, vhid uint8, addr netip.Addr) error {
	h.mu.RLock()
	p := h.ports[carpdev]
	h.mu.RUnlock()
	link, err := h.netlink.LinkByIndex(carpdev) // its MAC may have changed
	if err != nil {
		return err
	}
	var own config.MAC
	if copy(own[:], link.Attrs().HardwareAddr) != len(own) || p == nil {
		return syscall.ENXIO
	}
	return p.send(claim(own, vhid, addr))
}

// claim makes the frame.
func claim(own config.MAC, vhid uint8, addr netip.Addr) []byte {
	virtual := config.VirtualMAC(vhid)
	f := append(bytes.Repeat([]byte{0xff}, 6), own[:]...)
	f = binary.BigEndian.AppendUint16(f, unix.ETH_P_ARP)
	f = append(f, 0, 1, 8, 0, 6, 4, 0, arpRequest)
	f = append(append(f, own[:]...), 0, 0, 0, 0)
	f = append(f, virtual[:]...)
	if addr.Is4() {
		return append(f, addr.AsSlice()...)
	}
	return append(f, 0, 0, 0, 0)
}

// parseClaim reads what follows the Ethernet header of a claim.
func parseClaim(arp []byte) (p host.Packet, ok bool) {
	if len(arp) < arpSize || binary.BigEndian.Uint16(arp[arpOp:]) != arpRequest {
		return p, false
	}
	p.Claim = host.Claim{VHID: arp[arpTargetMAC+5], From: config.MAC(arp[arpSenderMAC:arpSenderIP])}
	mac := config.VirtualMAC(p.Claim.VHID)
	return p, p.Claim.VHID != 0 && bytes.Equal(arp[arpTargetMAC:arpTargetIP], mac[:]) && binary.BigEndian.Uint32(arp[arpSenderIP:]) == 0
}
