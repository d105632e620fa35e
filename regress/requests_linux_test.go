package regress

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carp/libcarp/statedir"
)

// 6. Many commands at once: nothing is lost, nothing is torn, and a killed kernelsim comes back with the same configuration.
func TestManyCommands(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.host("a")
	const workers, each = 8, 125
	for w := 0; w < workers; w++ {
		a.must(fmt.Sprintf("ifconfig-carp carp%d create carpdev eth0 vhid %d", w, w+1))
	}
	stop := make(chan struct{})
	var readers, all sync.WaitGroup
	readers.Add(1)
	go func() { // reads the files all the while, as a monitoring script would
		defer readers.Done()
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			name := filepath.Join(a.state, "status", fmt.Sprintf("carp%d", n%workers))
			data, err := os.ReadFile(name)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			if s, err := statedir.ParseStatus(data); err != nil || !strings.HasPrefix(s.Name, "carp") {
				t.Errorf("%s is torn: %v\n%s", name, err, data)
				return
			}
		}
	}()
	for w := 0; w < workers; w++ {
		all.Add(1)
		go func(w int) {
			defer all.Done()
			for n := 0; n < each; n++ {
				var line string
				switch n % 5 {
				case 0:
					line = "ifconfig-carp -g carp carpdemote 1"
				case 1:
					line = fmt.Sprintf("ifconfig-carp carp%d advskew %d", w, n%254)
				case 2: // everybody adds to the same interface
					line = fmt.Sprintf("ifconfig-carp carp0 alias 192.168.1.%d/24", 50+w*25+n/5)
				case 3:
					line = "sysctl-carp net.inet.carp.log=2"
				case 4:
					line = fmt.Sprintf("ifconfig-carp carp%d description n%d", w, n)
				}
				if r, err := outcome(a.command(strings.Fields(line)...)); err != nil || r.code != 0 || r.err != "" {
					t.Errorf("%s: %v, exit %d, %s", line, err, r.code, r.err)
				}
			}
		}(w)
	}
	all.Wait()
	close(stop)
	readers.Wait()

	check := func(when string) string {
		t.Helper()
		if out, want := a.must("ifconfig-carp -g carp"), fmt.Sprintf("carp: carp demote count %d\n", workers*each/5); out != want {
			t.Errorf("%s: %s, want %s", when, out, want)
		}
		out := a.must("ifconfig-carp carp0")
		if n := strings.Count(out, "\tinet 192.168.1."); n != workers*each/5 {
			t.Errorf("%s: %d addresses, want %d", when, n, workers*each/5)
		}
		return a.must("ifconfig-carp carp")
	}
	before := check("before")
	a.crash()
	if r := a.do("ifconfig-carp carp0"); r.code != 0 || !strings.Contains(r.out, "carp: INIT ") || !strings.Contains(r.out, "status: invalid") || r.err == "" {
		t.Errorf("after kill -9: %+v", r)
	}
	a.start()
	a.serves()
	l.within(10*time.Second, "the same configuration", func() bool { return steady(a.must("ifconfig-carp carp")) == steady(before) })
	check("after")
}

