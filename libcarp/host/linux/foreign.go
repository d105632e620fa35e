//go:build linux

package linux

import (
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"carp/libcarp/host"
	"carp/libcarp/wire"
)

// Where a socket filter finds what it needs of a frame (linux/bpf.h: struct __sk_buff).
const (
	skbLen     = 0
	skbPktType = 4
	skbVLANTCI = 24
)

// A stranger is the filter of a port where the kernel has eBPF: on a network with hundreds of virtual hosts that are not ours it drops their adverts
// and counts them, so that nobody wakes for them. All else is as with [isAdvert], and whatever is not a whole and flawless advert of another
// vhid reaches us, to be judged in OpenBSD's order.
type stranger struct {
	ours    *ebpf.Map // vhid → 1
	counts  *ebpf.Map // 0: over IPv4, 1: over IPv6
	program *ebpf.Program
	seen    [2]uint64 // told already
	set     [256]bool // as ours has it
}

func newStranger() (*stranger, error) {
	var err error
	s := new(stranger)
	array := func(value, entries uint32) *ebpf.Map {
		if err != nil {
			return nil
		}
		var m *ebpf.Map
		m, err = ebpf.NewMap(&ebpf.MapSpec{Name: "carp_vhids", Type: ebpf.Array, KeySize: 4, ValueSize: value, MaxEntries: entries})
		return m
	}
	s.ours, s.counts = array(4, 256), array(8, 2)
	if err == nil {
		s.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{
			Name: "carp_foreign", Type: ebpf.SocketFilter, License: "ISC", Instructions: s.instructions(),
		})
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("failed to load the filter for foreign vhids: %w", err)
	}
	return s, nil
}

func (s *stranger) close() {
	s.ours.Close() // of nil: nothing
	s.counts.Close()
	s.program.Close()
}

// instructions are the program. LoadAbs counts from the Ethernet header, ends the program with 0 where the frame is too short, and keeps only
// registers from R6 on; R6 has to be the context. Claims are taken.
func (s *stranger) instructions() asm.Instructions {
	ins := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R0, asm.R6, skbPktType, asm.Word),
		asm.JEq.Imm(asm.R0, unix.PACKET_OUTGOING, "drop"),
		asm.JEq.Imm(asm.R0, unix.PACKET_OTHERHOST, "drop"),
		asm.LoadMem(asm.R0, asm.R6, skbVLANTCI, asm.Word),
		asm.And.Imm(asm.R0, 0x0fff), // VLAN 0 is a priority alone
		asm.JNE.Imm(asm.R0, 0, "drop"),
		asm.LoadMem(asm.R8, asm.R6, skbLen, asm.Word),
		asm.LoadAbs(12, asm.Half),
		asm.JEq.Imm(asm.R0, unix.ETH_P_ARP, "claim"),
		asm.JEq.Imm(asm.R0, unix.ETH_P_IPV6, "ipv6"),
		asm.JNE.Imm(asm.R0, unix.ETH_P_IP, "drop"),

		asm.LoadAbs(23, asm.Byte),
		asm.JNE.Imm(asm.R0, wire.Protocol, "drop"),
		asm.LoadAbs(20, asm.Half),
		asm.And.Imm(asm.R0, notWhole),
		asm.JNE.Imm(asm.R0, 0, "drop"),
		asm.JLT.Imm(asm.R8, ethernetHeader+wire.IPv4Header+wire.Size, "take"),
		asm.LoadAbs(14, asm.Byte),
		asm.JNE.Imm(asm.R0, 0x45, "take"), // options
		asm.LoadAbs(16, asm.Half),
		asm.JNE.Imm(asm.R0, wire.IPv4Header+wire.Size, "take"),
		asm.LoadAbs(22, asm.Byte),
		asm.JNE.Imm(asm.R0, wire.TTL, "take"),
	}
	ins = append(ins, s.advert(ethernetHeader+wire.IPv4Header, 0)...)
	ins = append(ins,
		asm.LoadAbs(20, asm.Byte).WithSymbol("ipv6"),
		asm.JNE.Imm(asm.R0, wire.Protocol, "drop"),
		asm.JLT.Imm(asm.R8, ethernetHeader+wire.IPv6Header+wire.Size, "take"),
		asm.LoadAbs(18, asm.Half),
		asm.JNE.Imm(asm.R0, wire.Size, "take"),
		asm.LoadAbs(21, asm.Byte),
		asm.JNE.Imm(asm.R0, wire.TTL, "take"),
	)
	ins = append(ins, s.advert(ethernetHeader+wire.IPv6Header, 1)...)
	return append(ins,
		asm.LoadAbs(ethernetHeader+arpSenderIP, asm.Word).WithSymbol("claim"),
		asm.JNE.Imm(asm.R0, 0, "drop"),
		asm.LoadAbs(ethernetHeader+arpTargetMAC, asm.Word),
		asm.JNE.Imm(asm.R0, macPrefix, "drop"),
		asm.Mov.Imm(asm.R0, 2048).WithSymbol("take"),
		asm.Return(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("drop"),
		asm.Return(),
	)
}

