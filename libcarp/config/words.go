package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// A Word is what a clause asks for.
type Word int

// The words. Those of the first block are ifconfig(8)'s; those of the second stand in requests and want/ files alone.
const (
	Create Word = iota + 1
	Destroy
	Up
	Down
	VHID
	Advbase
	Advskew
	PassPhrase
	Carpdev
	State
	Carppeer // IPv4, unicast or another group
	NoCarppeer
	Carppeer6 // IPv6; OpenBSD has no such word
	NoCarppeer6
	Lladdr // a link-level address other than the virtual MAC
	Description
	NoDescription
	AddAddr    // alias
	DelAddr    // -alias
	InGroup    // join a group; in want/groups the holders that follow are this group's
	LeaveGroup // and leave it
	Demote
	Undemote

	Await     // what the words of the change need and is not there yet, a carpdev or a subnet, is waited for
	Need      // create, unless it exists: what ifconfig does without being asked
	DelFirst  // remove the first address of the family; there must be one
	DropFirst // the same, where there may be none: what goes before an address without alias, and not when it is that address
	DropAll   // remove every address of the family: -inet, -inet6
	SetSysctl
	Order
	Request
	Holder // what one holder of a group's demotion has
	Tied   // that it lasts as long as a connection
	Untie  // take it away, if it does
)

// kinds of arguments
type kind int

const (
	none kind = iota
	number
	text    // any bytes
	name    // not empty; without blanks, quotes and slashes
	prefix  // address/length
	address // without a length, and without a zone
	lladdr  // xx:xx:xx:xx:xx:xx
	family  // inet or inet6
)

type wordInfo struct {
	word     Word
	spelling string
	arg      kind
	min, max int // of a number
}

// words is the whole language. A spelling stands once.
var words = []wordInfo{
	{Create, "create", none, 0, 0},
	{Destroy, "destroy", none, 0, 0},
	{Up, "up", none, 0, 0},
	{Down, "down", none, 0, 0},
	{VHID, "vhid", number, 1, VHIDMax},
	{Advbase, "advbase", number, 0, AdvbaseMax},
	{Advskew, "advskew", number, 0, AdvskewMax},
	{PassPhrase, "pass", text, 0, 0},
	{Carpdev, "carpdev", name, 0, 0},
	{State, "state", text, 0, 0},
	{Carppeer, "carppeer", address, 0, 0},
	{NoCarppeer, "-carppeer", none, 0, 0},
	{Carppeer6, "carppeer6", address, 0, 0},
	{NoCarppeer6, "-carppeer6", none, 0, 0},
	{Lladdr, "lladdr", lladdr, 0, 0},
	{Description, "description", text, 0, 0},
	{NoDescription, "-description", none, 0, 0},
	{AddAddr, "alias", prefix, 0, 0},
	{DelAddr, "-alias", prefix, 0, 0},
	{InGroup, "group", name, 0, 0},
	{LeaveGroup, "-group", name, 0, 0},
	{Demote, "carpdemote", number, 0, 128},
	{Undemote, "-carpdemote", number, 0, 128},
	{Await, "await", none, 0, 0},
	{Need, "need", none, 0, 0},
	{DelFirst, "delete-first", family, 0, 0},
	{DropFirst, "drop-first", family, 0, 0},
	{DropAll, "drop-all", family, 0, 0},
	{SetSysctl, "set", number, -1 << 31, 1<<31 - 1},
	{Order, "order", number, 0, 1<<31 - 1},
	{Request, "request", name, 0, 0},
	{Holder, "holder", number, 0, 1 << 16},
	{Tied, "tied", name, 0, 0},
	{Untie, "untie", name, 0, 0},
}

// other spellings of the same words (ifconfig.c: cmds[])
var spellings = map[string]string{"descr": "description", "-descr": "-description"}

// Lookup returns the word of a spelling and whether an argument follows it.
func Lookup(spelling string) (w Word, hasArg, ok bool) {
	if s, other := spellings[spelling]; other {
		spelling = s
	}
	i := slices.IndexFunc(words, func(e wordInfo) bool { return e.spelling == spelling })
	if i < 0 {
		return 0, false, false
	}
	return words[i].word, words[i].arg != none, true
}

func (w Word) info() *wordInfo {
	for i := range words {
		if words[i].word == w {
			return &words[i]
		}
	}
	return &wordInfo{spelling: "?"}
}

func (w Word) String() string { return w.info().spelling }

// A Clause is one word with its argument, parsed.
type Clause struct {
	Word Word
	N    int          // of words with a number
	Text string       // of words with a text or a name; the variable of SetSysctl; the family of DelFirst, DropFirst and DropAll
	Pass Pass         // of PassPhrase
	Addr netip.Prefix // of AddAddr and DelAddr; host bits kept; of Carppeer and Carppeer6, where the length is the address's
	MAC  MAC          // of Lladdr
}

// A NumberError says which number was bad and how, in the words of strtonum(3): too small, too large, invalid.
type NumberError struct{ What, Given, Reason string }

func (e *NumberError) Error() string { return e.What + " " + e.Given + ": " + e.Reason }

