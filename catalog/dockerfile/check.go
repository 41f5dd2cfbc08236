package dockerfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"mvdan.cc/sh/v3/syntax"
)

// Rules is what Check must know of an image.
type Rules struct {
	Target string // the stage that is the image; "" the last
	Parent string // the reference of the image that it extends; "" for the root of the family
	Stage  string // a stage of the same file that is, or is below, the parent; "" when the parent is BASE_IMAGE
	Init   bool   // this file may copy sandbox-init: Dockerfile.core alone
}

// Problem is a line that breaks a rule.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Rule    string `json:"rule"`
	Message string `json:"message"`
}

func (p Problem) String() string {
	return fmt.Sprintf("%s:%d: %s (%s)", p.File, p.Line, p.Message, p.Rule)
}

// Agent is the user that every image ends as.
const Agent = "agent"

// Check judges what one image is built by. Problems come in the order of the lines.
func (f *File) Check(r Rules) ([]Problem, error) {
	target, err := f.target(r.Target)
	if err != nil {
		return nil, err
	}
	c := &check{file: f, rules: r}
	c.builder()
	c.parent(target)
	c.user(target)
	for i, needed := range f.closure(target) {
		if needed {
			c.stage(i)
		}
	}
	slices.SortStableFunc(c.found, func(a, b Problem) int { return a.Line - b.Line })
	return c.found, nil
}

// closure marks the stages that a stage needs. Names that cannot be told are not followed:
// Needs reports them.
func (f *File) closure(target int) []bool {
	seen := make([]bool, len(f.stages))
	var follow func(i int)
	follow = func(i int) {
		if i < 0 || seen[i] {
			return
		}
		seen[i] = true
		s := f.stages[i]
		follow(f.stage(s.BaseName, i))
		for _, c := range s.Commands {
			switch c := c.(type) {
			case *instructions.CopyCommand:
				if c.From != "" {
					follow(f.stage(c.From, i))
				}
			case *instructions.RunCommand:
				for _, m := range instructions.GetMounts(c) {
					if m.From != "" {
						follow(f.stage(m.From, i))
					}
				}
			}
		}
	}
	follow(target)
	return seen
}

// line of descent: a stage, the one that it is FROM, and so on; the last one's FROM is an image.
func (f *File) descent(target int) []int {
	var out []int
	for i := target; i >= 0; i = f.stage(f.stages[i].BaseName, i) {
		out = append(out, i)
	}
	return out
}

type check struct {
	file  *File
	rules Rules
	found []Problem
}

func (c *check) problem(at []parser.Range, rule, format string, args ...any) {
	c.found = append(c.found, Problem{File: c.file.path, Line: line(at), Rule: rule, Message: fmt.Sprintf(format, args...)})
}

// builder: what the BuildKit inside docker 20.10 does not know.
func (c *check) builder() {
	if syntax, _, at, ok := parser.DetectSyntax(c.file.data); ok {
		c.problem(at, "builder", "\"# syntax=%s\" asks for a front end that cannot be pulled everywhere: write what every BuildKit understands", syntax)
	}
}

// parent: the image begins with the one that its image.yaml says.
func (c *check) parent(target int) {
	descent := c.file.descent(target)
	root := c.file.stages[descent[len(descent)-1]]
	if base := strings.Trim(root.BaseName, `"`); base != "${BASE_IMAGE}" && base != "$BASE_IMAGE" {
		c.problem(root.Location, "parent", "FROM %s: an image of the family is FROM ${BASE_IMAGE}, so that the build names the parent", root.BaseName)
		return
	}
	if c.rules.Stage != "" {
		return // the root's Dockerfile: its BASE_IMAGE is Debian, for which the lock stands
	}
	for _, a := range c.file.args {
		for _, kv := range a.Args {
			if kv.Key != "BASE_IMAGE" {
				continue
			}
			if c.rules.Parent != "" && kv.ValueString() != c.rules.Parent {
				c.problem(a.Location(), "parent", "ARG BASE_IMAGE=%s: image.yaml extends %s; a plain docker build must begin with the same", kv.ValueString(), c.rules.Parent)
			}
			if c.rules.Parent == "" && !pinned(kv.ValueString()) {
				c.problem(a.Location(), "pinned", "ARG BASE_IMAGE=%s: name a suite (debian:trixie-slim) or a digest", kv.ValueString())
			}
			return
		}
	}
	c.problem(root.Location, "parent", "no ARG BASE_IMAGE=%s before the first FROM", c.rules.Parent)
}

