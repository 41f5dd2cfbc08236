package credentials

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/matrx/sandbox/internal/threads"
)

// A credential_process is a program that prints credentials ("Sourcing credentials with an external process", AWS
// SDKs and Tools Reference Guide). The storage process runs it with its own rights, so it runs only
// what root alone can write, on the word of a file that no other user can write: a workload that could put its own
// file there would be root. It uses no shell, and what the program says goes nowhere: it may be a secret.

const (
	processTimeout = time.Minute // as the SDKs'
	processOutput  = 64 << 10
)

// runProcess asks the program that a profile names.
func (f *fileSource) runProcess(ctx context.Context, command string) (Credentials, error) {
	args, err := splitCommand(command)
	if err == nil {
		args[0], err = trusted(args[0])
	}
	if err == nil {
		if _, _, err = guard(f.path, os.Geteuid()); err != nil {
			err = fmt.Errorf("credential_process is not run for a file that is not protected: %w", err)
		}
	}
	if err != nil {
		return Credentials{}, &lastingError{err}
	}
	ctx, cancel := context.WithTimeout(ctx, processTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env = "/", f.processEnv()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // for what it has started
	out := &bounded{left: processOutput}
	cmd.Stdout = out
	threads.Disk.Enter() // the wait blocks a thread
	err = cmd.Run()
	threads.Disk.Leave()
	if err != nil {
		return Credentials{}, fmt.Errorf("credential_process %q: %w; run it by hand, its output is not shown here", args[0], err)
	}
	return processAnswer(args[0], out.b.Bytes())
}

// processEnv is what the program gets: where programs are, and what the environment says about AWS but for keys.
func (f *fileSource) processEnv() []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}
	add := func(value func(string) string, names ...string) {
		for _, name := range names {
			if v := value(name); v != "" {
				env = append(env, name+"="+v)
			}
		}
	}
	add(f.env, "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE")
	add(os.Getenv, "HTTPS_PROXY", "NO_PROXY")
	return env
}

func processAnswer(name string, out []byte) (Credentials, error) {
	var a struct {
		Version         int
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		SessionToken    string
		Expiration      time.Time
	}
	err := json.Unmarshal(out, &a)
	switch {
	case err != nil:
		err = errors.New("its output is no JSON object with Version, AccessKeyId, SecretAccessKey and, for temporary ones, SessionToken and Expiration")
	case a.Version != 1:
		err = fmt.Errorf("its output has Version %d, and 1 is known here", a.Version)
	}
	if err != nil {
		return Credentials{}, &lastingError{fmt.Errorf("credential_process %q: %w", name, err)}
	}
	r := roleAnswer{AccessKeyID: a.AccessKeyID, SecretAccessKey: a.SecretAccessKey, Token: a.SessionToken, Expiration: a.Expiration}
	c, err := r.credentials()
	if err != nil {
		return c, &lastingError{fmt.Errorf("credential_process %q: %w", name, err)}
	}
	return c, nil
}

// trusted is the program itself, if root alone can write it and every directory that it is in.
func trusted(path string) (string, error) {
	program, info, err := guard(path, 0)
	if err != nil {
		return "", fmt.Errorf("credential_process %q is not run: %w", path, err)
	}
	if !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return "", fmt.Errorf("credential_process %q is no program: %w", path, fs.ErrPermission)
	}
	return program, nil
}

// splitCommand splits a command line at blanks. Quotes of both kinds hold a word together, and a backslash
// takes the next character as it is; there are no variables and no patterns.
func splitCommand(line string) (words []string, err error) {
	var word strings.Builder
	begun, quote, escaped := false, rune(0), false
	for _, c := range line {
		switch {
		case escaped:
			word.WriteRune(c)
			escaped = false
		case c == '\\' && quote != '\'':
			begun, escaped = true, true
		case quote != 0:
			if c != quote {
				word.WriteRune(c)
			} else {
				quote = 0
			}
		case c == '"' || c == '\'':
			begun, quote = true, c
		case c == ' ' || c == '\t':
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			begun = true
			word.WriteRune(c)
		}
	}
	if quote != 0 || escaped {
		return nil, errors.New("credential_process ends within a quotation")
	}
	if begun {
		words = append(words, word.String())
	}
	if len(words) == 0 {
		return nil, errors.New("credential_process names no program")
	}
	return words, nil
}

// bounded keeps the beginning of what is written, and takes no more.
type bounded struct {
	b    bytes.Buffer
	left int
}

func (w *bounded) Write(p []byte) (int, error) {
	if len(p) > w.left {
		return 0, errors.New("it prints too much")
	}
	w.left -= len(p)
	return w.b.Write(p)
}
