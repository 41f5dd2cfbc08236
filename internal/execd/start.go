package execd

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/execapi"
	"github.com/matrx/sandbox/internal/pid1/process"
	"github.com/matrx/sandbox/internal/threads"
)

// markVariable is in the environment of each process of an exec, so that one that has left its parent and its
// session is still known as the exec's; see descendants.
const markVariable = "SANDBOX_EXEC_ID"

// start starts an exec; attached, with a reader that is there before its process: what that writes first may be what
// would go first, where the memory is full.
func (s *Server) start(spec execapi.Spec, attached bool) (x *execution, r *reader, err error) {
	if err := check(&spec); err != nil {
		return nil, nil, err
	}
	if spec.Dir == "" {
		spec.Dir = s.Home
	}
	if err := directory(spec.Dir); err != nil {
		return nil, nil, err
	}
	x = &execution{server: s, spec: spec, started: time.Now().UTC(), begun: make(chan struct{}), over: make(chan struct{})}
	if err := s.table.admit(x); err != nil {
		return nil, nil, err
	}
	x.out = s.heap.add()
	if attached {
		r = x.out.read(0)
	}
	x.slot = s.records.started(record{ID: spec.ID, Args: shown(spec.Args), Dir: spec.Dir, Started: x.started})
	if err := x.fork(); err != nil {
		s.table.forget(x)
		return nil, nil, err
	}
	x.spec.Args, x.spec.Env = shown(spec.Args), nil
	if spec.Timeout > 0 {
		x.timeout = time.AfterFunc(spec.Timeout, x.timeOut)
	}
	close(x.begun)
	go x.run()
	return x, r, nil
}

// check completes a request and says what is wrong with it.
func check(spec *execapi.Spec) error {
	switch {
	case spec.ID == "":
		spec.ID = strings.ToLower(rand.Text()[:12])
	case !execapi.ValidID(spec.ID):
		return execapi.ErrInvalid.Because("the ID %q of an exec is wrong: it must be 1 to 64 letters, digits, '.', '_' and '-', and begin with a letter or a digit", spec.ID)
	}
	if len(spec.Args) == 0 || spec.Args[0] == "" {
		return execapi.ErrInvalid.Because("an exec needs a command")
	}
	for _, kv := range spec.Env {
		if name, _, ok := strings.Cut(kv, "="); !ok || name == "" {
			return execapi.ErrInvalid.Because("the variable %q of an exec is wrong: it must be KEY=VALUE", kv)
		}
	}
	for _, text := range append(append([]string{spec.Dir}, spec.Args...), spec.Env...) {
		if strings.ContainsRune(text, 0) {
			return execapi.ErrInvalid.Because("%q has a NUL, which no argument of a process can have", text)
		}
	}
	if spec.Timeout < 0 {
		return execapi.ErrInvalid.Because("the timeout %s of an exec is wrong: it must not be negative", spec.Timeout)
	}
	return nil
}

// shownArgs bounds what is kept and told of an exec's arguments, which may have a megabyte, in bytes.
const shownArgs = 4 << 10

// shown are as many of the arguments as are kept.
func shown(args []string) (list []string) {
	const each = 16 // what an empty one takes
	left := shownArgs
	for _, arg := range args {
		if left -= each; left <= 0 {
			break
		}
		if len(arg) > left {
			arg = strings.Clone(strings.ToValidUTF8(arg[:left], ""))
		}
		left -= len(arg)
		list = append(list, arg)
	}
	return list
}

// directory finds out that a command cannot start there before the fork, which would blame the command.
func directory(path string) error {
	var info fs.FileInfo
	var err error
	gated(func() { info, err = os.Stat(path) })
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return execapi.ErrInvalid.Because("cannot start a command in %q: there is no such directory", path)
	case err != nil:
		return execapi.ErrInvalid.Because("cannot start a command in %q: %v", path, err)
	case !info.IsDir():
		return execapi.ErrInvalid.Because("cannot start a command in %q: it is no directory", path)
	}
	return nil
}

// gated makes a call that may block, in its turn; see threads.Gate.
func gated(call func()) {
	threads.Disk.Enter()
	defer threads.Disk.Leave()
	call()
}

