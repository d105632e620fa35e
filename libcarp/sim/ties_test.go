package sim

import (
	"flag"
	"testing"
)

var healings = flag.Int("healings", 300, "how many of each kind TestTies tries; 10000 make the table worth writing down")

// After a healing between equal masters there is always one: nobody of ours goes while he would be missed. The BSD rule is here to compare with.
func TestTies(t *testing.T) {
	t.Log("\n" + TieHeader)
	for _, bsd := range []bool{false, true} {
		for _, peer := range append([]*Dialect{nil}, Dialects...) {
			for hosts := 2; hosts <= 5; hosts++ {
				row := Ties(uint64(hosts), peer, hosts, *healings, bsd)
				t.Log(row)
				if bsd {
					if peer == nil && row.Nobody == 0 && *healings >= 300 {
						t.Errorf("%v: the BSD rule left nobody without a master: it is not modelled as it is", row)
					}
					continue
				}
				// An interval and the delay, or three beside one UCARP and four beside more hosts; one or two more where two of ours
				// happen to choose the same counter (see host.coincides), which is rare.
				most := 1 * tieInterval
				if peer == UCARP {
					most = min(int64(hosts)+1, 4) * tieInterval
				}
				most += 2*tieInterval + tieDelay + leastDelay + millisecond
				rare := row.Count/100 + 1
				if row.Nobody > 0 || row.Unsettled > 0 || row.TwoMost > most || peer != UCARP && row.Two > rare {
					t.Errorf("%v: more than %d ms, or nobody was master", row, most/millisecond)
				}
			}
		}
	}
}
