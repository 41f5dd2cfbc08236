// Package egress is the way out of a sandbox that may reach named hosts and nothing else.
//
// The container has no network at all. What it has is a socket in a mounted directory,
// behind which this proxy answers on the host: CONNECT for whatever is encrypted or is no HTTP,
// and absolute URIs for plain HTTP. Names are resolved here, so the sandbox needs no
// DNS, and none can be used to carry data out.
//
// What is refused is refused with a sentence that says what would allow it, and counted.
//
// A name that is allowed is not an address that is allowed: whoever owns the name decides
// what it resolves to. So the address is judged when it is dialled, after the last
// resolution: loopback, link-local (169.254.169.254, where clouds hand out credentials),
// and what is nobody's are never reached by a name, and private networks never by a
// wildcard. An address that is written out in a rule is what the operator meant.
package egress
