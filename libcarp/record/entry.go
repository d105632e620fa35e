package record

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"net/netip"

	"carp/libcarp/config"
	"carp/libcarp/engine"
	"carp/libcarp/wire"
)

// An Entry is what is kept of a virtual host.
type Entry struct {
	engine.Kept
	Slot           int            // where it is
	Until          engine.Instant // of the lease; 0: there is none
	Sent, Interval engine.Instant // of the last advert
	Frames         [2]Frame       // of the bow-outs over IPv4 and IPv6
}

// frameMax is the longest bow-out: headers of Ethernet and IPv6, and an advert.
const frameMax = 14 + 40 + 36

// A Frame is a bow-out, ready to be sent; empty: there is none.
type Frame struct {
	Carpdev int
	len     int
	data    [frameMax]byte
}

// Bytes returns the frame.
func (f *Frame) Bytes() []byte { return f.data[:f.len] }

func (f *Frame) set(carpdev int, frame []byte) {
	f.Carpdev, f.len = carpdev, 0
	if len(frame) <= frameMax {
		f.len = copy(f.data[:], frame)
	}
}

// A slot has the last sequence number, which is greater than 0 once it was used, and two copies of an entry, written in turn: one is valid at any moment.
const (
	copies   = 2
	atLast   = 16
	copySize = 1248
)

func atCopy(n int) int { return 64 + n*copySize }

// Where things are in a copy. The sum covers everything but itself.
const (
	atSeq  = 0
	atSum  = 8
	atData = 16
)

const (
	flagRival = 1 << iota
	flagFailing4
	flagFailing6
	flagTieSealed
)

var table = crc32.MakeTable(crc32.Castagnoli)

// encode makes a copy of the entry.
func (e *Entry) encode(seq uint64, b *[copySize]byte) {
	clear(b[:])
	le := binary.LittleEndian
	le.PutUint64(b[atSeq:], seq)
	p := append(b[:atData], byte(len(e.Carp)))
	p = append(p, e.Carp...)
	p = append(p, e.VHID, byte(e.State), flag(flagRival, e.Rival)|flag(flagFailing4, e.Failing[0])|flag(flagFailing6, e.Failing[1])|flag(flagTieSealed, e.TieSealed), byte(e.Announcements))
	for _, v := range []uint64{
		uint64(e.Carpdev), e.Config, uint64(e.Deadline), uint64(e.Heard), uint64(e.Sent), uint64(e.Interval), e.BowOuts[0], e.BowOuts[1], uint64(e.Recovered[0]), uint64(e.Recovered[1]),
	} {
		p = le.AppendUint64(p, v)
	}
	for i := range e.Frames {
		f := &e.Frames[i]
		p = le.AppendUint32(p, uint32(f.Carpdev))
		p = append(append(p, byte(f.len)), f.Bytes()...)
	}
	tie := e.TieSrc.AsSlice()
	p = append(p, byte(e.Probes[0]), byte(e.Probes[1]), byte(e.Ties), byte(len(tie)))
	p = append(p, tie...)
	for i := range e.Previous {
		if o := &e.Previous[i]; o.Until != 0 {
			p = le.AppendUint64(p, uint64(o.Until))
			p = append(p, o.Fixed[:]...)
		}
	}
	le.PutUint32(b[atSum:], sumOf(b[:]))
}

func sumOf(b []byte) uint32 { return crc32.Update(crc32.Checksum(b[:atSum], table), table, b[atData:]) }

func flag(bit byte, set bool) byte {
	if set {
		return bit
	}
	return 0
}

// decode reads a copy, and reports whether it is whole and makes sense.
func (e *Entry) decode(b []byte) (seq uint64, ok bool) {
	le := binary.LittleEndian
	seq = le.Uint64(b[atSeq:])
	if seq == 0 || le.Uint32(b[atSum:]) != sumOf(b) {
		return 0, false
	}
	r := reader{b: b[atData:]}
	e.Carp = string(r.take(int(r.byte())))
	e.VHID, e.State = r.byte(), engine.State(r.byte())
	flags := r.byte()
	e.Rival, e.TieSealed, e.Failing = flags&flagRival != 0, flags&flagTieSealed != 0, [2]bool{flags&flagFailing4 != 0, flags&flagFailing6 != 0}
	e.Announcements = int(r.byte())
	e.Carpdev, e.Config = r.int(), r.uint64()
	for _, into := range []*engine.Instant{&e.Deadline, &e.Heard, &e.Sent, &e.Interval} {
		*into = r.instant()
	}
	e.BowOuts = [2]uint64{r.uint64(), r.uint64()}
	e.Recovered = [2]engine.Instant{r.instant(), r.instant()}
	for i := range e.Frames {
		carpdev := int(r.uint32())
		e.Frames[i].set(carpdev, r.take(int(r.byte())))
	}
	e.Probes, e.Ties = [2]int{int(r.byte()), int(r.byte())}, int(r.byte())
	e.TieSrc = r.addr(int(r.byte()))
	for i := range e.Previous {
		if e.Previous[i].Until = r.instant(); e.Previous[i].Until == 0 { // the last
			break
		}
		copy(e.Previous[i].Fixed[:], r.take(wire.FixedSize))
	}
	return seq, !r.bad && config.IsCarpName(e.Carp) && (e.State == engine.Backup || e.State == engine.Master)
}

// decodeSlot returns the newer of the copies that are valid.
func decodeSlot(s []byte) (*Entry, bool) {
	var best *Entry
	var newest uint64
	for n := range copies {
		e := new(Entry)
		if seq, ok := e.decode(s[atCopy(n):][:copySize]); ok && seq > newest {
			best, newest = e, seq
		}
	}
	if best == nil {
		return nil, false
	}
	best.Until = engine.Instant(binary.NativeEndian.Uint64(s[atUntil:]))
	return best, true
}

// A reader takes things off the front of a slice, and notices when there is not enough.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad = true
		return nil
	}
	var b []byte
	b, r.b = r.b[:n], r.b[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *reader) instant() engine.Instant {
	v := engine.Instant(r.uint64())
	r.bad = r.bad || v < 0
	return v
}

// addr reads an address of that length; 0: there is none.
func (r *reader) addr(n int) netip.Addr {
	a, ok := netip.AddrFromSlice(r.take(n))
	r.bad = r.bad || ok != (n != 0)
	return a
}

// int reads what must be the index of an interface.
func (r *reader) int() int {
	v := r.uint64()
	r.bad = r.bad || v > math.MaxInt32
	return int(v)
}
