package netstat

import "strings"

// options are what of a command line concerns carp.
type options struct {
	s        int    // how often -s is given: 1 shows all counters, 2 those that are not 0
	protocol string // -p
	verbose  bool   // -v: our own counters too
	json     bool   // -j, ours
	other    bool   // what is asked for are interfaces, routes or buffers, or a picture every few seconds
}

// letters are OpenBSD's, a colon after those with an argument (main.c), and -j.
const letters = "AaBbc:dFf:ghI:ijlM:mN:np:P:qrsT:tuvW:w:"

// others are the letters that come before -s or -p there.
const others = "IimrgwW"

// protocols are those of which OpenBSD's netstat has statistics.
var protocols = []string{"ip", "icmp", "igmp", "ipencap", "tcp", "udp", "esp", "ah", "etherip", "ipcomp", "carp", "pfsync", "divert", "pim", "pflow",
	"ip6", "divert6", "icmp6", "pim6", "rip6"}

// parseOptions reads letters as getopt(3) does: several in a word, none after what is no option, nor after "--". ok is false when OpenBSD's
// netstat would not understand them.
func parseOptions(args []string) (o options, ok bool) {
	for ; len(args) > 0; args = args[1:] {
		word, isOption := strings.CutPrefix(args[0], "-")
		if !isOption || word == "" {
			break
		}
		if word == "-" {
			args = args[1:]
			break
		}
		for word != "" {
			letter := word[0]
			at := strings.IndexByte(letters, letter)
			if at < 0 || letter == ':' {
				return o, false
			}
			arg := ""
			if word = word[1:]; at+1 < len(letters) && letters[at+1] == ':' {
				if arg = word; arg == "" {
					if args = args[1:]; len(args) == 0 {
						return o, false
					}
					arg = args[0]
				}
				word = ""
			}
			o.take(letter, arg)
		}
	}
	return o, len(args) == 0
}

func (o *options) take(letter byte, arg string) {
	switch letter {
	case 's':
		o.s++
	case 'p':
		o.protocol = arg
	case 'v':
		o.verbose = true
	case 'j':
		o.json = true
	}
	o.other = o.other || strings.IndexByte(others, letter) >= 0
}
