package hot

import (
	"os"
	"strings"
	"testing"

	"github.com/matrx/sandbox/internal/storage/posixattr"
	"github.com/matrx/sandbox/internal/testbed"
)

// unanswered writes a file whose upload is cut off before it reaches the server, and lets it
// arrive later: to a client, that is a server that had it all and took its time.
func (s *sandbox) unanswered(fence *gateFence, name, content string) (arrive func()) {
	s.t.Helper()
	hold := testbed.Hold()
	s.proxy.Forget()
	fault := s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Suffix: "/hot/" + name}, Do: hold, Times: 1})
	s.write(name, content)
	if !hold.WaitArrived(s.ctx(), 1) {
		s.t.Fatal("the upload does not come")
	}
	fence.doubt() // which cuts it off
	fault.Remove()
	meta := map[string]string{}
	for _, r := range s.proxy.Requests() {
		if r.Verb != "PUT" || !strings.HasSuffix(r.Key, "/hot/"+name) {
			continue
		}
		for k, v := range r.Header {
			if m, ok := strings.CutPrefix(strings.ToLower(k), "x-amz-meta-"); ok {
				meta[m] = v[0]
			}
		}
	}
	if meta[posixattr.WriteIDKey] == "" {
		s.t.Fatalf("the upload has no id: %v", s.proxy.Requests())
	}
	return func() { s.bucket.Put(prefix+name, content, meta) }
}

func strayed(t *testing.T) (s *sandbox, arrive func()) {
	t.Helper()
	s = newSandbox(t)
	fence := newGateFence()
	s.fence = fence
	s.start()
	arrive = s.unanswered(fence, "f", "one")
	s.remove("f")
	check(t, s.e.obs.catchUp(s.ctx(), false))
	fence.sure()
	s.saved()
	s.wantNone("f")
	return s, arrive
}

// A write arrives after its file was deleted, and the file is made anew: it is known as ours.
func TestLateWriteIsNoConflict(t *testing.T) {
	for name, between := range map[string]func(s *sandbox){
		"at once":         func(*sandbox) {},
		"after a restart": func(s *sandbox) { s.kill(); s.start() },
		"after a rewrite": func(s *sandbox) { s.flushed(); s.start() },
	} {
		t.Run(name, func(t *testing.T) {
			s, arrive := strayed(t)
			between(s)
			arrive()
			s.write("f", "another")
			s.saved()
			s.want("f", "another")
			wantKeys(t, s.keys(), "f")
			if n := s.e.Status().Conflicts; n != 0 {
				t.Errorf("%d conflicts", n)
			}
		})
	}
}

// A write arrives after its file was deleted, and nothing is made anew: it does not stay.
func TestLateWriteBringsNothingBack(t *testing.T) {
	for name, end := range map[string]func(s *sandbox){
		"by itself": func(s *sandbox) {
			seen := s.e.strays(s.ctx(), nil)
			if s.e.strays(s.ctx(), seen); len(s.e.journal.Strays()) != 0 {
				t.Errorf("it is looked for for ever: %v", s.e.journal.Strays())
			}
		},
		"in a flush":      func(s *sandbox) { s.flushed() },
		"after a restart": func(s *sandbox) { s.kill(); s.start().saved() },
	} {
		t.Run(name, func(t *testing.T) {
			s, arrive := strayed(t)
			arrive()
			end(s)
			s.wantNone("f")
			if _, err := os.Lstat(s.path("f")); err == nil {
				t.Error("the file is back")
			}
		})
	}
}

// A write arrives after a later one was stored, which a store that ignores a condition lets happen.
func TestLateWriteOverALaterOne(t *testing.T) {
	s, fence := newSandbox(t), newGateFence()
	s.fence = fence
	s.start()
	arrive := s.unanswered(fence, "f", "one")
	s.write("f", "two")
	fence.sure()
	s.saved()
	s.want("f", "two")
	arrive()
	s.write("f", "three")
	s.saved()
	s.want("f", "three")
	wantKeys(t, s.keys(), "f")
}

// What others put where a write of ours may still arrive is theirs.
func TestTheirsIsNoStray(t *testing.T) {
	s, _ := strayed(t)
	s.bucket.Put(prefix+"f", "theirs", nil)
	s.e.strays(s.ctx(), nil)
	s.want("f", "theirs")
	s.write("f", "ours")
	s.saved()
	s.want("f", "theirs")
	if c := s.copies("f"); len(c) != 1 {
		t.Errorf("conflict copies %q", c)
	}
}

// A write arrives and its answer is lost; then its file is again as it was before, to the
// nanosecond. S3 has another version, though the journal knows of none.
func TestBackToWhatWasKnown(t *testing.T) {
	for name, swap := range map[string][2]func(s *sandbox){
		"the file": {
			func(s *sandbox) { s.rename("d/f", "aside"); s.write("d/f", "two") },
			func(s *sandbox) { s.rename("aside", "d/f") },
		},
		"its directory": {
			func(s *sandbox) { s.rename("d", "aside"); s.write("d/f", "two") },
			func(s *sandbox) { s.remove("d"); s.rename("aside", "d") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, fence := newSandbox(t), newGateFence()
			s.fence = fence
			s.start()
			s.write("d/f", "one")
			s.saved()
			lost := testbed.HoldAnswer()
			s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Suffix: "/hot/d/f"}, Do: lost, Times: 1})
			swap[0](s)
			if !lost.WaitArrived(s.ctx(), 1) {
				t.Fatal("the upload does not come")
			}
			s.want("d/f", "two")
			fence.doubt()
			swap[1](s)
			check(t, s.e.obs.catchUp(s.ctx(), false))
			fence.sure()
			s.saved()
			s.want("d/f", "one")
			s.flushed()
			s.want("d/f", "one")
			wantKeys(t, s.keys(), "d/f")
		})
	}
}
