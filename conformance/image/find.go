package image

import (
	"slices"
	"strings"

	"github.com/matrx/sandbox/contract"
)

// AgentMayWrite says whether the agent may write the file, by its mode and owner alone.
func (f *File) AgentMayWrite() bool {
	return f.Mode&0o002 != 0 || f.UID == contract.AgentUID && f.Mode&0o200 != 0 || f.GID == contract.AgentGID && f.Mode&0o020 != 0
}

// Below lists the files in a directory of the image, at any depth, in order.
func (im *Image) Below(dir string) []string {
	var out []string
	for p := range im.Files {
		if strings.HasPrefix(p, dir+"/") {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// OnPath finds a command in the directories of the image's PATH; "" when there is none.
func (im *Image) OnPath(name string) string {
	for _, v := range im.Config.Config.Env {
		path, ok := strings.CutPrefix(v, "PATH=")
		if !ok {
			continue
		}
		for dir := range strings.SplitSeq(path, ":") {
			if f := im.Resolve(dir + "/" + name); f != nil && f.Mode&0o001 != 0 && !f.IsDir() {
				return dir + "/" + name
			}
		}
	}
	return ""
}
