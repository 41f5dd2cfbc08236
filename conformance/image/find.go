package image

import (
	"archive/tar"
	"path"
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

// Resolve follows symbolic links, of directories on the way too, and returns the file
// at the end; nil when there is none.
func (im *Image) Resolve(name string) *File {
	for range 40 { // ELOOP's bound, path_resolution(7)
		resolved := "/"
		var link *File
		rest := strings.Split(strings.Trim(path.Clean(name), "/"), "/")
		for i, part := range rest {
			resolved = path.Join(resolved, part)
			f := im.Files[resolved]
			if f != nil && f.Type == tar.TypeSymlink {
				target := f.Link
				if !path.IsAbs(target) {
					target = path.Join(path.Dir(resolved), target)
				}
				name = path.Join(append([]string{target}, rest[i+1:]...)...)
				link = f
				break
			}
		}
		if link != nil {
			continue
		}
		f := im.Files[resolved]
		if f != nil && f.Type == tar.TypeLink {
			return im.Files[path.Join("/", f.Link)]
		}
		return f
	}
	return nil
}
