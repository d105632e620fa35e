package service

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"carp/libcarp"
	"carp/libcarp/config"
)

// The test's own program is a command in a prefix when SERVICE_STATE names the usual state directory.
func TestMain(m *testing.M) {
	dir := os.Getenv("SERVICE_STATE")
	if dir == "" {
		os.Exit(m.Run())
	}
	c := New(libcarp.Open(dir))
	for _, name := range []string{"carp0", "carp1"} {
		r, err := c.Change(config.Change{Kind: config.ForInterface, Name: name, Clauses: []config.Clause{{Word: config.Create}}})
		fmt.Println(r.Remark, err)
	}
}

// The script is asked once, by root, for the usual directory, and never by what it runs itself.
func TestStartsOnce(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("needs root")
	}
	const stored = "kernelsim is not running <nil>\n"
	for _, c := range []struct {
		name, env string
		installed bool
		want      string
	}{
		{"installed", "", true, "start CARP_STARTING=1\n"},
		{"not installed", "", false, ""},
		{"another directory", "CARP_STATEDIR=/nonexistent", true, ""},
		{"by the script", "CARP_STARTING=1", true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			prefix := t.TempDir()
			for _, d := range []string{"sbin", "lib/carp"} {
				if err := os.MkdirAll(filepath.Join(prefix, d), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			command := filepath.Join(prefix, "sbin/command")
			if out, err := exec.Command("cp", self, command).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if c.installed {
				script := "#!/bin/sh\necho \"$* CARP_STARTING=$CARP_STARTING\" >>" + prefix + "/asked\nexit 1\n"
				if err := os.WriteFile(filepath.Join(prefix, "lib/carp/boot"), []byte(script), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command(command)
			cmd.Env = append(os.Environ(), "SERVICE_STATE="+filepath.Join(prefix, "state"))
			if c.env != "" {
				cmd.Env = append(cmd.Env, c.env)
			}
			out, err := cmd.CombinedOutput()
			if err != nil || string(out) != strings.Repeat(stored, 2) {
				t.Errorf("%v\n%s", err, out)
			}
			if asked, _ := os.ReadFile(filepath.Join(prefix, "asked")); string(asked) != c.want {
				t.Errorf("asked %q, want %q", asked, c.want)
			}
		})
	}
}
