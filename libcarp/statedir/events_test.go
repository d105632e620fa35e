package statedir

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

// What is found from the end on is what is found by reading everything, whatever stands in the files.
func TestLastEvents(t *testing.T) {
	line := func(n int, carp string) string {
		return fmt.Sprintf("%d 2026-01-31T12:00:00.%03dZ %s BACKUP MASTER master timed out\n", n, n, carp)
	}
	for what, files := range map[string][2]string{ // the earlier one, the later one
		"none":           {},
		"one":            {"", line(1, "carp0")},
		"several":        {"", line(1, "carp0") + line(2, "carp1") + line(3, "carp0") + line(4, "carp0")},
		"both":           {line(1, "carp0") + line(2, "carp1") + line(3, "carp2"), line(4, "carp0") + line(5, "carp3")},
		"a new file":     {line(1, "carp0") + line(2, "carp1"), ""},
		"half a line":    {line(1, "carp0"), line(2, "carp1") + "3 2026-01-31T12:00"},
		"nonsense":       {line(1, "carp0") + line(2, "carp1"), line(3, "carp1") + "\n\nx y carp1 z\n" + "4 yesterday carp0 BACKUP MASTER x\n"},
		"nonsense alone": {line(7, "carp0") + "x\n", "\n"},
	} {
		d := Dir(t.TempDir())
		for n, path := range []string{d.oldEvents(), d.events()} {
			if files[n] != "" {
				if err := os.WriteFile(path, []byte(files[n]), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		all, err := d.Events(0)
		if err != nil {
			t.Fatal(err)
		}
		want, number := map[string]Event{}, 0
		for _, e := range all {
			want[e.Carp], number = e, e.Number
		}
		if got, err := d.lastEvents(); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v, want %v", what, got, err, want)
		}
		l, err := openEvents(d)
		if err != nil {
			t.Fatal(err)
		}
		if l.number != number {
			t.Errorf("%s: the last number is %d, want %d", what, l.number, number)
		}
		l.close()
		if data, err := os.ReadFile(d.events()); err != nil || len(data) > 0 && !strings.HasSuffix(string(data), "\n") {
			t.Errorf("%s: then it is %q, %v", what, data, err)
		}
	}
}
