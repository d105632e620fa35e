//go:build linux

package linux

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"carp/libcarp/config"
	"carp/libcarp/host"
	"carp/libcarp/host/linux/gate"
)

// A carp whose MAC is the carpdev's own has its addresses on the carpdev: no macvlan can have that MAC. They are /32 and /128, because with a wider mask
// the host's own address could end up as a secondary of a shared one, and go with it. Its link, which has the virtual MAC, shows the state and passes nothing.
//
// A start after a crash knows them by the metric of their prefix route (IFA_RT_PRIORITY, Linux 4.18), which they do not have: it names the state directory
// and the carp. On an older kernel it takes for such what is configured, and knows of nothing else.

// A placed is an address that we have put on a carpdev.
type placed struct {
	carpdev int
	prefix  netip.Prefix
}

// An owner keeps the addresses on carpdevs.
type owner struct {
	mark   string
	marks  bool // the kernel keeps a metric with an address
	kernel kernel
	logf   func(string, ...any)

	mu       sync.Mutex          // the goroutine that follows the kernel's news puts back what is missing
	placed   map[string][]placed // by carp: what has to be there
	leaving  map[placed]bool     // what is being taken away: not the host's own
	presumed map[string]bool     // the carps that presume was called for
}

func newOwner(o Options) *owner {
	return &owner{
		mark: aliasPrefix + o.Mark, marks: kernelIs(4, 18), logf: o.Logf, placed: map[string][]placed{}, leaving: map[placed]bool{}, presumed: map[string]bool{},
	}
}

// kernelIs reports whether the kernel is of that version or a later one.
func kernelIs(major, minor int) bool {
	var name unix.Utsname
	var has [2]int
	if err := unix.Uname(&name); err == nil {
		fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &has[0], &has[1])
	}
	return slices.Compare(has[:], []int{major, minor}) >= 0
}

// metric returns what marks the addresses of a carp. It is above all metrics in use.
func (o *owner) metric(carp string) uint32 {
	n, _ := config.CarpUnit(carp)
	return o.space() | uint32(n)&0xffff
}

// space is what the metrics of this state directory have in common.
func (o *owner) space() uint32 {
	sum := fnv.New32a()
	sum.Write([]byte(o.mark))
	return 1<<31 | sum.Sum32()<<16
}

// linkMAC returns the MAC of the carp's link.
func linkMAC(c host.Carp) config.MAC {
	if c.Own && len(c.VHIDs) > 0 {
		return config.VirtualMAC(c.VHIDs[0])
	}
	return c.MAC
}

// single returns the addresses as they are on a carpdev.
func single(addrs []netip.Prefix) (all []placed) {
	for _, p := range addrs {
		all = append(all, placed{prefix: netip.PrefixFrom(p.Addr(), p.Addr().BitLen())})
	}
	return all
}

// placeOwn makes the addresses on carpdevs what the carp needs there: nothing, unless its MAC is the carpdev's own. Without the gate nothing but its absence
// keeps an address silent.
func (h *Host) placeOwn(c host.Carp) error {
	var want []placed
	if c.Own {
		for _, p := range single(linkAddrs(c)) {
			want = append(want, placed{c.Carpdev, p.prefix})
		}
		if err := h.own.presume(c.Name, c.Carpdev, want); err != nil {
			return err
		}
	}
	if h.guard.gate == nil && !c.Master {
		want = nil
	}
	return h.own.set(c.Name, want)
}

// presume takes those addresses of a carp that are on its carpdev for what a dead run has left, once, where the kernel has no better knowledge.
func (o *owner) presume(carp string, carpdev int, addrs []placed) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.marks || o.presumed[carp] {
		return nil
	}
	have, err := addrsOn(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: carpdev}}, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("failed to list addresses: %w", err)
	}
	o.presumed[carp] = true
	for _, a := range have {
		if p, ok := prefixOf(a.IPNet); ok && slices.Contains(addrs, placed{carpdev, p}) && !slices.Contains(o.placed[carp], placed{carpdev, p}) {
			o.placed[carp] = append(o.placed[carp], placed{carpdev, p})
		}
	}
	return nil
}

