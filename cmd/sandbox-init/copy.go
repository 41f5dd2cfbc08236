package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/matrx/sandbox/internal/tarstream"
)

// The inner ends of `sandbox cp`, exec'd as the agent so that the agent's rights are theirs. They
// are spelled as flags: a sandbox-init from before there were any refuses what it does not
// know, and would run a word as a command.

const exitCopyFailed = 1

// packPath writes what is at a path to standard output.
func packPath(args []string) int {
	flags := flag.NewFlagSet(tarstream.PackRole, flag.ContinueOnError)
	follow := flags.Bool("follow", false, "copy what a link leads to")
	path, err := tarstream.ParsePath(flags, args)
	if err != nil {
		return exitUsage
	}
	// The copying host holds standard input open. At its end no reader is left: the
	// engine would take the rest and throw it away.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(exitCopyFailed)
	}()
	return copied(tarstream.Pack(os.Stdout, path, tarstream.PackOptions{Follow: *follow, Note: leftOut}))
}

// unpackPath puts what comes on standard input at a path.
func unpackPath(args []string) int {
	flags := flag.NewFlagSet(tarstream.UnpackRole, flag.ContinueOnError)
	into := flags.Bool("into", false, "take an archive of any names into a directory")
	path, err := tarstream.ParsePath(flags, args)
	if err != nil {
		return exitUsage
	}
	return copied(tarstream.Unpack(untilSignal(os.Stdin), path, tarstream.UnpackOptions{Into: *into, Note: leftOut}))
}

// untilSignal reads r until this process is told to end, by the interrupt of its host's program or by the drain:
// the stream breaks off then, and Unpack removes the part of a file that it has.
func untilSignal(r io.Reader) io.Reader {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	pr, pw := io.Pipe()
	go func() {
		_, err := io.Copy(pw, r)
		pw.CloseWithError(err) // nil: the end
	}()
	go func() { pw.CloseWithError(fmt.Errorf("it was told to end: %s", <-told)) }()
	return pr
}

func leftOut(name, reason string) { fmt.Fprintf(os.Stderr, "left out %q: %s\n", name, reason) }

func copied(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitCopyFailed
	}
	return 0
}
