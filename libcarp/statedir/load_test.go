package statedir

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"carp/libcarp/config"
)

func TestLoadMachine(t *testing.T) {
	d := newDir(t)
	m, err := d.LoadMachine()
	if err != nil || len(m.Interfaces) != 0 || m.Sysctl != config.DefaultSysctl() {
		t.Fatalf("of nothing: %+v, %v", m, err)
	}

	if err := d.Prepare(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"carp0":      "carp-want 1\ncreate\norder 1\nvhid 1\npass \"se cret\"\nalias 10.0.0.1/24\nup\nrequest abc\n",
		"carp7":      "carp-want 1\ncreate\norder 0\nvhid 2\n",
		"sysctl":     "carp-want 1\nset preempt 1\nrequest x\n",
		"groups":     "carp-want 1\ngroup carp\nholder manual 3\nholder boot 128\n",
		".new.carp9": "carp-want 1\ncreate\n", // of one who was killed
		"README":     "not ours",
	} {
		if err := os.WriteFile(d.want(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if m, err = d.LoadMachine(); err != nil {
		t.Fatal(err)
	}
	sorted := m.Sorted()
	if len(sorted) != 2 || sorted[0].Name != "carp7" || sorted[1].Pass.Reveal() != "se cret" || sorted[1].Addrs[0] != prefix("10.0.0.1/24") {
		t.Errorf("%+v", sorted)
	}
	if m.Sysctl.Preempt != 1 || m.Sysctl.Allow != 1 || m.Groups["carp"].Demotion() != 131 {
		t.Errorf("%+v, %+v", m.Sysctl, m.Groups["carp"])
	}
}

func TestLoadDamaged(t *testing.T) {
	const good = "carp-want 1\ncreate\nvhid 1\n"
	for what, text := range map[string]string{
		"empty":             "",
		"another format":    "carp-want 2\ncreate\n",
		"torn pass":         "carp-want 1\ncreate\npass \"sec",
		"pass without \"":   "carp-want 1\ncreate\npass sec ret\n",
		"pass, blank lost":  "carp-want 1\ncreate\npass\"secret\"\n",
		"pass, line broken": "carp-want 1\ncreate\npass\nsecret\n",
		"pass twice":        "carp-want 1\ncreate\npass \"secret\" \"secret\"\n",
		"zeros":             strings.Repeat("\x00", 4096),
		"no create":         "carp-want 1\npass \"secret\"\n",
		"destroyed":         "carp-want 1\ncreate\ndestroy\n",
		"bad vhid":          "carp-want 1\ncreate\nvhid 300\n",
	} {
		d := prepared(t)
		os.WriteFile(d.want("carp0"), []byte(text), 0o600)
		os.WriteFile(d.want("carp1"), []byte(good), 0o600)
		m, err := d.LoadMachine()
		if err == nil || !strings.Contains(err.Error(), d.want("carp0")) || strings.Contains(err.Error(), "carp1") {
			t.Errorf("%s: error %v", what, err)
		}
		if err != nil && strings.Contains(err.Error(), "sec") {
			t.Errorf("%s: the error shows the pass phrase: %v", what, err)
		}
		if len(m.Interfaces) != 1 || m.Interfaces["carp1"] == nil {
			t.Errorf("%s: %v", what, m.Interfaces)
		}
		for _, words := range []string{"create", "up", "destroy"} { // would lose what the file says
			cs, _ := config.ParseWant([]byte(config.WantTag + "\n" + words + "\n"))
			_, err := m.Plan(config.Change{Kind: config.ForInterface, Name: "carp0", Clauses: cs}, nil)
			if err == nil || !strings.Contains(err.Error(), d.want("carp0")) || strings.Contains(err.Error(), "sec") {
				t.Errorf("%s: %s: %v", what, words, err)
			}
		}
	}

	d := prepared(t)
	os.WriteFile(d.want("sysctl"), []byte("carp-want 1\npass \"secret\"\n"), 0o600)
	os.WriteFile(d.want("groups"), []byte("carp-want 1\npass \"secret\"\n"), 0o600)
	os.WriteFile(d.want("carp1"), []byte(good), 0o600)
	m, err := d.LoadMachine()
	text := fmt.Sprint(err)
	if strings.Contains(text, "secret") || !strings.Contains(text, d.want("sysctl")) || !strings.Contains(text, d.want("groups")) {
		t.Errorf("error %v", err)
	}
	if m.Sysctl != config.DefaultSysctl() || m.Groups["carp"] == nil || m.Interfaces["carp1"] == nil {
		t.Errorf("%+v", m)
	}
}

func TestSweep(t *testing.T) {
	d := prepared(t)
	m := config.NewMachine()
	m.Interfaces["carp0"] = config.NewInterface("carp0", 0)
	os.WriteFile(d.want("carp1"), []byte("damaged"), 0o600)
	for _, file := range []string{"carp0", "carp1", "sysctl", "alive"} {
		os.WriteFile(d.status(file), nil, 0o644)
	}
	if err := d.sweep(m); err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(d.path("status"))
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != "alive carp0 sysctl" {
		t.Error(got)
	}
}
