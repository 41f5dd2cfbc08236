// Package egress is the way out of a sandbox that may reach named hosts and nothing else.
//
// The container has no network at all. What it has is a socket in a mounted directory,
// behind which this proxy answers on the host: CONNECT for TLS and all that is no HTTP,
// and absolute URIs for plain HTTP. Names are resolved here, so the sandbox needs no
// DNS, and none can be used to carry data out.
//
// What is refused is refused with a sentence that says what would allow it, and counted.
//
// A name that is allowed is not an address that is allowed: the owner of the name decides
// what it resolves to. So the address is judged when it is dialled, after the last
// resolution. No name reaches loopback, link-local and metadata addresses (where clouds hand
// out credentials), the machine itself or its container engine's networks, and no wildcard
// reaches a private network; an IPv6 address that stands for an IPv4 one is judged as both.
// An address that is written out in a rule is what the operator meant.
//
// Bytes pass as they are: nothing is decoded, and a body that is cut short arrives cut
// short, with its status.
package egress
