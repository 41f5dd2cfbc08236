package dockerfile

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// judgeRun judges the text of a RUN: what it downloads and what it installs. It reads
// pipelines and words as a shell splits them, and no more of the shell than that.
func judgeRun(text string) []Problem {
	var found []Problem
	say := func(rule, message string) {
		if !slices.ContainsFunc(found, func(p Problem) bool { return p.Rule == rule && p.Message == message }) {
			found = append(found, Problem{Rule: rule, Message: message})
		}
	}
	if substituted.MatchString(text) {
		say("download-shell", "a download is run by a shell: fetch a pinned file, check its digest, then run it")
	}
	checked := strings.Contains(text, "sha256sum") || strings.Contains(text, "sha512sum") || strings.Contains(text, "gpgv")
	for _, pipeline := range pipelines(text) {
		downloads := false
		for _, words := range pipeline {
			words = command(words)
			if len(words) == 0 {
				continue
			}
			program := path.Base(words[0])
			switch {
			case slices.Contains(downloaders, program):
				downloads = true
				if !checked {
					say("pinned", program+": a download without a digest that is checked (sha256sum -c) in the same step")
				}
			case downloads && (slices.Contains(shells, program) || interpreter.MatchString(program)):
				say("download-shell", "a download is piped to "+program+": fetch a pinned file, check its digest, then run it")
			}
			if message := unpinned(program, words[1:]); message != "" {
				say("pinned", message)
			}
			if (program == "apt-get" || program == "apt") && slices.Contains(words, "install") {
				say("packages", program+" install: name packages in packages.apt and install them by /opt/sandbox/build/install-packages, which leaves no SUID bits")
			}
		}
	}
	return found
}

var (
	downloaders = []string{"curl", "wget", "aria2c"}
	shells      = []string{"sh", "bash", "dash", "ash", "zsh", "ksh", "fish", "perl", "ruby", "node", "php"}
	interpreter = regexp.MustCompile(`^python[0-9.]*$`)
	// sh -c "$(curl ...)", bash <(curl ...), eval "`wget ...`", . <(curl ...)
	substituted = regexp.MustCompile("(^|[;&|({\\s])(sh|bash|dash|ash|zsh|ksh|eval|source|\\.)\\s[^;|&]*(\\$\\(|<\\(|`)\\s*(curl|wget)\\b")
)

// command cuts what stands before a command's name: assignments, sudo and its like.
func command(words []string) []string {
	for len(words) > 0 {
		w := words[0]
		name, _, assigned := strings.Cut(w, "=")
		switch {
		case assigned && !strings.ContainsAny(name, "/-"):
		case slices.Contains([]string{"sudo", "env", "exec", "command", "nice", "time", "then", "do", "else", "if", "while", "!", "{", "("}, w):
		case strings.HasPrefix(w, "("):
			words[0] = strings.TrimLeft(w, "(")
			continue
		default:
			return words
		}
		words = words[1:]
	}
	return nil
}

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

// pipelines splits a script into its pipelines, those into commands, those into words.
// Quotes hold words together and are taken away.
func pipelines(text string) [][][]string {
	var (
		out      [][][]string
		pipeline [][]string
		words    []string
		word     strings.Builder
		inWord   bool
	)
	endWord := func() {
		if inWord {
			words = append(words, word.String())
			word.Reset()
			inWord = false
		}
	}
	endCommand := func() {
		endWord()
		if len(words) > 0 {
			pipeline = append(pipeline, words)
		}
		words = nil
	}
	endPipeline := func() {
		endCommand()
		if len(pipeline) > 0 {
			out = append(out, pipeline)
		}
		pipeline = nil
	}
	for i := 0; i < len(text); i++ {
		switch ch := text[i]; ch {
		case '\'', '"':
			inWord = true
			for i++; i < len(text) && text[i] != ch; i++ {
				if ch == '"' && text[i] == '\\' && i+1 < len(text) {
					i++
				}
				word.WriteByte(text[i])
			}
		case '\\':
			if i++; i < len(text) && text[i] != '\n' {
				inWord = true
				word.WriteByte(text[i])
			}
		case ' ', '\t':
			endWord()
		case ';', '\n':
			endPipeline()
		case '&':
			if i+1 < len(text) && text[i+1] == '&' {
				i++
				endPipeline()
			} else if strings.HasSuffix(word.String(), ">") || (i+1 < len(text) && text[i+1] == '>') {
				word.WriteByte(ch) // a redirection: 2>&1, &>file
				inWord = true
			} else {
				endPipeline()
			}
		case '|':
			if i+1 < len(text) && text[i+1] == '|' {
				i++
				endPipeline()
			} else {
				endCommand()
				if i+1 < len(text) && text[i+1] == '&' {
					i++
				}
			}
		default:
			inWord = true
			word.WriteByte(ch)
		}
	}
	endPipeline()
	return out
}
