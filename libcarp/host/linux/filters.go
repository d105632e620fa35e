//go:build linux

package linux

import (
	"fmt"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// lookEvery is how often it is looked for what the kernel does not tell.
const lookEvery = time.Second

// watchFilters mends the gate soon after somebody has changed the filters or qdiscs of an interface.
func (h *Host) watchFilters() {
	defer h.watchers.Done()
	for {
		if err := h.followFilters(); err != nil {
			h.logf("linux: filters: %v", err)
		}
		select {
		case <-h.left:
			return
		case <-time.After(100 * time.Millisecond):
		}
		// News was lost.
		if links, err := listLinks(); err == nil {
			h.guard.mendAll(links)
		}
	}
}

// followFilters returns when a subscription ends, or when news was lost.
func (h *Host) followFilters() error {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_TC)
	if err != nil {
		return fmt.Errorf("failed to subscribe: %w", err)
	}
	defer s.Close()
	if err := unix.SetsockoptInt(s.GetFd(), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, rcvBuffer); err != nil {
		h.logf("linux: filters: %v", err)
	}
	changed, lost := make(chan int, 1024), make(chan error, 1)
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			msgs, _, err := s.Receive()
			if err != nil {
				lost <- err
				return
			}
			for _, m := range msgs {
				if len(m.Data) < nl.SizeofTcMsg {
					continue
				}
				select {
				case changed <- int(nl.DeserializeTcMsg(m.Data).Ifindex):
				case <-done:
					return
				}
			}
		}
	}()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case index := <-changed:
			// Our own changes are told too, some for each filter: look once.
			all := map[int]bool{index: true}
			for n := len(changed); n > 0; n-- {
				all[<-changed] = true
			}
			for index := range all {
				h.guard.mend(index)
			}
		case <-look.C:
			h.guard.look()
		case err := <-lost:
			return err
		case <-h.left:
			return nil
		}
	}
}
