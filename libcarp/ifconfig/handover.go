package ifconfig

import (
	"errors"
	"io/fs"
	"net/netip"
	"strings"

	"carp/libcarp/config"
	"carp/libcarp/host/ordinary"
	"carp/libcarp/internal/system"
)

// theirs are the words of Linux's net-tools that OpenBSD does not have.
var theirs = words(`
	hw promisc -promisc allmulti -allmulti multicast -multicast dynamic -dynamic trailers -trailers pointopoint -pointopoint dstaddr -broadcast
	txqueuelen outfill io_addr irq mem_start`)

// isTheirs reports whether a command line is one that only Linux's net-tools understand: an option, a word or a name like eth0:1. What is about a carp
// never is. On a BSD the system's ifconfig knows all other interfaces.
func isTheirs(args []string) bool {
	if len(args) == 0 {
		return false
	}
	options := 0 // theirs may stand in several words
	for options < len(args) && strings.HasPrefix(args[options], "-") {
		options++
	}
	name := ""
	if options < len(args) {
		name = args[options]
	}
	letters, isOption := strings.ReplaceAll(strings.Join(args[:options], ""), "-", ""), options > 0
	if label, _, _ := strings.Cut(name, ":"); config.IsCarpName(label) || name == "carp" { // carp0:1 would be an address of the link
		return false
	}
	if ordinary.Elsewhere && !isOption && endsInDigit(name) {
		return true
	}
	if isOption && strings.Trim(letters, "asv") == "" && strings.ContainsAny(letters, "sv") {
		return true
	}
	if !isOption && strings.Contains(name, ":") {
		return true
	}
	for n := 1; n < len(args); n++ {
		switch word := args[n]; {
		case theirs[word]:
			return true
		case (word == "add" || word == "del") && n+1 < len(args) && isAddr(args[n+1]):
			return true // of an address; OpenBSD's are of a bridge's member
		}
	}
	return false
}

func isAddr(word string) bool {
	word, _, _ = strings.Cut(word, "/")
	_, err := netip.ParseAddr(word)
	return err == nil
}

// handOver becomes the system's ifconfig. It returns nil when there is none, and the line is then refused as any that has no meaning.
func handOver(args []string) error {
	err := system.Exec("ifconfig", args)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
