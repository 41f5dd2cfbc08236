package dockerfile

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// judgeRun judges the script of a RUN: what it downloads and what it installs. It reads the script as
// bash does, and the scripts that it gives to a shell by -c.
func judgeRun(script string) []Problem {
	s := &shellCheck{checked: strings.Contains(script, "sha256sum") || strings.Contains(script, "sha512sum") || strings.Contains(script, "gpgv")}
	s.script(script)
	return s.found
}

// A shellCheck collects what is wrong with a script.
type shellCheck struct {
	checked bool // a digest is checked somewhere
	found   []Problem
}

func (s *shellCheck) say(rule, message string) {
	if !slices.ContainsFunc(s.found, func(p Problem) bool { return p.Rule == rule && p.Message == message }) {
		s.found = append(s.found, Problem{Rule: rule, Message: message})
	}
}

func (s *shellCheck) script(text string) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "RUN")
	if err != nil {
		s.say("shell", "the shell cannot read it: "+err.Error())
		return
	}
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Stmt:
			s.statement(n)
		case *syntax.BinaryCmd:
			if n.Op == syntax.Pipe || n.Op == syntax.PipeAll {
				s.pipe(n)
			}
		}
		return true
	})
}

// statement judges one command with its redirections.
func (s *shellCheck) statement(n *syntax.Stmt) {
	call, ok := n.Cmd.(*syntax.CallExpr)
	if !ok {
		return
	}
	words := command(call)
	if len(words) == 0 {
		return
	}
	program := path.Base(words[0])
	switch {
	case slices.Contains(downloaders, program) && !s.checked:
		s.say("pinned", program+": a download without a digest that is checked (sha256sum -c) in the same step")
	case slices.Contains(shells, program):
		if downloads(n) {
			s.say("download-shell", "a download is run by a shell: fetch a pinned file, check its digest, then run it")
		}
		if at := slices.Index(words, "-c"); at > 0 && at+1 < len(words) {
			s.script(words[at+1])
		}
	}
	if message := unpinned(program, words[1:]); message != "" {
		s.say("pinned", message)
	}
	if (program == "apt-get" || program == "apt") && slices.Contains(words, "install") {
		s.say("packages", program+" install: name packages in packages.apt and install them by /opt/sandbox/build/install-packages, which leaves no SUID bits")
	}
}

// pipe finds an interpreter behind a download, through any number of programs between them.
func (s *shellCheck) pipe(n *syntax.BinaryCmd) {
	if !downloads(n.X) {
		return
	}
	each(n.Y, func(words []string) {
		if program := path.Base(words[0]); slices.Contains(shells, program) || interpreter.MatchString(program) {
			s.say("download-shell", "a download is piped to "+program+": fetch a pinned file, check its digest, then run it")
		}
	})
}

var (
	downloaders = []string{"curl", "wget", "aria2c"}
	shells      = []string{"sh", "bash", "dash", "ash", "zsh", "ksh", "fish", "perl", "ruby", "node", "php", "eval", "source", "."}
	interpreter = regexp.MustCompile(`^python[0-9.]*$`)
)

// downloads says whether a download is anywhere in a part of a script: $(curl ...), <(wget ...).
func downloads(n syntax.Node) (found bool) {
	each(n, func(words []string) { found = found || slices.Contains(downloaders, path.Base(words[0])) })
	return found
}

// each visits the words of each command in a part of a script.
func each(n syntax.Node, visit func(words []string)) {
	syntax.Walk(n, func(n syntax.Node) bool {
		if call, ok := n.(*syntax.CallExpr); ok {
			if words := command(call); len(words) > 0 {
				visit(words)
			}
		}
		return true
	})
}

// command is a command's words, without what stands before its name: sudo, env with its assignments.
func command(call *syntax.CallExpr) []string {
	var words []string
	for _, w := range call.Args {
		words = append(words, text(w))
	}
	for len(words) > 0 {
		name, _, assigned := strings.Cut(words[0], "=")
		wrapper := slices.Contains([]string{"sudo", "env", "exec", "command", "nice", "time"}, words[0])
		if !wrapper && (!assigned || strings.ContainsAny(name, "/-")) {
			break
		}
		words = words[1:]
	}
	return words
}

