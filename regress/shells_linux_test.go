package regress

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// shells are those that scripts and /etc/netstart must run under.
var shells = []string{"dash", "mksh", "ksh93", "busybox"}

// install is what make install makes, once for all tests, with what stands in /etc beside it. The test that comes first pays for it.
var install = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp(scratch, "installed"); err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // for other users
		return "", err
	}
	c := exec.Command("make", "-s", "install", "PREFIX="+dir, "SYSCONFDIR="+dir+"/etc")
	c.Dir = ".."
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("make install: %w\n%s", err, out)
	}
	for _, shell := range shells { // one directory each, in which it is sh
		path, err := exec.LookPath(shell)
		if err != nil {
			return "", err
		}
		if err := os.Mkdir(filepath.Join(dir, shell), 0o755); err != nil {
			return "", err
		}
		if err := os.Symlink(path, filepath.Join(dir, shell, "sh")); err != nil {
			return "", err
		}
	}
	return dir, nil
})

// enter makes ETC /etc, and keeps what the names of commands lead through.
const enter = `mkdir -p ETC/alternatives && mount --bind /etc/alternatives ETC/alternatives && mount --rbind ETC /etc && cd / && exec 2>&1 || exit
`

// A script is a shell's text that runs on a machine with an /etc of its own, as a user's script does: with our commands first in PATH under the
// system's names.
func (m *machine) script(shell, etc, text string) string {
	m.lab.t.Helper()
	dir, err := install()
	if err != nil {
		m.lab.t.Fatal(err)
	}
	// ip-netns(8) gives the command mounts of its own
	c := m.command("env", "-i", "LC_ALL=C", "CARP_STATEDIR="+m.state, "PATH="+dir+"/libexec/carp:"+dir+"/"+shell+":/usr/sbin:/usr/bin:/sbin:/bin",
		filepath.Join(dir, shell, "sh"), "-c", strings.ReplaceAll(enter, "ETC", quoted(etc))+text)
	out, _ := c.CombinedOutput()
	return string(out)
}

// quoted makes one word of s for a shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// A transcript is a case in a file: first what stands in /etc, then commands as they are typed, each with what it prints and its exit code
// if that is not 0.
//
//	# F.2: what it is about
//	--- hostname.carp0 644        the mode is 640 if none is given; with a colon and a group behind it, the file is that group's
//	vhid 1 carpdev em0 10.0.0.1/24
//	--- transcript
//	$ sh /etc/netstart carp0
//	$ ifconfig carp9
//	carp9: no such interface
//	exit 1
type transcript struct {
	name     string
	files    map[string]string // "hostname.carp0 644"
	commands []string
	want     string
}

// readTranscripts reads all cases in a directory.
func readTranscripts(t *testing.T, dir string) (all []transcript) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.golden"))
	if err != nil || len(paths) == 0 {
		t.Fatal("no cases", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		c := transcript{name: strings.TrimSuffix(filepath.Base(path), ".golden"), files: map[string]string{}}
		parts := strings.Split("\n"+string(data), "\n--- ")
		for _, part := range parts[1:] {
			head, body, _ := strings.Cut(part, "\n")
			switch {
			case head == "transcript":
				c.want = body
			case body == "" || strings.HasSuffix(body, `\`): // no newline at the end: the last character says so
				c.files[head] = strings.TrimSuffix(body, `\`)
			default:
				c.files[head] = body + "\n"
			}
		}
		for _, line := range strings.Split(c.want, "\n") {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				c.commands = append(c.commands, command)
			}
		}
		if !strings.HasPrefix(string(data), "# ") || len(c.commands) == 0 {
			t.Fatalf("%s: no case", path)
		}
		all = append(all, c)
	}
	return all
}

// etc makes the directory that stands for /etc.
func (c *transcript) etc(t *testing.T, dir string) {
	t.Helper()
	from, err := install()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(from, "lib/carp/netstart"), filepath.Join(dir, "netstart")); err != nil {
		t.Fatal(err)
	}
	for head, text := range c.files {
		name, how, _ := strings.Cut(head, " ")
		mode, gid := os.FileMode(0o640), 0
		if how != "" {
			bits, group, _ := strings.Cut(how, ":")
			n, err := strconv.ParseUint(bits, 8, 12)
			if err == nil && group != "" {
				gid, err = strconv.Atoi(group)
			}
			if err != nil {
				t.Fatalf("%s: %s: %v", c.name, head, err)
			}
			mode = os.FileMode(n)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, 0, gid); err != nil {
			t.Fatal(err)
		}
	}
}

// text is the commands as one script that prints what a terminal would show.
func (c *transcript) text() string {
	var b strings.Builder
	for _, command := range c.commands {
		fmt.Fprintf(&b, "printf '%%s\\n' %s\n(%s\n) </dev/null\nc=$?; [ $c -eq 0 ] || echo exit $c\n", quoted("$ "+command), command)
	}
	return b.String()
}
