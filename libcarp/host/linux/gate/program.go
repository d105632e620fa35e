//go:build linux

package gate

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"carp/libcarp/wire"
)

// What a program answers (linux/pkt_cls.h).
const (
	actUnspec = -1 // on to the next filter
	actShot   = 2
)

// Where a program finds what it needs in its context (linux/bpf.h: struct __sk_buff).
const (
	skbLen         = 0
	skbProtocol    = 16
	skbVLANPresent = 20
	skbVLANTCI     = 24
	skbIfindex     = 40
)

// Where it finds addresses, from the network header on.
const (
	ipv4Protocol, ipv4Src, ipv4Dst   = 9, 12, 16
	ipv6Next, ipv6Src, ipv6Dst       = 6, 8, 24
	icmpv6Type, ndTarget             = 40, 48 // without extension headers
	arpLengths, arpSender, arpTarget = 4, 14, 24
	neighbourSolicitation            = 135
	ethernetHeader                   = 14
	tagsMax                          = 3  // with id 0 within a frame: the kernel takes off any number, nobody means more
	gather                           = 96 // enough for an Ethernet header, tags and what is looked at behind them
)

// What a program counts from (linux/bpf.h: enum bpf_hdr_start_off).
const (
	fromMAC     = 0
	fromNetwork = 1
)

// The stack below the frame pointer: the key of addrs (4 bytes of domain, 16 of address) and that of slots.
const (
	keyAt     = -24
	addrAt    = keyAt + 4
	lastAt    = addrAt + 12 // where an IPv4 address stands
	endAt     = addrAt + 14 // its last 16 bits, and those of an IPv6 address
	slotAt    = -4
	keySize   = 20
	slotSize  = 4
	leaseSize = 8
	hintsSize = 1 << 16
)

// What the registers hold from one block to the next.
const (
	ctx      = asm.R6
	protocol = asm.R7 // of the frame, as on the wire
	offset   = asm.R8 // of the packet in a frame with priority tags; 0: there are none, see read
	until    = asm.R9 // when the lease ends
)

// onWire returns a 16-bit number of the wire as a load on this machine sees it.
func onWire(n uint16) int32 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], n)
	return int32(binary.NativeEndian.Uint16(b[:]))
}

// A programs gives out the programs of one gate's maps; those of interfaces other than carps are loaded once.
type programs struct {
	maps   maps
	others map[other]*ebpf.Program
}

// An other is what the programs of interfaces other than carps differ in.
type other struct {
	egress bool
	vrf    int // the interface's VRF, 0: none
}

func (p *programs) close() {
	for _, prog := range p.others {
		prog.Close()
	}
}

// other returns the program for one direction of an interface that is no carp. It is not the caller's to close.
func (p *programs) other(o other) (*ebpf.Program, error) {
	if prog := p.others[o]; prog != nil {
		return prog, nil
	}
	name := "carp_in"
	if o.egress {
		name = "carp_out"
	}
	prog, err := load(name, p.otherCode(o))
	if err == nil {
		p.others[o] = prog
	}
	return prog, err
}

// forget lets the next one be a program of its own.
func (p *programs) forget(o other) {
	if prog := p.others[o]; prog != nil {
		prog.Close() // where it is attached it stays
		delete(p.others, o)
	}
}

// carp returns the program for one direction of a carp's link, which the caller closes.
func (p *programs) carp(egress bool, slot int) (*ebpf.Program, error) {
	name := "carp_link_in"
	if egress {
		name = "carp_link_out"
	}
	return load(name, p.carpCode(egress, slot))
}

func load(name string, code asm.Instructions) (*ebpf.Program, error) {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: name, Type: ebpf.SchedCLS, Instructions: code, License: "ISC"})
	if err != nil {
		return nil, fmt.Errorf("failed to load program %s: %w", name, plain(err))
	}
	return prog, nil
}

// carpCode: everything waits for the lease, except adverts on their way out.
func (p *programs) carpCode(egress bool, slot int) asm.Instructions {
	code := asm.Instructions{
		asm.Mov.Reg(ctx, asm.R1),
		asm.StoreImm(asm.RFP, slotAt, int64(slot), asm.Word),
	}
	code = append(code, p.lease()...)
	if egress {
		code = append(code,
			asm.LoadMem(protocol, ctx, skbProtocol, asm.Word).WithSymbol("stale"),
			asm.Mov.Imm(offset, 0),
		)
		code = append(code, adverts()...)
	}
	return append(code, ends(!egress)...)
}

