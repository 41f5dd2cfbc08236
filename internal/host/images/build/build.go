package build

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/catalog/recipe"
	"github.com/matrx/sandbox/internal/host/images/checkout"
	"github.com/matrx/sandbox/internal/host/images/store"
)

// Options say what is built.
type Options struct {
	Checkout checkout.Checkout
	Names    []string // those asked for; what they are made of is built too
	NoCache  bool     // those asked for, from their first instruction on
	Jobs     int      // at most so many side by side; 0: as many as the machine carries
	Platform string   // linux/ARCH; "" is the engine's
	Rebase   bool     // put images of which the parent alone has changed onto it, where that is proven right
	With     []string // options of the images: build arguments that are set to 1
	Tags     []string // more tags, beside latest, the image's version and the digest
	Progress Progress
}

// Result is how it went with one image.
type Result struct {
	Image     string        `json:"image"`
	Reference string        `json:"reference"` // by the digest of its inputs
	Inputs    string        `json:"inputs"`
	ID        string        `json:"id,omitempty"`
	Built     bool          `json:"built"`             // false: it was there
	Rebased   bool          `json:"rebased,omitempty"` // its own layers were put onto a new parent
	Created   time.Time     `json:"created,omitzero"`
	Size      int64         `json:"size,omitempty"`
	Took      time.Duration `json:"took_ns,omitempty"`
	Log       string        `json:"log,omitempty"`
	Error     string        `json:"error,omitempty"`
}

// Progress is told what happens; it is called from several goroutines.
type Progress interface {
	Started(image, log string)
	Step(image, what string) // "5/9 RUN ..."
	Ended(Result)
}

// errParent is the error of an image whose parent could not be built.
var errParent = errors.New("not built, because what it is made of was not")

// Run builds. The results are in the order of building, those that failed included; the
// error joins what went wrong.
func Run(ctx context.Context, store *store.Store, o Options) (_ []Result, err error) {
	w, err := prepare(ctx, store, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.parents.close()) }()
	return w.all(ctx)
}

// Current finds the images that are what a build would make now, and says which are not
// there; it builds nothing but sandbox-init.
func Current(ctx context.Context, images *store.Store, o Options) ([]Result, error) {
	w, err := prepare(ctx, images, o)
	if err != nil {
		return nil, err
	}
	var out []Result
	var errs []error
	for _, name := range o.Names {
		r := Result{Image: name, Reference: w.reference(name), Inputs: w.digests[name]}
		im, err := images.Inspect(ctx, r.Reference)
		switch {
		case errors.Is(err, store.ErrNoImage):
			errs = append(errs, fmt.Errorf("%s is not built from this checkout as it is now: run `sandbox images build %s`", name, name))
		case err != nil:
			return nil, err
		}
		r.ID, r.Created, r.Size = im.ID, im.Created, im.Size
		out = append(out, r)
	}
	return out, errors.Join(errs...)
}

// work is one run.
type work struct {
	Options
	store   *store.Store
	recipes *recipe.Set
	catalog *catalog.Catalog
	order   []string
	digests map[string]string
	bundle  string // a list of authorities, "" when there is none
	debian  func(context.Context) (string, error)
	parents *copies // old and new, of images that are rebased
}

func prepare(ctx context.Context, store *store.Store, o Options) (*work, error) {
	arch := store.Arch()
	if o.Platform != "" && o.Platform != "linux/"+arch {
		return nil, fmt.Errorf("cannot build for %s: the engine runs on linux/%s, and images are never built by emulation; build on such a machine, or set DOCKER_HOST to one", o.Platform, arch)
	}
	c, err := catalog.Load(o.Checkout.FS())
	if err != nil {
		return nil, err
	}
	for _, name := range o.Names {
		if _, err := c.Image(name); err != nil {
			return nil, err
		}
	}
	recipes, err := recipe.Load(o.Checkout.FS(), c, arch, o.Names...)
	if err != nil {
		return nil, err
	}
	w := &work{Options: o, store: store, recipes: recipes, catalog: c, bundle: authorities(), parents: &copies{store: store}}
	if err := w.checkOptions(); err != nil {
		return nil, err
	}
	w.order = recipes.Closure(o.Names)
	if err := w.compile(ctx); err != nil {
		return nil, err
	}
	if w.digests, err = w.inputs(o.Names); err != nil {
		return nil, err
	}
	w.debian = once(func(ctx context.Context) (string, error) { return debianImage(ctx, o.Checkout) })
	return w, nil
}

// checkOptions refuses an option that none of the images has.
func (w *work) checkOptions() error {
	for _, arg := range w.With {
		if !slices.ContainsFunc(w.Names, func(name string) bool { return w.has(name, arg) }) {
			return fmt.Errorf("none of %q has an option %s; `sandbox images show NAME` lists an image's", w.Names, arg)
		}
	}
	return nil
}

func (w *work) has(name, arg string) bool {
	im, err := w.catalog.Image(name)
	return err == nil && slices.ContainsFunc(im.Options, func(o catalog.Option) bool { return o.Arg == arg })
}

// args are the build arguments of an image beside those that the builder and this program
// always give.
func (w *work) args(name string) map[string]string {
	out := map[string]string{}
	if slices.Contains(w.Names, name) {
		for _, arg := range w.With {
			if w.has(name, arg) {
				out[arg] = "1"
			}
		}
	}
	return out
}

// inputs are the digests of what these images, and all below them, would be built from now.
func (w *work) inputs(names []string) (map[string]string, error) {
	program, err := w.programDigest()
	if err != nil {
		return nil, err
	}
	return w.recipes.Digests(names, func(name string) (recipe.Inputs, error) {
		return recipe.Inputs{Program: program, Args: w.args(name)}, nil
	})
}

