package ifconfig

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"carp/libcarp"
	"carp/libcarp/config"
	"carp/libcarp/statedir"
)

// A small machine merges changes as kernelsim does, for root or somebody else. em0 is 10.0.0.0/8, lo no carpdev.
type small struct {
	conf *config.Machine
	root bool
}

func (s *small) Link(name string) (config.Link, bool) {
	return config.Link{Name: name, Ethernet: name == "em0", Multicast: true}, name == "em0" || name == "lo"
}
func (s *small) Parent(a netip.Addr) (string, bool) {
	return "em0", netip.MustParsePrefix("10.0.0.0/8").Contains(a)
}
func (s *small) Active(string) bool  { return true }
func (s *small) Demotion(string) int { return 0 }

func (s *small) Check(ch config.Change) (libcarp.Result, error) {
	_, err := s.plan(ch)
	return libcarp.Result{}, err
}
func (s *small) Change(ch config.Change) (libcarp.Result, error) {
	p, err := s.plan(ch)
	if err == nil {
		s.conf.Commit(p)
	}
	return libcarp.Result{Old: p.Old}, err
}
func (s *small) plan(ch config.Change) (config.Plan, error) {
	if !s.root {
		return config.Plan{}, s.conf.Refuse(ch, s)
	}
	return s.conf.Plan(ch, s)
}

func (s *small) Interface(name string) (statedir.Status, statedir.Remark, error) {
	if i := s.conf.Interfaces[name]; i != nil {
		return statedir.StatusOf(i), "", nil
	}
	return statedir.Status{}, "", config.ENXIO
}
func (s *small) Interfaces() (all []statedir.Status, _ statedir.Remark, _ error) {
	for _, i := range s.conf.Sorted() {
		all = append(all, statedir.StatusOf(i))
	}
	return all, "", nil
}
func (s *small) Groups() (map[string]int, statedir.Remark, error) {
	demotion := map[string]int{}
	for _, name := range s.conf.GroupNames() {
		demotion[name] = 0
		if g := s.conf.Groups[name]; g != nil {
			demotion[name] = g.Demotion()
		}
	}
	return demotion, "", nil
}

func (s *small) wants() map[string]string {
	files := map[string]string{"": string(config.FormatWant(s.conf.GroupClauses()))}
	for name, i := range s.conf.Interfaces {
		files[name] = string(config.FormatWant(i.Clauses()))
	}
	return files
}

// FuzzMain runs command lines one after the other. Each ends in 0 or 1; 1 is explained, and changes nothing; what shows changes nothing
// either; somebody else changes nothing; a pass phrase shows nowhere.
func FuzzMain(f *testing.F) {
	f.Fuzz(func(t *testing.T, lines string, root bool) {
		s := &small{conf: config.NewMachine(), root: root}
		s.conf.Interfaces["carp7"] = config.NewInterface("carp7", 0)
		for _, line := range strings.Split(lines, "\n") {
			args, err := config.Fields(line)
			if err != nil {
				return
			}
			before := s.wants()
			cmd := Parse(args, nameServer(hosts), s, nil)
			var stdout, stderr strings.Builder
			exit := Main(args, &stdout, &stderr, s, nameServer(hosts), nil)
			same := reflect.DeepEqual(s.wants(), before)
			switch {
			case exit != 0 && exit != 1:
				t.Fatalf("%q: exit %d", line, exit)
			case exit == 1 && stderr.Len() == 0 && cmd.Mode != Owner:
				t.Fatalf("%q: exit 1 without a word", line)
			case !same && (exit != 0 || !root || cmd.Mode != Configure && cmd.Mode != SetGroup):
				t.Fatalf("%q: exit %d, %q, and what was %q is %q", line, exit, stderr.String(), before, s.wants())
			}
			for _, c := range cmd.Steps {
				secret := c.Pass.Reveal()
				if len(secret) < 6 || strings.Count(line, secret) > 1 {
					continue
				}
				var shown strings.Builder
				Main([]string{"-A"}, &shown, &shown, s, nameServer(hosts), nil)
				if strings.Contains(stdout.String()+stderr.String()+shown.String(), secret) {
					t.Fatalf("%q shows the pass phrase: %q, %q, %q", line, stdout.String(), stderr.String(), shown.String())
				}
			}
		}
	})
}
