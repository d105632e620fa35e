package libcarp

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"carp/libcarp/config"
	"carp/libcarp/statedir"
)

func TestDir(t *testing.T) {
	t.Setenv("CARP_STATEDIR", "")
	if got := Dir(); got != "/var/run/carp" {
		t.Error(got)
	}
	t.Setenv("CARP_STATEDIR", "/elsewhere")
	if got := Dir(); got != "/elsewhere" {
		t.Error(got)
	}
	if c := Open(""); c.dir != "/elsewhere" {
		t.Error(c.dir)
	}
	if c := Open("/here"); c.dir != "/here" {
		t.Error(c.dir)
	}
}

// The word goes to the end, where it moves no clause that an error names, and into the changes of interfaces alone.
func TestAwait(t *testing.T) {
	t.Setenv("CARP_AWAIT", "")
	if got := Open("/d").awaiting(createVHID1); got.Has(config.Await) {
		t.Errorf("%v", got)
	}
	t.Setenv("CARP_AWAIT", "1")
	c, n := Open("/d"), len(createVHID1.Clauses)
	if got := c.awaiting(createVHID1); len(got.Clauses) != n+1 || got.Clauses[n].Word != config.Await || len(createVHID1.Clauses) != n {
		t.Errorf("%v", got)
	}
	demote := config.Change{Kind: config.ForGroup, Name: "carp", Clauses: []config.Clause{{Word: config.Demote, N: 1}}}
	if got := c.awaiting(demote); got.Has(config.Await) {
		t.Errorf("%v", got)
	}
}

var createVHID1 = config.Change{Kind: config.ForInterface, Name: "carp0", Clauses: []config.Clause{
	{Word: config.Create}, {Word: config.VHID, N: 1},
}}

func TestWithoutKernelsim(t *testing.T) {
	c := Open(filepath.Join(t.TempDir(), "carp"))
	if _, remark, err := c.Interface("carp0"); !errors.Is(err, config.ENXIO) || remark != statedir.NotRunning {
		t.Errorf("%q, %v", remark, err)
	}
	if r, err := c.Check(createVHID1); err != nil || r.Remark != statedir.NotRunning {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := c.Change(createVHID1); err != nil || r.Remark != statedir.NotRunning {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := c.Change(createVHID1); !errors.Is(err, config.EEXIST) {
		t.Errorf("%v", err)
	}
	st, remark, err := c.Interface("carp0")
	if err != nil || remark != statedir.NotRunning || st.Nodes[0].VHID != 1 || st.Link() != "invalid" {
		t.Errorf("%+v, %q, %v", st, remark, err)
	}
	if all, _, err := c.Interfaces(); err != nil || len(all) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
	if groups, _, err := c.Groups(); err != nil || groups["carp"] != 0 || len(groups) != 1 {
		t.Errorf("%v, %v", groups, err)
	}
	if s, _, err := c.Sysctl(); err != nil || s != config.DefaultSysctl() {
		t.Errorf("%+v, %v", s, err)
	}
	if s, _, err := c.Stats(); err != nil || s != (config.Stats{}) {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := c.Wait("carp0", []string{"INIT"}, time.Second); !errors.Is(err, config.EAGAIN) {
		t.Errorf("%v", err)
	}
}

// A refuser refuses every change.
type refuser struct{}

func (refuser) Change(statedir.Request) statedir.Reply {
	return statedir.Reply{Err: &config.Error{Errno: config.EBUSY, Clause: 1, Msg: "so it is"}}
}

func TestWithKernelsim(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "carp")
	held, err := statedir.Acquire(statedir.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	server := statedir.NewServer(held.Listener, refuser{})
	defer server.Close()
	st := statedir.StatusOf(config.NewInterface("carp0", 0))
	st.Nodes[0].State = "MASTER"
	server.PublishInterface(st)
	server.PublishGroups(map[string]int{"carp": 3}, nil)
	server.PublishSysctl(config.Sysctl{Allow: 1, Preempt: 1, Log: 7})
	server.PublishStats(config.Stats{config.Preempt: 9})
	server.PublishCarpStats(map[string]config.Stats{"carp0": {config.Preempt: 4}})
	server.Start()

	c := Open(dir)
	_, err = c.Change(createVHID1)
	var refused *config.Error
	if !errors.As(err, &refused) || *refused != (config.Error{Errno: config.EBUSY, Clause: 1, Msg: "so it is"}) {
		t.Errorf("%v", err)
	}
	if got, remark, err := c.Interface("carp0"); err != nil || remark != "" || got.Link() != "master" {
		t.Errorf("%+v, %q, %v", got, remark, err)
	}
	if groups, _, err := c.Groups(); err != nil || groups["carp"] != 3 {
		t.Errorf("%v, %v", groups, err)
	}
	if s, _, err := c.Sysctl(); err != nil || s.Log != 7 {
		t.Errorf("%+v, %v", s, err)
	}
	if s, _, err := c.Stats(); err != nil || s[config.Preempt] != 9 {
		t.Errorf("%+v, %v", s, err)
	}
	if s, _, err := c.CarpStats(); err != nil || len(s) != 1 || s["carp0"][config.Preempt] != 4 {
		t.Errorf("%+v, %v", s, err)
	}
	if state, err := c.Wait("carp0", []string{"MASTER"}, 5*time.Second); state != "MASTER" || err != nil {
		t.Errorf("%q, %v", state, err)
	}
	if _, err := c.Wait("carp0", []string{"BACKUP"}, 20*time.Millisecond); !errors.Is(err, config.ETIMEDOUT) {
		t.Errorf("%v", err)
	}
}
