package catalog

import "strings"

// DefaultVersion is the tag of an image when none is said.
const DefaultVersion = "latest"

// Reference is an image's name for an engine or a registry: core is
// matrx-sandbox:VERSION, any other NAME is matrx-sandbox-NAME:VERSION. The registry, with
// or without a path, goes in front; "" is none. An empty version is DefaultVersion.
func Reference(registry, name, version string) string {
	repository := "matrx-sandbox"
	if name != "core" {
		repository += "-" + name
	}
	if version == "" {
		version = DefaultVersion
	}
	if registry != "" {
		repository = strings.TrimSuffix(registry, "/") + "/" + repository
	}
	return repository + ":" + version
}

// Named is the name of the image that a reference names, without its registry, tag or
// digest: the reverse of Reference. It is "" for images of others.
func Named(reference string) string {
	reference, _, _ = strings.Cut(reference, "@")
	repository := reference[strings.LastIndex(reference, "/")+1:]
	repository, _, _ = strings.Cut(repository, ":")
	if repository == "matrx-sandbox" {
		return "core"
	}
	name, ok := strings.CutPrefix(repository, "matrx-sandbox-")
	if !ok {
		return ""
	}
	return name
}
