package regress

import (
	"strings"
	"testing"
	"time"
)

// A carpdev called by an alternative name of the interface works as by its own, also when the name comes late and when kernelsim starts anew. It is
// shown as it was given.
func TestAltName(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.host("a")
	if r := a.do("ifconfig-carp carp0 carpdev em0"); r.code != 1 || r.err != "ifconfig: carp0: SIOCSVH: Invalid argument\n" {
		t.Errorf("before there is the name: exit %d, %q", r.code, r.err)
	}
	l.ip(a.ns, "link", "property", "add", "dev", "eth0", "altname", "em0")
	l.within(3*time.Second, "em0 is known", func() bool {
		return a.do("ifconfig-carp carp0 vhid 1 "+fast+" carpdev em0 192.168.1.10/24").code == 0
	})
	shown := func() bool { return strings.Contains(a.do("ifconfig-carp carp0").out, " MASTER carpdev em0 vhid 1 ") }
	l.within(5*time.Second, "carp0 is master on em0", shown)
	a.stop()
	a.start()
	a.serves()
	l.within(5*time.Second, "carp0 is master on em0 again", shown)
}