// advert judges the 36 bytes at an offset, all of which are there: what has CARP's marks and the right checksum, and another vhid, is counted and dropped.
func (s *stranger) advert(at int32, family int64) asm.Instructions {
	ins := asm.Instructions{
		asm.LoadAbs(at, asm.Byte),
		asm.JNE.Imm(asm.R0, wire.Version<<4|wire.Type, "take"),
		asm.LoadAbs(at+3, asm.Byte),
		asm.JNE.Imm(asm.R0, wire.Authlen, "take"), // VRRP's, maybe
		asm.Mov.Imm(asm.R7, 0),
	}
	for n := int32(0); n < wire.Size; n += 2 {
		ins = append(ins, asm.LoadAbs(at+n, asm.Half), asm.Add.Reg(asm.R7, asm.R0))
	}
	for range 2 {
		ins = append(ins,
			asm.Mov.Reg(asm.R0, asm.R7),
			asm.RSh.Imm(asm.R0, 16),
			asm.And.Imm(asm.R7, 0xffff),
			asm.Add.Reg(asm.R7, asm.R0),
		)
	}
	return append(ins,
		asm.JNE.Imm(asm.R7, 0xffff, "take"),
		asm.LoadAbs(at+1, asm.Byte),
		asm.StoreMem(asm.RFP, -4, asm.R0, asm.Word),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.LoadMapPtr(asm.R1, s.ours.FD()),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "take"),
		asm.LoadMem(asm.R0, asm.R0, 0, asm.Word),
		asm.JNE.Imm(asm.R0, 0, "take"),
		asm.StoreImm(asm.RFP, -4, family, asm.Word),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.LoadMapPtr(asm.R1, s.counts.FD()),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "take"),
		asm.Mov.Imm(asm.R1, 1),
		asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
		asm.Ja.Label("drop"),
	)
}

// know tells the filter which vhids are ours. One that cannot be told is an error: its adverts would be lost.
func (s *stranger) know(vhids map[uint8]bool) error {
	for n := range s.set {
		if own := vhids[uint8(n)]; own != s.set[n] {
			value := uint32(0)
			if own {
				value = 1
			}
			if err := s.ours.Put(uint32(n), value); err != nil {
				return fmt.Errorf("failed to tell the filter of vhid %d: %w", n, err)
			}
			s.set[n] = own
		}
	}
	return nil
}

// news returns how many adverts were dropped since it was asked last.
func (s *stranger) news() (f host.Foreign) {
	for n, sum := range []*uint64{&f.IPv4, &f.IPv6} {
		var total uint64
		if s.counts.Lookup(uint32(n), &total) == nil {
			*sum, s.seen[n] = total-s.seen[n], total
		}
	}
	return f
}

// estrange lets the port drop adverts of foreign vhids. Where the kernel cannot, they reach us.
func (p *port) estrange(vhids map[uint8]bool) error {
	s, err := newStranger()
	if err == nil {
		err = s.know(vhids)
	}
	if err != nil {
		return err
	}
	if err := p.attach(s.program); err != nil {
		s.close()
		return fmt.Errorf("failed to attach the filter for foreign vhids: %w", err)
	}
	p.stranger = s
	return nil
}

// introduce tells the filters of a carpdev's port which vhids and addresses are ours there now.
func (h *Host) introduce(carpdev int) error {
	h.mu.RLock()
	p := h.ports[carpdev]
	h.mu.RUnlock()
	if p == nil {
		return nil
	}
	vhids, addrs := map[uint8]bool{}, map[netip.Addr]bool{}
	for _, m := range h.made {
		if m.carp.Carpdev == carpdev {
			for _, v := range m.carp.VHIDs {
				vhids[v] = true
			}
			for _, a := range m.carp.Addrs {
				addrs[a.Addr()] = true
			}
		}
	}
	if !p.deaf {
		if err := h.defend(p, addrs); err != nil {
			p.deaf = true
			h.logf("linux: %v", err)
		}
	}
	if p.stranger != nil {
		return p.stranger.know(vhids)
	}
	if !p.estranged {
		p.estranged = true
		if err := p.estrange(vhids); err != nil {
			h.logf("linux: %v", err)
		}
	}
	return nil
}

// Foreign returns how many adverts of other vhids the kernel has dropped since it was asked last.
func (h *Host) Foreign() (sum host.Foreign) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, p := range h.ports {
		if p.stranger != nil {
			f := p.stranger.news()
			sum.IPv4 += f.IPv4
			sum.IPv6 += f.IPv6
		}
	}
	return sum
}
