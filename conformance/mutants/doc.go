// Package mutants proves the suite: for every MUST of the contract there is an image that
// breaks it, and the suite must find just that.
//
// A mutant is a few lines of Dockerfile on top of an image that conforms. Where a
// lifecycle must misbehave, the program faultyinit takes sandbox-init's place in the image,
// runs the real one behind it and gets one thing wrong. No fault is built into the
// product.
//
// A mutant names the requirement that it Breaks and those that fall with it (Also). The
// test holds the failures that the suite found equal to that set: a check that cannot
// fail, and one that fails for another's sake, are both found.
package mutants

// Mutant is an image that breaks one requirement.
type Mutant struct {
	Breaks string
	Also   []string // requirements that fail together with it; Is says why
	Is     string   // the change to the image

	From       string // "base" or "core"; "" is base
	Dockerfile string // the lines after FROM, as root; ends as the agent unless it says USER
	Fault      string // of faultyinit; "" keeps sandbox-init

	// Parent is what the image claims to extend: "" nothing, "base" or "core", or, when
	// ParentDockerfile is set, an image made of those lines on From.
	Parent           string
	ParentDockerfile string
}
