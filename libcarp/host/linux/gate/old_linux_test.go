package gate

import (
	"errors"
	"strings"
	"testing"

	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// A kernel before 5.5 refuses arrays that are mapped into memory: there is no gate, and the error says what it takes.
func TestNoMappedArrays(t *testing.T) {
	for _, spec := range specs {
		if spec.Flags&unix.BPF_F_MMAPABLE == 0 {
			continue
		}
		was := spec.Flags
		spec.Flags |= 1 << 31 // a flag that this kernel does not know
		err := Probe()
		spec.Flags = was
		if !errors.Is(err, unix.EINVAL) || !strings.HasPrefix(err.Error(), "failed to make a map (it takes CAP_BPF and Linux 5.8): ") {
			t.Errorf("%s: %v", spec.Name, err)
		}
	}
	if err := Probe(); err != nil {
		t.Error(err)
	}
}

// A kernel before 6.6 does not know what tcx is: no such program can come before the gate, which works as ever.
func TestNoTCX(t *testing.T) {
	asked := 0
	queryTCX = func(link.QueryOptions) (*link.QueryResult, error) { asked++; return nil, unix.EINVAL }
	defer func() { queryTCX = link.QueryPrograms }()
	l := newLab(t)
	slot := l.attach(vip4, vip6)
	for _, fresh := range []bool{false, true} {
		if fresh {
			l.gate.Renew(slot, now(t)+10*second)
		}
		l.ip(l.client, "neigh flush dev eth0")
		if got := l.exec(l.client, "ping -n -c 1 -W 0.5 "+vip4); got != fresh {
			t.Errorf("fresh %t: it answers: %t", fresh, got)
		}
	}
	if asked == 0 {
		t.Error("nobody has asked for tcx")
	}
}
