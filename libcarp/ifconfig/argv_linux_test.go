package ifconfig

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// In the helper process, which is this test's binary, the first thing to run is what main runs first.
func init() {
	if os.Getenv("CARP_TEST_ARGV") == "" {
		return
	}
	args := TakeArgs(os.Args)
	cmdline, err := os.ReadFile("/proc/self/cmdline")
	fmt.Printf("%q\n%q\n%v\n", args[1:], cmdline, err)
	os.Exit(0)
}

// Nobody finds a pass phrase with ps(1), and all words come through.
func TestTakeArgsHidesPass(t *testing.T) {
	words := []string{"carp0", "pass", "mekmitasdigoat", "vhid", "1", "pass", "", "pass"}
	cmd := exec.Command("/proc/self/exe", words...)
	cmd.Env = append(os.Environ(), "CARP_TEST_ARGV=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmdline := "/proc/self/exe\x00carp0\x00pass\x00" + strings.Repeat("\x00", len("mekmitasdigoat")) + "\x00vhid\x001\x00pass\x00\x00pass\x00"
	if want := fmt.Sprintf("%q\n%q\n<nil>\n", words, cmdline); string(out) != want {
		t.Errorf("%s, not %s", out, want)
	}
}
