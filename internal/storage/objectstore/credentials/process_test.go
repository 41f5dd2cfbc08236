package credentials

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/wire"
)

// A program that root alone can write is run without a shell; what it prints are the credentials.
func TestProcessPrintsCredentials(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho '{}'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	soon := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	for name, c := range map[string]struct {
		command string
		unix    bool
		want    Credentials
		err     string
		outlook Outlook
	}{
		"keys":             {command: `/bin/echo '{"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "$S"}'`, want: Credentials{AccessKey: "A", Secret: "$S"}},
		"temporary":        {command: `/bin/echo '{"Version":1,"AccessKeyId":"A","SecretAccessKey":"S","SessionToken":"T","Expiration":"` + soon.Format(time.RFC3339) + `"}'`, want: Credentials{AccessKey: "A", Secret: "S", Token: "T", Expires: soon}},
		"another version":  {command: `/bin/echo {\"Version\":2}`, err: "Version 2"},
		"no keys":          {command: `/bin/echo {\"Version\":1}`, err: "no key"},
		"no JSON":          {command: "/bin/echo hunter2", err: "no JSON"},
		"fails":            {command: "/bin/ls /hunter2", err: "exit status 2", outlook: MayPass},
		"prints too much":  {command: "/usr/bin/yes", err: "credential_process", outlook: MayPass},
		"does not exist":   {command: "/bin/no-such-program", err: "no such file"},
		"a directory":      {command: "/usr", err: "is no program"},
		"not absolute":     {command: "echo x", err: "absolute path"},
		"writable by all":  {command: script, err: "can be written by another user than root"},
		"behind a gateway": {command: "/bin/echo x", unix: true, err: "the endpoint signs"},
	} {
		s, err := Find(config.S3{}, wire.Credentials{File: []byte("[default]\ncredential_process = " + c.command + "\n")}, c.unix, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := s.Read(t.Context())
		if c.err == "" {
			if err != nil || !got.same(&c.want) || !got.Expires.Equal(c.want.Expires) {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
			continue
		}
		e, ok := errors.AsType[*Error](err)
		if !ok || !strings.Contains(err.Error(), c.err) || e.Outlook != c.outlook {
			t.Errorf("%s: %v (outlook %v)", name, err, e)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error has what the program said or got: %v", name, err)
		}
	}
}

func TestCommandLineIsSplit(t *testing.T) {
	for line, want := range map[string][]string{
		`/a b  c`:              {"/a", "b", "c"},
		`/a "b c" 'd "e'`:      {"/a", "b c", `d "e`},
		`/a\ b "c\"d" 'e\f'`:   {"/a b", `c"d`, `e\f`},
		`/a "" $HOME *`:        {"/a", "", "$HOME", "*"},
		"\t/a\tx":              {"/a", "x"},
		``:                     nil,
		`/a "b`:                nil,
		`/a \`:                 nil,
		`/a --url=x'y z'"q"  `: {"/a", "--url=xy zq"},
	} {
		got, err := splitCommand(line)
		if (err == nil) != (want != nil) || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v", line, got, err)
		}
	}
}
