package main

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// What the service manager hears, and when.
func TestNotifies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	heard := func() string {
		manager.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		b := make([]byte, 100)
		n, _ := manager.Read(b)
		return string(b[:n])
	}
	env := map[string]string{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": strconv.Itoa(os.Getpid())}
	n := newNotifier(func(key string) string { return env[key] })
	n.ready()
	if got := heard(); got != "READY=1" {
		t.Errorf("heard %q", got)
	}
	at := time.Now()
	for _, c := range []struct {
		after time.Duration
		want  string
	}{{0, "WATCHDOG=1"}, {900 * time.Millisecond, ""}, {time.Second, "WATCHDOG=1"}, {1999 * time.Millisecond, ""}, {2 * time.Second, "WATCHDOG=1"}} {
		n.feed(at.Add(c.after))
		if got := heard(); got != c.want {
			t.Errorf("after %v: heard %q, want %q", c.after, got, c.want)
		}
	}
	n.stopping()
	if got := heard(); got != "STOPPING=1" {
		t.Errorf("heard %q", got)
	}
	env["WATCHDOG_PID"] = "1" // it is another's
	n = newNotifier(func(key string) string { return env[key] })
	n.feed(at)
	if got := heard(); got != "" {
		t.Errorf("heard %q", got)
	}
	delete(env, "NOTIFY_SOCKET")
	n = newNotifier(func(key string) string { return env[key] })
	n.ready()
	n.feed(at)
	if got := heard(); got != "" {
		t.Errorf("heard %q", got)
	}
}
