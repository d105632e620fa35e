package golden

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const man = "../../../man"

// deviations returns the sentences of man/deviations by their ids.
func deviations(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(man, "deviations"))
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]string{}
	for n, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		id, sentence, ok := strings.Cut(line, ": ")
		if !ok || strings.Contains(id, " ") || !strings.HasSuffix(sentence, ".") || list[id] != "" {
			t.Errorf("line %d is not \"id: sentence.\", or not the first of that id", n+1)
		}
		list[id] = sentence
	}
	return list
}

// What a case says that it deviates in is in the list.
func TestCasesDeviateByTheList(t *testing.T) {
	list := deviations(t)
	for _, dir := range []string{"ifconfig", "sysctl", "netstat"} {
		paths, err := filepath.Glob("../../" + dir + "/testdata/*.golden")
		if err != nil || len(paths) == 0 {
			t.Fatal("no cases of", dir, err)
		}
		for _, path := range paths {
			c, err := ReadCase(path)
			if err != nil {
				t.Error(err)
				continue
			}
			for _, id := range c.Deviates {
				if list[id] == "" {
					t.Errorf("%s: %s is not in man/deviations", path, id)
				}
			}
			if strings.Contains(c.Stdout, "\tindex 0 ") && len(c.Deviates) == 0 {
				t.Errorf("%s: an index of 0 deviates", path)
			}
		}
	}
}

// What is in the list is told in COMPATIBILITY of a manual page, after a comment with its id, and nothing is told there that is not in the list.
func TestPagesTellDeviations(t *testing.T) {
	var told string
	for _, page := range []string{"ifconfig-carp.8", "sysctl-carp.8", "netstat-carp.8", "carp.4", "hostname.carp.5"} {
		data, err := os.ReadFile(filepath.Join(man, page))
		if err != nil {
			t.Error(err)
		}
		_, section, _ := strings.Cut(string(data), "\n.Sh COMPATIBILITY\n")
		section, _, _ = strings.Cut(section, "\n.Sh ")
		told += section + "\n"
	}
	list := deviations(t)
	for _, item := range strings.Split(told, "\n.It\n")[1:] {
		text, ok := strings.CutPrefix(item, ".\\\" deviation: ")
		if id, _, _ := strings.Cut(text, "\n"); !ok || list[id] == "" {
			t.Errorf("no line .\\\" deviation: with an id of man/deviations before\n%s", item)
		}
	}
	for id := range list {
		if !strings.Contains(told, ".\\\" deviation: "+id+"\n") {
			t.Errorf("no page has a line .\\\" deviation: %s under COMPATIBILITY", id)
		}
	}
}