// set makes these the carp's addresses on carpdevs. It adds before it removes.
func (o *owner) set(carp string, want []placed) error {
	o.mu.Lock()
	old := o.placed[carp]
	if len(want) > 0 {
		o.placed[carp] = want
	} else {
		delete(o.placed, carp)
	}
	var errs []error
	for _, p := range want {
		if !slices.Contains(old, p) {
			errs = append(errs, o.add(carp, p))
		}
	}
	gone := slices.DeleteFunc(slices.Clone(old), func(p placed) bool { return o.has(p) })
	for _, p := range gone {
		o.leaving[p] = true
	}
	o.mu.Unlock()
	for _, p := range gone {
		errs = append(errs, o.kernel.unplace(p))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range gone {
		delete(o.leaving, p)
	}
	return errors.Join(errs...)
}

// has reports whether some carp needs an address there; two may have the same one.
func (o *owner) has(p placed) bool {
	for _, all := range o.placed {
		if slices.Contains(all, p) {
			return true
		}
	}
	return false
}

// add puts an address on a carpdev. As a source it is the last choice: the scope of an IPv4 address keeps it from what leaves the link, an IPv6 address is
// deprecated.
func (o *owner) add(carp string, p placed) error {
	const forever = 1<<32 - 1
	req := o.kernel.request(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	msg := nl.NewIfAddrmsg(familyOf(p.prefix.Addr()))
	msg.Index, msg.Prefixlen = uint32(p.carpdev), uint8(p.prefix.Bits())
	flags, life := uint32(unix.IFA_F_NOPREFIXROUTE), unix.IfaCacheinfo{Valid: forever}
	if p.prefix.Addr().Is4() {
		msg.Scope, life.Prefered = unix.RT_SCOPE_LINK, forever
	} else {
		flags |= unix.IFA_F_NODAD
	}
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, p.prefix.Addr().AsSlice()))
	req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, p.prefix.Addr().AsSlice()))
	req.AddData(nl.NewRtAttr(unix.IFA_FLAGS, nl.Uint32Attr(flags)))
	if o.marks {
		req.AddData(nl.NewRtAttr(unix.IFA_RT_PRIORITY, nl.Uint32Attr(o.metric(carp))))
	}
	req.AddData(nl.NewRtAttr(unix.IFA_CACHEINFO, (&nl.IfaCacheInfo{IfaCacheinfo: life}).Serialize()))
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil && !errors.Is(err, syscall.EEXIST) {
		return fmt.Errorf("failed to add %s: %w", p.prefix, err)
	}
	return nil
}

// unplace takes an address off a carpdev. One that is not there, or whose carpdev is not, is no error.
func (k kernel) unplace(p placed) error {
	req := k.request(unix.RTM_DELADDR, unix.NLM_F_ACK)
	msg := nl.NewIfAddrmsg(familyOf(p.prefix.Addr()))
	msg.Index, msg.Prefixlen = uint32(p.carpdev), uint8(p.prefix.Bits())
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, p.prefix.Addr().AsSlice()))
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	if err != nil && !errors.Is(err, syscall.EADDRNOTAVAIL) && !errors.Is(err, syscall.ENODEV) {
		return fmt.Errorf("failed to delete %s: %w", p.prefix, err)
	}
	return nil
}

// known returns all that is on carpdevs by our doing.
func (o *owner) known() map[placed]bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := map[placed]bool{}
	for _, list := range o.placed {
		for _, p := range list {
			all[p] = true
		}
	}
	for p := range o.leaving {
		all[p] = true
	}
	return all
}

