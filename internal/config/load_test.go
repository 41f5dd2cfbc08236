package config

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// parsed is parse on a host named "host", as the agent.
func parsed(conf string, environ ...string) (*Config, error) {
	return parse(Source{Environ: environ, Conf: strings.NewReader(conf), Hostname: "host"})
}

func TestDefaults(t *testing.T) {
	got, err := parsed("")
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		SandboxID: "host",
		HotPath:   "/home/agent", ColdPath: "/data/cold",
		StateDir: "/var/lib/sandbox", RunDir: "/run/sandbox",
		ReadyFile:       "/tmp/.sandbox_ready",
		LogLevel:        "info",
		ShutdownTimeout: 30 * time.Second, HydrateTimeout: 300 * time.Second,
		StopSignal: syscall.SIGTERM,
		S3:         S3{Prefix: "users/"},
		Hot:        Hot{Exclude: []string{".cache/", "__pycache__/", "*.pyc", ".DS_Store"}, Quiet: 500 * time.Millisecond, MaxStaleness: 5 * time.Second},
		Cold:       Cold{MetadataTTL: time.Minute, CachePath: "/var/lib/sandbox/cold-cache"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if got.HasStorage() {
		t.Error("there is storage without a bucket")
	}
}

func TestValues(t *testing.T) {
	for _, tc := range []struct {
		name    string
		conf    string
		environ []string
		get     func(*Config) any
		want    any
	}{
		{"the environment wins", "LEASE_WAIT_SECONDS=1", []string{"LEASE_WAIT_SECONDS=2"}, func(c *Config) any { return c.LeaseWait }, 2 * time.Second},
		{"the file alone", "# a comment\n\n  LEASE_WAIT_SECONDS = 3  \n", nil, func(c *Config) any { return c.LeaseWait }, 3 * time.Second},
		{"quotes in the file", `S3_PREFIX="a b/"`, nil, func(c *Config) any { return c.S3.Prefix }, "a b/"},
		{"no quotes in the environment", "", []string{`S3_PREFIX='a'/`}, func(c *Config) any { return c.S3.Prefix }, "'a'/"},
		{"empty is the default where empty means nothing", "SHUTDOWN_TIMEOUT_SECONDS=7", []string{"SHUTDOWN_TIMEOUT_SECONDS="}, func(c *Config) any { return c.ShutdownTimeout }, 30 * time.Second},
		{"an empty bucket turns storage off", "S3_BUCKET=abc\nUSER_ID=u", []string{"S3_BUCKET="}, func(c *Config) any { return c.HasStorage() }, false},
		{"an empty prefix", "", []string{"S3_PREFIX="}, func(c *Config) any { return c.S3.Prefix }, ""},
		{"nothing is excluded", "", []string{"HOT_SYNC_EXCLUDE="}, func(c *Config) any { return len(c.Hot.Exclude) }, 0},
		{"patterns", "", []string{"HOT_SYNC_EXCLUDE= *.o, /build/ ,,"}, func(c *Config) any { return c.Hot.Exclude }, []string{"*.o", "/build/"}},
		{"paths are cleaned", "", []string{"HOT_PATH=/home//x/../y/"}, func(c *Config) any { return c.HotPath }, "/home/y"},
		{"the cache follows the state directory", "", []string{"SANDBOX_STATE_DIR=/s"}, func(c *Config) any { return c.Cold.CachePath }, "/s/cold-cache"},
		{"of two equal names the last", "", []string{"USER_ID=a", "USER_ID=b"}, func(c *Config) any { return c.UserID }, "b"},
		{"the region of an endpoint", "", []string{"S3_ENDPOINT=http://h:1"}, func(c *Config) any { return c.S3.Region }, "us-east-1"},
		{"AWS's own region", "", []string{"AWS_REGION=eu-west-1", "S3_ENDPOINT=http://h:1"}, func(c *Config) any { return c.S3.Region }, "eu-west-1"},
		{"ours before AWS's", "", []string{"AWS_REGION=eu-west-1", "S3_REGION=eu-west-2"}, func(c *Config) any { return c.S3.Region }, "eu-west-2"},
		{"a unix endpoint has no host name", "", []string{"S3_ENDPOINT=unix:///run/s.sock"}, func(c *Config) any { return c.S3.ForcePathStyle }, true},
		{"unless said otherwise", "", []string{"S3_ENDPOINT=unix:///run/s.sock", "S3_FORCE_PATH_STYLE=0"}, func(c *Config) any { return c.S3.ForcePathStyle }, false},
		{"a signal by name", "", []string{"WORKLOAD_STOP_SIGNAL=int"}, func(c *Config) any { return c.StopSignal }, syscall.SIGINT},
		{"with SIG", "", []string{"WORKLOAD_STOP_SIGNAL=SIGUSR1"}, func(c *Config) any { return c.StopSignal }, syscall.SIGUSR1},
		{"by number", "", []string{"WORKLOAD_STOP_SIGNAL=9"}, func(c *Config) any { return c.StopSignal }, syscall.SIGKILL},
		{"a real-time one", "", []string{"WORKLOAD_STOP_SIGNAL=SIGRTMIN+3"}, func(c *Config) any { return c.StopSignal }, syscall.Signal(37)},
		{"prefixes", "", []string{"S3_PREFIX=a/b/", "USER_ID=u"}, func(c *Config) any { return c.HotPrefix() + " " + c.ColdPrefix() + " " + c.MetaPrefix() }, "a/b/u/hot/ a/b/u/cold/ a/b/u/.sandbox/"},
		{"a name of 128", "", []string{"SANDBOX_ID=" + strings.Repeat("x", 128)}, func(c *Config) any { return len(c.SandboxID) }, 128},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := parsed(tc.conf, tc.environ...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, tc.get(c)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestMistakes(t *testing.T) {
	storage := []string{"S3_BUCKET=abc", "USER_ID=u", "S3_REGION=r"}
	for _, tc := range []struct {
		name    string
		conf    string
		environ []string
		want    []string // each mistake's variable and a word of its problem
	}{
		{"storage without a user", "", []string{"S3_BUCKET=abc", "S3_REGION=r"}, []string{"USER_ID must be set"}},
		{"storage without a region", "", []string{"S3_BUCKET=abc", "USER_ID=u"}, []string{"S3_REGION must be set"}},
		{"a user that leaves its prefix", "", append(storage, "USER_ID=../x"), []string{"USER_ID letters, digits"}},
		{"a user that starts with a dot", "", append(storage, "USER_ID=.x"), []string{"USER_ID letters, digits"}},
		{"a name that is too long", "", []string{"SANDBOX_ID=" + strings.Repeat("x", 129)}, []string{"SANDBOX_ID up to 128"}},
		{"a path that is not absolute", "", []string{"HOT_PATH=home"}, []string{"HOT_PATH absolute"}},
		{"the root", "", []string{"HOT_PATH=/."}, []string{"HOT_PATH root directory", "COLD_PATH", "SANDBOX_STATE_DIR", "SANDBOX_RUN_DIR", "SANDBOX_READY_FILE", "COLD_CACHE_PATH"}[:1]},
		{"hot in cold", "", []string{"HOT_PATH=/data/cold/home"}, []string{"HOT_PATH inside COLD_PATH"}},
		{"cold in hot", "", []string{"COLD_PATH=/home/agent/cold"}, []string{"COLD_PATH inside HOT_PATH"}},
		{"the state in the home", "", []string{"SANDBOX_STATE_DIR=/home/agent/.state"}, []string{"SANDBOX_STATE_DIR inside HOT_PATH", "COLD_CACHE_PATH inside HOT_PATH"}},
		{"a neighbour is not inside", "", []string{"COLD_PATH=/home/agent2"}, nil},
		{"numbers", "", []string{"SHUTDOWN_TIMEOUT_SECONDS=0", "HYDRATE_TIMEOUT_SECONDS=x", "LEASE_WAIT_SECONDS=-1", "HOT_SYNC_QUIET_MS=60001", "COLD_CACHE_MAX_BYTES=1e3"},
			[]string{"SHUTDOWN_TIMEOUT_SECONDS from 1", "HYDRATE_TIMEOUT_SECONDS whole", "LEASE_WAIT_SECONDS from 0", "HOT_SYNC_QUIET_MS to 60000", "COLD_CACHE_MAX_BYTES whole"}},
		{"a switch", "", []string{"COLD_REQUIRED=yes"}, []string{"COLD_REQUIRED 1, true, 0 or false"}},
		{"a signal that stops nothing", "", []string{"WORKLOAD_STOP_SIGNAL=STOP"}, []string{"WORKLOAD_STOP_SIGNAL can end"}},
		{"a signal that is none", "", []string{"WORKLOAD_STOP_SIGNAL=FOO"}, []string{"WORKLOAD_STOP_SIGNAL can end"}},
		{"a signal beyond the last", "", []string{"WORKLOAD_STOP_SIGNAL=RTMIN+31"}, []string{"WORKLOAD_STOP_SIGNAL can end"}},
		{"endpoints", "", []string{"S3_ENDPOINT=ftp://h"}, []string{"S3_ENDPOINT http://"}},
		{"an endpoint with credentials", "", []string{"S3_ENDPOINT=http://u:p@h"}, []string{"S3_ENDPOINT http://"}},
		{"a relative socket", "", []string{"S3_ENDPOINT=unix://run/s"}, []string{"S3_ENDPOINT http://"}},
		{"a socket's path that is too long", "", []string{"S3_ENDPOINT=unix:///" + strings.Repeat("x", 108)}, []string{"S3_ENDPOINT http://"}},
		{"prefixes", "", []string{"S3_PREFIX=users"}, []string{"S3_PREFIX end in '/'"}},
		{"a prefix that goes up", "", []string{"S3_PREFIX=a/../"}, []string{"S3_PREFIX '..'"}},
		{"a prefix that begins at the root", "", []string{"S3_PREFIX=/a/"}, []string{"S3_PREFIX without empty"}},
		{"a log level", "", []string{"SANDBOX_LOG_LEVEL=loud"}, []string{"SANDBOX_LOG_LEVEL debug"}},
		{"a typo in the file", "HOT_PAHT=/x", nil, []string{"sandbox.conf line 1 not a variable"}},
		{"no assignment in the file", "\nS3_BUCKET", nil, []string{"sandbox.conf line 2 KEY=VALUE"}},
		{"twice in the file", "USER_ID=a\nUSER_ID=b", nil, []string{"sandbox.conf line 2 set twice"}},
		{"a long line in the file", "USER_ID=" + strings.Repeat("x", maxLine), nil, []string{"sandbox.conf longer than"}},
		{"a wrong value in the file", "LEASE_WAIT_SECONDS=x", nil, []string{"LEASE_WAIT_SECONDS whole"}},
		{"unbound without a socket", "", []string{"SANDBOX_UNBOUND=1"}, []string{"BIND_SOCKET must be set"}},
		{"a socket for what is bound", "", []string{"BIND_SOCKET=/run/host/bind.sock"}, []string{"BIND_SOCKET needs SANDBOX_UNBOUND=1"}},
		{"unbound and a user's", "", []string{"SANDBOX_UNBOUND=1", "BIND_SOCKET=/s", "USER_ID=u", "SANDBOX_INSTANCE=" + strings.Repeat("0", 32)}, []string{"USER_ID must not be set", "SANDBOX_INSTANCE must not be set"}},
		{"unbound with what its user's storage needs", "", []string{"SANDBOX_UNBOUND=1", "BIND_SOCKET=/s", "PROXY_SOCKET=/p", "PROXY_FORWARDS=1=a:2"}, nil},
		{"an instance in capitals", "", []string{"SANDBOX_INSTANCE=" + strings.Repeat("A", 32)}, []string{"SANDBOX_INSTANCE 32 hexadecimal"}},
		{"exclude that cannot travel", "", []string{"HOT_SYNC_EXCLUDE=" + strings.Repeat("x", maxExclude+1)}, []string{"HOT_SYNC_EXCLUDE at most"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := parsed(tc.conf, tc.environ...)
			if len(tc.want) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("the error is %v", err)
			}
			if len(e.Mistakes) != len(tc.want) {
				t.Fatalf("%d mistakes, want %d: %v", len(e.Mistakes), len(tc.want), err)
			}
			for i, want := range tc.want {
				m := e.Mistakes[i]
				rest, ok := strings.CutPrefix(want, m.Variable+" ")
				if !ok || !strings.Contains(m.Problem, rest) {
					t.Errorf("mistake %q is not %q", m, want)
				}
				if !strings.Contains(err.Error(), m.String()) {
					t.Errorf("the text %q lacks %q", err, m)
				}
			}
		})
	}
}

func TestExposedCredentials(t *testing.T) {
	environ := []string{"S3_BUCKET=abc", "USER_ID=u", "S3_REGION=r", "AWS_SECRET_ACCESS_KEY=hush", "AWS_ACCESS_KEY_ID=AK", "S3_MY_SECRET=hush", "AWS_REGION=x", "AWS_SESSION_TOKEN="}
	for _, tc := range []struct {
		name  string
		root  bool
		more  []string
		wrong []string
	}{
		{"as root", true, nil, []string{"AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "S3_MY_SECRET"}},
		{"as root, accepted", true, []string{"ALLOW_ENV_CREDENTIALS=1"}, nil},
		{"as root, without storage", true, []string{"S3_BUCKET="}, nil},
		{"as root, unbound", true, []string{"S3_BUCKET=", "USER_ID=", "SANDBOX_UNBOUND=1", "BIND_SOCKET=/s"}, []string{"AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "S3_MY_SECRET"}},
		{"as the agent", false, nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := parse(Source{Environ: append(append([]string(nil), environ...), tc.more...), Hostname: "h", Root: tc.root})
			var got []string
			if e := (*Error)(nil); errors.As(err, &e) {
				for _, m := range e.Mistakes {
					got = append(got, m.Variable)
				}
				if strings.Contains(err.Error(), "hush") {
					t.Errorf("the error tells the secret: %v", err)
				}
			}
			if diff := cmp.Diff(tc.wrong, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestWithheld(t *testing.T) {
	for name, want := range map[string]bool{
		"AWS_ACCESS_KEY_ID": true, "AWS_REGION": true, "S3_SECRET": true, "S3_THE_SECRET_KEY": true,
		"S3_CREDENTIALS_FILE": true, "ALLOW_ENV_CREDENTIALS": true, "GOOGLE_APPLICATION_CREDENTIALS": true,
		"MY_CREDENTIALS_JSON": true,
		"S3_BUCKET":           false, "SECRET": false, "PATH": false, "CREDENTIALS": false, "XAWS_X": false,
	} {
		if got := Withheld(name); got != want {
			t.Errorf("Withheld(%s) = %v", name, got)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "sandbox.conf")
	if err := os.WriteFile(conf, []byte("LEASE_WAIT_SECONDS=4\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Load(nil, conf)
	if err != nil || c.LeaseWait != 4*time.Second {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := Load(nil, filepath.Join(dir, "none")); err != nil {
		t.Errorf("a missing file is an error: %v", err)
	}
	if _, err := Load(nil, filepath.Join(conf, "below")); err == nil || !strings.Contains(err.Error(), conf) {
		t.Errorf("a file that cannot be read: %v", err)
	}
}

// TestTable: the table that the README shows and the loader are one.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	base, err := parsed("")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range variables() {
		if seen[v.Name] || v.Name == "" || v.Range == "" || v.Meaning == "" {
			t.Errorf("row %q is not complete or there twice", v.Name)
		}
		seen[v.Name] = true
		if v.Default == "" || strings.Contains(v.Default, " ") {
			continue // none, or told in words
		}
		c, err := parsed("", v.Name+"="+v.Default)
		if err != nil {
			t.Errorf("%s: its own default is refused: %v", v.Name, err)
			continue
		}
		if diff := cmp.Diff(base, c); diff != "" {
			t.Errorf("%s: the table's default is not the loader's\n%s", v.Name, diff)
		}
	}
	for _, name := range contractVariables(t) {
		if !seen[name] {
			t.Errorf("%s is in the contract and not in the table", name)
		}
		delete(seen, name)
	}
	for name := range seen {
		t.Errorf("%s is in the table and not in the contract", name)
	}
}

// TestTravels: a configuration reaches the storage process as it is.
func TestTravels(t *testing.T) {
	c, err := parsed("", "S3_BUCKET=abc", "USER_ID=u", "S3_ENDPOINT=unix:///s", "WORKLOAD_STOP_SIGNAL=RTMIN+1", "COLD_REQUIRED=1")
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var back Config
	if err := json.Unmarshal(body, &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(*c, back) {
		t.Errorf("-sent +received\n%s", cmp.Diff(*c, back))
	}
}
