//go:build linux

package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"carp/libcarp/config"
	"carp/libcarp/host"
)

// Where an ARP packet and a neighbour advertisement (RFC 4861, section 4.4) have what counts.
const (
	arpKind    = 1<<16 | 0x0800 // Ethernet's for IPv4
	arpHead    = 6<<24 | 4<<16  // lengths of addresses; the operation follows
	naAt       = ethernetHeader + 40
	naKind     = 136 << 8
	naFlags    = naAt + 4
	naOverride = 0x20
	naTarget   = naAt + 8
	naOption   = naAt + 24
	naOptionIs = 2<<8 | 1 // the target's link-level address, 8 bytes long
	naMAC      = naOption + 2
	naSize     = naOption + 8
)

// strangerEvery is how often the kernel lets a claim of one address through: the engine needs no more to know that it goes on.
const strangerEvery = 500 * time.Millisecond

// duplicatesMax is how many addresses of one carpdev are watched.
const duplicatesMax = 1 << 14

// duplicates listens on a carpdev for others who tell everybody that a shared address is theirs: ARP packets and neighbour advertisements to all. It has
// sockets of its own, so that a flood takes no room from adverts, and a filter that lets nothing else through. Frames that only this host gets
// mislead nobody; those from our own virtual MAC macvlan keeps to itself.
type duplicates struct {
	addrs   *ebpf.Map // address → when it was let through last
	program *ebpf.Program
	ears    [2]*listener // for ARP and IPv6, each while there is such an address
	set     map[netip.Addr]bool
}

func newDuplicates() (*duplicates, error) {
	d := &duplicates{set: map[netip.Addr]bool{}}
	var err error
	d.addrs, err = ebpf.NewMap(&ebpf.MapSpec{
		Name: "carp_shared", Type: ebpf.Hash, KeySize: 16, ValueSize: 8, MaxEntries: duplicatesMax, Flags: unix.BPF_F_NO_PREALLOC,
	})
	if err == nil {
		d.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{
			Name: "carp_duplicates", Type: ebpf.SocketFilter, License: "ISC", Instructions: d.instructions(),
		})
	}
	if err != nil {
		d.close()
		return nil, fmt.Errorf("failed to load the filter for duplicate addresses: %w", err)
	}
	return d, nil
}

func (d *duplicates) close() {
	for n := range d.ears {
		d.ignore(n)
	}
	d.addrs.Close() // of nil: nothing
	d.program.Close()
}

func (d *duplicates) ignore(n int) {
	if d.ears[n] != nil {
		d.ears[n].close()
		d.ears[n] = nil
	}
}

// instructions are the program; see [stranger.instructions] for what is peculiar to LoadAbs. Virtual MACs, of which there is always one about, are left
// out before anything is counted.
func (d *duplicates) instructions() asm.Instructions {
	const key = -16
	load := func(at, size int32) asm.Instructions { // to the end of the key
		return asm.Instructions{
			asm.Mov.Reg(asm.R1, asm.R6),
			asm.Mov.Imm(asm.R2, at),
			asm.Mov.Reg(asm.R3, asm.RFP),
			asm.Add.Imm(asm.R3, -size),
			asm.Mov.Imm(asm.R4, size),
			asm.FnSkbLoadBytes.Call(),
			asm.JNE.Imm(asm.R0, 0, "drop"),
		}
	}
	mac := func(at int32) asm.Instructions { // virtual ones have 00:00:5e:00:01, or 01 first
		return asm.Instructions{
			asm.LoadAbs(at+4, asm.Byte),
			asm.Mov.Reg(asm.R7, asm.R0),
			asm.LoadAbs(at, asm.Word),
			asm.And.Imm(asm.R0, ^int32(1<<24)),
			asm.LSh.Imm(asm.R0, 8),
			asm.Or.Reg(asm.R7, asm.R0),
			asm.LoadImm(asm.R0, macPrefix<<8|1, asm.DWord),
			asm.JEq.Reg(asm.R7, asm.R0, "drop"),
		}
	}
	ins := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R0, asm.R6, skbPktType, asm.Word),
		asm.JEq.Imm(asm.R0, unix.PACKET_BROADCAST, "all"),
		asm.JNE.Imm(asm.R0, unix.PACKET_MULTICAST, "drop"),
		asm.LoadMem(asm.R0, asm.R6, skbVLANTCI, asm.Word).WithSymbol("all"),
		asm.And.Imm(asm.R0, 0x0fff), // VLAN 0 is a priority alone
		asm.JNE.Imm(asm.R0, 0, "drop"),
		asm.LoadAbs(12, asm.Half),
		asm.JEq.Imm(asm.R0, unix.ETH_P_IPV6, "ipv6"),
		asm.JNE.Imm(asm.R0, unix.ETH_P_ARP, "drop"),

		asm.LoadAbs(ethernetHeader, asm.Word),
		asm.JNE.Imm(asm.R0, arpKind, "drop"),
		asm.LoadAbs(ethernetHeader+4, asm.Word),
		asm.JEq.Imm(asm.R0, arpHead|arpRequest, "arp"),
		asm.JNE.Imm(asm.R0, arpHead|arpReply, "drop"),
		asm.StoreImm(asm.RFP, key, 0, asm.DWord).WithSymbol("arp"),
		asm.StoreImm(asm.RFP, key+8, 0, asm.Half),
		asm.StoreImm(asm.RFP, key+10, -1, asm.Half), // ::ffff:a.b.c.d
	}
	ins = append(ins, load(ethernetHeader+arpSenderIP, 4)...)
	ins = append(ins, mac(ethernetHeader+arpSenderMAC)...)
	ins = append(ins,
		asm.Ja.Label("lookup"),

		asm.LoadAbs(20, asm.Byte).WithSymbol("ipv6"),
		asm.JNE.Imm(asm.R0, unix.IPPROTO_ICMPV6, "drop"),
		asm.LoadAbs(naAt, asm.Half),
		asm.JNE.Imm(asm.R0, naKind, "drop"),
		asm.LoadAbs(21, asm.Byte),
		asm.JNE.Imm(asm.R0, 255, "drop"),
		asm.LoadAbs(naFlags, asm.Byte),
		asm.And.Imm(asm.R0, naOverride), // without it nobody gives up what he knows
		asm.JEq.Imm(asm.R0, 0, "drop"),
		asm.LoadAbs(naOption, asm.Half),
		asm.JNE.Imm(asm.R0, naOptionIs, "drop"),
	)
	ins = append(ins, load(naTarget, 16)...)
	ins = append(ins, mac(naMAC)...)
	return append(ins,
		asm.LoadMapPtr(asm.R1, d.addrs.FD()).WithSymbol("lookup"),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, key),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "drop"),
		asm.Mov.Reg(asm.R7, asm.R0),
		asm.FnKtimeGetBootNs.Call(),
		asm.LoadMem(asm.R1, asm.R7, 0, asm.DWord), // until when to be silent
		asm.JLT.Reg(asm.R0, asm.R1, "drop"),
		asm.Add.Imm(asm.R0, int32(strangerEvery)),
		asm.StoreMem(asm.R7, 0, asm.R0, asm.DWord),
		asm.Mov.Imm(asm.R0, naSize),
		asm.Return(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("drop"),
		asm.Return(),
	)
}

