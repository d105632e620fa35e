package main

import (
	"net"
	"os"
	"strconv"
	"time"
)

// A notifier tells a service manager how kernelsim does, by the protocol of sd_notify(3). The zero value tells nobody.
type notifier struct {
	to  *net.UnixConn
	fed time.Time     // when the watchdog was fed
	dog time.Duration // how often it must be; 0: there is none
}

// newNotifier is for the service manager that getenv knows of.
func newNotifier(getenv func(string) string) *notifier {
	n := &notifier{}
	path := getenv("NOTIFY_SOCKET")
	if path == "" {
		return n
	}
	to, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"}) // a name that begins with @ is an abstract one
	if err != nil {
		return n
	}
	n.to = to
	if pid := getenv("WATCHDOG_PID"); pid == "" || pid == strconv.Itoa(os.Getpid()) {
		if us, err := strconv.ParseUint(getenv("WATCHDOG_USEC"), 10, 63); err == nil {
			n.dog = time.Duration(us) * time.Microsecond
		}
	}
	return n
}

func (n *notifier) tell(state string) {
	if n.to != nil {
		n.to.SetWriteDeadline(time.Now().Add(time.Millisecond)) // the supervisor does not wait for others
		n.to.Write([]byte(state))
	}
}

// ready: commands are answered.
func (n *notifier) ready() { n.tell("READY=1") }

// stopping: it was told to end.
func (n *notifier) stopping() { n.tell("STOPPING=1") }

// feed feeds the watchdog when it is time: a third of its patience after the last time.
func (n *notifier) feed(at time.Time) {
	if n.dog == 0 || at.Sub(n.fed) < n.dog/3 {
		return
	}
	n.fed = at
	n.tell("WATCHDOG=1")
}
