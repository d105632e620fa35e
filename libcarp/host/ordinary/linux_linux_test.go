package ordinary

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"carp/libcarp/config"
)

// apart puts the test's goroutine, and what it starts, into a network namespace of its own, with what ip(8) is told to make there.
func apart(t *testing.T, lines ...string) {
	t.Helper()
	runtime.LockOSThread() // and never unlock: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal("needs root:", err)
	}
	for _, line := range append([]string{"link set lo up"}, lines...) {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", line, err, out)
		}
	}
}

// Default routes of both families count, with all their next hops; routes to anything else do not.
func TestEgress(t *testing.T) {
	apart(t, "link add ea type veth peer name eb", "link add ec type veth peer name ed", "link set ea up", "link set eb up", "link set ec up", "link set ed up",
		"addr add 10.0.1.1/24 dev ea", "addr add 10.0.2.1/24 dev eb", "addr add 10.0.3.1/24 dev ec", "addr add 2001:db8:1::1/64 dev ed nodad",
		"route add 10.9.0.0/16 via 10.0.3.9", "route add 0.0.0.0/1 via 10.0.3.9", "route add default nexthop via 10.0.1.9 nexthop via 10.0.2.9",
		"route add default via 10.0.3.9 table 7", "-6 route add default via 2001:db8:1::9", "-6 route add 2001:db8:9::/48 via 2001:db8:1::9 dev ed")
	all, err := Open().Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, i := range all {
		got[i.Name] = i.Egress
	}
	if want := map[string]bool{"lo": false, "ea": true, "eb": true, "ec": false, "ed": true}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// A name and an alternative name lead to the same interface; a carp's link, the loose end of a pair and the name that says a group lead nowhere.
func TestNames(t *testing.T) {
	apart(t, "link add ea type veth peer name eb", "link property add dev ea altname em0", "link add carp0 link ea type macvlan mode private",
		"link set eb alias unpatched")
	h := Open()
	if err := h.Create("pair0", Options{}); err != nil {
		t.Fatal(err)
	}
	if err := h.Join("em0", "lan"); err != nil {
		t.Fatal(err)
	}
	i, err := h.Interface("em0")
	if err != nil || i.Name != "ea" || !slices.Equal(i.AltNames, []string{"em0"}) || !slices.Equal(i.Joined, []string{"lan"}) || !i.Named("em0") {
		t.Errorf("%+v, %v", i, err)
	}
	for _, name := range []string{"", "carp0", "loose-0", "c", "ifgroup.lan.3", "a name", strings.Repeat("x", 200)} {
		if _, err := h.Interface(name); !errors.Is(err, config.ENXIO) {
			t.Errorf("%q: %v", name, err)
		}
	}
	all, err := h.Interfaces()
	var names []string
	for _, i := range all {
		names = append(names, i.Name)
	}
	if slices.Sort(names); err != nil || !slices.Equal(names, []string{"ea", "eb", "lo", "pair0"}) {
		t.Errorf("%q, %v", names, err)
	}
	if err := h.Leave("ea", "lan"); err != nil {
		t.Error(err)
	}
	if err := h.Leave("ea", "lan"); !errors.Is(err, config.ENOENT) {
		t.Error(err)
	}
}

// A destination belongs to a point-to-point link, and with an address goes all that says it.
func TestPointToPoint(t *testing.T) {
	apart(t, "tuntap add mode tun name tun0", "link set tun0 up")
	h := Open()
	a := Addr{Prefix: netip.MustParsePrefix("10.0.0.1/32"), Dest: netip.MustParseAddr("10.0.0.2"), Preferred: Infinite, Valid: Infinite}
	if err := h.AddAddr("tun0", a); err != nil {
		t.Fatal(err)
	}
	i, err := h.Interface("tun0")
	if err != nil || i.Flags&PointToPt == 0 || i.Class != "tun" || i.Ethernet || len(i.Addrs) == 0 || i.Addrs[0].Dest != a.Dest {
		t.Errorf("%+v, %v", i, err)
	}
	if err := h.DelAddr("tun0", a.Addr()); err != nil {
		t.Error(err)
	}
	if err := h.DelAddr("tun0", a.Addr()); !errors.Is(err, config.EADDRNOTAVAIL) {
		t.Error(err)
	}
}

// addrs are an interface's addresses, each with its other end and its broadcast address.
func addrs(t *testing.T, name string) (all []string) {
	t.Helper()
	i, err := Open().Interface(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range i.Addrs {
		if !a.Addr().IsLinkLocalUnicast() {
			all = append(all, fmt.Sprint(a.Prefix, " ", a.Dest, " ", a.Broadcast))
		}
	}
	return all
}

// An address whose other end was given by others is shown with the mask of that, and can be removed.
func TestPeers(t *testing.T) {
	apart(t, "tuntap add mode tun name tun0", "link set tun0 up", "link add ea type veth peer name eb", "link set ea up",
		"addr add 10.5.0.1 peer 10.5.0.2/24 dev tun0", "addr add 2001:db8:5::1 peer 2001:db8:5::2/64 dev tun0", "addr add 10.7.0.1 peer 10.7.0.2/24 dev ea")
	h := Open()
	for name, want := range map[string][]string{
		"tun0": {"10.5.0.1/24 10.5.0.2 invalid IP", "2001:db8:5::1/64 2001:db8:5::2 invalid IP"}, "ea": {"10.7.0.1/24 10.7.0.2 invalid IP"},
	} {
		if got := addrs(t, name); !slices.Equal(got, want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	a := Addr{Prefix: netip.MustParsePrefix("10.5.0.1/32"), Dest: netip.MustParseAddr("10.5.0.3"), Preferred: Infinite, Valid: Infinite}
	if err := h.AddAddr("tun0", a); err != nil {
		t.Error(err)
	}
	if got := addrs(t, "tun0"); len(got) != 2 || got[0] != "10.5.0.1/32 10.5.0.3 invalid IP" {
		t.Errorf("another end: %q", got)
	}
	for addr, name := range map[string]string{"10.5.0.1": "tun0", "2001:db8:5::1": "tun0", "10.7.0.1": "ea"} {
		if err := h.DelAddr(name, netip.MustParseAddr(addr)); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
	}
	if got := append(addrs(t, "tun0"), addrs(t, "ea")...); len(got) > 0 {
		t.Errorf("left: %q", got)
	}
}

// An address that is there gets another mask or broadcast address, and those of its subnet stay; one that has both already is not touched, nor are the
// routes through it.
func TestAddressAgain(t *testing.T) {
	apart(t, "link add ea type veth peer name eb", "link set ea up", "link set eb up", "addr add 10.0.0.1/24 dev ea", "addr add 10.0.0.2/24 brd + dev ea",
		"route add default via 10.0.0.9", "addr add ::ffff:1.2.3.4/96 dev eb nodad")
	h := Open()
	for _, step := range []struct {
		prefix, broadcast string
		want              []string
		egress            bool
	}{
		{"10.0.0.1/24", "", []string{"10.0.0.1/24 invalid IP invalid IP", "10.0.0.2/24 invalid IP 10.0.0.255"}, true},
		{"10.0.0.1/24", "10.0.0.255", []string{"10.0.0.1/24 invalid IP invalid IP", "10.0.0.2/24 invalid IP 10.0.0.255"}, true},
		{"10.0.0.1/24", "10.0.0.77", []string{"10.0.0.2/24 invalid IP 10.0.0.255", "10.0.0.1/24 invalid IP 10.0.0.77"}, false},
		{"10.0.0.1/24", "10.0.0.77", []string{"10.0.0.2/24 invalid IP 10.0.0.255", "10.0.0.1/24 invalid IP 10.0.0.77"}, false},
		{"10.0.0.1/24", "", []string{"10.0.0.2/24 invalid IP 10.0.0.255", "10.0.0.1/24 invalid IP 10.0.0.255"}, false},
		{"10.0.0.1/16", "", []string{"10.0.0.2/24 invalid IP 10.0.0.255", "10.0.0.1/16 invalid IP 10.0.255.255"}, false},
	} {
		a := Addr{Prefix: netip.MustParsePrefix(step.prefix), Preferred: Infinite, Valid: Infinite}
		if step.broadcast != "" {
			a.Broadcast = netip.MustParseAddr(step.broadcast)
		}
		if err := h.AddAddr("ea", a); err != nil {
			t.Fatal(err)
		}
		i, _ := h.Interface("ea")
		if got := addrs(t, "ea"); !slices.Equal(got, step.want) || i.Egress != step.egress {
			t.Errorf("%s %s: %q, egress %v", step.prefix, step.broadcast, got, i.Egress)
		}
	}
	if got := addrs(t, "eb"); !slices.Equal(got, []string{"::ffff:1.2.3.4/96 invalid IP invalid IP"}) {
		t.Errorf("%q", got)
	}
}

// With the first address of a subnet Linux takes the others away. They come back as they were, with what others know them by.
func TestOthersStay(t *testing.T) {
	apart(t, "link add ea type veth peer name eb", "link set ea up", "addr add 10.0.0.1/24 dev ea", "addr add 10.0.0.2/24 brd + dev ea label ea:1",
		"addr add 10.0.0.3/24 dev ea valid_lft 5000 preferred_lft 4000", "addr add 10.0.0.4 peer 10.0.0.5/24 dev ea")
	if err := Open().DelAddr("ea", netip.MustParseAddr("10.0.0.1")); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ip", "-4", "-o", "addr", "show", "dev", "ea").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		" 10.0.0.2/24 brd 10.0.0.255 scope global ea:1", " 10.0.0.3/24 ", " dynamic ea", "preferred_lft 4000sec", " 10.0.0.4 peer 10.0.0.5/24 ",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(string(out), " 10.0.0.1/") || strings.Count(string(out), "\n") != 3 {
		t.Errorf("%s", out)
	}
}

func TestMarks(t *testing.T) {
	for flags, want := range map[int]string{
		0:                                       "",
		unix.IFA_F_PERMANENT | unix.IFA_F_NODAD: "",
		unix.IFA_F_TENTATIVE:                    "tentative",
		unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED:  "duplicated",
		unix.IFA_F_MANAGETEMPADDR:                    "autoconf",
		unix.IFA_F_TEMPORARY:                         "autoconf temporary",
		unix.IFA_F_TEMPORARY | unix.IFA_F_DEPRECATED: "deprecated autoconf temporary",
	} {
		if got := strings.Join(marksOf(flags), " "); got != want {
			t.Errorf("%#x: %q, want %q", flags, got, want)
		}
	}
}

// What cannot be done ends in the number that says why.
func TestErrors(t *testing.T) {
	apart(t, "link add ea type veth peer name eb", "link add name br0 type bridge", "link set ea master br0")
	h := Open()
	for what, c := range map[string]struct{ got, want error }{
		"create what is there":    {h.Create("ea", Options{}), config.EEXIST},
		"create no class":         {h.Create("foo0", Options{}), config.EINVAL},
		"create a class":          {h.Create("bridge", Options{}), config.EINVAL},
		"create a vlan on air":    {h.Create("vlan1", Options{Parent: "x", VNetID: 1}), config.EINVAL},
		"create an untagged vlan": {h.Create("vlan1", Options{Parent: "ea"}), config.EINVAL},
		"destroy a card":          {h.Destroy("ea"), config.EINVAL},
		"destroy nothing":         {h.Destroy("pair9"), config.ENXIO},
		"flags":                   {h.SetFlags("ea", Promisc, 0), config.EINVAL},
		"flags of nothing":        {h.SetFlags("x", Up, 0), config.ENXIO},
		"mtu":                     {h.SetMTU("ea", 1<<30), syscall.EINVAL},
		"a member of a card":      {h.AddMember("ea", "eb"), config.ENOTTY},
		"no member":               {h.DelMember("br0", "eb"), config.ENOENT},
		"nothing as a member":     {h.AddMember("br0", "x"), config.ENOENT},
		"patch cards":             {h.Patch("ea", "eb"), config.EINVAL},
		"patch to nothing":        {h.Patch("ea", "x"), config.ENOENT},
		"patch nothing":           {h.Patch("x", "ea"), config.ENXIO},
		"a member again":          {h.AddMember("br0", "ea"), nil},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", what, c.got, c.want)
		}
	}
}
