// Package rebase puts an image's own layers onto a new version of its parent, without
// building it again.
//
// It is right only when a build would have made the same layers, which is to say that
// nothing that the image's own layers were made from has changed. That is proven by the
// layers and not guessed: no path at which the old and the new parent differ may appear in
// the image's own layers or be taken away by them, nor may it lie below or above one that
// is, and what the parent tells a build step by its configuration (ENV, USER, SHELL) or
// every container (ENTRYPOINT, HEALTHCHECK and the like) must be equal. A layer of apt's
// carries dpkg's database, so a parent whose packages moved is refused by this rule: such
// an image is built again.
//
// sandbox-init is the last layer of base and of core. An image that is FROM one of them has
// that layer among its parent's, and it is replaced with the others. Core is not FROM base:
// it begins with all of base's layers but that last one, and has one of its own on top. For
// such an image the parent's last layer, when it holds sandbox-init alone, is set aside, and
// the image's own last layer, which must do the same, is replaced by the new parent's: so in
// both cases the image has its new parent's sandbox-init, byte for byte.
package rebase
