package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const end = "FAIL\nFAIL\tcarp/regress\t1.0s\nFAIL\n"

// What is excused runs again, alone, and at most twice; what is not fails at once.
func TestAgain(t *testing.T) {
	parallel := "=== RUN   TestA\n=== PAUSE TestA\n=== RUN   TestB\n=== CONT  TestA\n=== CONT  TestB/of it\n" +
		"    x_test.go:1: the machine stood still for 100 ms\n=== NAME  TestA\n    x_test.go:1: the machine stood still for 50 ms\n"
	const ended = "exit 1\n"
	for name, c := range map[string]struct {
		runs []string // what the tests say, with how they end where that is not well
		ok   bool
		with string // the flags of the last run
	}{
		"pass":           {[]string{"--- PASS: TestA (0.00s)\nPASS\nok  \tcarp/regress\n"}, true, ""},
		"no stall":       {[]string{"=== RUN   TestA\n--- FAIL: TestA (1.00s)\n" + end + ended}, false, ""},
		"a short one":    {[]string{"=== RUN   TestA\n    x_test.go:1: the machine stood still for 44 ms\n--- FAIL: TestA (1.00s)\n" + end + ended}, false, ""},
		"another's":      {[]string{"=== RUN   TestB\n    x_test.go:1: the machine stood still for 90 ms\n--- PASS: TestB (1.00s)\n=== RUN   TestA\n--- FAIL: TestA (1.00s)\n" + end + ended}, false, ""},
		"both":           {[]string{parallel + "--- FAIL: TestA (1.00s)\n--- FAIL: TestB (1.00s)\n    --- FAIL: TestB/of it (0.00s)\n" + end + ended, "PASS\n"}, true, "-parallel 1 -run ^(TestA|TestB)$"},
		"one, then none": {[]string{parallel + "--- FAIL: TestB (1.00s)\n" + end + ended, parallel + "--- FAIL: TestB (1.00s)\n" + end + ended, "PASS\n"}, true, "-parallel 1 -run ^(TestB)$"},
		"always":         {[]string{parallel + "--- FAIL: TestB (1.00s)\n" + end + ended, parallel + "--- FAIL: TestB (1.00s)\n" + end + ended, parallel + "--- FAIL: TestB (1.00s)\n" + end + ended}, false, "-parallel 1 -run ^(TestB)$"},
		"panic":          {[]string{parallel + "--- FAIL: TestB (1.00s)\npanic: of some kind\nFAIL\tcarp/regress\t1.0s\nFAIL\n" + ended}, false, ""},
		"does not build": {[]string{"FAIL\tcarp/regress [build failed]\nFAIL\n" + ended}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			// Each run says what the next file has, and keeps how it was called.
			script := "cd " + dir + "\necho \"$*\" >>calls\nn=$(wc -l <calls)\n. ./run$((n))\n"
			for n, says := range c.runs {
				code := ""
				if body, bad := strings.CutSuffix(says, ended); bad {
					says, code = body, ended
				}
				write(t, filepath.Join(dir, "run"+string(rune('1'+n))), "cat <<'EOF'\n"+says+"EOF\n"+code)
			}
			write(t, filepath.Join(dir, "test.sh"), script)
			var out strings.Builder
			err := run([]string{"sh", filepath.Join(dir, "test.sh")}, &out)
			if (err == nil) != c.ok {
				t.Errorf("%v\n%s", err, out.String())
			}
			calls, err := os.ReadFile(filepath.Join(dir, "calls"))
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSuffix(string(calls), "\n"), "\n")
			if len(lines) != len(c.runs) || lines[len(lines)-1] != c.with {
				t.Errorf("called %q", lines)
			}
			if said := strings.Contains(out.String(), "again: TestB failed while the machine stood still for 100ms; run again\n"); said != (c.with != "") {
				t.Errorf("what was run again is told %t:\n%s", said, out.String())
			}
		})
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
