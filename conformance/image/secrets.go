package image

import (
	"bytes"
	"path"
	"regexp"
	"strings"
)

// Leak is a secret that a layer or the configuration holds.
type Leak struct {
	Layer int    // -1: the configuration
	Path  string // or the variable's name
	Kind  string
}

// maxSecretFile bounds in bytes what is searched: keys and configuration are small.
const maxSecretFile = 1 << 20

// kinds are forms that are a secret wherever they stand. Each is the issuer's own
// documented form, strict enough that documentation and test data do not match by chance.
var kinds = []struct {
	name string
	form *regexp.Regexp
}{
	{"a private key", regexp.MustCompile(`-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----\s*(?:[A-Za-z-]+: [^\n]*\s+)*[A-Za-z0-9+/=]{40}`)},
	{"an AWS access key", regexp.MustCompile(`\b(?:AKIA|ASIA)[A-Z2-7]{16}\b`)},
	{"an AWS secret key", regexp.MustCompile(`(?i)aws_secret_access_key\s*[=:]\s*["']?[A-Za-z0-9/+=]{40}(?:[^A-Za-z0-9/+=]|$)`)},
	{"a GitHub token", regexp.MustCompile(`\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{82})\b`)},
	{"a GitLab token", regexp.MustCompile(`\bglpat-[A-Za-z0-9_-]{20}\b`)},
	{"a Slack token", regexp.MustCompile(`\bxox[abprs]-[0-9]{10,}-[A-Za-z0-9-]{20,}\b`)},
	{"an npm token", regexp.MustCompile(`\bnpm_[A-Za-z0-9]{36}\b|_authToken\s*=\s*[A-Za-z0-9_-]{20,}`)},
	{"a password in a URL", regexp.MustCompile(`\bhttps?://[^/\s:@"'$<{]+:[^/\s:@"'$<{]{6,}@[a-z0-9.-]+`)},
}

// secretNames are files that exist to hold a secret.
var secretNames = map[string]string{
	"id_rsa": "an SSH key", "id_ed25519": "an SSH key", "id_ecdsa": "an SSH key",
	".netrc": "passwords", ".pgpass": "passwords", ".git-credentials": "passwords", ".pypirc": "passwords",
}

// examples are published as examples by their issuer and open nothing.
var examples = [][]byte{[]byte("AKIAIOSFODNN7EXAMPLE"), []byte("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")}

// mayHoldSecret leaves out trees that packages fill with documentation, tests and trust
// anchors: what lies there is published anyway.
func mayHoldSecret(name string) bool {
	for _, tree := range []string{"/usr/share/", "/usr/lib/", "/usr/include/", "/usr/bin/", "/usr/sbin/", "/var/lib/dpkg/", "/lib/", "/bin/", "/sbin/"} {
		if strings.HasPrefix(name, tree) {
			return strings.HasSuffix(name, ".pem") && strings.Contains(name, "key") && !strings.Contains(name, "/test")
		}
	}
	return true
}

func fileLeaks(name string, data []byte) []Leak {
	if kind := secretNames[path.Base(name)]; kind != "" && len(data) > 0 {
		return []Leak{{Path: name, Kind: kind}}
	}
	if bytes.IndexByte(data, 0) >= 0 && !bytes.Contains(data, []byte("PRIVATE KEY")) {
		return nil // not text
	}
	if kind := secretIn(data); kind != "" {
		return []Leak{{Path: name, Kind: kind}}
	}
	return nil
}

// secretIn names the first kind of secret in a text; "" when there is none.
func secretIn(data []byte) string {
	for _, example := range examples {
		data = bytes.ReplaceAll(data, example, nil)
	}
	for _, k := range kinds {
		if k.form.Match(data) {
			return k.name
		}
	}
	return ""
}

var secretVariable = regexp.MustCompile(`(?i)(SECRET|PASSWORD|PASSWD|_TOKEN|_CREDENTIALS|PRIVATE_KEY|ACCESS_KEY)`)

// configLeaks looks at variables, and at the commands of the build that history keeps.
func configLeaks(c Config) []Leak {
	var out []Leak
	for _, v := range c.Config.Env {
		name, value, _ := strings.Cut(v, "=")
		if value != "" && (secretVariable.MatchString(name) || secretIn([]byte(v)) != "") {
			out = append(out, Leak{Layer: -1, Path: name, Kind: "a secret in a variable"})
		}
	}
	for _, h := range c.History {
		if kind := secretIn([]byte(h.CreatedBy)); kind != "" {
			out = append(out, Leak{Layer: -1, Path: "the build's history", Kind: kind})
		}
	}
	return out
}
