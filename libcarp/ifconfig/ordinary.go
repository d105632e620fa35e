package ifconfig

import (
	"fmt"
	"io"
	"strings"

	"carp/libcarp/host/ordinary"
)

// flagNames of all interfaces, in the order of their bits (ifconfig.c: IFFBITS).
var flagNames = []struct {
	bit  int
	name string
}{
	{ordinary.Up, "UP"}, {ordinary.Broadcast, "BROADCAST"}, {ordinary.Debug, "DEBUG"}, {ordinary.Loopback, "LOOPBACK"},
	{ordinary.PointToPt, "POINTOPOINT"}, {ordinary.Running, "RUNNING"}, {ordinary.NoARP, "NOARP"}, {ordinary.Promisc, "PROMISC"},
	{ordinary.AllMulti, "ALLMULTI"}, {ordinary.Simplex, "SIMPLEX"}, {ordinary.Multicast, "MULTICAST"},
}

func formatBits(flags int) string {
	var names []string
	for _, f := range flagNames {
		if flags&f.bit != 0 {
			names = append(names, f.name)
		}
	}
	return fmt.Sprintf("%x<%s>", flags, strings.Join(names, ","))
}

// printOrdinary prints an interface that is no carp as ifconfig(8) does (ifconfig.c: status). See printStatus.
func printOrdinary(w io.Writer, i *ordinary.Interface, family string, primary bool) {
	fmt.Fprintf(w, "%s: flags=%s", i.Name, formatBits(i.Flags))
	if i.MTU != 0 {
		fmt.Fprintf(w, " mtu %d", i.MTU)
	}
	fmt.Fprintln(w)
	if i.Ethernet {
		fmt.Fprintf(w, "\tlladdr %s\n", i.Lladdr)
	}
	if i.Description != "" {
		fmt.Fprintf(w, "\tdescription: %s\n", i.Description)
	}
	if i.Class == "bridge" { // has no priority there
		fmt.Fprintf(w, "\tindex %d llprio %d\n", i.Index, llprio)
	} else {
		fmt.Fprintf(w, "\tindex %d priority 0 llprio %d\n", i.Index, llprio)
	}
	if i.Patch != "" {
		fmt.Fprintf(w, "\tpatch: %s\n", i.Patch)
	}
	if i.Class == "vlan" {
		fmt.Fprintf(w, "\tencap: vnetid %d parent %s txprio packet rxprio outer\n", i.VNetID, orNone(i.Parent))
	}
	if groups := i.Groups(); len(groups) > 0 {
		fmt.Fprintf(w, "\tgroups: %s\n", strings.Join(groups, " "))
	}
	if i.Media != "" {
		fmt.Fprintf(w, "\tmedia: Ethernet %s\n", i.Media)
	}
	switch i.Carrier {
	case ordinary.Active:
		fmt.Fprintln(w, "\tstatus: active")
	case ordinary.Down:
		fmt.Fprintln(w, "\tstatus: no carrier")
	}
	for _, m := range i.Members {
		fmt.Fprintf(w, "\t%s flags=3<LEARNING,DISCOVER>\n", m)
	}
	inets := 0
	for _, a := range i.Addrs {
		switch {
		case a.Addr().Is4() && family != "inet6":
			if inets++; inets == 1 || !primary {
				printOrdinaryInet(w, i, a)
			}
		case a.Addr().Is6() && family != "inet":
			printOrdinaryInet6(w, i, a)
		}
	}
}

func orNone(name string) string {
	if name == "" {
		return "none"
	}
	return name
}

func printOrdinaryInet(w io.Writer, i *ordinary.Interface, a ordinary.Addr) {
	fmt.Fprintf(w, "\tinet %s", a.Addr())
	if i.Flags&ordinary.PointToPt != 0 {
		dest := a.Dest
		if !dest.IsValid() {
			dest = addrOf(0)
		}
		fmt.Fprintf(w, " --> %s", dest)
	}
	fmt.Fprintf(w, " netmask 0x%x", uint32(uint64(0xffffffff)<<(32-a.Bits())))
	if i.Flags&ordinary.Broadcast != 0 && a.Broadcast.IsValid() {
		fmt.Fprintf(w, " broadcast %s", a.Broadcast)
	}
	fmt.Fprintln(w)
}

func printOrdinaryInet6(w io.Writer, i *ordinary.Interface, a ordinary.Addr) {
	fmt.Fprintf(w, "\tinet6 %s", a.Addr())
	local := a.Addr().IsLinkLocalUnicast()
	if local {
		fmt.Fprintf(w, "%%%s", i.Name)
	}
	if i.Flags&ordinary.PointToPt != 0 {
		dest := "::"
		if a.Dest.IsValid() {
			dest = a.Dest.String()
		}
		fmt.Fprintf(w, " --> %s", dest)
	}
	fmt.Fprintf(w, " prefixlen %d", a.Bits())
	for _, m := range a.Marks {
		fmt.Fprintf(w, " %s", m)
	}
	if local { // ifconfig.c: in6_alias has it before the lifetimes
		fmt.Fprintf(w, " scopeid 0x%x", i.Index)
	}
	if a.Preferred != ordinary.Infinite || a.Valid != ordinary.Infinite {
		fmt.Fprintf(w, " pltime %s vltime %s", formatLife(a.Preferred), formatLife(a.Valid))
	}
	fmt.Fprintln(w)
}

// formatLife prints a lifetime as sec2str of ifconfig.c does without its SMALL: a number of seconds.
func formatLife(seconds uint32) string {
	if seconds == ordinary.Infinite {
		return "infty"
	}
	return fmt.Sprint(seconds)
}
