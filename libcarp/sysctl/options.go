package sysctl

import "strings"

// options are what stands before the names (sysctl.c: main), and those of Linux's sysctl that say how its names and ours are shown.
type options struct {
	all    bool   // -a, -A: list, and do not look at what follows
	tables bool   // -A: say what shows the tables, too
	bare   bool   // -n: values without names
	quiet  bool   // -q: nothing about what is set
	read   bool   // -f: names and values are to be read first
	file   string // from this file
	json   bool   // -j: ours
	ignore bool   // -e: nothing about names that are unknown
	names  bool   // -N: names without values
	joined bool   // -b: values without names and without newlines
	dry    bool   // --dry-run: change nothing

	letters []string // those above that are to be said to the system's command too
	words   []string // names, and values
}

const usage = "usage: sysctl [-Aanq] [-f file] [name[=value] ...]\n"

// A usageError is what is printed of a command line without a meaning: getopt(3)'s line, then the usage.
type usageError string

func (u usageError) Error() string { return string(u) }

// An unknownOption is one that OpenBSD's sysctl does not have. The system's may.
type unknownOption struct {
	letter string
	whole  bool // it makes a command line the system's, whatever the names are
}

func (u unknownOption) Error() string { return "sysctl: unknown option -- " + u.letter + "\n" + usage }

// whole are the letters of Linux's sysctl that tell it to read files, to look for names, or to speak of itself.
const whole = "prXhV"

// long are the long options that say the same as a letter does.
var long = map[string]byte{
	"all": 'a', "binary": 'b', "ignore": 'e', "names": 'N', "values": 'n', "quiet": 'q', "write": 'w', "dry-run": dryRun,
}

// dryRun stands for an option that has no letter.
const dryRun = 0

// parseOptions reads letters as getopt(3) does: several in a word, none after the first name, nor after "--". The error is a usageError or an
// unknownOption.
func parseOptions(args []string) (options, error) {
	var o options
	for ; len(args) > 0; args = args[1:] {
		word, ok := strings.CutPrefix(args[0], "-")
		if !ok || word == "" {
			break
		}
		if word == "-" {
			args = args[1:]
			break
		}
		if name, ok := strings.CutPrefix(word, "-"); ok {
			letter, known := long[name]
			if !known {
				return o, unknownOption{"-", true}
			}
			o.take(letter)
			continue
		}
		for ; word != ""; word = word[1:] {
			switch letter := word[0]; {
			case letter == 'f':
				if word == "f" {
					if args = args[1:]; len(args) == 0 {
						return o, usageError("sysctl: option requires an argument -- f\n" + usage)
					}
					word += args[0]
				}
				o.read, o.file, word = true, word[1:], word[:1]
			case strings.IndexByte(whole, letter) >= 0:
				return o, unknownOption{word[:1], true}
			case !o.take(letter):
				return o, unknownOption{word[:1], false}
			}
		}
	}
	o.words = args
	return o, nil
}

// take notes one option, and reports whether there is one of that letter.
func (o *options) take(letter byte) bool {
	switch letter {
	case 'a', 'A':
		o.all, o.tables = true, o.tables || letter == 'A'
		return true
	case 'j':
		o.json = true
		return true
	case 'n':
		o.bare = true
	case 'q':
		o.quiet = true
	case 'w': // was needed once to set something, and is to Linux's
	case 'e':
		o.ignore = true
	case 'N':
		o.names = true
	case 'b':
		o.joined = true
	case dryRun:
		o.dry = true
		o.letters = append(o.letters, "--dry-run")
		return true
	default:
		return false
	}
	o.letters = append(o.letters, "-"+string(letter))
	return true
}
