package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What make install puts somewhere tells each manager; without it, and where it is a comment, the manager was not told.
func TestManagersTold(t *testing.T) {
	files := map[string]string{"systemd-networkd": "../rc.d/network/10-carp.network", "NetworkManager": "../rc.d/network/NetworkManager.conf", "dhcpcd": ""}
	places := map[string]string{"systemd-networkd": "etc/systemd/network/10-carp.network", "NetworkManager": "etc/NetworkManager/conf.d/carp.conf", "dhcpcd": "etc/dhcpcd.conf"}
	root := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := managersTold(root); len(names) != 0 || err != nil {
		t.Errorf("where none runs: %q, %v", names, err)
	}
	for n, m := range managers {
		text := "denyinterfaces carp*\n"
		if file := files[m.name]; file != "" {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text = string(data)
		}
		write(m.runs, "")
		if names, err := managersTold(root); len(names) != n+1 || names[n] != m.name || err == nil || !strings.HasPrefix(err.Error(), m.name+" was not told") {
			t.Errorf("%s, untold: %q, %v", m.name, names, err)
		}
		write(places[m.name], "# "+strings.ReplaceAll(text, "\n", "\n# "))
		if _, err := managersTold(root); err == nil {
			t.Errorf("%s was told by a comment", m.name)
		}
		write(places[m.name], text)
		if _, err := managersTold(root); err != nil {
			t.Errorf("%s was told: %v", m.name, err)
		}
	}
}
