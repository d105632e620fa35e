package ifconfig

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// openbsd are all words of ifconfig(8), as OpenBSD 7.6 has them (ifconfig.c: cmds[], create and rule).
func openbsd(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile("testdata/keywords")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(data))
}

// manual returns the words of one of the three lists in ifconfig-carp(8).
func manual(t *testing.T, list string) map[string]bool {
	t.Helper()
	data, err := os.ReadFile("../../man/ifconfig-carp.8")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(data), "\n.\\\" words: "+list+"\n")
	rest, _, end := strings.Cut(rest, "\n.\\\" end\n")
	if !ok || !end {
		t.Fatalf("the manual has no list of the words that are %s", list)
	}
	found := map[string]bool{}
	for _, line := range strings.Split(rest, "\n") {
		words, ok := strings.CutPrefix(line, ".Cm ")
		for _, w := range strings.Fields(words) {
			if w != "," && w != "." && ok {
				if found[w] {
					t.Errorf("%s stands twice among the words that are %s", w, list)
				}
				found[w] = true
			}
		}
	}
	return found
}

// Every word of OpenBSD's is in exactly one of three lists, in the code and, the same, in the manual; and nothing else is.
func TestKeywordsAreAllThere(t *testing.T) {
	all := openbsd(t)
	lists := []string{"done", "ignored", "refused"}
	said := map[string]map[string]bool{}
	for _, list := range lists {
		said[list] = manual(t, list)
		t.Logf("%d words are %s", len(said[list]), list)
	}
	count := 0
	for _, w := range all {
		var in []string
		for _, list := range lists {
			if said[list][w] {
				in = append(in, list)
				count++
			}
		}
		if want := []string{place(w)}; !slices.Equal(in, want) {
			t.Errorf("%s: the manual has it in %q, the code in %q", w, in, want)
		}
	}
	if n := len(said["done"]) + len(said["ignored"]) + len(said["refused"]); n != count || count != len(all) {
		t.Errorf("the lists have %d words, %d of OpenBSD's %d", n, count, len(all))
	}
	for w := range keywords {
		if !ours[w] && !slices.Contains(all, w) {
			t.Errorf("%s is not OpenBSD's", w)
		}
	}
	for w := range ours {
		if _, ok := keywords[w]; !ok || slices.Contains(all, w) {
			t.Errorf("%s is not ours alone", w)
		}
	}
}

// place says in which list the code has a word.
func place(word string) string {
	_, done := keywords[word]
	_, ignore := ignored[word]
	switch {
	case refused[word] && !done && !ignore, refusedLater[word] && done:
		return "refused"
	case ignore && !done && !refused[word], ignoredApart[word] && done && !ignore:
		return "ignored"
	case done && !ignore && !refused[word], word == "create":
		return "done"
	}
	return "more than one, or none"
}

// A word of the second list is warned of and the exit code is 0; one of the third makes it 1. With an argument where the word takes one.
func TestKeywordsDoAsTheListsSay(t *testing.T) {
	for _, w := range openbsd(t) {
		line := "carp0 inet6 2001:db8::1 " + w
		if ignored[w] == one {
			line += " 1"
		}
		_, stderr, exit := (&fake{}).run(line)
		switch place(w) {
		case "ignored":
			if exit != 0 || strings.Count(stderr, "\n") != 1 {
				t.Errorf("%s: exit %d, %q", line, exit, stderr)
			}
		case "refused":
			if exit != 1 || stderr == "" {
				t.Errorf("%s: exit %d, %q", line, exit, stderr)
			}
		}
	}
}