// otherCode: the packet's address, on its way in the destination, on its way out the source, leads to the lease.
func (p *programs) otherCode(o other) asm.Instructions {
	code := asm.Instructions{asm.Mov.Reg(ctx, asm.R1)}
	code = append(code, parser{o, "", "short", p.maps.hints.FD()}.parse()...)
	// Headers that a card has left in fragments are gathered, once: what is short even then is no packet. There is no loop, since without CAP_PERFMON the
	// kernel follows also the branches that cannot be taken.
	code = append(code,
		asm.Mov.Reg(asm.R1, ctx).WithSymbol("short"),
		asm.LoadMem(asm.R2, ctx, skbLen, asm.Word),
		asm.JLE.Imm(asm.R2, gather, "pull"),
		asm.Mov.Imm(asm.R2, gather),
		asm.FnSkbPullData.Call().WithSymbol("pull"),
		asm.JNE.Imm(asm.R0, 0, "drop"), // no memory
	)
	code = append(code, parser{o, " again", "pass", p.maps.hints.FD()}.parse()...)
	code = append(code,
		asm.LoadMapPtr(asm.R1, p.maps.addrs.FD()).WithSymbol("lookup"),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, keyAt),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "pass"),
		asm.LoadMem(asm.R1, asm.R0, 0, asm.Word),
		asm.StoreMem(asm.RFP, slotAt, asm.R1, asm.Word),
	)
	code = append(code, p.lease()...)
	if o.egress {
		code = append(code, at("stale", adverts())...)
	}
	return append(code, ends(!o.egress)...)
}

// A parser writes the code that finds a packet's address. A program has it twice, so that its symbols end in a suffix.
type parser struct {
	other
	suffix string
	short  string // where to go when the packet ends too early
	hints  int
}

func (p parser) symbol(parts ...any) string { return fmt.Sprint(parts...) + p.suffix }

// parse makes the key from the packet and jumps to "lookup", to "pass" where there is none or no such one in the map, or to short when the packet
// ends before.
func (p parser) parse() asm.Instructions {
	v4, v6, arp := int32(ipv4Dst), int32(ipv6Dst), int32(arpTarget)
	if p.egress {
		v4, v6, arp = ipv4Src, ipv6Src, arpSender
	}
	return slices.Concat(p.byProtocol(), p.fromARP(arp), p.fromIPv4(v4), p.fromIPv6(v6))
}

// byProtocol goes by the frame's protocol to "arp", "ipv4" or "ipv6", behind tags with id 0. Other VLANs and other protocols pass.
func (p parser) byProtocol() asm.Instructions {
	code := asm.Instructions{
		// A tag that the card or the kernel has taken out of the frame.
		asm.LoadMem(protocol, ctx, skbProtocol, asm.Word),
		asm.Mov.Imm(offset, 0),
		asm.LoadMem(asm.R2, ctx, skbVLANPresent, asm.Word),
		asm.JEq.Imm(asm.R2, 0, p.symbol("tags ", 0)),
		asm.LoadMem(asm.R2, ctx, skbVLANTCI, asm.Word),
		asm.And.Imm(asm.R2, 0x0fff),
		asm.JNE.Imm(asm.R2, 0, "pass"),
	}
	for n := range tagsMax + 1 {
		code = append(code,
			asm.JEq.Imm(protocol, onWire(unix.ETH_P_IP), p.symbol("ipv4")).WithSymbol(p.symbol("tags ", n)),
			asm.JEq.Imm(protocol, onWire(unix.ETH_P_IPV6), p.symbol("ipv6")),
			asm.JEq.Imm(protocol, onWire(unix.ETH_P_ARP), p.symbol("arp")),
			asm.JEq.Imm(protocol, onWire(unix.ETH_P_8021Q), p.symbol("tag ", n)),
			asm.JNE.Imm(protocol, onWire(unix.ETH_P_8021AD), "pass"),
		)
		if n < tagsMax {
			code = append(code, at(p.symbol("tag ", n), p.untag(n))...)
		}
	}
	return append(code, asm.Ja.Label("drop").WithSymbol(p.symbol("tag ", tagsMax)))
}

