// Package hot has the checks of the home that is kept in S3. hot.go has those of what is restored and
// saved; guard.go those of what must never be lost, overwritten or left out of sight.
package hot

import (
	"context"
	"fmt"
	"strings"

	"github.com/matrx/sandbox/conformance/check"
	"github.com/matrx/sandbox/conformance/probe"
	"github.com/matrx/sandbox/conformance/s3"
	"github.com/matrx/sandbox/contract"
)

// Checks are the checks of this family, by requirement.
var Checks = []check.Check{
	{ID: "HOT-001", Run: homeIsHydrated},
	{ID: "HOT-002", Run: changesSurviveAKill},
	{ID: "HOT-003", Run: stopSavesAll},
	{ID: "HOT-004", Run: deletedStaysDeleted},
	{ID: "HOT-005", Run: noHydrateNoStart},
	{ID: "HOT-006", Run: unsavedIsSaid},
	{ID: "HOT-007", Run: secondIsRefused},
	{ID: "HOT-008", Run: othersAreNotOverwritten},
	{ID: "HOT-009", Run: nothingLeavesTheHome},
	{ID: "HOT-010", Run: excludedIsLeftAlone},
}

// objectsOf are what stands under hot/, with their content.
func objectsOf(ctx context.Context, w *s3.Workspace) (map[string]string, error) {
	keys, _, err := w.List(ctx, "hot/")
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, key := range keys {
		o, ok, err := w.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		if ok {
			out[strings.TrimPrefix(key, "hot/")] = string(o.Body)
		}
	}
	return out, nil
}

func homeIsHydrated(ctx context.Context, e *check.Env) error {
	w, err := e.Workspace()
	if err != nil {
		return err
	}
	// The form of AWS DataSync and FSx for Lustre, and plain objects as aws s3 sync lays them.
	for _, o := range []struct {
		key, body string
		meta      map[string]string
	}{
		{"hot/plain.txt", "plain", nil},
		{"hot/dir/script.sh", "#!/bin/sh\n", map[string]string{"file-permissions": "0100750", "file-mtime": "1600000000123456789ns"}},
		{"hot/link", "dir/script.sh", map[string]string{"file-permissions": "0120777"}},
		{"hot/empty/", "", map[string]string{"file-permissions": "0040700"}},
	} {
		if err := w.Put(ctx, o.key, []byte(o.body), o.meta); err != nil {
			return err
		}
	}
	s, err := e.Ready(ctx, check.Start{Workspace: w})
	if err != nil {
		return err
	}
	for name, want := range map[string]string{
		"plain.txt":     "file 0644 1000:1000 plain",
		"dir/script.sh": "file 0750 1000:1000 1600000000123456789 #!/bin/sh",
		"link":          "link dir/script.sh",
		"empty":         "dir 0700 1000:1000 0 entries",
	} {
		out, err := s.RunAs(ctx, "0", "describe", check.Home(name))
		if err != nil {
			return check.Failf("%s is not as S3 has it: %v", check.Home(name), err)
		}
		if !probe.Describes(out, want) {
			return check.Failf("%s is %q, want %q", check.Home(name), out, want)
		}
	}
	return nil
}

func changesSurviveAKill(ctx context.Context, e *check.Env) error {
	w, err := e.Workspace()
	if err != nil {
		return err
	}
	if err := w.Put(ctx, "hot/old-name", []byte("moved"), nil); err != nil {
		return err
	}
	if err := w.Put(ctx, "hot/to-delete", []byte("x"), nil); err != nil {
		return err
	}
	s, err := e.Ready(ctx, check.Start{Workspace: w})
	if err != nil {
		return err
	}
	for _, args := range [][]string{
		{"write", check.Home("new"), "made"}, {"rename", check.Home("old-name"), check.Home("new-name")}, {"remove", check.Home("to-delete")},
	} {
		if _, err := s.Run(ctx, args...); err != nil {
			return err
		}
	}
	want := map[string]string{"new": "made", "new-name": "moved"}
	if err := check.Eventually(ctx, "the arrival of the changes in S3 while the sandbox runs", func() (bool, error) {
		got, err := objectsOf(ctx, w)
		return err == nil && fmt.Sprint(got) == fmt.Sprint(want), err
	}); err != nil {
		return err
	}
	if err := s.Kill(ctx); err != nil {
		return err
	}
	if err := s.Remove(ctx); err != nil { // its disk is lost
		return err
	}
	next, err := e.Ready(ctx, check.Start{Workspace: w, Env: map[string]string{contract.EnvLeaseWait: "60"}})
	if err != nil {
		return err
	}
	for name, body := range want {
		if out, err := next.Run(ctx, "read", check.Home(name)); err != nil || out != body {
			return check.Failf("after a SIGKILL the next sandbox has %q in %s, want %q (%v)", out, name, body, err)
		}
	}
	return nil
}

func stopSavesAll(ctx context.Context, e *check.Env) error {
	w, err := e.Workspace()
	if err != nil {
		return err
	}
	s, err := e.Ready(ctx, check.Start{Workspace: w, Cmd: []string{check.Probe, "on-term", check.Home("last-words")}})
	if err != nil {
		return err
	}
	if _, err := s.Run(ctx, "write-many", check.Home("many"), "200"); err != nil {
		return err
	}
	if err := s.WaitFile(ctx, check.Home("last-words.armed")); err != nil {
		return err
	}
	if err := s.Saved(ctx); err != nil {
		return err
	}
	got, err := objectsOf(ctx, w)
	if err != nil {
		return err
	}
	for i := range 200 {
		name := fmt.Sprintf("many/%d", i)
		if got[name] != fmt.Sprint(i) {
			return check.Failf("after a graceful stop S3 has %q in hot/%s, want %q", got[name], name, fmt.Sprint(i))
		}
	}
	if _, ok := got["last-words"]; !ok {
		return check.Failf("what the command wrote when it was told to end is not in S3")
	}
	return nil
}

func deletedStaysDeleted(ctx context.Context, e *check.Env) error {
	w, err := e.Workspace()
	if err != nil {
		return err
	}
	for _, key := range []string{"hot/kept", "hot/dir/gone", "hot/gone"} {
		if err := w.Put(ctx, key, []byte("x"), nil); err != nil {
			return err
		}
	}
	s, err := e.Ready(ctx, check.Start{Workspace: w})
	if err != nil {
		return err
	}
	for _, name := range []string{"dir", "gone"} {
		if _, err := s.Run(ctx, "remove-all", check.Home(name)); err != nil {
			return err
		}
	}
	if err := s.Saved(ctx); err != nil {
		return err
	}
	next, err := e.Ready(ctx, check.Start{Workspace: w})
	if err != nil {
		return err
	}
	if _, err := next.Run(ctx, "exists", check.Home("kept")); err != nil {
		return check.Failf("a file that was not deleted is gone: %v", err)
	}
	for _, name := range []string{"dir", "gone"} {
		if _, err := next.Run(ctx, "exists", check.Home(name)); err == nil {
			return check.Failf("%s was deleted and came back", check.Home(name))
		}
	}
	return nil
}
