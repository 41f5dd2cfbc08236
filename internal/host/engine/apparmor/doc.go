// Package apparmor has the AppArmor profile of sandboxes that mount the cold path, and puts
// it into the kernel. The engine's own profile denies mounts, so that without this one such a
// sandbox runs unconfined by AppArmor.
//
// The profile's name carries a digest of its text. What is loaded under a name is therefore
// always that text: a newer program loads its own beside the one that running sandboxes have.
// It stays loaded until the machine's next start.
package apparmor
