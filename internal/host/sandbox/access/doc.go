// Package access decides what a sandbox may use: how much of the machine, and which of
// the network.
//
// What it may use comes from three places, the later over the earlier:
//
//   - the image's manifest, /etc/sandbox/capabilities.json in the image;
//   - what is asked for with the flags of `sandbox run`, which may be more or less;
//   - the ceiling, which the operator of the machine sets once, in limits.yaml, and which
//     neither of the two gets over. What an image has by default is lowered to it; what is
//     asked for over it is an error, since a caller who wants 8 GB is not served with 2.
//
// Nothing here talks to an engine: it is data in, data out.
package access
