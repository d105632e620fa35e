//go:build linux

package linux

import (
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// lookEvery is how often it is looked for what the kernel does not tell.
const lookEvery = time.Second

// watchFilters mends the gate soon after somebody has changed the filters or qdiscs of an interface. The subscription to news has begun before there was
// a gate, so that nothing is missed.
func (h *Host) watchFilters(news *nl.NetlinkSocket) {
	defer h.watchers.Done()
	for {
		if news != nil {
			if err := h.followFilters(news); err != nil {
				h.logf("linux: filters: %v", err)
			}
		}
		select {
		case <-h.left:
			return
		case <-time.After(100 * time.Millisecond):
		}
		var err error
		if news, err = subscribeFilters(); err != nil {
			h.logf("linux: filters: %v", err)
		}
		if links, err := listLinks(); err == nil { // news was lost
			h.guard.mendAll(links)
		}
	}
}

func subscribeFilters() (*nl.NetlinkSocket, error) { return subscribe(unix.RTNLGRP_TC) }

// followFilters returns when the subscription ends, or when news was lost.
func (h *Host) followFilters(s *nl.NetlinkSocket) error {
	defer s.Close()
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
