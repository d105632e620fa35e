package regress

import (
	"bytes"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// fromPage returns the literal display of a manual page that begins with a line, without the marks of a prompt.
func fromPage(t *testing.T, page, first string) string {
	t.Helper()
	data, err := os.ReadFile("../man/" + page)
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(data), "\n"+first+"\n")
	text, _, closed := strings.Cut(text, "\n.Ed\n")
	if !ok || !closed {
		t.Fatalf("%s has no display that begins with %q", page, first)
	}
	return first + "\n" + strings.ReplaceAll(text, `\e`, `\`) + "\n"
}

// The rule set of carp(4) lets everything through that must come through, and nothing else.
func TestFirewall(t *testing.T) {
	t.Parallel()
	rules := fromPage(t, "carp.4", "table inet filter {")
	l := newLab(t)
	a, b, client := l.host("a"), l.host("b"), l.machine("client")
	joins := l.watchJoins(b)
	for _, m := range []*machine{a, b} {
		path := m.state + ".nft"
		if err := os.WriteFile(path, []byte(rules), 0o644); err != nil {
			t.Fatal(err)
		}
		m.must("nft -f " + path)
	}
	a.must("ifconfig-carp carp0 vhid 1 advbase 0 advskew 50 192.168.1.10")
	a.must("ifconfig-carp carp0 inet6 2001:db8:1::10/64")
	a.becomes("master", 10*time.Second)
	b.must("ifconfig-carp carp0 vhid 1 advbase 0 advskew 60 192.168.1.10")
	b.must("ifconfig-carp carp0 inet6 2001:db8:1::10/64")
	b.becomes("backup", 5*time.Second)
	l.within(5*time.Second, "joins of b leave", joins)

	check := func(master, backup *machine) {
		t.Helper()
		for _, addr := range []string{"192.168.1.10", "2001:db8:1::10"} {
			l.within(5*time.Second, "the client reaches "+addr, func() bool { return client.ping(addr) })
			if !client.connects(master, addr, "22") {
				t.Errorf("no connection to port 22 of %s", addr)
			}
			if client.connects(master, addr, "23") {
				t.Errorf("a connection to port 23 of %s, which no rule lets in", addr)
			}
		}
		if s := backup.status("carp0"); s != "backup" {
			t.Errorf("%s is %s", backup.name, s)
		}
	}
	check(a, b)
	a.must("ifconfig-carp carp0 down")
	b.becomes("master", 5*time.Second)
	a.must("ifconfig-carp carp0 up")
	a.must("ifconfig-carp carp0 advskew 70")
	check(b, a)

	// Somebody looks whether the way back is there. With the interface it is not, without it is.
	b.must("nft add chain inet filter reverse { type filter hook prerouting priority -300 ; }")
	loose := "fib saddr oif missing drop"
	if page, err := os.ReadFile("../man/carp.4"); err != nil || !strings.Contains(string(page), ".Dl "+loose+"\n") {
		t.Fatalf("carp(4) has another rule: %v", err)
	}
	for _, c := range []struct {
		rule    string
		answers bool
	}{{"fib saddr . iif oif missing drop", false}, {loose, true}} {
		b.must("nft add rule inet filter reverse " + c.rule)
		for _, addr := range []string{"192.168.1.10", "2001:db8:1::10"} {
			if client.ping(addr) != c.answers {
				t.Errorf("with %q: %s answers: %t", c.rule, addr, !c.answers)
			}
		}
		b.must("nft flush chain inet filter reverse")
	}
}

// connects tries a connection to a port on which a process of the server listens.
func (m *machine) connects(server *machine, addr, port string) bool {
	m.lab.t.Helper()
	var listener net.Listener
	inNamespace(m.lab.t, server.ns, func() (err error) {
		listener, err = net.Listen("tcp", ":"+port)
		return err
	})
	defer listener.Close()
	ok := false
	inNamespace(m.lab.t, m.ns, func() error {
		c, err := net.DialTimeout("tcp", net.JoinHostPort(addr, port), 500*time.Millisecond)
		if ok = err == nil; ok {
			c.Close()
		}
		return nil
	})
	return ok
}

// watchJoins looks on the machine's port for reports of both kinds: 224.0.0.18 by IGMP and ff02::12 by MLD.
func (l *lab) watchJoins(m *machine) func() bool {
	l.t.Helper()
	c := m.capture()
	return func() bool {
		igmp := c.since(0, func(f *frame) bool {
			return f.data[12] == 8 && f.data[23] == 2 && bytes.Contains(f.data[34:], []byte{224, 0, 0, 18})
		})
		mld := c.since(0, func(f *frame) bool {
			return f.data[12] == 0x86 && f.advert == nil && bytes.Contains(f.data[54:], net.ParseIP("ff02::12"))
		})
		return len(igmp) > 0 && len(mld) > 0
	}
}
