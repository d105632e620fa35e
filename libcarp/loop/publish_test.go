package loop

import (
	"os"
	"path/filepath"
	"testing"

	"carp/libcarp/config"
	"carp/libcarp/statedir"
)

// What a carp counts is told to who asks, and stands in the file, beside what the machine counts.
func TestStatsOfCarps(t *testing.T) {
	dir := statedir.Dir(t.TempDir())
	b := start(t, dir, nil)
	b.must(fastCarp)
	b.eventually("counted", func() bool {
		carps, remark, err := dir.CarpStats()
		return err == nil && remark == "" && carps["carp0"][config.Preempt] > 0 && carps["carp0"][config.Opackets] > 0
	})
	b.stop()
	data, err := os.ReadFile(filepath.Join(string(dir), "status", "stats"))
	if err != nil {
		t.Fatal(err)
	}
	machine, err := config.ParseStats(data)
	carps, carpsErr := statedir.ParseCarpStats(data)
	if err != nil || carpsErr != nil || machine[config.Preempt] == 0 || carps["carp0"][config.Preempt] != machine[config.Preempt] {
		t.Errorf("%s, %v, %v", data, err, carpsErr)
	}
}

// A link-level address that was set is shown before there is a link; the virtual one is not.
func TestLladdrWithoutCarpdev(t *testing.T) {
	b := start(t, statedir.Dir(t.TempDir()), nil)
	b.must("create; vhid 1")
	if s := b.status(); s.Lladdr != (config.MAC{}) {
		t.Errorf("%+v", s)
	}
	b.must("lladdr 02:00:00:00:00:7f; carppeer 192.168.1.2; carppeer6 fe80::2; group front")
	s := b.status()
	if s.Lladdr != (config.MAC{2, 0, 0, 0, 0, 0x7f}) || s.Peer.String() != "192.168.1.2" || s.Peer6.String() != "fe80::2" || len(s.Groups) != 2 {
		t.Errorf("%+v", s)
	}
}
