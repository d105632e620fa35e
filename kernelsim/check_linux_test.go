package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carp/libcarp/statedir"
)

// A line for each thing, whatever is wrong with how many files.
func TestCheckAllPrintsLines(t *testing.T) {
	dir := statedir.Dir(t.TempDir())
	if err := os.Mkdir(filepath.Join(string(dir), "want"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"carp0", "carp1", "sysctl"} {
		if err := os.WriteFile(filepath.Join(string(dir), "want", name), []byte("rubbish\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	if code := checkAll(dir, &out); code != 1 {
		t.Errorf("exit %d", code)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	for _, line := range lines {
		if !strings.HasPrefix(line, "ok\t") && !strings.HasPrefix(line, "no\t") {
			t.Errorf("%q", line)
		}
	}
	if !strings.HasPrefix(lines[0], "no\t") || strings.Count(lines[0], "rubbish") != 0 || strings.Count(lines[0], "/want/") != 3 {
		t.Errorf("of three damaged files it says %q", lines[0])
	}
}