// environment is the sandbox's, then what was asked for. The last of a name counts (execve(2) leaves that to the
// program), so that each name stands once.
func (x *execution) environment() []string {
	own := []string{markVariable + "=" + x.spec.ID}
	if x.spec.Terminal != nil {
		own = append(own, "TERM=xterm")
	}
	var env []string
	at := map[string]int{}
	for _, list := range [][]string{x.server.env, own, x.spec.Env} {
		for _, kv := range list {
			name, _, _ := strings.Cut(kv, "=")
			if i, ok := at[name]; ok && name != "" {
				if name != markVariable {
					env[i] = kv
				}
				continue
			}
			at[name] = len(env)
			env = append(env, kv)
		}
	}
	return env
}

// fork starts the process and what moves its input and output. The lock of the table is not held.
func (x *execution) fork() (err error) {
	files, err := x.open()
	if err != nil {
		return execapi.ErrFailed.Because("cannot start %q: %v", x.spec.Args[0], err)
	}
	x.server.oom.rose()
	x.began = process.Ticks()
	x.child, err = x.server.spawner.Start(process.Spec{
		Argv: x.spec.Args, Env: x.environment(), Dir: x.spec.Dir, Files: files.childs(),
		Terminal: -1, Session: true, Controlling: x.spec.Terminal != nil, Leashed: true,
	})
	files.closeChilds()
	if err != nil {
		files.closeOurs()
		return notStarted(x.spec.Args[0], err)
	}
	x.tty = files.tty
	x.in = newInput(files.in, x.tty != nil)
	for _, out := range files.out {
		x.pumps = append(x.pumps, startPump(out.from, out.stream, x.out, x.tty != nil))
	}
	return nil
}

// notStarted tells a caller what to exit with.
func notStarted(command string, err error) error {
	start, ok := errors.AsType[*process.StartError](err)
	switch {
	case ok && start.Code() == 127:
		return execapi.ErrNoCommand.Because("%v", start)
	case ok:
		return execapi.ErrNotExecutable.Because("%v", start)
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM):
		return execapi.ErrTooMany.Because("%v", err)
	}
	return execapi.ErrFailed.Because("cannot start %q: %v", command, err)
}

// files are the ends of an exec's input and output.
type files struct {
	tty   *terminal
	in    *os.File
	out   []source
	child [3]int
}

type source struct {
	from   *os.File
	stream execapi.FrameType
}

func (f *files) childs() (fds [3]uintptr) {
	for i, fd := range f.child {
		fds[i] = uintptr(fd)
	}
	return fds
}

func (f *files) closeChilds() {
	for i, fd := range f.child {
		if fd >= 0 && (i == 0 || fd != f.child[i-1]) {
			unix.Close(fd)
		}
	}
}

func (f *files) closeOurs() {
	if f.in != nil && f.tty == nil {
		f.in.Close()
	}
	for _, s := range f.out {
		s.from.Close()
	}
}

func (x *execution) open() (*files, error) {
	f := &files{child: [3]int{-1, -1, -1}}
	err := f.open(x.spec)
	if err != nil {
		f.closeChilds()
		f.closeOurs()
	}
	return f, err
}

func (f *files) open(spec execapi.Spec) error {
	if spec.Terminal != nil {
		return f.openTerminal(spec)
	}
	if err := f.openInput(spec.Stdin); err != nil {
		return err
	}
	for i, stream := range []execapi.FrameType{execapi.FrameStdout, execapi.FrameStderr} {
		r, w, err := pipe()
		if err != nil {
			return err
		}
		f.child[i+1] = w
		if err := unix.SetNonblock(r, true); err != nil { // ours alone: each end has its own flags
			return err
		}
		f.out = append(f.out, source{os.NewFile(uintptr(r), "output"), stream})
	}
	return nil
}

func (f *files) openInput(wanted bool) (err error) {
	if !wanted {
		f.child[0], err = unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	}
	r, w, err := pipe()
	if err != nil {
		return err
	}
	f.child[0] = r
	if err := unix.SetNonblock(w, true); err != nil {
		return err
	}
	f.in = os.NewFile(uintptr(w), "input")
	return nil
}

func (f *files) openTerminal(spec execapi.Spec) error {
	t, slave, err := openTerminal(*spec.Terminal)
	if err != nil {
		return err
	}
	f.tty, f.child = t, [3]int{slave, slave, slave}
	f.out = []source{{t.master, execapi.FrameStdout}}
	if spec.Stdin {
		f.in = t.master
	}
	return nil
}

func pipe() (r, w int, err error) {
	var p [2]int
	err = unix.Pipe2(p[:], unix.O_CLOEXEC)
	return p[0], p[1], err
}
