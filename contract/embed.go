package contract

import _ "embed"

// The contract as data. Package spec reads these files. They are not read here,
// because this package is linked into sandbox-init, and a YAML reader's
// initialisation would be paid at every start of a sandbox.
var (
	// YAML is contract.yaml: the requirements.
	//
	//go:embed contract.yaml
	YAML []byte

	// VocabularyYAML is capabilities.yaml: the names that a manifest may use.
	//
	//go:embed capabilities.yaml
	VocabularyYAML []byte

	// ManifestSchema is the JSON Schema of /etc/sandbox/capabilities.json.
	//
	//go:embed manifest.schema.json
	ManifestSchema []byte
)
