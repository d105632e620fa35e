package libcarp

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// examples returns the literal displays of a manual page.
func examples(t *testing.T, page string) (all []string) {
	t.Helper()
	data, err := os.ReadFile("../man/" + page)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?s)\n\.Bd -literal[^\n]*\n(.*?)\n\.Ed\n`).FindAllStringSubmatch(string(data), -1) {
		all = append(all, strings.NewReplacer(`\e`, `\`, `\&`, "").Replace(m[1])+"\n")
	}
	return all
}

// A module of its own imports the library in the way that the page tells, and its examples are programs.
func TestPage(t *testing.T) {
	t.Parallel()
	source, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := func(words ...string) string {
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOPROXY=off", "GOSUMDB=off", "GOFLAGS=", "GOWORK=off", "CARP_STATEDIR="+filepath.Join(dir, "carp"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", words, err, out)
		}
		return string(out)
	}
	const imports = "import (\n\t\"encoding/binary\"\n\t\"errors\"\n\t\"fmt\"\n\t\"time\"\n\n\t\"carp/libcarp\"\n\t\"carp/libcarp/config\"\n)\n\n" +
		"var _ = fmt.Println\nvar _ = errors.Is\nvar _ = binary.NativeEndian\nvar _ = time.Second\nvar _ config.Change\n\n"
	var commands string
	for n, text := range append(examples(t, "libcarp.3"), examples(t, "sysctl-carp.3")...) {
		switch {
		case strings.HasPrefix(text, "$ "):
			commands = text
		case strings.HasPrefix(text, "package "):
			write("main.go", text)
		case !strings.HasPrefix(text, "import"):
			name := string(rune('a' + n))
			write(name+".go", "package main\n\n"+imports+"func example"+name+"(c *libcarp.Conn) error {\n"+text+"}\n")
		}
	}
	write("go.mod", "module example\n\ngo 1.22\n")
	for _, line := range strings.Split(strings.TrimSpace(commands), "\n") {
		run(strings.Fields(strings.ReplaceAll(strings.TrimPrefix(line, "$ "), "/usr/local/src/carp", source))...)
	}
	if out := run("./example"); out != "kernelsim is not running\n" {
		t.Errorf("the example prints %q", out)
	}
}