// reference names an image by its inputs.
func (w *work) reference(name string) string {
	return catalog.Reference("", name, recipe.Tag(w.digests[name]))
}

// names are all that an image is called.
func (w *work) names(name string) ([]string, error) {
	im, err := w.catalog.Image(name)
	if err != nil {
		return nil, err
	}
	tags := append([]string{"", im.Version}, w.Tags...)
	if name == "core" {
		tags = append(tags, "core")
	}
	if slices.ContainsFunc(w.recipes.Closure([]string{name}), func(n string) bool { return len(w.args(n)) > 0 }) {
		// With options, its own or a parent's, it is another image than the one that others
		// know by these names.
		tags = w.Tags
	}
	var out []string
	for _, tag := range tags {
		out = append(out, catalog.Reference("", name, tag))
	}
	return out, nil
}

// log is where what the builder says of an image is kept.
func (w *work) log(name string) string {
	return filepath.Join(w.Checkout.Dir, ".cache", "build-"+name+".log")
}

// all builds what is missing: each image waits for those that it is made of, and then for
// room on the machine.
func (w *work) all(ctx context.Context) ([]Result, error) {
	room := make(chan struct{}, w.jobs())
	done := map[string]chan struct{}{}
	results := make([]Result, len(w.order))
	errs := make([]error, len(w.order))
	failed := map[string]*error{}
	for i, name := range w.order {
		done[name] = make(chan struct{})
		failed[name] = &errs[i]
	}
	for i, name := range w.order {
		go func() {
			defer close(done[name])
			results[i] = Result{Image: name, Reference: w.reference(name), Inputs: w.digests[name]}
			for _, parent := range w.recipes.Recipe(name).Parents {
				<-done[parent]
				if *failed[parent] != nil {
					errs[i] = fmt.Errorf("%s: %w: %s", name, errParent, parent)
				}
			}
			if errs[i] == nil {
				errs[i] = w.one(ctx, name, room, &results[i])
			}
			if errs[i] != nil {
				results[i].Error = errs[i].Error()
			}
			w.Progress.Ended(results[i])
		}()
	}
	for _, name := range w.order {
		<-done[name]
	}
	return results, errors.Join(errs...)
}

// one makes sure of one image.
func (w *work) one(ctx context.Context, name string, room chan struct{}, r *Result) (err error) {
	im, err := w.store.Inspect(ctx, r.Reference)
	asked := slices.Contains(w.Names, name)
	if err == nil && !(w.NoCache && asked) {
		return w.finish(ctx, name, im, r)
	}
	if err != nil && !errors.Is(err, store.ErrNoImage) {
		return err
	}
	select {
	case room <- struct{}{}:
		defer func() { <-room }()
	case <-ctx.Done():
		return ctx.Err()
	}
	start := time.Now()
	if w.Rebase && !w.NoCache {
		done, err := w.instead(ctx, name)
		if err != nil {
			return err
		}
		if done != nil {
			done.Took = time.Since(start)
			*r = *done
			return w.forget(ctx, name, r.Reference)
		}
	}
	r.Log = w.log(name)
	w.Progress.Started(name, r.Log)
	unproven := catalog.Reference("", name, fmt.Sprintf("building-%d", os.Getpid()))
	if err := w.buildx(ctx, name, unproven, r.Log, w.NoCache && asked); err != nil {
		return err
	}
	// The image keeps its other names.
	defer func() { err = errors.Join(err, w.store.Untag(context.WithoutCancel(ctx), unproven)) }()
	now, err := w.inputs([]string{name})
	if err != nil {
		return err
	}
	if now[name] != w.digests[name] {
		return fmt.Errorf("%s was built, but what it is made of changed meanwhile: build it again", name)
	}
	if im, err = w.store.Inspect(ctx, unproven); err != nil {
		return err
	}
	if err := w.store.Tag(ctx, im.ID, r.Reference); err != nil {
		return err
	}
	r.Built, r.Took = true, time.Since(start)
	if err := w.finish(ctx, name, im, r); err != nil {
		return err
	}
	return w.forget(ctx, name, r.Reference)
}

// finish gives an image that is what it should be all its names.
func (w *work) finish(ctx context.Context, name string, im store.Image, r *Result) error {
	r.ID, r.Created, r.Size = im.ID, im.Created, im.Size
	names, err := w.names(name)
	if err != nil {
		return err
	}
	for _, ref := range names {
		if slices.Contains(im.Tags, ref) {
			continue
		}
		if err := w.store.Tag(ctx, im.ID, ref); err != nil {
			return err
		}
	}
	return nil
}

// repository is an image's name without a tag.
func repository(name string) string {
	return strings.TrimSuffix(catalog.Reference("", name, "x"), ":x")
}

// memoryEach is what a build with apt and dpkg may need, page cache included.
const memoryEach = 2 << 30

// jobs is how many builds the machine carries.
func (w *work) jobs() int {
	if w.Jobs > 0 {
		return w.Jobs
	}
	return max(1, min(w.store.CPUs(), int(w.store.Memory()/memoryEach)))
}

// buildArgs are the arguments of an image's build, those that name its parents included.
func (w *work) buildArgs(ctx context.Context, name string) (map[string]string, error) {
	r := w.recipes.Recipe(name)
	args := maps.Clone(w.args(name))
	for arg, parent := range r.Args {
		args[arg] = w.reference(parent)
	}
	if _, ok := args[recipe.BaseArg]; !ok {
		base, err := w.debian(ctx)
		if err != nil {
			return nil, err
		}
		args[recipe.BaseArg] = base
	}
	return args, nil
}
