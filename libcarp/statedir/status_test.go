package statedir

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"carp/libcarp/config"
)

var fullStatus = Status{
	Name: "carp0", Order: 3, Index: 17, MTU: 1500, Up: true, Running: true, Lladdr: config.VirtualMAC(10),
	Description: "a \"b\"\nc\tö", Carpdev: "em0", Advbase: 1,
	Nodes:  []NodeStatus{{"MASTER", 10, 0}, {"BACKUP", 11, 100}},
	Groups: []string{"carp", "egress"}, Addrs: nil,
}

func TestStatusIsReadBack(t *testing.T) {
	st := fullStatus
	st.Addrs = append(st.Addrs, prefix("10.0.0.1/24"), prefix("fd00::1/64"))
	peers := st
	peers.Peer, peers.Peer6 = prefix("10.0.0.3/32").Addr(), prefix("fe80::3/128").Addr()
	own := st
	own.LinkLocal = prefix("fe80::200:5eff:fe00:10a/128").Addr()
	more := st
	more.Heard = []Heard{{peers.Peer, 1, 100, 3}, {peers.Peer6, 254, 0, 255}}
	more.Since, more.Reason = time.Date(2026, 1, 31, 12, 0, 0, 5e6, time.UTC), "master timed out"
	for _, want := range []Status{st, more, more.Idle(), st.Idle(), peers, peers.Idle(), own, StatusOf(config.NewInterface("carp1", 0))} {
		got, err := ParseStatus(want.Format())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v\nis read back as %+v, %v", want, got, err)
		}
	}
}

func TestStatusState(t *testing.T) {
	if got := fullStatus.State(); got != "MASTER" {
		t.Error(got)
	}
	idle := fullStatus.Idle()
	if got := idle.State(); got != "INIT" || fullStatus.Nodes[0].State != "MASTER" {
		t.Error(got)
	}
	one := Status{Nodes: []NodeStatus{{"BACKUP", 1, 0}}}
	if got := one.State(); got != "BACKUP" {
		t.Error(got)
	}
}

func TestParseStatuses(t *testing.T) {
	a, b := fullStatus, StatusOf(config.NewInterface("carp1", 0))
	a.Description = "x\n" + StatusTag + "\ny" // must not pass for another status
	all, err := parseStatuses(append(a.Format(), b.Format()...))
	if err != nil || len(all) != 2 || !reflect.DeepEqual(all[0], a) || !reflect.DeepEqual(all[1], b) {
		t.Errorf("%+v, %v", all, err)
	}
	if all, err := parseStatuses(nil); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestGroupsAndSysctlAreReadBack(t *testing.T) {
	groups := map[string]int{"carp": 128, "egress": 0}
	if got, err := ParseGroups(FormatGroups(groups, nil)); err != nil || !reflect.DeepEqual(got, groups) {
		t.Errorf("%v, %v", got, err)
	}
	s := config.Sysctl{Allow: 0, Preempt: -5, Log: 7}
	if got, err := ParseSysctl(FormatSysctl(s)); err != nil || got != s {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := ParseSysctl([]byte("carp-sysctl 1\nfuture 3 4\n\nlog 5\n")); err != nil || got.Log != 5 {
		t.Errorf("%v, %v", got, err)
	}
	for _, damaged := range []string{"", "carp-sysctl 2\n", "carp-sysctl 1\nlog\n", "carp-sysctl 1\nlog x\n"} {
		if _, err := ParseSysctl([]byte(damaged)); err == nil {
			t.Errorf("%q is read", damaged)
		}
	}
	for _, damaged := range []string{"", "carp-groups 1\ndemote carp\n", "carp-groups 1\ndemote carp x\n"} {
		if _, err := ParseGroups([]byte(damaged)); err == nil {
			t.Errorf("%q is read", damaged)
		}
	}
}

// A peer is configured, shown and read back; one with a zone is damage.
func TestStatusPeers(t *testing.T) {
	i := config.NewInterface("carp0", 0)
	i.Peer, i.Peer6 = prefix("10.0.0.3/32").Addr(), prefix("2001:db8::3/128").Addr()
	st := StatusOf(i)
	text := string(st.Format())
	for _, line := range []string{"\ncarppeer 10.0.0.3\n", "\ncarppeer6 2001:db8::3\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("no %q in\n%s", line, text)
		}
	}
	for _, damaged := range []string{"carppeer x", "carppeer6 fe80::3%em0"} {
		if _, err := ParseStatus([]byte(StatusTag + "\nname carp0\nnode INIT 0 0\n" + damaged + "\n")); err == nil {
			t.Errorf("%s is read", damaged)
		}
	}
}

// The counters of machine and carps stand in one file, and each reader finds its own.
func TestStatsAreReadBack(t *testing.T) {
	machine := config.Stats{config.Ipackets: 20, config.Badvhid: 3}
	carps := map[string]config.Stats{"carp0": {config.Ipackets: 17, config.Preempt: 1}, "carp10": {config.Opackets6: 1 << 63}, "carp2": {}}
	text := FormatStats(machine, carps)
	const lines = "\ncarp0 ipackets 17\ncarp0 preempt 1\ncarp10 opackets6 9223372036854775808\n"
	if !strings.HasSuffix(string(text), lines) {
		t.Errorf("%s", text)
	}
	if got, err := config.ParseStats(text); err != nil || got != machine {
		t.Errorf("%v, %v", got, err)
	}
	delete(carps, "carp2") // has counted nothing
	if got, err := ParseCarpStats(append(text, "carp0 later 5\nx ipackets 1\n"...)); err != nil || !reflect.DeepEqual(got, carps) {
		t.Errorf("%v, %v", got, err)
	}
	for _, damaged := range []string{"", "carp-stats 2\n", config.StatsTag + "\ncarp0 ipackets x\n"} {
		if _, err := ParseCarpStats([]byte(damaged)); err == nil {
			t.Errorf("%q is read", damaged)
		}
	}
}

// FuzzStatus: what is read at all is the same when it is printed and read again.
func FuzzStatus(f *testing.F) {
	st := fullStatus
	st.Addrs = append(st.Addrs, prefix("10.0.0.1/24"), prefix("fd00::1/64"))
	f.Add(st.Format())
	f.Add([]byte(StatusTag + "\nname \"\"\nnode INIT 0 0\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		st, err := ParseStatus(data)
		if err != nil {
			return
		}
		// A field of a hostile file may need quotes that no real one does.
		for _, s := range append(append([]string{st.Name, st.Carpdev}, st.Groups...), nodeStates(st)...) {
			if strings.ContainsAny(s, " \t\n\"") || s == "" && s != st.Carpdev {
				return
			}
		}
		again, err := ParseStatus(st.Format())
		if err != nil || !reflect.DeepEqual(again, st) {
			t.Errorf("%+v\nis read back as %+v, %v", st, again, err)
		}
	})
}

func nodeStates(st Status) (states []string) {
	for _, n := range st.Nodes {
		states = append(states, n.State)
	}
	return states
}
