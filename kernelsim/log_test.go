package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// A reader that has stopped keeps nobody: neither who logs nor who ends.
func TestLoggerNeverWaits(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		l := newLogger(w)
		for range 10000 {
			l.printf("%s", strings.Repeat("x", 1000))
		}
		l.close()
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("it waits")
	}
	go io.Copy(io.Discard, r) // lets the line in hand end
}

func TestLoggerLosesNothing(t *testing.T) {
	var b bytes.Buffer
	l := newLogger(&b)
	for range 100 {
		l.printf("line")
	}
	l.close()
	if got := strings.Count(b.String(), "line\n"); got != 100 {
		t.Errorf("%d lines of 100", got)
	}
}
