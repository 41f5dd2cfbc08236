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
