//go:build linux

package linux

import (
	"errors"
	"net/netip"
	"syscall"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"carp/libcarp/config"
	"carp/libcarp/host"
)

// Announce sends a gratuitous ARP for each IPv4 address.
func (h *Host) Announce(c host.Carp, addrs []netip.Addr) error {
	h.mu.RLock()
	p := h.ports[c.Carpdev]
	h.mu.RUnlock()
	if p == nil {
		return syscall.ENXIO
	}
	var errs []error
	for _, a := range addrs {
		if !a.Is4() {
			continue
		}
		frame, err := gratuitousARP(c.MAC, a)
		if err == nil {
			err = p.send(frame)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
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