// untag steps over the n-th tag within the frame.
func (p parser) untag(n int) asm.Instructions {
	return slices.Concat(
		asm.Instructions{asm.Mov.Imm(offset, int32(ethernetHeader+4*n))},
		read(0, lastAt, 4, p.short),
		asm.Instructions{
			asm.LoadMem(asm.R2, asm.RFP, lastAt, asm.Half),
			asm.And.Imm(asm.R2, onWire(0x0fff)),
			asm.JNE.Imm(asm.R2, 0, "pass"),
			asm.LoadMem(protocol, asm.RFP, lastAt+2, asm.Half),
			asm.Add.Imm(offset, 4),
		},
	)
}

// fromARP counts ARP where its addresses are those of Ethernet and IPv4.
func (p parser) fromARP(from int32) asm.Instructions {
	return slices.Concat(
		at(p.symbol("arp"), read(arpLengths, lastAt, 2, p.short)),
		asm.Instructions{
			asm.LoadMem(asm.R2, asm.RFP, lastAt, asm.Half),
			asm.JNE.Imm(asm.R2, onWire(6<<8|4), "pass"),
		},
		read(from, lastAt, 4, p.short),
		asm.Instructions{asm.Ja.Label(p.symbol("mapped"))},
	)
}

// fromIPv4 makes the key of an IPv4 address, which ::ffff:a.b.c.d stands for.
func (p parser) fromIPv4(from int32) asm.Instructions {
	return slices.Concat(
		at(p.symbol("ipv4"), read(from, lastAt, 4, p.short)),
		at(p.symbol("mapped"), hint(p.hints)),
		asm.Instructions{
			asm.StoreImm(asm.RFP, addrAt, 0, asm.Word),
			asm.StoreImm(asm.RFP, addrAt+4, 0, asm.Word),
			asm.StoreImm(asm.RFP, addrAt+8, 0, asm.Half),
			asm.StoreImm(asm.RFP, addrAt+10, -1, asm.Half),
			asm.StoreImm(asm.RFP, keyAt, int64(p.vrf), asm.Word),
			asm.Ja.Label("lookup"),
		},
	)
}

// fromIPv6 makes the key of an IPv6 address. A link-local one is of this link alone.
func (p parser) fromIPv6(from int32) asm.Instructions {
	code := at(p.symbol("ipv6"), read(from, addrAt, 16, p.short))
	if !p.egress {
		code = append(code, p.solicited()...)
	}
	return slices.Concat(code,
		at(p.symbol("domain"), hint(p.hints)),
		asm.Instructions{
			asm.LoadMem(asm.R2, asm.RFP, addrAt, asm.Half),
			asm.And.Imm(asm.R2, onWire(0xffc0)),
			asm.Mov.Imm(asm.R3, int32(p.vrf)),
			asm.JNE.Imm(asm.R2, onWire(0xfe80), p.symbol("key")),
			asm.LoadMem(asm.R3, ctx, skbIfindex, asm.Word),
			asm.StoreMem(asm.RFP, keyAt, asm.R3, asm.Word).WithSymbol(p.symbol("key")),
			asm.Ja.Label("lookup"),
		},
	)
}

// solicited takes the address from within a neighbour solicitation: who asks for a neighbour asks a group.
func (p parser) solicited() asm.Instructions {
	return slices.Concat(
		asm.Instructions{
			asm.LoadMem(asm.R2, asm.RFP, addrAt, asm.Byte),
			asm.JNE.Imm(asm.R2, 0xff, p.symbol("domain")),
		},
		read(ipv6Next, lastAt, 1, p.short),
		asm.Instructions{
			asm.LoadMem(asm.R2, asm.RFP, lastAt, asm.Byte),
			asm.JNE.Imm(asm.R2, unix.IPPROTO_ICMPV6, "pass"),
		},
		read(icmpv6Type, lastAt, 1, p.short),
		asm.Instructions{
			asm.LoadMem(asm.R2, asm.RFP, lastAt, asm.Byte),
			asm.JNE.Imm(asm.R2, neighbourSolicitation, "pass"),
		},
		read(ndTarget, addrAt, 16, p.short),
	)
}

