//go:build linux

package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"carp/libcarp/host"
)

// What somebody else does to a carp's link is mended in three steps. The kernel tells of links, addresses and rp_filter, and each second
// everything is looked at, sysctls included, of which nobody is told. What is not as the last Ensure has made it is told as amiss; and then
// Ensure, which the loop calls, looks at everything and puts right what is wrong. Mending ends where somebody does the same again and again:
// then the carp has no link at all, and Ensure fails, until he has left it alone for a while.

// How often in how much time somebody else's changes are put right, and for how long they are then left alone.
const (
	fightMax  = 100
	fightSpan = 10 * time.Second
)

// A patience bears so many changes of somebody else's.
type patience struct {
	borne []time.Time
	until time.Time
}

// lost reports whether there is none at this time.
func (p *patience) lost(now time.Time) bool { return now.Before(p.until) }

// bear reports whether one more change is to be put right.
func (p *patience) bear(now time.Time) bool {
	p.borne = slices.DeleteFunc(p.borne, func(t time.Time) bool { return now.Sub(t) > fightSpan })
	if len(p.borne) >= fightMax {
		p.borne, p.until = nil, now.Add(fightSpan)
		return false
	}
	p.borne = append(p.borne, now)
	return true
}

// A keeper knows what the carps' links have to be.
type keeper struct {
	mu       sync.Mutex
	wishes   map[int]*kept           // by index of the link
	carpdevs map[int]map[string]bool // by index of an interface whose sysctls matter: the carps that they matter to, and whether each has been made
	suspects map[string]bool
	amiss    chan string
	deaf     deafness
}

type kept struct {
	wish
	addrs  []netip.Prefix
	making bool // it is on its way to what it has to be
}

func newKeeper() *keeper {
	return &keeper{wishes: map[int]*kept{}, carpdevs: map[int]map[string]bool{}, suspects: map[string]bool{}, amiss: make(chan string, 4096), deaf: deafNow()}
}

// Amiss tells which carps are not what Ensure has made them.
func (h *Host) Amiss() <-chan string { return h.keeper.amiss }

// expect takes note of what a link will be, once done is called.
func (k *keeper) expect(index int, c host.Carp, gated bool, carpdevs ...int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop(c.Name)
	addrs := linkAddrs(c)
	if c.Own {
		addrs = nil // they are on the carpdev
	}
	k.wishes[index] = &kept{wish{c.Name, linkMAC(c), c.Master, gated}, addrs, true}
	for _, i := range carpdevs {
		if i == 0 {
			continue
		}
		if k.carpdevs[i] == nil {
			k.carpdevs[i] = map[string]bool{}
		}
		k.carpdevs[i][c.Name] = false
	}
}

// done says that a link is what was expected, as far as it could be made so.
func (k *keeper) done(carp string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, w := range k.wishes {
		if w.carp == carp {
			w.making = false
		}
	}
	for _, carps := range k.carpdevs {
		if _, ok := carps[carp]; ok {
			carps[carp] = true
		}
	}
}

// ignore ends expect.
func (k *keeper) ignore(carp string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop(carp)
	delete(k.suspects, carp)
}

func (k *keeper) drop(carp string) {
	maps.DeleteFunc(k.wishes, func(_ int, w *kept) bool { return w.carp == carp })
	maps.DeleteFunc(k.carpdevs, func(_ int, carps map[string]bool) bool { delete(carps, carp); return len(carps) == 0 })
}

// suspect tells that a carp is amiss, once until Ensure takes it up.
func (k *keeper) suspect(carp string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.suspectLocked(carp)
}

func (k *keeper) suspectLocked(carp string) {
	if k.suspects[carp] {
		return
	}
	select {
	case k.amiss <- carp:
		k.suspects[carp] = true
	default: // nobody takes them: it will be seen again
	}
}

// taken returns whether the carp was suspected, and takes it up.
func (k *keeper) taken(carp string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	was := k.suspects[carp]
	delete(k.suspects, carp)
	return was
}

// suspectAll is for when news was lost.
func (k *keeper) suspectAll() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, w := range k.wishes {
		k.suspectLocked(w.carp)
	}
}

// sees returns which carp is amiss, "": none, by what the kernel says of an interface, and whether that is a backup's with a carrier.
func (k *keeper) sees(s *linkState) (carp, what string, hasCarrier bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if carps := k.carpdevs[s.index]; carps != nil {
		if what = s.unlike(carpdevSettings); what != "" {
			for carp, whole := range carps { // one of them will do
				if whole {
					return carp, what, false
				}
			}
		}
	}
	w := k.wishes[s.index]
	if w == nil || w.making {
		return "", "", false
	}
	hasCarrier = w.gated && !w.master && s.flags&unix.IFF_RUNNING != 0
	if what = w.amiss(s); what != "" {
		return w.carp, what, hasCarrier
	}
	return "", "", hasCarrier
}

// seesAddr takes in that an address has come or gone.
func (k *keeper) seesAddr(index int, p netip.Prefix, here bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	w := k.wishes[index]
	if w == nil || slices.Contains(w.addrs, p) == here || !w.gated && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() { // which goes with a link that is down
		return
	}
	k.suspectLocked(w.carp)
}

// seesGone takes in that an interface has gone.
func (k *keeper) seesGone(index int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if w := k.wishes[index]; w != nil {
		k.suspectLocked(w.carp)
	}
}

// watchCarps tells what is amiss. The subscription to news has begun before there was a link, so that nothing is missed.
func (h *Host) watchCarps(news *nl.NetlinkSocket) {
	defer h.watchers.Done()
	for {
		if news != nil {
			if err := h.followCarps(news); err != nil {
				h.logf("linux: carps: %v", err)
			}
		}
		select {
		case <-h.left:
			return
		case <-time.After(10 * time.Millisecond):
		}
		var err error
		if news, err = subscribeCarps(); err != nil {
			h.logf("linux: carps: %v", err)
		}
		h.keeper.suspectAll() // news was lost
	}
}

