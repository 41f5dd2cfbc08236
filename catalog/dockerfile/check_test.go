package dockerfile

import (
	"os"
	"strings"
	"testing"
)

const fine = `ARG BASE_IMAGE=matrx-sandbox:latest
FROM ${BASE_IMAGE}
USER root
COPY packages.apt /opt/sandbox/packages/x.apt
RUN /opt/sandbox/build/install-packages /opt/sandbox/packages/x.apt
USER agent
`

// Every rule, and how it is broken; what is right stays unsaid.
func TestEveryRuleFindsWhatBreaksIt(t *testing.T) {
	run := func(command string) string {
		return strings.Replace(fine, "USER root\n", "USER root\nRUN "+command+"\n", 1)
	}
	add := func(line string) string { return strings.Replace(fine, "USER root\n", "USER root\n"+line+"\n", 1) }
	digest := "@sha256:" + strings.Repeat("0", 64)
	for _, tc := range []struct {
		name, file, want string // want: LINE RULE, or "" for a file that is right
	}{
		{"right", fine, ""},
		{"another parent's stage", strings.ReplaceAll(fine, "FROM ${BASE_IMAGE}", "FROM ${BASE_IMAGE} AS a\nFROM a"), ""},
		{"FROM something else", strings.Replace(fine, "FROM ${BASE_IMAGE}", "FROM debian:trixie"+digest, 1), "2 parent"},
		{"another default", strings.Replace(fine, "sandbox:latest", "sandbox-ml:latest", 1), "1 parent"},
		{"no default", strings.Replace(fine, "ARG BASE_IMAGE=matrx-sandbox:latest\n", "ARG OTHER=1\nARG BASE_IMAGE\n", 1), "2 parent"},
		{"no argument", strings.Replace(fine, "ARG BASE_IMAGE=matrx-sandbox:latest\n", "", 1), "1 parent"},
		{"ends as root", strings.Replace(fine, "USER agent", "USER root", 1), "6 user"},
		{"ends without a user", strings.Replace(fine, "USER agent\n", "", 1), "3 user"},
		{"sets an entrypoint", add(`ENTRYPOINT ["/bin/sh"]`), "4 lifecycle"},
		{"sets a healthcheck", add(`HEALTHCHECK NONE`), "4 lifecycle"},
		{"sets a stop signal", add(`STOPSIGNAL SIGINT`), "4 lifecycle"},
		{"copies sandbox-init", add(`COPY bin/sandbox-init /usr/local/bin/`), "4 init"},
		{"adds a URL", add(`ADD https://example.com/x /x`), "4 add-url"},
		{"adds a repository", add(`ADD git@example.com:a/b.git /x`), "4 add-url"},
		{"adds a file", add(`ADD x.tar /x`), ""},
		{"pipes a download", run(`curl -fsSL https://example.com/x | sh; echo sha256sum`), "4 download-shell"},
		{"pipes it by a detour", run(`wget -qO- https://example.com/x | tee x | sudo bash -s; : sha256sum`), "4 download-shell"},
		{"pipes it to Python", run(`curl x | python3 -; : sha256sum`), "4 download-shell"},
		{"substitutes a download", run(`sh -c "$(curl -fsSL x)"; : sha256sum`), "4 download-shell"},
		{"sources a download", run(`. <(curl x); : sha256sum`), "4 download-shell"},
		{"substitutes a download with backquotes", run("eval \"`wget -qO- x`\"; : sha256sum"), "4 download-shell"},
		{"redirects a download to a shell", run(`bash < <(curl x); : sha256sum`), "4 download-shell"},
		{"pipes a download of a subshell", run(`(cd /; curl x) | (cat; sh); : sha256sum`), "4 download-shell"},
		{"pipes a download in a script of its own", run(`bash -c 'curl x | sh'; : sha256sum`), "4 download-shell"},
		{"pipes a download in a list of words", add(`RUN ["sh", "-c", "curl x | sh; : sha256sum"]`), "4 download-shell"},
		{"pipes a download in a function", run(`f() { curl x | sh; }; f; : sha256sum`), "4 download-shell"},
		{"downloads in a loop", run(`for i in a b; do curl -O "https://example.com/$i"; done`), "4 pinned"},
		{"downloads by another name", run(`c\url -o x https://example.com/x`), "4 pinned"},
		{"cannot be read", run(`if true; then`), "4 shell"},
		{"has curl in an argument of a shell", run(`sh ./install.sh curl "it's | sh"`), ""},
		{"downloads what it does not check", run(`curl -o x https://example.com/x`), "4 pinned"},
		{"downloads and checks", run(`curl -o x https://example.com/x && echo "0 x" | sha256sum -c`), ""},
		{"has curl in a text", run(`echo "curl x | sh"`), ""},
		{"tests for curl", run(`command -v sh || exit 1`), ""},
		{"any version, pip", run(`pip install --no-cache-dir requests`), "4 pinned"},
		{"any version, python -m pip", run(`python3 -m pip install requests>=2`), "4 pinned"},
		{"a version, pip", run(`pip install --prefix /usr requests==2.32.0 'x @ file:///x' ./y.whl -r list.txt`), ""},
		{"any version, npm", run(`npm install -g typescript`), "4 pinned"},
		{"any version of a scope, npm", run(`npm i -g @types/node`), "4 pinned"},
		{"the newest, npm", run(`npm i -g typescript@latest`), "4 pinned"},
		{"a version, npm", run(`npm i -g @types/node@22.0.0 typescript@5.0.0`), ""},
		{"any version, go", run(`GOBIN=/usr/local/bin go install example.com/x@latest`), "4 pinned"},
		{"a version, go", run(`go install example.com/x@v1.0.0`), ""},
		{"any version, gem", run(`gem install rails`), "4 pinned"},
		{"packages beside the list", run(`apt-get update && apt-get install -y git`), "4 packages"},
		{"an image that moves", strings.Replace(fine, "FROM", "FROM alpine:3.22 AS a\nFROM", 1) + "COPY --from=a /x /x\n", "2 pinned"},
		{"a mounted image that moves", run(`--mount=type=bind,from=alpine,target=/mnt true`), "4 pinned"},
		{"a copied image that moves", add(`COPY --from=alpine:3.22 /x /x`), "4 pinned"},
		{"an image of the family", add(`COPY --from=matrx-sandbox-go:latest /opt/toolchains/go /opt/toolchains/go`), ""},
		{"a stage that is not needed", strings.Replace(fine, "FROM", "FROM alpine AS a\nFROM", 1), ""},
		{"a heredoc", run("<<E\ntrue\nE"), "4 builder"},
		{"a heredoc in COPY", add("COPY <<E /x\ntrue\nE"), "4 builder"},
		{"a link", add("COPY --link a /b"), "4 builder"},
		{"a front end", "# syntax=docker/dockerfile:1\n" + fine, "1 builder"},
	} {
		f, err := Parse("Dockerfile", []byte(tc.file))
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		found, err := f.Check(Rules{Parent: "matrx-sandbox:latest"})
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		var got []string
		for _, p := range found {
			head, _, _ := strings.Cut(p.String(), ": ")
			got = append(got, strings.TrimPrefix(head, "Dockerfile:")+" "+p.Rule)
		}
		if text := strings.Join(got, ", "); text != tc.want {
			t.Errorf("%s: found %q, want %q\n%v\n%s", tc.name, text, tc.want, found, tc.file)
		}
	}
}

