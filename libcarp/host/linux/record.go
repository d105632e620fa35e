//go:build linux

package linux

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
)

// recordTag is the first line of a record.
const recordTag = "carp-record 1"

// A Record is where an engine leaves what the next one needs to know: the sysctls of carpdevs as they were before us. A nil Record remembers nothing.
type Record struct{ file *os.File }

// NewRecord returns the record in a file, which may be empty.
func NewRecord(f *os.File) *Record { return &Record{f} }

func (r *Record) load() (saved []savedSysctl, err error) {
	if r == nil {
		return nil, nil
	}
	data, err := io.ReadAll(io.NewSectionReader(r.file, 0, 1<<20))
	if err != nil || len(data) == 0 {
		return nil, err
	}
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

func (r *Record) store(saved []savedSysctl) error {
	if r == nil {
		return nil
	}
	var b bytes.Buffer
	fmt.Fprintln(&b, recordTag)
	for _, v := range saved {
		fmt.Fprintf(&b, "sysctl %d %s %s\n", v.index, v.key, v.value)
	}
	if err := r.file.Truncate(0); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	if _, err := r.file.WriteAt(b.Bytes(), 0); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}
