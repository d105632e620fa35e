//go:build linux

package linux

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"carp/libcarp/internal/plainfile"
)

// recordTag is the first line of a record.
const recordTag = "carp-record 1"

// A Record is where an engine leaves what the next one needs to know: the sysctls of carpdevs as they were before us. A nil Record remembers nothing.
type Record struct{ file *os.File }

// NewRecord returns the record in a file, which may be empty.
func NewRecord(f *os.File) *Record { return &Record{f} }

// load returns what is in the record, and whether an engine has written there.
func (r *Record) load() (saved []savedSysctl, found bool, err error) {
	if r == nil {
		return nil, false, nil
	}
	data, err := io.ReadAll(io.NewSectionReader(r.file, 0, 1<<20))
	if err != nil || len(data) == 0 {
		return nil, false, err
	}
	saved, err = parseSaved(data)
	return saved, true, err
}

func (r *Record) store(saved []savedSysctl) error {
	if r == nil {
		return nil
	}
	if err := r.file.Truncate(0); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	if _, err := r.file.WriteAt(formatSaved(saved), 0); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}

func parseSaved(data []byte) (saved []savedSysctl, err error) {
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if lines[0] != recordTag {
		return nil, fmt.Errorf("record: no %q in the first line", recordTag)
	}
	for _, line := range lines[1:] {
		var v savedSysctl
		if _, err := fmt.Sscanf(line, "sysctl %d %s %s", &v.index, &v.key, &v.value); err != nil {
			return saved, fmt.Errorf("record: %q: %w", line, err)
		}
		saved = append(saved, v)
	}
	return saved, nil
}

func formatSaved(saved []savedSysctl) []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, recordTag)
	for _, v := range saved {
		fmt.Fprintf(&b, "sysctl %d %s %s\n", v.index, v.key, v.value)
	}
	return b.Bytes()
}

// loadKept reads what storeKept has written. What belongs to interfaces of another network namespace does not count.
func loadKept(path string) ([]savedSysctl, error) {
	if path == "" {
		return nil, nil
	}
	data, err := plainfile.Read(path)
	if err != nil {
		return nil, err
	}
	where, rest, _ := bytes.Cut(data, []byte("\n"))
	if string(where) != namespace() {
		return nil, nil
	}
	return parseSaved(rest)
}

// storeKept writes it to a file, or removes the file when there is nothing to remember. It is not synced: what it tells of is lost with the power, too.
func storeKept(path string, saved []savedSysctl) error {
	if path == "" {
		return nil
	}
	if len(saved) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return plainfile.Replace(path, append([]byte(namespace()+"\n"), formatSaved(saved)...), 0o600)
}

// namespace names the network namespace of this process, where the kernel has a name for it (Linux 5.14).
func namespace() string {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "namespace ?"
	}
	defer unix.Close(fd)
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return "namespace ?"
	}
	return fmt.Sprint("namespace ", cookie)
}