// restore puts back what is missing of addrs, the addresses by interface, on interfaces that are up: a carpdev that goes down loses its IPv6 addresses,
// and a network manager may flush all. It returns whether something was.
func (o *owner) restore(addrs map[int][]netip.Prefix, up map[int]bool) (restored bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for carp, list := range o.placed {
		for _, p := range list {
			if !up[p.carpdev] || slices.Contains(addrs[p.carpdev], p.prefix) {
				continue
			}
			if err := o.add(carp, p); err != nil && !errors.Is(err, syscall.ENODEV) {
				o.logf("linux: %s: %v", carp, err)
			}
			restored = true
		}
	}
	return restored
}

// left returns what a dead run of this state directory has left on carpdevs, by the metrics.
func (o *owner) left() (map[uint32][]placed, error) {
	found, err := gate.Whole(func() (map[uint32][]placed, error) {
		found := map[uint32][]placed{}
		req := o.kernel.request(unix.RTM_GETADDR, unix.NLM_F_DUMP)
		req.AddData(nl.NewIfAddrmsg(unix.AF_UNSPEC))
		msgs, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWADDR)
		for _, m := range msgs {
			if metric, p, ok := placedIn(m); ok && metric&^0xffff == o.space() {
				found[metric] = append(found[metric], p)
			}
		}
		return found, err
	})
	if err != nil {
		return nil, fmt.Errorf("failed to list addresses: %w", err)
	}
	return found, nil
}

// placedIn reads an address of a netlink message that could be one of ours.
func placedIn(m []byte) (metric uint32, p placed, ok bool) {
	if len(m) < unix.SizeofIfAddrmsg {
		return 0, p, false
	}
	msg := nl.DeserializeIfAddrmsg(m)
	attrs, err := nl.ParseRouteAttr(m[msg.Len():])
	if err != nil {
		return 0, p, false
	}
	var local, address netip.Addr
	for _, a := range attrs {
		switch a.Attr.Type {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(a.Value)
		case unix.IFA_ADDRESS:
			address, _ = netip.AddrFromSlice(a.Value)
		case unix.IFA_RT_PRIORITY:
			metric = native.Uint32(a.Value)
		}
	}
	if !local.IsValid() { // IPv6
		local = address
	}
	p = placed{int(msg.Index), netip.PrefixFrom(local, int(msg.Prefixlen))}
	return metric, p, local.IsValid() && p.prefix.IsSingleIP()
}

var native = nl.NativeEndian()

// recall takes note of what a dead run has left, before anybody takes it for the host's own.
func (o *owner) recall() error {
	left, err := o.left()
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for metric, all := range left {
		o.placed[carpOfMetric(metric)] = all
	}
	return nil
}

// carpOfMetric undoes metric.
func carpOfMetric(metric uint32) string { return fmt.Sprintf("carp%d", metric&0xffff) }

// adopt takes over what a dead run has left for the carps to keep, whose links are there, and takes away all else, after having told of it.
func (o *owner) adopt(links []netlink.Link, tell func(gone []placed) error) error {
	left, err := o.left()
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range links {
		name := l.Attrs().Name
		if all := left[o.metric(name)]; len(all) > 0 {
			o.mu.Lock()
			o.placed[name] = all
			o.mu.Unlock()
			delete(left, o.metric(name))
		}
	}
	for metric, all := range left { // by set, which forgets an address before it goes: else restore might put it back
		name := carpOfMetric(metric)
		o.mu.Lock()
		o.placed[name] = all
		o.mu.Unlock()
		errs = append(errs, tell(all), o.set(name, nil))
	}
	return errors.Join(errs...)
}

// release takes everything off the carpdevs.
func (o *owner) release() error {
	o.mu.Lock()
	var carps []string
	for carp := range o.placed {
		carps = append(carps, carp)
	}
	o.mu.Unlock()
	var errs []error
	for _, carp := range carps {
		errs = append(errs, o.set(carp, nil))
	}
	return errors.Join(errs...)
}

// of returns the carp's addresses on carpdevs.
func (o *owner) of(carp string) (addrs []netip.Addr) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range o.placed[carp] {
		addrs = append(addrs, p.prefix.Addr())
	}
	return addrs
}