// user: the image ends as the agent.
func (c *check) user(target int) {
	for _, i := range c.file.descent(target) {
		s := c.file.stages[i]
		for _, command := range slices.Backward(s.Commands) {
			if u, ok := command.(*instructions.UserCommand); ok {
				if u.User != Agent {
					c.problem(u.Location(), "user", "the last USER is %s: an image ends with USER %s", u.User, Agent)
				}
				return
			}
		}
	}
	// What BASE_IMAGE ends as is inherited; a step in between that needs root has set it.
	if c.rules.Parent == "" {
		c.problem(c.file.stages[target].Location, "user", "there is no USER: an image ends with USER %s", Agent)
	}
}

// stage judges the instructions of a stage.
func (c *check) stage(i int) {
	s := c.file.stages[i]
	if base := s.BaseName; c.file.stage(base, i) < 0 && base != "scratch" && !strings.Contains(base, "BASE_IMAGE") {
		c.image(base, s.Location)
	}
	for _, command := range s.Commands {
		at := command.Location()
		switch command := command.(type) {
		case *instructions.EntrypointCommand:
			c.lifecycle(at, "ENTRYPOINT")
		case *instructions.HealthCheckCommand:
			c.lifecycle(at, "HEALTHCHECK")
		case *instructions.StopSignalCommand:
			c.lifecycle(at, "STOPSIGNAL")
		case *instructions.AddCommand:
			for _, p := range command.SourcePaths {
				if remote(p) {
					c.problem(at, "add-url", "ADD %s: a download belongs in a package list, with its version and digest", p)
				}
			}
			c.early(at, command.Link, command.SourceContents)
		case *instructions.CopyCommand:
			if command.From != "" && c.file.stage(command.From, i) < 0 {
				c.image(command.From, at)
			}
			for _, p := range append(command.SourcePaths, command.DestPath) {
				if strings.HasSuffix(p, "/sandbox-init") && !c.rules.Init {
					c.problem(at, "init", "COPY %s: sandbox-init is inherited; Dockerfile.core alone copies it", p)
					break
				}
			}
			c.early(at, command.Link, command.SourceContents)
		case *instructions.RunCommand:
			if len(command.Files) > 0 {
				c.problem(at, "builder", "a heredoc: docker 20.10 does not know it; use && or a script in build/")
			}
			for _, m := range instructions.GetMounts(command) {
				if m.From != "" && c.file.stage(m.From, i) < 0 {
					c.image(m.From, at)
				}
			}
			for _, p := range judgeRun(script(command)) {
				c.problem(at, p.Rule, "%s", p.Message)
			}
		}
	}
}

// script is what a RUN has a shell do. A heredoc's is not read, since no heredoc is allowed.
func script(run *instructions.RunCommand) string {
	switch {
	case len(run.Files) > 0:
		return ""
	case run.PrependShell:
		return strings.Join(run.CmdLine, " ")
	}
	var words []string // RUN ["sh", "-c", "true"]
	for _, w := range run.CmdLine {
		quoted, err := syntax.Quote(w, syntax.LangBash)
		if err != nil { // a NUL byte
			quoted = "''"
		}
		words = append(words, quoted)
	}
	return strings.Join(words, " ")
}

// lifecycle: these are base's, and every other image inherits them.
func (c *check) lifecycle(at []parser.Range, what string) {
	if !c.rules.Init {
		c.problem(at, "lifecycle", "%s: it is inherited and never set again", what)
	}
}

func (c *check) early(at []parser.Range, link bool, heredoc []instructions.SourceContent) {
	if link {
		c.problem(at, "builder", "--link: docker 20.10 does not know it")
	}
	if len(heredoc) > 0 {
		c.problem(at, "builder", "a heredoc: docker 20.10 does not know it; put the file into files/")
	}
}

// image: one that is not the parent is of the family, or pinned.
func (c *check) image(ref string, at []parser.Range) {
	if strings.Contains(ref, "$") { // an argument: its default is judged
		for _, a := range c.file.args {
			for _, kv := range a.Args {
				if strings.Trim(ref, "${}") == kv.Key {
					c.image(kv.ValueString(), a.Location())
					return
				}
			}
		}
		c.problem(at, "pinned", "%s: an argument without a default is no pinned image", ref)
		return
	}
	if strings.HasPrefix(ref, "matrx-sandbox") || strings.Contains(ref, "/matrx-sandbox") {
		return
	}
	if !strings.Contains(ref, "@sha256:") {
		c.problem(at, "pinned", "%s: an image of others is named by its digest (NAME:TAG@sha256:...)", ref)
	}
}

// pinned says whether a reference names a tag that is not the moving one, or a digest.
func pinned(ref string) bool {
	if strings.Contains(ref, "@sha256:") {
		return true
	}
	_, tag, ok := strings.Cut(ref[strings.LastIndex(ref, "/")+1:], ":")
	return ok && tag != "" && tag != "latest"
}
