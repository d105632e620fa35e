package ifconfig

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"

	"carp/libcarp/config"
	"carp/libcarp/statedir"
)

// passfileMax is more than a line that means a pass phrase can have.
const passfileMax = 4096

// passfile takes the pass phrase from the first line of a file, so that it stands on no command line. An empty one is an error: pass "" says clearly that
// there is to be none.
func (p *parser) passfile(word, path string) error {
	phrase, open, err := firstLine(path)
	switch {
	case err != nil:
		return fmt.Errorf("%s %s: %s", word, path, reason(err))
	case phrase == "":
		return fmt.Errorf("%s %s: the first line is empty", word, path)
	case strings.Contains(phrase, "\x00"): // would end it, and before it there may be nothing
		return fmt.Errorf("%s %s: the first line has a zero byte", word, path)
	case open:
		p.note(fmt.Sprintf("%s %s: others may read it", word, path))
	}
	return p.pass(word, phrase)
}

// reason says in the words of strerror(3) why a file cannot be used.
func reason(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "Permission denied"
	case errors.Is(err, exec.ErrNotFound):
		err = config.ENOENT
	}
	return statedir.ErrnoOf(err).Error()
}

// firstLine reads the first line of a file. It is open when other users may read it, too.
func firstLine(path string) (line string, open bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = config.EINVAL
	}
	if err != nil {
		return "", false, err
	}
	data, err := io.ReadAll(io.LimitReader(f, passfileMax))
	if err != nil {
		return "", false, err
	}
	line, _, _ = strings.Cut(string(data), "\n")
	return line, info.Mode().IsRegular() && info.Mode()&0o007 != 0, nil
}