// steady takes out of a display what a restart may change: states, and indexes of links.
func steady(s string) string {
	var out []string
	for _, line := range strings.Split(s, "\n") {
		switch f := strings.Fields(line); {
		case len(f) > 1 && f[0] == "carp:":
			line = strings.Join(f[2:], " ")
		case len(f) > 0 && (f[0] == "index" || f[0] == "status:"):
			continue
		case strings.HasPrefix(line, "carp"):
			line = strings.ReplaceAll(strings.ReplaceAll(line, ",RUNNING", ""), "=8843", "=8803")
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

// `kernelsim & ifconfig-carp carp0 vhid 1 …` with 0 to 20 ms between them: nothing is lost, and never "already running".
func TestStartRace(t *testing.T) {
	l := newLab(t)
	m := l.machine("a")
	t.Cleanup(func() { m.crash() })
	for n := 0; n < trials(100, 1000); n++ {
		m.state, m.log = filepath.Join(l.dir, fmt.Sprint(n)), filepath.Join(l.dir, fmt.Sprint(n, ".log"))
		m.start()
		time.Sleep(time.Duration(rand.Int63n(int64(20 * time.Millisecond))))
		r := m.do("ifconfig-carp carp0 vhid 1 advskew 7 192.168.1.10")
		if r.code != 0 || r.err != "" && r.err != "ifconfig: kernelsim is not running; configuration stored\n" {
			t.Fatalf("trial %d: %+v\n%s", n, r, m.readLog())
		}
		l.within(5*time.Second, "the carp works", func() bool { return m.status("carp0") == "backup" })
		if out := m.must("ifconfig-carp carp0"); !strings.Contains(out, "vhid 1 advbase 1 advskew 7") || !strings.Contains(out, "carpdev eth0") {
			t.Fatalf("trial %d: %s", n, out)
		}
		m.stop()
		if log := m.readLog(); strings.Contains(log, "already running") {
			t.Fatalf("trial %d: %s", n, log)
		}
		if n%20 == 19 {
			os.RemoveAll(m.state)
		}
	}
}

// Who may what: anybody sees what root sees, running or not; root alone sets.
func TestOtherUsers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.host("a")
	for dir := l.dir; dir != "/"; dir = filepath.Dir(dir) { // let nobody pass to the state directory
		if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o001 == 0 {
			if err := os.Chmod(dir, info.Mode().Perm()|0o001); err != nil {
				t.Fatal(err)
			}
		}
	}
	open := filepath.Join(l.dir, "bin") // and to the commands
	if err := os.MkdirAll(open, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{"ifconfig-carp", "sysctl-carp"} {
		data, err := os.ReadFile(filepath.Join(bin, c))
		if err == nil {
			err = os.WriteFile(filepath.Join(open, c), data, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	a.must("ifconfig-carp carp0 vhid 1 pass geheim advbase 20 192.168.1.10")
	a.becomes("backup", 5*time.Second)
	nobody := func(line string) result {
		f := strings.Fields(line)
		f[0] = filepath.Join(open, f[0])
		return a.exec(append([]string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"}, f...)...)
	}
	views := []string{"ifconfig-carp carp0", "ifconfig-carp -a", "ifconfig-carp carp", "ifconfig-carp -g carp", "sysctl-carp net.inet.carp", "sysctl-carp -n net.inet.carp.log"}
	same := func(when string, want func(line string, r result)) {
		t.Helper()
		for _, line := range views {
			r, n := a.do(line), nobody(line)
			if r != n {
				t.Errorf("%s: %s:\nroot   %+v\nnobody %+v", when, line, r, n)
			}
			if strings.Contains(n.out+n.err, "geheim") {
				t.Errorf("%s: %s shows the pass phrase", when, line)
			}
			want(line, r)
		}
	}
	same("running", func(line string, r result) {
		if r.err != "" || r.code != 0 || r.out == "" {
			t.Errorf("%s: %+v", line, r)
		}
	})
	for line, want := range map[string]result{
		"ifconfig-carp carp0 vhid 2":            {err: "ifconfig: carp0: SIOCSVH: Operation not permitted\n", code: 1},
		"ifconfig-carp carp0 down":              {err: "ifconfig: carp0: SIOCSIFFLAGS: Operation not permitted\n", code: 1},
		"ifconfig-carp carp0 destroy":           {err: "ifconfig: carp0: SIOCIFDESTROY: Operation not permitted\n", code: 1},
		"ifconfig-carp carp7 vhid 7":            {err: "ifconfig: carp7: SIOCGVH: Device not configured\n", code: 1},
		"ifconfig-carp -g carp carpdemote 1":    {err: "ifconfig: carp: SIOCSIFGATTR: Operation not permitted\n", code: 1},
		"sysctl-carp net.inet.carp.preempt=1":   {err: "sysctl: net.inet.carp.preempt: Operation not permitted\n"},
		"ifconfig-carp carp0 alias 192.168.1.9": {err: "ifconfig: SIOCAIFADDR: Operation not permitted\n", code: 1},
	} {
		if r := nobody(line); r != want {
			t.Errorf("%s: %+v\nwant %+v", line, r, want)
		}
	}
	// nobody may not keep kernelsim from starting either
	for _, name := range []string{"lock", "edit", "want/carp0", "want"} {
		if r := a.exec("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat", filepath.Join(a.state, name)); r.code == 0 || !strings.Contains(r.err, "Permission denied") {
			t.Errorf("nobody reads %s: %+v", name, r)
		}
	}
	stopped := func(line string, r result) {
		if r.code != 0 || !strings.Contains(r.err, "kernelsim is not running") {
			t.Errorf("%s: %+v", line, r)
		}
		if strings.HasSuffix(line, "carp0") && (!strings.Contains(r.out, "\tcarp: INIT ") || !strings.Contains(r.out, "\tstatus: invalid\n")) {
			t.Errorf("%s: %s", line, r.out)
		}
	}
	a.stop()
	same("after SIGTERM", stopped)
	a.start()
	a.becomes("backup", 5*time.Second)
	a.crash()
	same("after kill -9", stopped)
	if r := nobody("ifconfig-carp carp0 vhid 2"); r.err != "ifconfig: carp0: SIOCSVH: Operation not permitted\n" || r.code != 1 {
		t.Errorf("nobody sets while nothing runs: %+v", r)
	}
}

// The engine is killed: another one goes on. Killed again soon after, it comes back as BACKUP, and no link answers meanwhile.
func TestEngineKilled(t *testing.T) {
	l := newLab(t)
	client := l.machine("client")
	a := l.host("a")
	a.must("ifconfig-carp carp0 vhid 1 advbase 1 192.168.1.10")
	a.becomes("master", 5*time.Second)
	old := a.engine()
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	l.within(2*time.Second, "another engine", func() bool { return a.engine() != old && a.status("carp0") == "master" })
	old = a.engine()
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	l.within(2*time.Second, "backup", func() bool { return a.status("carp0") == "backup" })
	silentBackup(t, client, a)
	if pid := a.engine(); pid == old {
		t.Error("the same engine")
	}
	a.becomes("master", 5*time.Second)
	// the supervisor alone is killed: its engine bows out and ends, and the next start takes over at once
	c := client.capture()
	supervisor := a.sim.Process
	supervisor.Kill()
	<-a.ended
	c.wait(t, 0, 2*time.Second, "a bow-out", func(f *frame) bool { return f.advert != nil && f.advert.IsBowOut() })
	a.start()
	a.becomes("backup", 5*time.Second)
	if out := l.ip(a.ns, "-d", "link", "show", "type", "macvlan"); strings.Count(out, "carp0@") != 1 {
		t.Errorf("links: %s", out)
	}
}

// A second kernelsim on the same directory says so at once; another directory in another namespace is another world.
func TestTwoKernelsims(t *testing.T) {
	l := newLab(t)
	a, b := l.host("a"), l.host("b")
	a.must("ifconfig-carp carp0 vhid 1 192.168.1.10")
	b.must("ifconfig-carp carp0 vhid 1 192.168.1.10")
	start := time.Now()
	r := a.do("kernelsim")
	if r.code != 1 || !strings.Contains(r.err, "already running") || time.Since(start) > 2*time.Second {
		t.Errorf("a second one: %+v after %v", r, time.Since(start))
	}
	// a command in the wrong namespace
	c := b.command("ifconfig-carp", "carp0", "advskew", "9")
	c.Env = append(c.Env, "CARP_STATEDIR="+a.state)
	w, err := outcome(c)
	if err != nil || w.code != 1 || !strings.Contains(w.err, "namespace") || !strings.Contains(w.err, "CARP_STATEDIR") {
		t.Errorf("from another namespace: %v, %+v", err, w)
	}
	if out := a.must("ifconfig-carp carp0"); !strings.Contains(out, "advskew 0") {
		t.Error(out)
	}
	// The host of this test may have a network manager, and a limit on locked memory.
	lacks := regexp.MustCompile(`(?m)^no\t(network manager|memory that is not swapped out) .*\n`)
	r = a.do("kernelsim -n")
	if left := lacks.ReplaceAllString(r.out, ""); r.code != 0 || !strings.Contains(r.out, "\tnetwork manager (") || !strings.Contains(left, "ok\t") || strings.Contains(left, "no\t") {
		t.Errorf("kernelsim -n: %+v", r)
	}
	if r := a.do("kernelsim -x"); r.code != 1 || r.err != "usage: kernelsim [-cegnv] [-s dir]\n" {
		t.Errorf("kernelsim -x: %+v", r)
	}
}

// 7. Bad input from everywhere, while the master keeps advertising on time.
func TestBadInput(t *testing.T) {
	l := newLab(t)
	client := l.machine("client")
	c := client.capture()
	a, b := l.pair(fast, "advskew 25", "advskew 50")
	a.becomes("master", 5*time.Second)
	from := c.count()

	for _, line := range []string{
		"ifconfig-carp carp0 vhid 99999999999999999999", "ifconfig-carp carp0 alias 1.2.3.4.5", "ifconfig-carp carp0 pass", "ifconfig-carp \x01", "ifconfig-carp -g carp carpdemote x",
		"ifconfig-carp carp0 " + strings.Repeat("10.0.0.1 ", 3000), "sysctl-carp net.inet.carp.log=" + strings.Repeat("9", 100000), "sysctl-carp =", "sysctl-carp -f /nonexistent",
		"ifconfig-carp carp0 description " + strings.Repeat("x", 100000), "ifconfig-carp " + strings.Repeat("y", 1000) + " up",
	} {
		if r := a.do(line); r.err == "" || strings.Contains(r.err, "panic") || strings.Contains(r.err, "goroutine") {
			t.Errorf("%.60s: %+v", line, r)
		}
	}

	ctl := filepath.Join(a.state, "ctl")
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("unix", ctl)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(8 * time.Second))
		return conn
	}
	for name, request := range map[string][]byte{
		"garbage":       bytes.Repeat([]byte{0xff, '\n'}, 500),
		"nothing":       {},
		"one blank":     []byte("\n"),
		"1 MiB line":    bytes.Repeat([]byte{'x'}, 1<<20),
		"a million zs":  bytes.Repeat([]byte("z\n"), 1<<19),
		"no verb":       []byte("carp 1\n\n"),
		"unknown verb":  []byte("carp 1 explode interface carp0\n\n"),
		"newer version": []byte("carp 99 change interface carp0\nvhid 3\n\n"),
	} {
		conn := dial()
		conn.Write(request) // it may be cut off in the middle
		conn.(*net.UnixConn).CloseWrite()
		var reply bytes.Buffer
		reply.ReadFrom(conn)
		conn.Close()
		if s := reply.String(); name != "nothing" && s != "" && !strings.Contains(s, "errno=") || strings.Contains(s, "errno=0 ") {
			t.Errorf("%s: %q", name, s)
		}
	}
	stalled := dial()
	defer stalled.Close()
	fmt.Fprint(stalled, "carp 1 change inter")
	var crowd []net.Conn
	for i := 0; i < 200; i++ {
		conn, err := net.Dial("unix", ctl)
		if err != nil {
			break // a full backlog is a clear answer
		}
		crowd = append(crowd, conn)
	}
	time.Sleep(500 * time.Millisecond)
	for _, conn := range crowd {
		conn.Close()
	}
	l.within(5*time.Second, "commands work after a crowd of 200", func() bool { return a.do("ifconfig-carp carp0").err == "" })
	start := time.Now()
	if _, err := stalled.Read(make([]byte, 1000)); err != nil && os.IsTimeout(err) || time.Since(start) > 7*time.Second {
		t.Errorf("a client that stalls is kept for %v: %v", time.Since(start), err)
	}

	before := a.counter("ipackets")
	sent := client.inject(badPackets(t))
	l.within(5*time.Second, "the bad packets are counted", func() bool { return a.counter("ipackets") >= before+sent })
	for _, name := range []string{"badsum", "badlen", "badttl", "badvhid", "badauth"} {
		if a.counter(name) == 0 {
			t.Errorf("%s is 0", name)
		}
	}

	if s := b.status("carp0"); s != "backup" {
		t.Errorf("b is %s", s)
	}
	var last time.Time
	var longest time.Duration
	adverts := c.since(from, advertFrom(a.addr))
	for _, f := range adverts {
		if !last.IsZero() {
			longest = max(longest, f.at.Sub(last))
		}
		last = f.at
	}
	t.Logf("%d adverts meanwhile, the longest time between two %.1f ms (interval 97.7 ms)", len(adverts), ms(longest))
	if len(c.since(from, advertFrom(b.addr))) > 0 || longest > 2*98*time.Millisecond {
		t.Errorf("the longest time between two adverts was %v", longest)
	}
	if log := a.readLog() + b.readLog(); strings.Contains(log, "panic") || strings.Contains(log, "the engine ended") {
		t.Errorf("log:\n%s", log)
	}
}

// badPackets are IP payloads that must be refused: the bad vectors, and good ones of somebody else's.
func badPackets(t *testing.T) (all [][]byte) {
	data, err := os.ReadFile("../libcarp/wire/testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vectors []struct {
			CarpHex     string `json:"carp_hex"`
			Proto112Hex string `json:"proto112_hex"`
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	for _, v := range file.Vectors {
		for _, s := range []string{v.CarpHex, v.Proto112Hex} {
			if b, err := hex.DecodeString(s); err == nil && s != "" {
				all = append(all, b)
			}
		}
	}
	if len(all) < 40 {
		t.Fatalf("%d packets in the vectors", len(all))
	}
	return all
}

// inject sends each payload in several envelopes and returns how many of them are well-formed IPv4.
func (m *machine) inject(payloads [][]byte) (sent uint64) {
	m.lab.t.Helper()
	fd := m.packetSocket()
	defer unix.Close(fd)
	send := func(frame []byte) {
		if _, err := unix.Write(fd, frame); err != nil {
			m.lab.t.Fatal(err)
		}
	}
	for _, p := range payloads {
		for _, ttl := range []byte{255, 64} {
			frame := append([]byte{1, 0, 0x5e, 0, 0, 0x12, 2, 0, 0, 0, 0, 9, 8, 0}, 0x45, 0x10, 0, byte(20+len(p)), 0, 0, 0x40, 0, ttl, 112, 0, 0, 192, 168, 1, 99, 224, 0, 0, 18)
			sum := uint32(0)
			for i := 14; i < 34; i += 2 {
				sum += uint32(frame[i])<<8 | uint32(frame[i+1])
			}
			sum = sum>>16 + sum&0xffff
			sum = ^(sum>>16 + sum)
			frame[24], frame[25] = byte(sum>>8), byte(sum)
			send(append(frame, p...))
			sent++
			bad := append([]byte(nil), frame...)
			bad[14] = 0x4f // a header longer than the packet
			send(append(bad, p...))
			send(bad[:min(len(bad), 14+rand.Intn(20))])
		}
	}
	return sent
}
