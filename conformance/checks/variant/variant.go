// Package variant has the checks that compare an image with the one that it extends: VAR.
package variant

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/matrx/sandbox/conformance/check"
	"github.com/matrx/sandbox/conformance/image"
	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/contract/spec"
)

// Checks are the checks of this family, by requirement.
var Checks = []check.Check{
	{ID: "VAR-001", Static: true, Run: layersBeginWithParents},
	{ID: "VAR-002", Run: initIsTheParents},
	{ID: "VAR-003", Run: nothingIsLost},
	{ID: "VAR-004", Static: true, Run: parentsVariablesAreKept},
}

// errRoot excuses an image that extends none.
var errRoot = check.Unsupported("the image extends no other")

func layersBeginWithParents(ctx context.Context, e *check.Env) error {
	if e.Parent() == "" {
		return errRoot
	}
	parent, err := e.Engine().Layers(ctx, e.Parent())
	if err != nil {
		return err
	}
	own, err := e.Engine().Layers(ctx, e.Ref())
	if err != nil {
		return err
	}
	e.Saw("the parent has %d layers, the image %d", len(parent), len(own))
	if !begins(own, parent) {
		// sandbox-init is a layer of its own, the last one, so that a new one costs that layer
		// alone. An image may have it above its own layers: VAR-002 holds it to be the same.
		alone, err := lastLayerIsInit(e)
		if err != nil {
			return err
		}
		if alone {
			parent = parent[:len(parent)-1]
		}
	}
	if !begins(own, parent) {
		same := 0
		for same < min(len(own), len(parent)) && own[same] == parent[same] {
			same++
		}
		return check.Fail(fmt.Sprintf("only the first %d of the %d layers of %s are in the image", same, len(parent), e.Parent()),
			"build it FROM that parent, or name in the manifest the parent that it was built from")
	}
	return nil
}

// begins says whether the layers begin with those of the other image, one at least.
func begins(layers, others []string) bool {
	return len(others) > 0 && len(layers) >= len(others) && slices.Equal(layers[:len(others)], others)
}

// lastLayerIsInit says whether the uppermost layer of the parent is sandbox-init and nothing else.
func lastLayerIsInit(e *check.Env) (bool, error) {
	im, err := e.ParentImage()
	if err != nil {
		return false, err
	}
	found := false
	for name, f := range im.Files {
		if f.Layer != len(im.Layers)-1 || f.IsDir() {
			continue
		}
		if name != contract.InitBinary {
			return false, nil
		}
		found = true
	}
	return found, nil
}

// initOf is the digest of an image's sandbox-init, "" when it has none.
func initOf(ctx context.Context, e *check.Env, ref string) (string, error) {
	c, err := e.BareOf(ctx, ref)
	if err != nil {
		return "", err
	}
	content, err := c.ReadFile(ctx, contract.InitBinary)
	if err != nil || content == nil {
		return "", err
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:]), nil
}

func initIsTheParents(ctx context.Context, e *check.Env) error {
	if e.Parent() == "" {
		return errRoot
	}
	want, err := initOf(ctx, e, e.Parent())
	if err != nil {
		return err
	}
	got, err := initOf(ctx, e, e.Ref())
	if err != nil {
		return err
	}
	switch {
	case want == "":
		return check.Failf("the parent %s has no %s: it is no image of the family", e.Parent(), contract.InitBinary)
	case got != want:
		return check.Fail(fmt.Sprintf("%s is %.12s, the parent's is %.12s", contract.InitBinary, got, want), "copy no sandbox-init; inherit it")
	}
	return nil
}