// ParseNumber reads a decimal number as strtonum(3) does. The reason is empty when it is good.
func ParseNumber(s string, least, most int64) (n int64, reason string) {
	digits := strings.TrimLeft(s, " \t\n\v\f\r")
	n, err := strconv.ParseInt(digits, 10, 64)
	switch {
	case err != nil && isRange(err) && strings.HasPrefix(digits, "-"), err == nil && n < least:
		return 0, "too small"
	case err != nil && isRange(err), err == nil && n > most:
		return 0, "too large"
	case err != nil:
		return 0, "invalid"
	}
	return n, ""
}

func isRange(err error) bool {
	ne, ok := err.(*strconv.NumError)
	return ok && ne.Err == strconv.ErrRange
}

// ParseClause reads a word with its argument. The error names the word: "vhid 256: too large".
func ParseClause(spelling string, args ...string) (Clause, error) {
	w, hasArg, ok := Lookup(spelling)
	if !ok {
		return Clause{}, fmt.Errorf("%s: unknown word", spelling)
	}
	info, c := w.info(), Clause{Word: w}
	want := 0
	if hasArg {
		want = 1
	}
	if w == SetSysctl || w == Holder {
		want = 2 // a name before the number
	}
	if len(args) != want {
		return Clause{}, fmt.Errorf("%s: %d arguments, not %d", spelling, len(args), want)
	}
	if want == 0 {
		return c, nil
	}
	arg := args[len(args)-1]
	switch {
	case w == SetSysctl || w == Holder:
		if !IsName(args[0]) {
			return Clause{}, fmt.Errorf("%s %q: invalid", spelling, args[0])
		}
		c.Text = args[0]
		n, reason := ParseNumber(arg, int64(info.min), int64(info.max))
		if reason != "" {
			return Clause{}, &NumberError{args[0], arg, reason}
		}
		c.N = int(n)
	case info.arg == number:
		n, reason := ParseNumber(arg, int64(info.min), int64(info.max))
		if reason != "" {
			return Clause{}, &NumberError{spelling, arg, reason}
		}
		c.N = int(n)
	case w == PassPhrase:
		c.Pass = NewPass(arg)
	case info.arg == text:
		c.Text = arg
	case info.arg == name:
		if arg == "" || strings.ContainsAny(arg, " \t\n\v\f\r\"/") {
			return Clause{}, fmt.Errorf("%s %q: invalid", spelling, arg)
		}
		c.Text = arg
	case info.arg == family:
		if arg != "inet" && arg != "inet6" {
			return Clause{}, fmt.Errorf("%s %q: invalid", spelling, arg)
		}
		c.Text = arg
	case info.arg == address:
		a, err := netip.ParseAddr(arg)
		if err != nil || a.Zone() != "" {
			return Clause{}, fmt.Errorf("%s %q: invalid", spelling, arg)
		}
		c.Addr = netip.PrefixFrom(a, a.BitLen())
	case info.arg == lladdr:
		m, err := ParseMAC(arg)
		if err != nil {
			return Clause{}, fmt.Errorf("%s %q: invalid", spelling, arg)
		}
		c.MAC = m
	case info.arg == prefix:
		p, err := netip.ParsePrefix(arg)
		if err != nil {
			return Clause{}, fmt.Errorf("%s %q: invalid", spelling, arg)
		}
		c.Addr = p
	}
	return c, nil
}

// String prints the clause as a line of a request or a want/ file; ParseLine reads it back. The pass phrase stands in it.
func (c Clause) String() string {
	info := c.Word.info()
	switch {
	case c.Word == SetSysctl || c.Word == Holder:
		return fmt.Sprintf("%s %s %d", info.spelling, c.Text, c.N)
	case c.Word == PassPhrase:
		return info.spelling + " " + strconv.Quote(c.Pass.Reveal())
	case info.arg == none:
		return info.spelling
	case info.arg == number:
		return info.spelling + " " + strconv.Itoa(c.N)
	case info.arg == prefix:
		return info.spelling + " " + c.Addr.String()
	case info.arg == address:
		return info.spelling + " " + c.Addr.Addr().String()
	case info.arg == lladdr:
		return info.spelling + " " + c.MAC.String()
	case info.arg == text:
		return info.spelling + " " + strconv.Quote(c.Text)
	}
	return info.spelling + " " + c.Text
}

// ParseLine reads one line that [Clause.String] printed. The error does not repeat a word that it does not know: in a damaged
// line it may be the pass phrase.
func ParseLine(line string) (Clause, error) {
	fields, err := Fields(line)
	if err != nil {
		return Clause{}, err
	}
	if len(fields) == 0 {
		return Clause{}, fmt.Errorf("empty line")
	}
	if _, _, ok := Lookup(fields[0]); !ok {
		return Clause{}, fmt.Errorf("unknown word")
	}
	return ParseClause(fields[0], fields[1:]...)
}

// Fields splits a line at blanks; a field in double quotes is a Go string.
func Fields(line string) ([]string, error) {
	var out []string
	for {
		line = strings.TrimLeft(line, " \t")
		if line == "" {
			return out, nil
		}
		if line[0] != '"' {
			end := strings.IndexAny(line, " \t")
			if end < 0 {
				end = len(line)
			}
			out, line = append(out, line[:end]), line[end:]
			continue
		}
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			return nil, fmt.Errorf("bad quotes")
		}
		s, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, fmt.Errorf("bad quotes")
		}
		out, line = append(out, s), line[len(quoted):]
		if line != "" && line[0] != ' ' && line[0] != '\t' {
			return nil, fmt.Errorf("bad quotes")
		}
	}
}
