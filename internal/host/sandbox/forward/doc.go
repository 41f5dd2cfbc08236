// Package forward makes ports of a sandbox's loopback appear on this machine, whether the
// sandbox has a network or not: a web agent's preview is seen in restricted mode too.
//
// Each connection to a local port becomes one to the socket that the sandbox's exec
// server has in the mounted directory (execapi.PortHost), and from there to the port.
// So nothing is opened in the container's network, and nothing but the operator's own
// connections gets in. What comes back is the sandbox's: its answer is read within bounds, and
// shown as plain text.
package forward
