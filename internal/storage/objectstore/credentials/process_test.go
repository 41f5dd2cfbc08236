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
	file := filepath.Join(t.TempDir(), "config")
	script := filepath.Join(t.TempDir(), "script")
	write(t, script, "#!/bin/sh\necho '{}'\n", 0o777)
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
		"not absolute":     {command: "echo x", err: "no absolute path"},
		"writable by all":  {command: script, err: "can be written by another user than root"},
		"behind a gateway": {command: "/bin/echo x", unix: true, err: "the endpoint signs"},
	} {
		content := "[default]\ncredential_process = " + c.command + "\n"
		write(t, file, content, 0o600)
		s, err := Find(config.S3{CredentialsFile: file}, wire.Credentials{File: []byte(content)}, c.unix, nil)
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

// A file at whose path another user can put another one names no program: it would run with this process's rights.
func TestNoProgramOfAFileThatAnotherUserCanWrite(t *testing.T) {
	const answer = "[default]\ncredential_process = /bin/echo '{\"Version\":1,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\"}'\n"
	for name, c := range map[string]struct {
		arrange func(t *testing.T, dir string) (file string)
		refused bool
	}{
		"its own": {func(t *testing.T, dir string) string {
			write(t, dir+"/config", answer, 0o600)
			return dir + "/config"
		}, false},
		"behind a link of its own": {func(t *testing.T, dir string) string {
			write(t, dir+"/data", answer, 0o600)
			symlink(t, "data", dir+"/config")
			return dir + "/config"
		}, false},
		"in a directory with the sticky bit": {func(t *testing.T, dir string) string {
			write(t, dir+"/config", answer, 0o600)
			chmod(t, dir, 0o777|os.ModeSticky)
			return dir + "/config"
		}, false},
		"a file that all can write": {func(t *testing.T, dir string) string {
			write(t, dir+"/config", answer, 0o666)
			return dir + "/config"
		}, true},
		"in a directory that all can write": {func(t *testing.T, dir string) string {
			write(t, dir+"/config", answer, 0o600)
			chmod(t, dir, 0o777)
			return dir + "/config"
		}, true},
		"behind a link in a directory that all can write": {func(t *testing.T, dir string) string {
			write(t, dir+"/data", answer, 0o600)
			open := t.TempDir()
			symlink(t, dir+"/data", open+"/middle")
			chmod(t, open, 0o777)
			symlink(t, open+"/middle", dir+"/config")
			return dir + "/config"
		}, true},
		"behind a link to itself": {func(t *testing.T, dir string) string {
			symlink(t, "config", dir+"/config")
			return dir + "/config"
		}, true},
	} {
		file := c.arrange(t, t.TempDir())
		s, err := Find(config.S3{CredentialsFile: file}, wire.Credentials{File: []byte(answer)}, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Read(t.Context())
		if e, ok := errors.AsType[*Error](err); c.refused && (!ok || e.Outlook != Lasts) || !c.refused && err != nil {
			t.Errorf("%s: %v, %v", name, got.AccessKey, err)
		}
	}
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	chmod(t, path, mode)
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
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
