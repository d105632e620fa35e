package ifconfig

import (
	"math"
	"strings"

	"carp/libcarp/config"
)

// How many arguments follow a word.
type arity int

const (
	alone arity = iota
	one
	maybe // one, unless a keyword or nothing follows (ifconfig.c: NEXTARG0)
)

// ignored are the words of OpenBSD's ifconfig that are accepted with a warning: what they ask for changes nothing that anybody sees on the wire, and the
// rest of a line that was written for OpenBSD is worth doing.
var ignored = map[string]arity{
	"debug": alone, "-debug": alone, "link0": alone, "-link0": alone, "link1": alone, "-link1": alone, "link2": alone, "-link2": alone,
	"media": maybe, "mediaopt": one, "-mediaopt": one, "mode": one, "-mode": alone, "instance": one, "inst": one,
	"llprio": one, "priority": one, "metric": one, "rtlabel": one, "-rtlabel": alone, "powersave": maybe, "-powersave": alone,
	"soii": alone, "-soii": alone, "tcplro": alone, "-tcplro": alone, "wol": alone, "-wol": alone,
	"hwfeatures": maybe, "transceiver": maybe, "sff": maybe, "sffdump": alone, "txprio": one, "rxprio": one, "defer": alone, "-defer": alone,
}

// ignoredFlags are those of them that set or clear a flag.
var ignoredFlags = words("debug -debug link0 -link0 link1 -link1 link2 -link2")

// ignoredNumbers are those that take a number, with the greatest.
var ignoredNumbers = map[string]int64{"llprio": math.MaxUint8, "metric": math.MaxInt32, "priority": 15}

// ignoredApart are those whose warning is a kernel's, in the table of what is done.
var ignoredApart = words("autoconf temporary")

// refused are the words of which it would be wrong to go on as if they had been heard: they change who hears what, or need a kind of interface that is
// not here.
var refused = words(`
	addlocal addr addspan anycast apn -apn authkey authname authproto autoedge -autoedge autoptp -autoptp balancing blocknonip -blocknonip bssid -bssid
	carpnodes chan -chan chgpin class -class deladdr delspan discover -discover edge -edge endpoint flowdst -flowdst flowsrc -flowsrc flush flushall
	flushrule fwddelay hellotime holdcnt ifcost -ifcost ifpriority ipdst join -join joinlist -joinlist keepalive -keepalive lacpmode lacptimeout learn
	-learn maxaddr maxage maxupd monitor -monitor mpls -mpls mplslabel -mplslabel nwflag -nwflag nwid -nwid nwkey -nwkey -parent peerflag -peerflag
	peerkey peername peerproto pflowproto pin pppoeac -pppoeac pppoedev pppoesvc -pppoesvc protected -protected proto ptp -ptp puk pwecw -pwecw pwefat
	-pwefat pweneighbor -pweneighbor rdomain -rdomain roaming -roaming rule rulefile rules scan spanpriority static staticarp -staticarp stp -stp syncdev
	-syncdev syncif -syncif syncpeer -syncpeer tentative timeout trunkport -trunkport trunkproto tunnel -tunnel tunneladdr tunneldf -tunneldf
	tunneldomain -tunneldomain tunnelecn -tunnelecn tunnelttl -vlan -vlandev vnetflowid -vnetflowid -vnetid wgaip wgdescr -wgdescr wgdescription
	-wgdescription wgendpoint wgkey wgpeer -wgpeer -wgpeerall wgpka wgport wgpsk -wgpsk wgrtable wpa -wpa wpaakms wpaciphers wpagroupcipher wpakey -wpakey
	wpaprotos`)

// ours are the words that OpenBSD does not have.
var ours = words("carppeer6 -carppeer6 passfile")

// refusedLater are refused when the address is, to which they belong; the parser reads them as words.
var refusedLater = words("anycast tentative")

func words(list string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(list) {
		set[w] = true
	}
	return set
}

// isKeyword reports whether a word is one of OpenBSD's or ours.
func isKeyword(word string) bool {
	_, done := keywords[word]
	_, ignored := ignored[word]
	return done || ignored || refused[word]
}

// ignore is a word that changes nothing. A number must be one nevertheless, and a flag needs an interface that could have it.
func (p *parser) ignore(word, arg string) error {
	if most, ok := ignoredNumbers[word]; ok {
		if _, reason := config.ParseNumber(arg, 0, most); reason != "" {
			return &config.NumberError{What: word, Given: arg, Reason: reason}
		}
	}
	if p.own != nil && ignoredFlags[word] {
		p.act("flags", "", 0)
	}
	p.note(p.name + ": " + word + ": has no effect here")
	return nil
}