// read copies n bytes of the packet, from at on, to the stack, or jumps to fail. Behind tags, which only Ethernet has, it counts from the frame's
// beginning: where the kernel sees the network header of a tagged frame differs from case to case.
func read(at int32, to int16, n int32, fail string) asm.Instructions {
	tagged := asm.JEq.Imm(offset, 0, "")
	tagged.Offset = 1
	return asm.Instructions{
		asm.Mov.Imm(asm.R5, fromNetwork),
		tagged,
		asm.Mov.Imm(asm.R5, fromMAC),
		asm.Mov.Reg(asm.R1, ctx),
		asm.Mov.Reg(asm.R2, offset),
		asm.Add.Imm(asm.R2, at),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, int32(to)),
		asm.Mov.Imm(asm.R4, n),
		asm.FnSkbLoadBytesRelative.Call(),
		asm.JNE.Imm(asm.R0, 0, fail),
	}
}

// hint passes what ends as no shared address does: nearly everything, without a look into the map.
func hint(hints int) asm.Instructions {
	return asm.Instructions{
		asm.LoadMapValue(asm.R1, hints, 0),
		asm.LoadMem(asm.R2, asm.RFP, endAt, asm.Half),
		asm.Add.Reg(asm.R1, asm.R2),
		asm.LoadMem(asm.R1, asm.R1, 0, asm.Byte),
		asm.JEq.Imm(asm.R1, 0, "pass"),
	}
}

// at gives a block of code its name.
func at(symbol string, code asm.Instructions) asm.Instructions {
	code[0] = code[0].WithSymbol(symbol)
	return code
}

// lease passes the packet if the lease in the slot is fresh, else jumps to "stale".
func (p *programs) lease() asm.Instructions {
	return asm.Instructions{
		asm.LoadMapPtr(asm.R1, p.maps.slots.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, slotAt),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "stale"),
		asm.LoadMem(until, asm.R0, 0, asm.DWord),
		asm.JEq.Imm(until, 0, "stale"),
		asm.FnKtimeGetBootNs.Call(),
		asm.JGT.Reg(asm.R0, until, "stale"),
		asm.Ja.Label("pass"),
	}
}

// adverts passes what is of protocol 112 and falls through otherwise.
func adverts() asm.Instructions {
	code := asm.Instructions{
		asm.JEq.Imm(protocol, onWire(unix.ETH_P_IP), "advert4"),
		asm.JNE.Imm(protocol, onWire(unix.ETH_P_IPV6), "drop"),
	}
	code = append(code, read(ipv6Next, lastAt, 1, "drop")...)
	code = append(code, asm.Ja.Label("advert"))
	code = append(code, at("advert4", read(ipv4Protocol, lastAt, 1, "drop"))...)
	return append(code,
		asm.LoadMem(asm.R2, asm.RFP, lastAt, asm.Byte).WithSymbol("advert"),
		asm.JEq.Imm(asm.R2, wire.Protocol, "pass"),
	)
}

// ends are the two ways out. Where nothing is done about stale leases first, they lead to the first of them.
func ends(stale bool) asm.Instructions {
	drop := asm.Mov.Imm(asm.R0, actShot).WithSymbol("drop")
	code := asm.Instructions{}
	if stale {
		code = append(code, asm.Ja.Label("drop").WithSymbol("stale"))
	}
	return append(code,
		drop, asm.Return(),
		asm.Mov.Imm(asm.R0, actUnspec).WithSymbol("pass"), asm.Return(),
	)
}

// clockCode writes the time of CLOCK_BOOTTIME over the beginning of the packet.
func clockCode() asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(ctx, asm.R1),
		asm.FnKtimeGetBootNs.Call(),
		asm.StoreMem(asm.RFP, -8, asm.R0, asm.DWord),
		asm.Mov.Reg(asm.R1, ctx),
		asm.Mov.Imm(asm.R2, 0),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, -8),
		asm.Mov.Imm(asm.R4, 8),
		asm.Mov.Imm(asm.R5, 0),
		asm.FnSkbStoreBytes.Call(),
		asm.Return(),
	}
}