func TestTheRootOfTheFamily(t *testing.T) {
	for file, want := range map[string]string{
		"ARG BASE_IMAGE=debian:trixie-slim\nFROM ${BASE_IMAGE}\nENTRYPOINT [\"x\"]\nUSER agent\n": "",
		"ARG BASE_IMAGE=debian\nFROM ${BASE_IMAGE}\nUSER agent\n":                                 "pinned",
		"ARG BASE_IMAGE=debian:latest\nFROM ${BASE_IMAGE}\nUSER agent\n":                          "pinned",
		"ARG BASE_IMAGE=debian:trixie-slim\nFROM ${BASE_IMAGE}\n":                                 "user",
	} {
		f, err := Parse("Dockerfile", []byte(file))
		if err != nil {
			t.Fatal(err)
		}
		found, err := f.Check(Rules{Init: true})
		if err != nil {
			t.Fatal(err)
		}
		if want == "" && len(found) > 0 || want != "" && (len(found) != 1 || found[0].Rule != want) {
			t.Errorf("%q: found %v, want %q", file, found, want)
		}
	}
}

func TestDockerfileCoreKeepsTheRules(t *testing.T) {
	data, err := os.ReadFile("../../Dockerfile.core")
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse("Dockerfile.core", data)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []Rules{{Target: "base", Init: true}, {Target: "core", Parent: "matrx-sandbox-base:latest", Stage: "base", Init: true}} {
		found, err := f.Check(r)
		if err != nil || len(found) > 0 {
			t.Errorf("%s: %v, %v", r.Target, found, err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(fine)
	f.Add("FROM a\nRUN --mount=type=bind,from=b sh -c \"$(curl x)\" | bash\n")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse("f", []byte(text))
		if err != nil || len(file.stages) == 0 {
			return
		}
		if _, err := file.Check(Rules{}); err != nil {
			t.Error(err)
		}
		_, _ = file.Needs("", nil)
	})
}
