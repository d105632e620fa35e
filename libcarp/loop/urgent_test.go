package loop

import (
	"slices"
	"testing"

	"carp/libcarp/config"
	"carp/libcarp/statedir"
)

func TestIntervalOf(t *testing.T) {
	for _, c := range []struct {
		advbase uint8
		skews   []uint8
		urgent  bool
	}{
		{1, []uint8{0}, false}, {0, []uint8{0}, true}, {0, []uint8{1}, true}, {0, []uint8{25}, true}, {0, []uint8{26}, false}, {254, []uint8{254}, false},
		{0, []uint8{100, 25}, true}, {0, []uint8{100, 26}, false},
	} {
		i := config.NewInterface("carp0", 0)
		i.Advbase, i.Nodes = c.advbase, nil
		for _, s := range c.skews {
			i.Nodes = append(i.Nodes, config.Node{Advskew: s})
		}
		if got := intervalOf(i) < urgentBelow; got != c.urgent {
			t.Errorf("%+v: interval %v", c, intervalOf(i))
		}
	}
}

// It is urgent from the first carp with a short interval that runs to the last one.
func TestUrgent(t *testing.T) {
	b := start(t, statedir.Dir(t.TempDir()), nil)
	for _, c := range []struct {
		line string
		want []bool
	}{
		{"create; vhid 1; advbase 1; alias 192.168.1.10/24", nil},
		{"advbase 0", []bool{true}},
		{"advskew 100", []bool{true, false}},
		{"advskew 10", []bool{true, false, true}},
		{"down", []bool{true, false, true, false}},
		{"up", []bool{true, false, true, false, true}},
		{"destroy", []bool{true, false, true, false, true, false}},
	} {
		if err := b.change(c.line); err != nil {
			t.Fatalf("%s: %v", c.line, err)
		}
		b.mu.Lock()
		if !slices.Equal(b.urgent, c.want) {
			t.Errorf("%s: %v, want %v", c.line, b.urgent, c.want)
		}
		b.mu.Unlock()
	}
}
