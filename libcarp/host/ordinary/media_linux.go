package ordinary

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtoolCmd is struct ethtool_cmd of linux/ethtool.h, which every kernel answers to ETHTOOL_GSET.
type ethtoolCmd struct {
	cmd, supported, advertising                                 uint32
	speed                                                       uint16
	duplex, port, phyAddress, transceiver, autoneg, mdioSupport uint8
	maxtxpkt, maxrxpkt                                          uint32
	speedHigh                                                   uint16
	ethTpMdix, ethTpMdixCtrl                                    uint8
	lpAdvertising                                               uint32
	_                                                           [2]uint32
}

const (
	ethtoolGset = 1
	fullDuplex  = 1
)

// subtypes are what ifconfig(8) calls speeds (OpenBSD, sys/net/if_media.h), in Mb/s.
var subtypes = map[uint32]string{
	10: "10baseT", 100: "100baseTX", 1000: "1000baseT", 2500: "2500baseT", 5000: "5000baseT", 10000: "10GbaseT", 25000: "25GbaseSR",
	40000: "40GbaseSR4", 50000: "50GbaseCR2", 100000: "100GbaseSR4",
}

// media says what a network card has negotiated, as ifconfig(8) does; of what has no such thing it returns "".
func media(name string) string {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	cmd := ethtoolCmd{cmd: ethtoolGset}
	req := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&cmd)}
	copy(req.name[:unix.IFNAMSIZ-1], name)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); errno != 0 {
		return ""
	}
	subtype, ok := subtypes[uint32(cmd.speed)|uint32(cmd.speedHigh)<<16]
	switch {
	case !ok:
		return "autoselect"
	case cmd.duplex == fullDuplex:
		return fmt.Sprintf("autoselect (%s full-duplex)", subtype)
	}
	return fmt.Sprintf("autoselect (%s half-duplex)", subtype)
}
