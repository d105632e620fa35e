package wire

import (
	"bytes"
	"crypto/sha1"
	"crypto/subtle"
	"encoding"
	"encoding/binary"
	"fmt"
	"hash"
	"net/netip"
	"slices"
)

// An Auth computes the HMACs of one virtual host with one key and one list of addresses. What does not change from advert to advert
// is hashed once; after that nothing is allocated. It is not safe for concurrent use.
type Auth struct {
	hash         hash.Hash
	inner, outer []byte // the hash's states after the key block and the fixed part of the message
	tail         [8]byte
	digest       [sha1.Size]byte
}

// Identity is what the HMAC covers besides the counter.
type Identity struct {
	Key       [20]byte
	VHID      uint8
	Lladdr    [6]byte      // hashed unless zero: only a MAC that is neither the virtual one nor the carpdev's
	Addrs     []netip.Addr // every shared address, in any order
	LinkLocal bool         // IPv6 link-local addresses count too (OpenBSD's HMAC_ORIG; adverts are sent without)
}

// NewAuth prepares the HMAC of an identity (ip_carp.c: carp_hmac_prepare_ctx).
func NewAuth(id Identity) *Auth {
	msg := []byte{Version, Type}
	if id.Lladdr != [6]byte{} {
		msg = append(msg, id.Lladdr[:]...)
	}
	msg = append(msg, id.VHID)
	var addrs []netip.Addr
	for _, a := range id.Addrs {
		if a.Is4() || id.LinkLocal || !a.IsLinkLocalUnicast() {
			addrs = append(addrs, a.WithZone(""))
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare) // IPv4 sorts before IPv6
	for _, a := range slices.Compact(addrs) {
		msg = append(msg, a.AsSlice()...)
	}
	return newAuth(id.Key[:], msg)
}

// newAuth prepares HMAC-SHA1 (RFC 2104) for messages that begin with prefix. The key is at most a block long.
func newAuth(key, prefix []byte) *Auth {
	a := &Auth{hash: sha1.New()}
	pad := func(b byte) []byte {
		block := bytes.Repeat([]byte{b}, sha1.BlockSize)
		subtle.XORBytes(block, block, key)
		return block
	}
	a.inner = a.state(pad(0x36), prefix)
	a.outer = a.state(pad(0x5c))
	return a
}

// FixedSize is the length of what [Auth.Fixed] returns.
const FixedSize = 96

// Fixed returns the inner hash's state after the key block and the fixed part of the message, from which [AuthOf] makes the Auth
// again without the list of addresses. It is as secret as the key. When ok is false the state did not fit, and fixed is of no use.
func (a *Auth) Fixed() (fixed [FixedSize]byte, ok bool) {
	return fixed, copy(fixed[:], a.inner) == len(a.inner)
}

// AuthOf makes an Auth again from what [Auth.Fixed] returned, with the key that it had then: the outer hash is made from that. The
// error says that fixed is not the state of a hash.
func AuthOf(key [20]byte, fixed [FixedSize]byte) (*Auth, error) {
	a := newAuth(key[:], nil)
	if err := a.hash.(encoding.BinaryUnmarshaler).UnmarshalBinary(fixed[:]); err != nil {
		return nil, fmt.Errorf("wire: %w", err)
	}
	a.inner = append(a.inner[:0], fixed[:]...)
	return a, nil
}

// state returns the state of the hash after the parts, for restore.
func (a *Auth) state(parts ...[]byte) []byte {
	a.hash.Reset()
	for _, p := range parts {
		a.hash.Write(p)
	}
	s, err := a.hash.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		panic(err) // crypto/sha1 documents that it implements this
	}
	return s
}

// restore sets the hash to what state has returned. It does not fail: NewAuth made the state, or AuthOf has tried it.
func (a *Auth) restore(state []byte) {
	if err := a.hash.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		panic(err)
	}
}

// Sum returns the HMAC of an advert with that counter.
func (a *Auth) Sum(counter uint64) [20]byte {
	binary.BigEndian.PutUint64(a.tail[:], counter)
	return a.sum(a.tail[:])
}

// sum returns the HMAC (RFC 2104) of the fixed part of the message and the tail.
func (a *Auth) sum(tail []byte) [20]byte {
	a.restore(a.inner)
	a.hash.Write(tail)
	a.hash.Sum(a.digest[:0])
	a.restore(a.outer)
	a.hash.Write(a.digest[:])
	a.hash.Sum(a.digest[:0])
	return a.digest
}

// Verify reports whether the advert's HMAC is right. It takes the same time whatever differs.
func (a *Auth) Verify(ad *Advert) bool {
	sum := a.Sum(ad.Counter)
	return subtle.ConstantTimeCompare(sum[:], ad.HMAC[:]) == 1
}