// parseDuplicate reads a frame that has passed the filter.
func parseDuplicate(frame []byte) (p host.Packet, ok bool) {
	if len(frame) < ethernetHeader+arpSize {
		return p, false
	}
	switch d := &p.Duplicate; binary.BigEndian.Uint16(frame[12:]) {
	case unix.ETH_P_ARP:
		arp := frame[ethernetHeader:]
		d.Addr, d.MAC = netip.AddrFrom4([4]byte(arp[arpSenderIP:])), config.MAC(arp[arpSenderMAC:arpSenderIP])
	case unix.ETH_P_IPV6:
		if len(frame) < naSize {
			return p, false
		}
		d.Addr, d.MAC = netip.AddrFrom16([16]byte(frame[naTarget:])), config.MAC(frame[naMAC:naMAC+6])
	default:
		return p, false
	}
	return p, true
}

// watch makes these the addresses that are looked for.
func (d *duplicates) watch(addrs map[netip.Addr]bool) error {
	for a := range d.set {
		if !addrs[a] {
			if err := d.addrs.Delete(a.As16()); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
				return err
			}
			delete(d.set, a)
		}
	}
	for a := range addrs {
		if !d.set[a] {
			if err := d.addrs.Put(a.As16(), uint64(0)); err != nil {
				return err
			}
			d.set[a] = true
		}
	}
	return nil
}

// nothing is passed by no frame: what comes in before the real filter is there.
var nothing = []bpf.Instruction{bpf.RetConstant{Val: 0}}

// defend lets the port tell of duplicates of the shared addresses that carps have on the carpdev now. What it cannot tell is no fault of the carps.
func (h *Host) defend(p *port, addrs map[netip.Addr]bool) error {
	if p.duplicates == nil {
		d, err := newDuplicates()
		if err != nil {
			return err
		}
		p.duplicates = d
	}
	d := p.duplicates
	if err := d.watch(addrs); err != nil {
		return fmt.Errorf("failed to tell the filter of shared addresses: %w", err)
	}
	var wanted [2]bool
	for a := range addrs {
		if a.Is4() {
			wanted[0] = true
		} else {
			wanted[1] = true
		}
	}
	for n, protocol := range []int{unix.ETH_P_ARP, unix.ETH_P_IPV6} {
		switch {
		case !wanted[n]:
			d.ignore(n)
		case d.ears[n] == nil:
			ear, err := listen(&net.Interface{Index: p.index}, protocol, nothing, p.carpdev, parseDuplicate, func(pkt host.Packet) {
				p.drain() // a peer that takes over sends an advert first, and that has to be heard first
				h.deliver(pkt)
			}, &h.work)
			if err != nil {
				return err
			}
			if err := ear.attach(d.program); err != nil {
				ear.close()
				return fmt.Errorf("failed to attach the filter for duplicate addresses: %w", err)
			}
			d.ears[n] = ear
		}
	}
	return nil
}
