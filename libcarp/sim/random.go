package sim

import (
	"math/bits"
	"math/rand/v2"
)

// random is the one source of chance. It uses no function of rand.Rand, whose algorithms may depend on the size of an int.
type random struct{ src *rand.PCG }

func newRandom(seed, stream uint64) random { return random{rand.NewPCG(seed, stream)} }

// below returns a number of 0..n-1, 0 for n < 1.
func (r random) below(n int64) int64 {
	if n < 1 {
		return 0
	}
	hi, _ := bits.Mul64(r.src.Uint64(), uint64(n))
	return int64(hi)
}

// between returns a number of lo..hi.
func (r random) between(lo, hi int64) int64 { return lo + r.below(hi-lo+1) }

// chance is true in percent of 100 cases. What never happens draws nothing.
func (r random) chance(percent int64) bool { return percent > 0 && r.below(100) < percent }

func pick[T any](r random, list ...T) T { return list[r.below(int64(len(list)))] }
