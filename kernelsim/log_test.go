package main

import (
	"bytes"
	"fmt"
	"io"
	"log/syslog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carp/libcarp/engine"
)

// A reader that has stopped keeps nobody: neither who logs nor who ends.
func TestLoggerNeverWaits(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		l := newLogger(linesTo(w))
		for range 10000 {
			l.printf("%s", strings.Repeat("x", 1000))
		}
		l.close()
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("it waits")
	}
	go io.Copy(io.Discard, r) // lets the line in hand end
}

// Whoever logs after the end, as one who waits for a dead engine may, is not heard and does no harm.
func TestLoggingAfterTheEnd(t *testing.T) {
	var b bytes.Buffer
	l := newLogger(linesTo(&b))
	l.printf("before")
	l.close()
	l.printf("after")
	if got := b.String(); got != "before\n" {
		t.Errorf("written: %q", got)
	}
}

// What was logged before a flush is written after it.
func TestFlush(t *testing.T) {
	var lines atomic.Int64
	l := newLogger(func(engine.Level, string) {
		if lines.Load() == 0 {
			time.Sleep(10 * time.Millisecond) // all others wait for the first
		}
		lines.Add(1)
	})
	defer l.close()
	for range 20 {
		l.printf("line")
	}
	l.flush()
	if n := lines.Load(); n != 20 {
		t.Errorf("%d lines of 20", n)
	}
}

// A flush waits no longer for a reader that has stopped than the end does, whether there is room for more lines or not.
func TestFlushUnread(t *testing.T) {
	stop := make(chan struct{})
	l := newLogger(func(engine.Level, string) { <-stop })
	defer l.close()
	defer close(stop)
	for _, lines := range []int{1, 2000} {
		for range lines {
			l.printf("line")
		}
		at := time.Now()
		l.flush()
		if took := time.Since(at); took < closePatience || took > closePatience+2*time.Second {
			t.Errorf("%d lines more: it takes %v", lines, took)
		}
	}
}

func TestLoggerLosesNothing(t *testing.T) {
	var b bytes.Buffer
	l := newLogger(linesTo(&b))
	for range 100 {
		l.printf("line")
	}
	l.close()
	if got := strings.Count(b.String(), "line\n"); got != 100 {
		t.Errorf("%d lines of 100", got)
	}
}

// Under systemd each line begins with its level.
func TestLevelsForTheJournal(t *testing.T) {
	var b bytes.Buffer
	l := newLogger(levelsTo(&b))
	l.log(engine.Crit, "carp0: state transition: BACKUP -> MASTER")
	l.printf("kernelsim: %s", "no gate")
	l.debugf("linux: it rains")
	l.close()
	const want = "<2>carp0: state transition: BACKUP -> MASTER\n<4>kernelsim: no gate\n<7>linux: it rains\n"
	if b.String() != want {
		t.Errorf("wrote %q, want %q", b.String(), want)
	}
}

// What systemd says of its journal is believed of that very file alone: JOURNAL_STREAM is inherited by what has its standard error elsewhere.
func TestKnowsTheJournal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	for stream, want := range map[string]bool{
		fmt.Sprintf("%d:%d", uint64(st.Dev), uint64(st.Ino)): true, fmt.Sprintf("%d:%d", uint64(st.Dev), uint64(st.Ino)+1): false, "": false, "x": false,
	} {
		if got := isJournal(f, stream); got != want {
			t.Errorf("%q: %v", stream, got)
		}
	}
	if isTerminal(f) {
		t.Error("a file is a terminal")
	}
}

// syslogd gets facility daemon and the level, and the name once; when it is gone, lines go to standard error.
func TestSyslog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	daemon, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	to, err := syslog.Dial("unixgram", path, syslog.LOG_DAEMON|syslog.LOG_WARNING, "kernelsim")
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	write := syslogTo(to, linesTo(&stderr))
	read := func() string {
		t.Helper()
		daemon.SetReadDeadline(time.Now().Add(5 * time.Second))
		b := make([]byte, 1024)
		n, err := daemon.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	for _, c := range []struct {
		level engine.Level
		text  string
		want  string // with facility 3, daemon
	}{
		{engine.Alert, "carp0: a", `^<25>.* kernelsim\[\d+\]: carp0: a\n$`},
		{engine.Crit, "carp0: state transition: BACKUP -> MASTER", `^<26>.* kernelsim\[\d+\]: carp0: state transition: BACKUP -> MASTER\n$`},
		{engine.Err, "kernelsim: no room", `^<27>.* kernelsim\[\d+\]: no room\n$`},
		{engine.Warning, "w", `^<28>`}, {engine.Notice, "n", `^<29>`}, {engine.Info, "i", `^<30>`}, {engine.Debug, "d", `^<31>`},
	} {
		write(c.level, c.text)
		if got := read(); !regexp.MustCompile(c.want).MatchString(got) {
			t.Errorf("%d %q: %q, want %s", c.level, c.text, got, c.want)
		}
	}
	daemon.Close()
	os.Remove(path)
	write(engine.Err, "kernelsim: alone")
	if got := stderr.String(); got != "kernelsim: alone\n" {
		t.Errorf("without syslogd: %q", got)
	}
}
