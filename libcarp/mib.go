package libcarp

import (
	"encoding/binary"
	"fmt"
	"slices"

	"carp/libcarp/config"
)

// The numbers of a MIB's first three levels (OpenBSD, sys/sysctl.h, sys/socket.h and netinet/in.h).
const (
	ctlNet      = 4
	pfInet      = 2
	ipprotoCarp = 112
	carpctlStat = 4 // of the fourth
)

// statsSize is that of struct carpstats: 16 numbers of 64 bits.
const statsSize = 16 * 8

// SysctlMIB is sysctl(3) for the MIBs {4, 2, 112, 1} to {4, 2, 112, 4}: net.inet.carp.allow, preempt and log, a number of 32 bits each, and stats,
// the first 16 counters of [config.Stats] of 64 bits each; all in the byte order of the machine.
//
// The present value is written to the beginning of old, and its size returned. A nil old asks for the size alone. With a new that is not nil the
// variable is set to it; old gets the value before.
//
// The errors are *config.Error, with numbers of sysctl(3): EPERM for who is not root, and for setting stats; EISDIR for {4, 2} and {4, 2, 112}, which
// end too soon; ENOTDIR for a MIB that goes on behind the fourth number; ENOENT for any other (OpenBSD says ENOPROTOOPT of a number that it does not
// know, FreeBSD ENOENT); ENOMEM for an old that is too small, which is left alone then, and so is the variable; EINVAL for a new of another size than
// 4 bytes, and for a MIB of less than 2 numbers or more than 12. While kernelsim does not run, what is stored is shown and set.
func (c *Conn) SysctlMIB(mib []int, old, new []byte) (size int, err error) {
	if len(mib) < 2 || len(mib) > 12 { // CTL_MAXNAME
		return 0, &config.Error{Errno: config.EINVAL}
	}
	if new != nil { // who may set nothing hears of that first (kern_sysctl.c: sys_sysctl)
		if _, err := c.Check(config.Change{Kind: config.ForSysctl}); err != nil {
			return 0, err
		}
	}
	branch := []int{ctlNet, pfInet, ipprotoCarp}
	switch n := min(len(mib), len(branch)); {
	case !slices.Equal(mib[:n], branch[:n]):
		return 0, &config.Error{Errno: config.ENOENT}
	case len(mib) < 4: // uipc_domain.c: net_sysctl
		return 0, &config.Error{Errno: config.EISDIR}
	case len(mib) > 4: // ip_carp.c: carp_sysctl
		return 0, &config.Error{Errno: config.ENOTDIR}
	}
	if mib[3] == carpctlStat {
		return c.statsMIB(old, new)
	}
	all := config.Variables()
	n := slices.IndexFunc(all, func(v config.Variable) bool { return v.MIB != 0 && v.MIB == mib[3] })
	if n < 0 {
		return 0, &config.Error{Errno: config.ENOENT}
	}
	return c.numberMIB(all[n].Name, old, new)
}

// numberMIB reads and sets an int (kern_sysctl.c: sysctl_int).
func (c *Conn) numberMIB(name string, old, new []byte) (size int, err error) {
	const size32 = 4
	switch {
	case old != nil && len(old) < size32:
		return 0, &config.Error{Errno: config.ENOMEM}
	case new != nil && len(new) != size32:
		return 0, &config.Error{Errno: config.EINVAL}
	}
	var value int
	if new != nil {
		clause := config.Clause{Word: config.SetSysctl, Text: name, N: int(int32(binary.NativeEndian.Uint32(new)))}
		r, err := c.Change(config.Change{Kind: config.ForSysctl, Clauses: []config.Clause{clause}})
		if err != nil {
			return 0, err
		}
		value = r.Old
	} else {
		all, _, err := c.Sysctl()
		if err != nil {
			return 0, err
		}
		value = *all.At(name)
	}
	if old != nil {
		binary.NativeEndian.PutUint32(old, uint32(int32(value)))
	}
	return size32, nil
}

// statsMIB reads the counters (ip_carp.c: carp_sysctl_carpstat).
func (c *Conn) statsMIB(old, new []byte) (size int, err error) {
	switch {
	case old != nil && len(old) < statsSize:
		return 0, &config.Error{Errno: config.ENOMEM}
	case new != nil:
		return 0, &config.Error{Errno: config.EPERM}
	case old == nil:
		return statsSize, nil
	}
	all, _, err := c.Stats()
	if err != nil {
		return 0, fmt.Errorf("failed to read the counters: %w", err)
	}
	for n := 0; n < statsSize/8; n++ {
		binary.NativeEndian.PutUint64(old[8*n:], all[n])
	}
	return statsSize, nil
}
