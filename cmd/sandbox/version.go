package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker: -X main.version=1.2.3.
var version string

// versionCommand is `sandbox version`.
type versionCommand struct{}

func (versionCommand) Run() error {
	_, err := fmt.Printf("sandbox %s %s/%s\n", programVersion(), runtime.GOOS, runtime.GOARCH)
	return err
}

// programVersion is the linker's, else the module's, else "devel".
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}
