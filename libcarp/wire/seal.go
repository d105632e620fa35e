package wire

// Our counter carries what the HMAC misses: 40 bits of time in milliseconds, then advbase, advskew and
// demote as sent. To every other system these are eight opaque bytes.

// SealEpoch is where a seal's time begins: 2024-01-01T00:00:00Z, in milliseconds of Unix time.
const SealEpoch = 1704067200000

// SealMax is the greatest time that fits, in November 2058.
const SealMax = 1<<40 - 1

// Seal sets the counter to time t (milliseconds since SealEpoch, 0..SealMax) and the header fields as they stand.
func (a *Advert) Seal(t int64) {
	a.Counter = uint64(t)<<24 | uint64(a.Advbase)<<16 | uint64(a.Advskew)<<8 | uint64(a.Demote)
}

// Sealed reports whether the counter's low bits are the advert's own header, and the time in it. A random counter passes once in 2^24.
func (a *Advert) Sealed() (t int64, ok bool) {
	low := uint64(a.Advbase)<<16 | uint64(a.Advskew)<<8 | uint64(a.Demote)
	return int64(a.Counter >> 24), a.Counter&(1<<24-1) == low
}
