package catalog

// Request says what is needed. All of it is asked for together; what is left empty is
// not asked for. A request that asks for nothing is a mistake, not a default.
type Request struct {
	// Task is the name of a task (Offer.Tasks): it asks for what the task needs.
	Task string `json:"task,omitempty"`

	// Runtime is a language's runtime or a shell, with or without a version: "python",
	// "python>=3.12", "node22", "zsh".
	Runtime string `json:"runtime,omitempty"`

	// Capabilities are names of the contract's vocabulary, or of a registered image's.
	Capabilities []string `json:"capabilities,omitempty"`

	// Tools are commands, with or without a version: "jq", "npm>=10".
	Tools []string `json:"tools,omitempty"`

	// Prefer names images (by name or reference), the dearest first. One of them that has
	// all that is asked is selected although another is smaller; one that lacks something
	// is not.
	Prefer []string `json:"prefer,omitempty"`

	// Untested admits registered images that the suite has not passed.
	Untested bool `json:"untested,omitempty"`

	// Registry goes in front of the references of the family's images; "" is none.
	Registry string `json:"registry,omitempty"`
}

// Selection is the image for a request, and what a sandbox of it gets by default.
type Selection struct {
	Image     string `json:"image"`     // its name: a variant, for the family's images
	Version   string `json:"version"`   // its own semantic version
	Reference string `json:"reference"` // what an engine or a registry calls it

	// Registered images are the user's own. Digest is the one that was read when it was
	// registered, and Suite what the suite has said of it: see Standing.
	Registered bool     `json:"registered"`
	Digest     string   `json:"digest,omitempty"`
	Suite      Standing `json:"suite,omitempty"`

	Reason string `json:"reason"` // why this one, in a sentence

	Access Access `json:"access"`
	Limits Limits `json:"limits"`

	// Needs is what was asked for in the end: what the task needs is part of it.
	Needs Needs `json:"needs"`

	SizeMB       int           `json:"size_mb,omitempty"` // unpacked; 0 is unknown
	Alternatives []Alternative `json:"alternatives"`      // every other image, the next best first
}

// Needs are what an image must have, by name.
type Needs struct {
	Task         string   `json:"task,omitempty"` // by its first name
	Capabilities []string `json:"capabilities"`
	Tools        []string `json:"tools"` // with versions, as they were asked for
}

// Alternative is an image that was not selected.
type Alternative struct {
	Image     string `json:"image"`
	Version   string `json:"version"`
	Reference string `json:"reference"`
	SizeMB    int    `json:"size_mb,omitempty"`
	Fits      bool   `json:"fits"` // it has all that is asked
	Lost      string `json:"lost"` // why it was not selected
}

// Standing is what the suite has said of an image.
type Standing string

// The standings. The family's images have none: they are released when the suite has
// passed them.
const (
	Conformant    Standing = "conformant"
	Partial       Standing = "partial" // some of it could not be judged
	NotConformant Standing = "not conformant"
	Untested      Standing = "untested" // it never ran, or not as the manifest promises
)
