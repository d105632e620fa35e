package sysctl

import "strings"

// options are what stands before the names (sysctl.c: main).
type options struct {
	all   bool   // -a, -A: list, and do not look at what follows
	bare  bool   // -n: values without names
	quiet bool   // -q: nothing about what is set
	file  string // -f: names and values to be read first
	names []string
}

const usage = "usage: sysctl [-Aanq] [-f file] [name[=value] ...]\n"

// A usageError is what is printed of a command line without a meaning: getopt(3)'s line, then the usage.
type usageError string

func (u usageError) Error() string { return string(u) }

// parseOptions reads letters as getopt(3) does: several in a word, none after the first name, nor after "--".
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
		for ; word != ""; word = word[1:] {
			switch word[0] {
			case 'a', 'A':
				o.all = true
			case 'n':
				o.bare = true
			case 'q':
				o.quiet = true
			case 'w': // was needed once to set something
			case 'f':
				if word == "f" {
					if args = args[1:]; len(args) == 0 {
						return o, usageError("sysctl: option requires an argument -- f\n" + usage)
					}
					word += args[0]
				}
				o.file, word = word[1:], word[:1]
			default:
				return o, usageError("sysctl: unknown option -- " + word[:1] + "\n" + usage)
			}
		}
	}
	o.names = args
	return o, nil
}
