package statedir

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"carp/libcarp/internal/plainfile"
)

// eventsMax is the size at which events becomes events.0; tests cannot wait that long.
var eventsMax int64 = 1 << 20

// timeFormat is RFC 3339 with milliseconds, always of the same length.
const timeFormat = "2006-01-02T15:04:05.000Z"

// An Event is a virtual host's change of state.
type Event struct {
	Number   int // from 1, without gaps unless the disk was full
	Time     time.Time
	Carp     string
	From, To string // INIT, BACKUP or MASTER
	Reason   string // words
}

// String prints the event as its line, without the newline.
func (e Event) String() string {
	return fmt.Sprintf("%d %s %s %s %s %s", e.Number, e.Time.UTC().Format(timeFormat), e.Carp, e.From, e.To, e.Reason)
}

// numberBits is how long an event's number can be: one of a damaged file must leave room for those that follow.
const numberBits = strconv.IntSize - 2

// ParseEvent reads what [Event.String] printed.
func ParseEvent(line string) (e Event, err error) {
	f := strings.SplitN(line, " ", 6)
	if len(f) != 6 {
		return Event{}, fmt.Errorf("%d fields", len(f))
	}
	number, err := strconv.ParseUint(f[0], 10, numberBits)
	if err != nil {
		return Event{}, err
	}
	e.Number = int(number)
	if e.Time, err = time.Parse(timeFormat, f[1]); err != nil {
		return Event{}, err
	}
	e.Carp, e.From, e.To, e.Reason = f[2], f[3], f[4], f[5]
	return e, nil
}

// Events returns those whose number is greater than after, as far as the files go back. Lines that make no sense are left out.
func (d Dir) Events(after int) ([]Event, error) {
	// In this order: when the files are rotated in between, the same lines come twice, which is seen, instead of never.
	later, err := readEvents(d.events())
	if err != nil {
		return nil, err
	}
	earlier, err := readEvents(d.oldEvents())
	if err != nil {
		return nil, err
	}
	var all []Event
	for _, e := range append(earlier, later...) {
		if e.Number > after {
			all = append(all, e)
			after = e.Number
		}
	}
	return all, nil
}

// readWhole returns the lines of a file of events, without what an interrupted write has left of one.
func readWhole(path string) ([]byte, error) {
	data, err := plainfile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data[:bytes.LastIndexByte(data, '\n')+1], err
}

// backwards visits the lines from the last on, until it is told to stop.
func backwards(whole []byte, visit func(line []byte) (more bool)) {
	for more := true; more && len(whole) > 0; {
		line := whole[bytes.LastIndexByte(whole[:len(whole)-1], '\n')+1:]
		whole = whole[:len(whole)-len(line)]
		more = visit(line[:len(line)-1])
	}
}

// lastEvents returns the last event of each carp. The next engine waits for it while leases run out: no line is parsed that need not be.
func (d Dir) lastEvents() (last map[string]Event, err error) {
	last = map[string]Event{}
	for _, path := range []string{d.events(), d.oldEvents()} {
		whole, oneErr := readWhole(path)
		err = errors.Join(err, oneErr)
		backwards(whole, func(line []byte) bool {
			_, rest, _ := bytes.Cut(line, []byte{' '})
			_, rest, _ = bytes.Cut(rest, []byte{' '})
			carp, _, _ := bytes.Cut(rest, []byte{' '})
			if _, known := last[string(carp)]; !known {
				if e, err := ParseEvent(string(line)); err == nil {
					last[e.Carp] = e
				}
			}
			return true
		})
	}
	return last, err
}

// lastNumber returns the greatest number of an event there is; 0: there is none. It is the last one's, unless somebody has had his hands on the files: lines
// with smaller numbers need not be parsed.
func lastNumber(files ...[]byte) (number int) {
	for _, whole := range files {
		backwards(whole, func(line []byte) bool {
			first, _, _ := bytes.Cut(line, []byte{' '})
			if n, err := strconv.Atoi(string(first)); err != nil || n <= number {
				return true
			}
			if e, err := ParseEvent(string(line)); err == nil {
				number = e.Number
			}
			return true
		})
	}
	return number
}

func readEvents(path string) (all []Event, err error) {
	whole, err := readWhole(path)
	for _, line := range strings.Split(string(whole), "\n") {
		if e, err := ParseEvent(line); err == nil {
			all = append(all, e)
		}
	}
	return all, err
}

// An eventLog appends to events.
type eventLog struct {
	dir    Dir
	file   *os.File
	size   int64
	number int // of the last event
}

// openEvents goes on where the files end. What an interrupted write has left of a line is cut off. With an error, what cannot be read or written becomes
// events.0 with the next event.
func openEvents(d Dir) (*eventLog, error) {
	whole, err := readWhole(d.events())
	earlier, oldErr := readWhole(d.oldEvents())
	l := &eventLog{dir: d, number: lastNumber(whole, earlier)}
	if err == nil {
		err = l.open()
	}
	if err == nil {
		l.size = int64(len(whole))
		err = l.file.Truncate(l.size)
	}
	if err != nil {
		l.close()
	}
	return l, errors.Join(err, oldErr)
}

func (l *eventLog) open() (err error) {
	l.file, err = plainfile.Own(l.dir.events(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	l.size = 0
	if err := l.file.Chmod(0o644); err != nil {
		l.close()
		return err
	}
	return nil
}

// append numbers an event and writes its line, whole or not at all. A line that could not be written leaves a gap in the numbers.
func (l *eventLog) append(e Event) (number int, err error) {
	l.number++
	e.Number = l.number
	if l.size >= eventsMax || l.file == nil {
		if err := l.rotate(); err != nil {
			return l.number, err
		}
	}
	n, err := l.file.WriteString(e.String() + "\n")
	if err != nil {
		return l.number, errors.Join(err, l.file.Truncate(l.size))
	}
	l.size += int64(n)
	return l.number, nil
}

// rotate begins a new file. When a step fails, the next event tries again.
func (l *eventLog) rotate() error {
	l.close()
	if err := os.Rename(l.dir.events(), l.dir.oldEvents()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return l.open()
}

func (l *eventLog) close() error {
	if l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	return f.Close()
}
