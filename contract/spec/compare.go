package spec

import (
	"fmt"
	"slices"
)

// Compare lists what a newer contract breaks for images and users of an older
// one: requirements that are gone (users lose a promise), and requirements that
// are new, more binding or wider (images that kept the old ones may fail). Either
// needs a new major version; within one, an empty list is what is allowed, but
// for requirements added as SHOULD or MAY, or as MUST since a newer version: an
// image is judged by the contract version that it names.
func Compare(older, newer *Spec) []string {
	if newer.Version.Major() > older.Version.Major() {
		return nil
	}
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if newer.Version.Compare(older.Version) < 0 {
		say("the version goes back from %s to %s", older.Version, newer.Version)
	}
	compareProfiles(older, newer, say)
	for _, was := range older.Requirements {
		is, ok := newer.Requirement(was.ID)
		if !ok {
			say("%s was removed", was.ID)
			continue
		}
		if d := is.Level.strength() - was.Level.strength(); d > 0 {
			say("%s was tightened from %s to %s", was.ID, was.Level, is.Level)
		} else if d < 0 {
			say("%s was weakened from %s to %s: its users lose the promise", was.ID, was.Level, is.Level)
		}
		if is.Since.Compare(was.Since) != 0 {
			say("%s has another since: %s, was %s", was.ID, is.Since, was.Since)
		}
		if is.Profile != was.Profile {
			say("%s moved from profile %s to %s", was.ID, was.Profile, is.Profile)
		}
		if is.Module != was.Module {
			say("%s asks for module %q, was %q", was.ID, is.Module, was.Module)
		}
		// What a text asks for only a reader can tell: a version of its own makes them look.
		if is.Text != was.Text && newer.Version.Compare(older.Version) == 0 {
			say("%s was reworded without a new version", was.ID)
		}
		compareCommand(was, is, say)
	}
	for _, is := range newer.Requirements {
		if _, known := older.Requirement(is.ID); !known && is.Since.Compare(older.Version) <= 0 {
			say("%s is new, and claims to exist since %s, which was released without it", is.ID, is.Since)
		}
	}
	return out
}

// compareProfiles finds profiles that are gone, and those that include others than before:
// with fewer, images lose promises; with more, they have to keep new ones.
func compareProfiles(older, newer *Spec, say func(string, ...any)) {
	for _, was := range older.Profiles {
		before, _ := older.included(was.Name)
		after, err := newer.included(was.Name)
		if err != nil {
			say("profile %s was removed", was.Name)
			continue
		}
		for _, name := range before {
			if !slices.Contains(after, name) {
				say("profile %s does not include %s any more", was.Name, name)
			}
		}
		for _, name := range after {
			if !slices.Contains(before, name) {
				say("profile %s includes %s now", was.Name, name)
			}
		}
	}
}

func compareCommand(was, is Requirement, say func(string, ...any)) {
	switch {
	case was.Command == nil && is.Command == nil:
	case was.Command == nil || is.Command == nil:
		say("%s names another command", was.ID)
	case was.Command.Name != is.Command.Name || !slices.Equal(was.Command.Args, is.Command.Args):
		say("%s names another command: %s %q, was %s %q", was.ID, is.Command.Name, is.Command.Args, was.Command.Name, was.Command.Args)
	case is.Command.Min.Compare(was.Command.Min) > 0:
		say("%s was tightened from %s %s to %s", was.ID, was.Command.Name, was.Command.Min, is.Command.Min)
	case is.Command.Min.Compare(was.Command.Min) < 0:
		say("%s was weakened from %s %s to %s", was.ID, was.Command.Name, was.Command.Min, is.Command.Min)
	}
}
