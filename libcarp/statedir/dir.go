package statedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"carp/libcarp/config"
	"carp/libcarp/internal/plainfile"
)

// DefaultDir is the state directory when nothing else is chosen.
const DefaultDir = "/var/run/carp"

// layout is the number of what this package describes. A directory of a newer layout is refused, there is no older one.
const layout = 1

// A Dir is the path of a state directory.
type Dir string

func (d Dir) path(elem ...string) string {
	return filepath.Join(append([]string{string(d)}, elem...)...)
}

func (d Dir) version() string   { return d.path("version") }
func (d Dir) lock() string      { return d.path("lock") }
func (d Dir) edit() string      { return d.path("edit") }
func (d Dir) ctl() string       { return d.path("ctl") }
func (d Dir) events() string    { return d.path("events") }
func (d Dir) oldEvents() string { return d.path("events.0") }
func (d Dir) memory() string    { return d.path("memory") }

// Carpdevs is the file in which the host keeps what it has changed on carpdevs, as it was before.
func (d Dir) Carpdevs() string          { return d.path("carpdevs") }
func (d Dir) alive() string             { return d.path("status", "alive") }
func (d Dir) want(file string) string   { return d.path("want", file) }
func (d Dir) status(file string) string { return d.path("status", file) }

// The files of want/ and status/ that are not an interface's.
const (
	groupsFile = "groups"
	sysctlFile = "sysctl"
	statsFile  = "stats"
)

// wantFile names the file under want/ and status/ that holds what a change is for.
func wantFile(kind config.Kind, name string) string {
	switch kind {
	case config.ForGroup:
		return groupsFile
	case config.ForSysctl:
		return sysctlFile
	}
	return name
}

// Prepare makes the directory and what has to be in it, and discards what another boot left. Only who holds edit and lock may
// call it (see [Acquire]), or who is alone for another reason. It refuses a newer layout with config.EPROGMISMATCH, and a
// directory in which others than its user could put files.
func (d Dir) Prepare() error {
	if err := d.makeTop(); err != nil {
		return err
	}
	left, err := d.readVersion()
	if err != nil {
		return err
	}
	now := version{layout: layout, boot: bootID()}
	if left.ofOtherBoot(now.boot) {
		if err := d.discard(); err != nil {
			return fmt.Errorf("failed to discard what another boot left: %w", err)
		}
	}
	if err := makeDir(d.path("want"), 0o700); err != nil {
		return err
	}
	if err := makeDir(d.path("status"), 0o755); err != nil {
		return err
	}
	if left == nil || left.ofOtherBoot(now.boot) {
		return publish(d.version(), now.format(), 0o444)
	}
	return nil
}

// makeTop makes the directory itself. The mode of one that is there is the administrator's business, unless others can write.
func (d Dir) makeTop() error {
	info, err := d.stat()
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(string(d)), 0o755); err != nil {
			return err
		}
		if err = os.Mkdir(string(d), 0o755); err == nil {
			return os.Chmod(string(d), 0o755) // the umask may have narrowed it
		}
		if errors.Is(err, fs.ErrExist) { // two start at once
			info, err = d.stat()
		}
	}
	if err != nil {
		return err
	}
	return d.usable(info)
}

// usable refuses what is no directory, or not ours.
func (d Dir) usable(info fs.FileInfo) error {
	if !info.IsDir() {
		return &fs.PathError{Op: "use", Path: string(d), Err: syscall.ENOTDIR}
	}
	return ours(string(d), info)
}

// stat looks where a symbolic link leads only when it is ours: whoever owns it chooses.
func (d Dir) stat() (fs.FileInfo, error) {
	info, err := os.Lstat(string(d))
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return info, err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("%s: a symbolic link of somebody else", d)
	}
	return os.Stat(string(d))
}

// makeDir makes a directory below, or sets the mode of the one that is there.
func makeDir(path string, mode fs.FileMode) error {
	if err := os.Mkdir(path, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &fs.PathError{Op: "use", Path: path, Err: syscall.ENOTDIR}
	}
	if err := ownedByUs(path, info); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// ours refuses what another user made or can write to: he could choose the pass phrase.
func ours(path string, info fs.FileInfo) error {
	if err := ownedByUs(path, info); err != nil {
		return err
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s: others than its user can write there", path)
	}
	return nil
}

func ownedByUs(path string, info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s: belongs to another user", path)
	}
	return nil
}

// discard removes what tells of another boot's interfaces.
func (d Dir) discard() error {
	for _, path := range []string{d.path("want"), d.path("status"), d.events(), d.oldEvents(), d.memory(), d.Carpdevs()} {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

// A version is the content of the file of that name.
type version struct {
	layout int
	boot   string // "": not known
}

// ofOtherBoot reports whether what v stands for was certainly left by another boot than the one with that id.
func (v *version) ofOtherBoot(id string) bool {
	return v != nil && v.boot != "" && id != "" && v.boot != id
}

func (v version) format() []byte {
	return []byte(fmt.Sprintf("carp-state %d\nboot %s\n", v.layout, v.boot))
}

// readVersion returns nil when there is no version yet.
func (d Dir) readVersion() (*version, error) {
	data, err := plainfile.Read(d.version())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	first, rest, _ := strings.Cut(string(data), "\n")
	number, tagged := strings.CutPrefix(first, "carp-state ")
	n, err := strconv.Atoi(number)
	switch {
	case !tagged || err != nil || n < 1:
		return nil, fmt.Errorf("%s: no %q in the first line", d.version(), "carp-state 1")
	case n > layout:
		msg := fmt.Sprintf("%s has layout %d, newer than %d: another version of this program made it", d, n, layout)
		return nil, &config.Error{Errno: config.EPROGMISMATCH, Msg: msg}
	}
	v := &version{layout: n}
	for _, line := range strings.Split(rest, "\n") {
		if boot, ok := strings.CutPrefix(line, "boot "); ok {
			v.boot = boot
		}
	}
	return v, nil
}
