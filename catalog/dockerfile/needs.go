package dockerfile

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// Needs is what an image is made of.
type Needs struct {
	Text   string   // the instructions of the stages that it needs, in their order
	Files  []string // paths in the context: files, folders or patterns (path.Match); sorted
	Images []string // references of the images that it begins with or copies from; sorted
}

// Needs says what the image of a stage is made of ("" is the last stage), with these build
// arguments. What the text alone does not tell is an error, never a guess.
func (f *File) Needs(target string, args map[string]string) (*Needs, error) {
	first, err := f.target(target)
	if err != nil {
		return nil, err
	}
	global, err := f.global(args)
	if err != nil {
		return nil, err
	}
	w := &walk{file: f, given: args, global: global, seen: make([]bool, len(f.stages)), vars: make([]map[string]string, len(f.stages))}
	if err := w.stage(first); err != nil {
		return nil, err
	}
	n := &Needs{Files: tidy(w.files), Images: tidy(w.images)}
	var b strings.Builder
	for _, a := range f.args {
		b.WriteString(f.text(a.Location()))
	}
	for i, s := range f.stages {
		if !w.seen[i] {
			continue
		}
		b.WriteString(f.text(s.Location))
		for _, c := range s.Commands {
			b.WriteString(f.text(c.Location()))
		}
	}
	n.Text = b.String()
	return n, nil
}

func tidy(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// walk collects what a stage needs, and those that it needs.
type walk struct {
	file          *File
	given, global map[string]string
	seen          []bool
	vars          []map[string]string // what ENV has set at a stage's end: FROM inherits it
	files, images []string
}

func (w *walk) stage(i int) error {
	if w.seen[i] {
		return nil
	}
	w.seen[i] = true
	s := w.file.stages[i]
	base, err := w.file.expand(s.BaseName, w.global, s.Location)
	if err != nil {
		return err
	}
	env := map[string]string{}
	if parent := w.file.stage(base, i); parent >= 0 {
		if err := w.stage(parent); err != nil {
			return err
		}
		for k, v := range w.vars[parent] {
			env[k] = v
		}
	} else if base != "scratch" {
		w.images = append(w.images, base)
	}
	w.vars[i] = env
	known := map[string]string{} // ARG and ENV; ENV wins (Dockerfile reference)
	for _, c := range s.Commands {
		for k, v := range env {
			known[k] = v
		}
		switch c := c.(type) {
		case *instructions.ArgCommand:
			if err := w.file.declare(*c, known, w.given, w.global); err != nil {
				return err
			}
		case *instructions.EnvCommand:
			w.env(c, known, env)
		case *instructions.CopyCommand:
			if c.From != "" {
				if err := w.from(c.From, i); err != nil {
					return err
				}
				continue
			}
			if err := w.context(c.SourcePaths, known, c.Location()); err != nil {
				return err
			}
		case *instructions.AddCommand:
			var local []string
			for _, p := range c.SourcePaths {
				if !remote(p) {
					local = append(local, p)
				}
			}
			if err := w.context(local, known, c.Location()); err != nil {
				return err
			}
		case *instructions.RunCommand:
			if err := w.mounts(c, i, known); err != nil {
				return err
			}
		}
	}
	return nil
}

// env notes what ENV sets. A value made of what only the parent knows (PATH) stays
// unknown: only when a path needs it is that an error.
func (w *walk) env(c *instructions.EnvCommand, known, env map[string]string) {
	for _, kv := range c.Env {
		delete(env, kv.Key)
		delete(known, kv.Key)
		if v, err := w.file.expand(kv.Value, known, c.Location()); err == nil {
			env[kv.Key] = v
		}
	}
}

// from is COPY --from, or a mount's: a stage before this one, or an image.
func (w *walk) from(name string, before int) error {
	if i := w.file.stage(name, before); i >= 0 {
		return w.stage(i)
	}
	if name != "scratch" {
		w.images = append(w.images, name)
	}
	return nil
}

func (w *walk) mounts(c *instructions.RunCommand, i int, known map[string]string) error {
	expand := func(word string) (string, error) { return w.file.expand(word, known, c.Location()) }
	if err := c.Expand(expand); err != nil {
		return fmt.Errorf("%s:%d: --mount: %w", w.file.path, line(c.Location()), err)
	}
	for _, m := range instructions.GetMounts(c) {
		switch {
		case m.From != "":
			if err := w.from(m.From, i); err != nil {
				return err
			}
		case m.Type == instructions.MountTypeBind:
			source := m.Source
			if source == "" {
				source = "/"
			}
			if err := w.context([]string{source}, nil, c.Location()); err != nil {
				return err
			}
		}
	}
	return nil
}

// context notes paths of the build context. They are relative to it, however they are written.
func (w *walk) context(paths []string, known map[string]string, at []parser.Range) error {
	for _, p := range paths {
		if known != nil {
			var err error
			if p, err = w.file.expand(p, known, at); err != nil {
				return err
			}
		}
		if p = strings.TrimPrefix(path.Clean("/"+p), "/"); p == "" {
			p = "."
		}
		w.files = append(w.files, p)
	}
	return nil
}

// remote says whether ADD would fetch a source from elsewhere.
func remote(source string) bool {
	return strings.Contains(source, "://") || strings.HasPrefix(source, "git@") || strings.HasPrefix(source, "github.com/")
}