// rtnlgrpIPv6Netconf is linux/rtnetlink.h's RTNLGRP_IPV6_NETCONF.
const rtnlgrpIPv6Netconf = 25

func subscribeCarps() (*nl.NetlinkSocket, error) {
	return subscribe(unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_NETCONF, rtnlgrpIPv6Netconf)
}

// subscribe asks for the kernel's news of these groups.
func subscribe(groups ...uint) (*nl.NetlinkSocket, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, groups...)
	if err != nil {
		return nil, fmt.Errorf("failed to subscribe: %w", err)
	}
	if err := unix.SetsockoptInt(s.GetFd(), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, rcvBuffer); err != nil {
		s.Close()
		return nil, fmt.Errorf("failed to subscribe: %w", err)
	}
	return s, nil
}

// followCarps returns when the subscription ends, or when news was lost.
func (h *Host) followCarps(s *nl.NetlinkSocket) error {
	lost, done := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(done)
		for {
			msgs, _, err := s.Receive()
			if err != nil {
				lost <- err
				return
			}
			for _, m := range msgs {
				h.hears(m.Header.Type, m.Data)
			}
		}
	}()
	defer func() { s.Close(); <-done }()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			h.lookAtCarps()
			h.routes.look()
		case err := <-lost:
			return err
		case <-h.left:
			return nil
		}
	}
}

// hears takes in one message of the kernel's.
func (h *Host) hears(kind uint16, msg []byte) {
	switch kind {
	case unix.RTM_NEWLINK:
		s, err := parseLink(msg)
		if err != nil {
			return
		}
		carp, _, hasCarrier := h.keeper.sees(&s)
		if hasCarrier {
			h.guard.hasCarrier(s.index)
		}
		if carp != "" { // or was, before a change of ours
			h.lookAt(s.index)
		}
	case unix.RTM_DELLINK:
		if s, err := parseLink(msg); err == nil {
			h.keeper.seesGone(s.index)
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		if len(msg) < unix.SizeofIfAddrmsg {
			return
		}
		a := nl.DeserializeIfAddrmsg(msg)
		addr := nested(msg[unix.SizeofIfAddrmsg:], unix.IFA_LOCAL)
		if addr == nil {
			addr = nested(msg[unix.SizeofIfAddrmsg:], unix.IFA_ADDRESS)
		}
		if ip, ok := netip.AddrFromSlice(addr); ok {
			h.keeper.seesAddr(int(a.Index), netip.PrefixFrom(ip, int(a.Prefixlen)), kind == unix.RTM_NEWADDR)
		}
	case unix.RTM_NEWNETCONF:
		if len(msg) < 4 { // struct netconfmsg and what aligns it
			return
		}
		if index := nested(msg[4:], 1); len(index) == 4 { // NETCONFA_IFINDEX
			if i := int(int32(binary.NativeEndian.Uint32(index))); i > 0 {
				h.lookAt(i)
			}
		}
	}
}

// judge tells of what is amiss.
func (h *Host) judge(s *linkState) {
	if carp, what, _ := h.keeper.sees(s); carp != "" {
		h.logf("linux: %s: %s: %s", carp, s.name, what)
		h.keeper.suspect(carp)
	}
}

// lookAt asks what the kernel says of an interface that matters.
func (h *Host) lookAt(index int) {
	h.keeper.mu.Lock()
	matters := h.keeper.wishes[index] != nil || h.keeper.carpdevs[index] != nil
	h.keeper.mu.Unlock()
	if !matters {
		return
	}
	err := h.looks.getLinks(index, func(s linkState) { h.judge(&s) })
	if err != nil && !errors.Is(err, unix.ENODEV) {
		h.logf("linux: %v", err)
	}
}

// lookAtCarps looks at everything.
func (h *Host) lookAtCarps() {
	h.keeper.mu.Lock()
	before := make([]int, 0, len(h.keeper.wishes))
	for index := range h.keeper.wishes {
		before = append(before, index)
	}
	h.keeper.mu.Unlock()
	if len(before) == 0 {
		return
	}
	here := map[int]bool{}
	err := h.looks.getLinks(0, func(s linkState) {
		here[s.index] = true
		h.judge(&s)
	})
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		h.logf("linux: %v", err)
		return
	}
	if err == nil {
		for _, index := range before {
			if !here[index] {
				h.keeper.seesGone(index)
			}
		}
	}
	if deaf := deafNow(); deaf != h.keeper.deaf {
		h.keeper.deaf = deaf
		h.keeper.suspectAll()
	}
}

// A deafness is what keeps interfaces from answering ARP, whatever their own settings are: net.ipv4.conf.all.arp_ignore and arp_filter.
type deafness struct{ ignore, filter string }

func deafNow() deafness {
	all := func(key string) string {
		value, _ := os.ReadFile(conf("ipv4", "all", key))
		return strings.TrimSpace(string(value))
	}
	return deafness{all("arp_ignore"), all("arp_filter")}
}

// err says why a carp's link answers nobody. With arp_filter an interface answers who would be reached through it (net/ipv4/arp.c: arp_filter), which the
// clients of a link without a route are not.
func (d deafness) err(c host.Carp, routed bool) error {
	switch {
	case d.ignore == "8":
		return errors.New("net.ipv4.conf.all.arp_ignore is 8: nobody gets an answer")
	case d.filter != "0" && d.filter != "" && !c.Own && !routed:
		return errors.New("net.ipv4.conf.all.arp_filter is " + d.filter + ": nobody gets an answer")
	}
	return nil
}
