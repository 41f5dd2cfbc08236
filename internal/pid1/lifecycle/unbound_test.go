package lifecycle

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/wire"
)

// savingPlan is a storage process that is bound, and saves.
const savingPlan = "hello start hydrated serve coldready drain flush flushed rest"

// unboundScenario starts without a user, with an exec server.
func unboundScenario(sc scenario) scenario {
	sc = execdScenario(sc, "exit 0")
	sc.under = `unset S3_BUCKET USER_ID; export SANDBOX_UNBOUND=1 BIND_SOCKET="$DIR/host/bind.sock" EXEC_SOCKET="$DIR/host/exec.sock" KEEP=pool BOTH=pool; exec "$0" "$@"`
	return sc
}

// waits waits until the sandbox waits for its user.
func (r *run) waits() *run {
	r.t.Helper()
	r.await("unbound", 1)
	return r
}

// say sends one message and reads the answer; ok is false when the sandbox ended without one.
func (r *run) say(message string) (a contract.BindAnswer, ok bool) {
	r.t.Helper()
	c, err := net.Dial("unix", filepath.Join(r.dir, "host", "bind.sock"))
	if err != nil {
		return a, false
	}
	defer c.Close()
	if _, err := io.WriteString(c, message); err != nil && !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
		r.t.Error(err)
	}
	_ = c.(*net.UnixConn).CloseWrite()
	body, err := io.ReadAll(c)
	if err != nil || len(body) == 0 {
		return a, false
	}
	if err := json.Unmarshal(body, &a); err != nil {
		r.t.Errorf("the answer %q: %v", body, err)
	}
	return a, true
}

// bind binds the sandbox, and fails the test when that is refused.
func (r *run) bind(b contract.Bind) {
	r.t.Helper()
	if a, ok := r.say(bindText(b)); !ok || a != (contract.BindAnswer{SandboxID: b.SandboxID, UserID: b.UserID}) {
		r.t.Fatalf("the answer is %+v, %v\n%s", a, ok, r.log())
	}
}

func bindText(b contract.Bind) string {
	body, err := json.Marshal(b)
	if err != nil {
		panic(err)
	}
	return string(body)
}

func forUser(user string, command ...string) contract.Bind {
	return contract.Bind{SandboxID: "s-" + user, UserID: user, S3Bucket: "abc", Command: command, Environment: map[string]string{"OWN": user, "BOTH": user}}
}

// recorded is what the state directory says of whose the sandbox is; empty: nothing.
func (r *run) recorded() string {
	r.t.Helper()
	body, err := os.ReadFile(filepath.Join(r.dir, "state", contract.BoundFileName))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.t.Fatal(err)
	}
	return string(body)
}