// nothingIsLost runs what the parent's manifest names in both images, and compares where
// each is found, how new it is, and whether it does what it did.
func nothingIsLost(ctx context.Context, e *check.Env) error {
	if e.Parent() == "" {
		return errRoot
	}
	parentImage, err := e.ParentImage()
	if err != nil {
		return err
	}
	own, err := e.Image()
	if err != nil {
		return err
	}
	m, err := check.ManifestOf(parentImage)
	if err != nil {
		return fmt.Errorf("the parent %s has no manifest to compare with: %w", e.Parent(), err)
	}
	before, err := e.BareOf(ctx, e.Parent())
	if err != nil {
		return err
	}
	after, err := e.BareOf(ctx, e.Ref())
	if err != nil {
		return err
	}
	wrong, err := lessPromised(own, m)
	if err != nil {
		return err
	}
	for _, name := range m.Tools {
		was, is := parentImage.OnPath(name), own.OnPath(name)
		probe, known := e.Vocabulary().Tools[name]
		switch {
		case was == "":
			continue // the parent lies about it, which is the parent's fault
		case is == "":
			wrong = append(wrong, name+" is gone, or the agent cannot execute it")
			continue
		case is != was:
			wrong = append(wrong, fmt.Sprintf("%s is found at %s, before the parent's at %s", name, is, was))
			continue
		case !known:
			continue
		}
		_, then, err := before.Exec(ctx, "", probe.Run...)
		if err != nil {
			return err
		}
		code, now, err := after.Exec(ctx, "", probe.Run...)
		if err != nil {
			return err
		}
		if err := probe.Check(code, now); err != nil {
			wrong = append(wrong, fmt.Sprintf("%s does not work any more: %v", name, err))
			continue
		}
		older, errA := spec.ParseVersion(probe.Version(then))
		newer, errB := spec.ParseVersion(probe.Version(now))
		if errA == nil && errB == nil && newer.Compare(older) < 0 {
			wrong = append(wrong, fmt.Sprintf("%s is %s, the parent has %s", name, newer, older))
		}
	}
	for _, name := range m.Capabilities {
		probe, known := e.Vocabulary().Capabilities[name]
		if !known {
			continue
		}
		code, now, err := after.Exec(ctx, "", probe.Run...)
		if err != nil {
			return err
		}
		lost := probe.Check(code, now)
		if lost == nil {
			continue
		}
		if code, then, err := before.Exec(ctx, "", probe.Run...); err != nil {
			return err
		} else if probe.Check(code, then) != nil {
			continue // the parent lies about it
		}
		wrong = append(wrong, fmt.Sprintf("the capability %s is gone: %v", name, lost))
	}
	e.Saw("%d tools and %d capabilities of %s were compared", len(m.Tools), len(m.Capabilities), e.Parent())
	if len(wrong) > 0 {
		return check.Fail(check.Sample(wrong), "add, never remove: leave the parent's packages and PATH as they are, and install beside them")
	}
	return nil
}

// lessPromised says what of the parent's manifest an image's own does not repeat: a
// caller that selects by manifest would not find the tool.
func lessPromised(im *image.Image, parent *check.Manifest) ([]string, error) {
	own, err := check.ManifestOf(im)
	if err != nil {
		return nil, err
	}
	var wrong []string
	if !spec.Current().Includes(own.Contract.Profile, parent.Contract.Profile) {
		wrong = append(wrong, fmt.Sprintf("the manifest promises profile %q, the parent %q", own.Contract.Profile, parent.Contract.Profile))
	}
	for _, list := range []struct {
		what     string
		was, now []string
	}{{"tool", parent.Tools, own.Tools}, {"capability", parent.Capabilities, own.Capabilities}} {
		for _, name := range list.was {
			if !slices.Contains(list.now, name) {
				wrong = append(wrong, fmt.Sprintf("the manifest does not name the parent's %s %s", list.what, name))
			}
		}
	}
	return wrong, nil
}

func parentsVariablesAreKept(ctx context.Context, e *check.Env) error {
	if e.Parent() == "" {
		return errRoot
	}
	parent, err := e.ParentImage()
	if err != nil {
		return err
	}
	im, err := e.Image()
	if err != nil {
		return err
	}
	own := map[string]string{}
	for _, v := range im.Config.Config.Env {
		name, value, _ := strings.Cut(v, "=")
		own[name] = value
	}
	var wrong []string
	for _, v := range parent.Config.Config.Env {
		name, was, _ := strings.Cut(v, "=")
		is, ok := own[name]
		switch {
		case !ok:
			wrong = append(wrong, name+" is gone")
		case name == "PATH":
			for dir := range strings.SplitSeq(was, ":") {
				if !slices.Contains(strings.Split(is, ":"), dir) {
					wrong = append(wrong, "PATH lost "+dir)
				}
			}
		case is != was:
			wrong = append(wrong, fmt.Sprintf("%s is %q, the parent has %q", name, is, was))
		}
	}
	if len(wrong) > 0 {
		return check.Fail(check.Sample(wrong), "set other variables instead; give PATH more directories with ENV PATH=...:$PATH")
	}
	return nil
}
