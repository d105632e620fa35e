package linux

import (
	"net/netip"
	"testing"
)

// What a dead run has left on a carpdev goes for good, though what follows the kernel's news sees each address go and puts back what has to be there.
func TestAdoptForgetsFirst(t *testing.T) {
	inNetwork(t, func(l *lab) {
		dev, _ := l.link("eth0")
		dead := newOwner(Options{Mark: "m", Logf: t.Logf})
		const many = 100 // so that it takes a while
		for n := range many {
			if err := dead.add("carp0", placed{dev, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), 32)}); err != nil {
				t.Fatal(err)
			}
		}
		o := newOwner(Options{Mark: "m", Logf: t.Logf})
		if err := o.recall(); err != nil {
			t.Fatal(err)
		}
		if n := len(o.known()); n != many {
			t.Fatalf("%d addresses are remembered, want %d", n, many)
		}
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				default: // it always sees none
					o.restore(nil, map[int]bool{dev: true})
				}
			}
		}()
		err := o.adopt(nil, func([]placed) error { return nil })
		close(stop)
		<-stopped
		if err != nil {
			t.Fatal(err)
		}
		if left, err := o.left(); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
		if n := len(o.known()); n != 0 {
			t.Errorf("%d addresses are remembered afterwards", n)
		}
	})
}