// text is a word without its quotes. An expansion stays as it is written.
func text(w *syntax.Word) string {
	var b strings.Builder
	var parts func(list []syntax.WordPart, quoted bool)
	parts = func(list []syntax.WordPart, quoted bool) {
		for _, p := range list {
			switch p := p.(type) {
			case *syntax.Lit:
				if quoted {
					b.WriteString(escapedInQuotes.ReplaceAllString(p.Value, "$1"))
				} else {
					b.WriteString(escaped.ReplaceAllString(p.Value, "$1"))
				}
			case *syntax.SglQuoted:
				b.WriteString(p.Value)
			case *syntax.DblQuoted:
				parts(p.Parts, true)
			default:
				_ = syntax.NewPrinter().Print(&b, p) // strings.Builder takes all
			}
		}
	}
	parts(w.Parts, false)
	return b.String()
}

var (
	escaped         = regexp.MustCompile(`(?s)\\(.)`)
	escapedInQuotes = regexp.MustCompile("\\\\([$`\"\\\\])") // bash(1), QUOTING
)

// unpinned lists the packages that an installer would take in any version.
func unpinned(program string, words []string) string {
	if (program == "python3" || program == "python") && len(words) > 1 && words[0] == "-m" && words[1] == "pip" {
		program, words = "pip", words[2:]
	}
	switch program {
	case "pip", "pip3":
		at := slices.Index(words, "install")
		if at < 0 {
			return ""
		}
		for _, w := range operands(words[at+1:], "-r", "--requirement", "-c", "--constraint", "-i", "--index-url", "--extra-index-url", "-t", "--target", "--prefix", "--root", "--python", "-f", "--find-links") {
			if !strings.Contains(w, "==") && !strings.Contains(w, "@") && !local(w) {
				return "pip install " + w + ": give the version (" + w + "==1.2.3), or a list of requirements"
			}
		}
	case "npm", "pnpm", "yarn":
		at := slices.IndexFunc(words, func(w string) bool { return w == "install" || w == "i" || w == "add" })
		if at < 0 {
			return ""
		}
		for _, w := range operands(words[at+1:], "--prefix", "--cache", "--registry") {
			version := strings.LastIndex(w, "@")
			if !local(w) && (version < 1 || w[version:] == "@latest") {
				return program + " install " + w + ": give the version (" + w + "@1.2.3)"
			}
		}
	case "go":
		if len(words) == 0 || words[0] != "install" {
			return ""
		}
		for _, w := range operands(words[1:], "-ldflags", "-tags") {
			if _, version, ok := strings.Cut(w, "@"); !local(w) && (!ok || version == "latest") {
				return "go install " + w + ": give the version (@v1.2.3)"
			}
		}
	case "gem", "cargo":
		if len(words) > 0 && words[0] == "install" && !slices.ContainsFunc(words, func(w string) bool {
			return w == "-v" || strings.HasPrefix(w, "--version") || strings.HasPrefix(w, "--path") || strings.Contains(w, "@") || strings.HasSuffix(w, ".gem")
		}) {
			return program + " install: give the version (--version 1.2.3)"
		}
	}
	return ""
}

// local says whether an operand is a file or what the shell puts there from a list.
func local(w string) bool {
	return strings.HasPrefix(w, ".") || strings.HasPrefix(w, "/") || strings.Contains(w, "$") || strings.HasSuffix(w, ".whl") || strings.HasSuffix(w, ".tgz")
}

// operands leaves out flags, and the values of those that have one.
func operands(words []string, valued ...string) []string {
	var out []string
	for i := 0; i < len(words); i++ {
		switch w := words[i]; {
		case slices.Contains(valued, w):
			i++
		case strings.HasPrefix(w, "-") || strings.HasPrefix(w, ">") || strings.HasPrefix(w, "2>"):
		default:
			out = append(out, w)
		}
	}
	return out
}