// started is what the n-th storage process was told.
func (r *run) started(n string) (start wire.Start) {
	r.t.Helper()
	body, err := os.ReadFile(filepath.Join(r.dir, "start-"+n+".json"))
	if err == nil {
		err = json.Unmarshal(body, &start)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return start
}

// TestBoundSandboxIsItsUsers: from the bind on it is what a start with the user's variables had made: for storage,
// hooks, the exec server, the command, and its exit code.
func TestBoundSandboxIsItsUsers(t *testing.T) {
	r := start(t, unboundScenario(scenario{
		command: sh("exit 1"),
		plan:    savingPlan,
		hooks:   map[string]string{"pre-start.d/10-x": `echo "hook $OWN $BOTH $KEEP $USER_ID" >&2`},
	})).waits()
	if st := r.state(); st.Phase != contract.PhaseUnbound || st.Ready || st.UserID != "" || st.Storage != contract.StorageNone || st.StoragePID == 0 || st.ExecPID == 0 {
		t.Errorf("unbound it says %+v", st)
	}
	if args := r.await("execd:args", 1)["more"]; !slices.Contains(args.([]any), any(wire.ExecdUnbound)) {
		t.Errorf("the exec server is started with %v", args)
	}
	r.await("storage:hello", 1)
	r.bind(forUser("u", "sh", "-c", `echo "command $SANDBOX_ID $USER_ID $S3_BUCKET $OWN $BOTH $KEEP ${SANDBOX_UNBOUND-none} ${BIND_SOCKET-none}"; exit 7`))
	if st := r.state(); st.UserID != "u" || st.SandboxID != "s-u" || st.Storage != contract.StorageS3 || st.BoundAt.IsZero() {
		t.Errorf("when the client has its answer it says %+v", st)
	}
	r.ends(7)
	if out := r.out.String(); out != "command s-u u abc u u pool none none\n" {
		t.Errorf("the command says %q", out)
	}
	if text := r.await("text", 1)["text"]; text != "hook u u pool u" {
		t.Errorf("the hook says %q", text)
	}
	environ := r.await("execd:b", 1)["more"].([]any)
	for _, want := range []string{"OWN=u", "BOTH=u", "KEEP=pool", "USER_ID=u", "HOME=" + r.home} {
		if !slices.Contains(environ, any(want)) {
			t.Errorf("the environment of execs has no %s: %v", want, environ)
		}
	}
	if start := r.started("0"); start.Config.UserPrefix() != "users/u/" || start.Config.S3.Bucket != "abc" || start.Config.Unbound || start.Resume {
		t.Errorf("storage was told %+v", start)
	}
	if len(r.events("storage:hello")) != 1 {
		t.Error("the storage process was started again")
	}
	if r.recorded() == "" {
		t.Error("a restart does not know whose it is")
	}
	if _, err := os.Lstat(filepath.Join(r.dir, "host", "bind.sock")); err == nil {
		t.Error("the socket is left")
	}
}

// TestRefusedBindsChangeNothing, and a right one counts after any number of them.
func TestRefusedBindsChangeNothing(t *testing.T) {
	r := start(t, unboundScenario(scenario{plan: savingPlan})).waits()
	before := r.state()
	good := bindText(forUser("u"))
	for _, tc := range []struct{ name, message, refused, reason string }{
		{"nothing", "", contract.BindInvalid, "EOF"},
		{"no JSON", "hello", contract.BindInvalid, "invalid character"},
		{"another kind", `["s"]`, contract.BindInvalid, "cannot unmarshal"},
		{"torn", good[:len(good)-1], contract.BindInvalid, "unexpected EOF"},
		{"two", good + good, contract.BindInvalid, "more follows"},
		{"an unknown field", `{"sandbox_id":"s","tenant":"t"}`, contract.BindInvalid, `"tenant"`},
		{"a number for a name", `{"sandbox_id":7}`, contract.BindInvalid, "sandbox_id"},
		{"nameless", `{}`, contract.BindInvalid, "sandbox_id: must be given"},
		{"a prefix that goes up", `{"sandbox_id":"s","user_id":"u","s3_bucket":"abc","s3_prefix":"../"}`, contract.BindInvalid, "S3_PREFIX"},
		{"a user that is another's", `{"sandbox_id":"s","user_id":"u/v","s3_bucket":"abc"}`, contract.BindInvalid, "USER_ID"},
		{"no user", `{"sandbox_id":"s","s3_bucket":"abc"}`, contract.BindInvalid, "USER_ID"},
		{"what was read at boot", `{"sandbox_id":"s","environment":{"HOT_PATH":"/x"}}`, contract.BindInvalid, "HOT_PATH"},
		{"credentials for all to see", `{"sandbox_id":"s","user_id":"u","s3_bucket":"abc","environment":{"AWS_SECRET_ACCESS_KEY":"hush"}}`, contract.BindInvalid, "AWS_SECRET_ACCESS_KEY"},
		{"credentials that are not there", `{"sandbox_id":"s","user_id":"u","s3_bucket":"abc","environment":{"S3_CREDENTIALS_FILE":"/nonexistent"}}`, contract.BindInvalid, "S3_CREDENTIALS_FILE"},
		{"a NUL", `{"sandbox_id":"s","command":["a\u0000b"]}`, contract.BindInvalid, "NUL"},
		{"a command without a name", `{"sandbox_id":"s","command":[""]}`, contract.BindInvalid, "no name"},
		{"too large", strings.Repeat(" ", contract.MaxBind) + good, contract.BindTooLarge, "262144"},
		{"far too large", strings.Repeat("x", 16*contract.MaxBind), contract.BindTooLarge, "262144"},
	} {
		a, ok := r.say(tc.message)
		if !ok || a.Refused != tc.refused || !strings.Contains(a.Reason, tc.reason) || a.UserID != "" || strings.Contains(a.Reason, "hush") {
			t.Errorf("%s: %+v, %v", tc.name, a, ok)
		}
	}
	stalled, err := net.Dial("unix", filepath.Join(r.dir, "host", "bind.sock")) // keeps no other client waiting
	if err != nil {
		t.Fatal(err)
	}
	defer stalled.Close()
	if after := r.state(); after != before || r.recorded() != "" {
		t.Errorf("before %+v, after %+v, recorded %q", before, after, r.recorded())
	}
	r.bind(forUser("u"))
	r.await("ready", 1)
	if a, ok := r.say(bindText(forUser("v"))); !ok || a.Refused != contract.BindBound || a.UserID != "u" || a.SandboxID != "s-u" || !strings.Contains(a.Reason, "bound already") {
		t.Errorf("a second one: %+v, %v", a, ok)
	}
	if st := r.state(); st.UserID != "u" || !strings.Contains(r.recorded(), `"s-u"`) {
		t.Errorf("after a second one: %+v, %s", st, r.recorded())
	}
	r.signal(unix.SIGTERM)
	r.ends(0)
}

// TestOneOfManyBindsCounts, and the others learn whose the sandbox is.
func TestOneOfManyBindsCounts(t *testing.T) {
	r := start(t, unboundScenario(scenario{plan: savingPlan})).waits()
	users := strings.Fields("a b c d e f g h")
	answers := make([]contract.BindAnswer, len(users))
	var all sync.WaitGroup
	for i, user := range users {
		all.Go(func() { answers[i], _ = r.say(bindText(forUser(user))) })
	}
	all.Wait()
	winner := ""
	for i, a := range answers {
		if a.Refused == "" {
			if winner != "" {
				t.Errorf("%s and %s are both told that they have it", winner, users[i])
			}
			winner = users[i]
		}
	}
	for i, a := range answers {
		if users[i] != winner && (a.Refused != contract.BindBound || a.UserID != winner) {
			t.Errorf("%s is told %+v, and it is %q's", users[i], a, winner)
		}
	}
	r.await("ready", 1)
	if st := r.state(); winner == "" || st.UserID != winner || r.started("0").Config.UserID != winner || !strings.Contains(r.recorded(), `"s-`+winner+`"`) {
		t.Errorf("it is %q's, and says %+v, %s", winner, st, r.recorded())
	}
	r.signal(unix.SIGTERM)
	r.ends(0)
}

// TestBindWhileTheStopArrives: the sandbox was bound, or it was not, for the client, the exit code and the record alike.
func TestBindWhileTheStopArrives(t *testing.T) {
	for range 6 {
		r := start(t, unboundScenario(scenario{plan: "hello start stop flushed rest"})).waits()
		answered := make(chan contract.BindAnswer, 1)
		go func() {
			a, ok := r.say(bindText(forUser("u", "true")))
			if !ok {
				a.Refused = "no answer"
			}
			answered <- a
		}()
		r.signal(unix.SIGTERM)
		code, a := r.code(), <-answered
		switch {
		case a.Refused == "" && code == contract.ExitSignalBase+int(unix.SIGTERM) && r.recorded() != "":
		case a.Refused != "" && a.Refused != contract.BindBound && code == 0 && r.recorded() == "":
		default:
			t.Errorf("the answer is %+v, the code %d, the record %q\n%s", a, code, r.recorded(), r.log())
		}
	}
}

// TestStopAfterTheBind is a stop while the home is hydrated: S3 is left as it is.
func TestStopAfterTheBind(t *testing.T) {
	r := start(t, unboundScenario(scenario{plan: "hello start stop flushed rest"})).waits()
	r.bind(forUser("u", "true"))
	r.await("storage:start", 1)
	r.signal(unix.SIGTERM)
	r.ends(contract.ExitSignalBase + int(unix.SIGTERM))
	r.await("storage:stop", 1)
}

// TestStopWhileUnbound ends the sandbox at once: it has no user whose files could be lost.
func TestStopWhileUnbound(t *testing.T) {
	r := start(t, unboundScenario(scenario{plan: "hello rest", command: sh("exit 3")})).waits()
	r.await("storage:hello", 1)
	r.signal(unix.SIGTERM)
	r.ends(0)
	if _, err := os.Lstat(filepath.Join(r.dir, "host", "bind.sock")); err == nil {
		t.Error("the socket is left")
	}
	if len(r.events("storage:start")) != 0 || r.recorded() != "" {
		t.Errorf("it had a user\n%s", r.log())
	}
}

// TestRestartOfABoundSandboxIsItsUsers: it waits for no other one.
func TestRestartOfABoundSandboxIsItsUsers(t *testing.T) {
	sc := unboundScenario(scenario{plan: savingPlan})
	before := sc.before
	sc.before = func(dir string) {
		before(dir)
		if err := os.Mkdir(filepath.Join(dir, "state"), 0o700); err != nil {
			t.Fatal(err)
		}
		f, err := keepBind(filepath.Join(dir, "state"), forUser("u", "sh", "-c", `echo $OWN; exec sleep 1000`))
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		for _, file := range []string{"state/journal", "state/" + contract.BoundFileName + ".next"} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := start(t, sc)
	r.says("u")
	if a, _ := r.say(bindText(forUser("v"))); a.Refused != contract.BindBound || a.UserID != "u" {
		t.Errorf("another user is told %+v", a)
	}
	if start := r.started("0"); start.Config.UserID != "u" || len(r.events("unbound")) != 0 {
		t.Errorf("it was started as %+v", start.Config)
	}
	r.signal(unix.SIGTERM)
	r.ends(contract.ExitSignalBase + int(unix.SIGTERM))
}

// TestUsedSandboxIsNobodys: files in what must be a new sandbox would become the next user's.
func TestUsedSandboxIsNobodys(t *testing.T) {
	for _, file := range []string{"home/notes", "state/journal"} {
		sc := unboundScenario(scenario{plan: savingPlan})
		before := sc.before
		sc.before = func(dir string) {
			before(dir)
			if err := errors.Join(os.Mkdir(filepath.Join(dir, filepath.Dir(file)), 0o755), os.WriteFile(filepath.Join(dir, file), nil, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		r := start(t, sc)
		r.ends(contract.ExitConfig)
		if said := r.await("boot_failed", 1)["error"].(string); !strings.Contains(said, filepath.Base(file)) {
			t.Errorf("it says %q", said)
		}
	}
	r := start(t, unboundScenario(scenario{plan: savingPlan})).waits()
	if err := os.WriteFile(filepath.Join(r.home, "left"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if a, ok := r.say(bindText(forUser("u"))); !ok || a.Refused != contract.BindUsed || !strings.Contains(a.Reason, "left") || r.recorded() != "" {
		t.Errorf("with a file in the home: %+v, %v", a, ok)
	}
	r.signal(unix.SIGTERM)
	r.ends(0)
}

// TestStorageOfAnUnboundSandbox is replaced where it lacks what the bind brings, follows one that has died, ends where
// nothing is kept, and ends the sandbox when it dies each time.
func TestStorageOfAnUnboundSandbox(t *testing.T) {
	t.Run("another environment", func(t *testing.T) {
		r := start(t, unboundScenario(scenario{plan: "hello rest|" + savingPlan})).waits()
		r.await("storage:hello", 1)
		b := forUser("u", "true")
		b.Environment["HTTPS_PROXY"] = "http://127.0.0.1:3128"
		r.bind(b)
		r.ends(0)
		var second me
		body, err := os.ReadFile(filepath.Join(r.dir, "process-1.json"))
		if err == nil {
			err = json.Unmarshal(body, &second)
		}
		if err != nil || !slices.Contains(second.Environ, "HTTPS_PROXY=http://127.0.0.1:3128") {
			t.Errorf("it has %v, %v", second.Environ, err)
		}
		if st := r.state(); st.StorageRestarts != 0 || len(r.events("storage_died")) != 0 {
			t.Errorf("a replacement counts as a death: %+v", st)
		}
	})
	t.Run("one death", func(t *testing.T) {
		r := start(t, unboundScenario(scenario{plan: "hello die|" + savingPlan})).waits()
		r.await("storage_died", 1)
		r.bind(forUser("u", "true"))
		r.ends(0)
	})
	t.Run("nothing is kept", func(t *testing.T) {
		r := start(t, unboundScenario(scenario{plan: "hello rest"})).waits()
		r.await("storage:hello", 1)
		r.bind(contract.Bind{SandboxID: "s", Command: sh("exit 4")})
		r.ends(4)
		if st := r.state(); st.Storage != contract.StorageNone || st.StoragePID != 0 {
			t.Errorf("it says %+v", st)
		}
	})
	t.Run("it dies each time", func(t *testing.T) {
		r := start(t, unboundScenario(scenario{plan: "hello die"}))
		r.ends(contract.ExitHydrate)
	})
}

// TestBindSocketThatTheAgentReaches is refused, and a start as the agent is.
func TestBindSocketThatTheAgentReaches(t *testing.T) {
	sc := unboundScenario(scenario{plan: savingPlan})
	before := sc.before
	sc.before = func(dir string) {
		before(dir)
		_ = os.Chmod(filepath.Join(dir, "host"), 0o755)
	}
	r := start(t, sc)
	r.ends(contract.ExitConfig)
	if said := r.await("boot_failed", 1)["error"].(string); !strings.Contains(said, "BIND_SOCKET") || !strings.Contains(said, "0700") {
		t.Errorf("it says %q", said)
	}
}

// TestEveryMessageThatCountsIsKept: what is written of the largest one is read by the next start.
func TestEveryMessageThatCountsIsKept(t *testing.T) {
	for _, char := range []string{"<", "\u2028", "\xff", "a"} {
		text := `{"sandbox_id":"s","environment":{"A":"` + strings.Repeat(char, (contract.MaxBind-64)/len(char)) + `"}}`
		if len(text) > contract.MaxBind {
			t.Fatalf("%d bytes", len(text))
		}
		b, err := parseBind([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		f, err := keepBind(dir, b)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		again, err := readBind(dir)
		if err != nil || again == nil || again.Environment["A"] != b.Environment["A"] {
			t.Errorf("a message of %q: %v", char, err)
		}
	}
}
