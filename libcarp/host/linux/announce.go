//go:build linux

package linux

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"carp/libcarp/config"
	"carp/libcarp/host"
)

// Announce sends a gratuitous ARP for each IPv4 address, and an unsolicited neighbour advertisement for each IPv6 address.
func (h *Host) Announce(c host.Carp, addrs []netip.Addr) error {
	h.mu.RLock()
	p := h.ports[c.Carpdev]
	h.mu.RUnlock()
	if p == nil {
		return syscall.ENXIO
	}
	if m := h.made[c.Name]; m.carp.Own { // the link-local address has another MAC now, too
		for _, p := range linkAddrs(m.carp)[len(m.carp.Addrs):] {
			if slices.ContainsFunc(addrs, netip.Addr.Is6) {
				addrs = append(slices.Clone(addrs), p.Addr())
			}
		}
	}
	router := h.forwards(c.Carpdev)
	var errs []error
	for _, a := range addrs {
		var frame []byte
		var err error
		if a.Is4() {
			frame, err = gratuitousARP(c.MAC, a)
		} else {
			frame, err = neighbourAdvert(c.MAC, a, router)
		}
		if err == nil {
			err = p.send(frame)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// forwards reports whether the host is an IPv6 router on the carpdev.
func (h *Host) forwards(carpdev int) bool {
	link, err := h.netlink.LinkByIndex(carpdev) // its name may have changed
	if err != nil {
		return false
	}
	value, err := os.ReadFile(conf("ipv6", link.Attrs().Name, "forwarding"))
	return err == nil && strings.TrimSpace(string(value)) != "0"
}

// gratuitousARP is a broadcast request whose sender and target are the address (spec E.6; if_ether.c: arprequest).
func gratuitousARP(mac config.MAC, addr netip.Addr) ([]byte, error) {
	buf := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{},
		&layers.Ethernet{SrcMAC: mac[:], DstMAC: layers.EthernetBroadcast, EthernetType: layers.EthernetTypeARP},
		&layers.ARP{
			AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: layers.ARPRequest,
			SourceHwAddress: mac[:], SourceProtAddress: addr.AsSlice(), DstHwAddress: make([]byte, 6), DstProtAddress: addr.AsSlice(),
		})
	return buf.Bytes(), err
}

// neighbourAdvert is an unsolicited neighbour advertisement that replaces what others know of the address (spec E.6; RFC 4861, section 7.2.6).
func neighbourAdvert(mac config.MAC, addr netip.Addr, router bool) ([]byte, error) {
	allNodes := netip.IPv6LinkLocalAllNodes()
	to := multicastMAC(allNodes)
	ip := &layers.IPv6{
		Version: 6, NextHeader: layers.IPProtocolICMPv6, HopLimit: 255, SrcIP: addr.AsSlice(), DstIP: allNodes.AsSlice(),
	}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeNeighborAdvertisement, 0)}
	if err := icmp.SetNetworkLayerForChecksum(ip); err != nil {
		return nil, err
	}
	const isRouter, override = 0x80, 0x20
	flags := uint8(override)
	if router {
		flags |= isRouter
	}
	buf := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: mac[:], DstMAC: to[:], EthernetType: layers.EthernetTypeIPv6}, ip, icmp,
		&layers.ICMPv6NeighborAdvertisement{
			Flags: flags, TargetAddress: addr.AsSlice(),
			Options: layers.ICMPv6Options{{Type: layers.ICMPv6OptTargetAddress, Data: mac[:]}},
		})
	return buf.Bytes(), err
}
