package cold_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/testbed"
)

// TestNeighboursComeAhead of a program that reads one small file after the other.
func TestNeighboursComeAhead(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy)
	want := ""
	for i := range 100 {
		body := fmt.Sprintf("content of %d\n", i)
		b.bucket.Put(fmt.Sprintf("%sd/f%02d", keys, i), body, nil)
		want += body
	}
	gate := testbed.Hold()
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "GET", Suffix: "/d/f10"}, Do: gate})
	got := make(chan string, 1)
	go func() {
		out, err := b.agent("sh", "-c", "cat d/*")
		got <- fmt.Sprint(out, err)
	}()
	// The reader waits for f10 at the latest.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b.proxy.WaitFor(ctx, testbed.Match{Verb: "GET", Suffix: "/d/f30"}, 1)
	gate.Open()
	if g := <-got; g != want+"<nil>" {
		t.Errorf("it reads %q", g)
	}
	if n := b.proxy.Count("GET"); n > 103 { // the index, and what the probe asks
		t.Errorf("%d GETs for 100 files", n)
	}
	// Neither again, nor for who reads here and there.
	b.proxy.Forget()
	b.sh(`cat d/* > /dev/null`)
	if n := b.proxy.Count("GET"); n != 0 {
		t.Errorf("%d GETs for what is cached", n)
	}
}

func TestNeighboursOfReadsHereAndThere(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy)
	for i := range 60 {
		b.bucket.Put(fmt.Sprintf("%sd/f%02d", keys, i), "content", nil)
	}
	b.sh(`ls d > /dev/null; cat d/f00 d/f01`)
	b.proxy.Forget()
	if got := b.sh(`cat d/f50 d/f10 d/f40 d/f30 d/f20; echo more >> d/f02; rm d/f03`); got != strings.Repeat("content", 5) {
		t.Errorf("reads %q", got)
	}
	if n := b.proxy.Count("GET"); n != 6 {
		t.Errorf("%d GETs for 6 files", n)
	}
}
