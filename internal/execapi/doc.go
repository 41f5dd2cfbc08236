// Package execapi is what the host and a sandbox's exec server say to each other, and the host's client.
// The server, sandbox-init execd, listens on contract.EnvExecSocket in the host's directory of sockets.
//
// Requests are HTTP/1.1 with JSON in both directions. What is a stream upgrades its connection (RFC 9110,
// section 7.8) to Protocol and is frames from then on, see Frame:
//
//	POST   /v1/execs                  start; upgraded: and attach to it from its first byte
//	GET    /v1/execs[/ID]             list, and look at one
//	GET    /v1/execs/ID/attach        upgraded: ?offset=N, output from there on, then what comes
//	POST   /v1/execs/ID/signal|resize
//	DELETE /v1/execs/ID               end it with all its descendants, and forget it
//	GET    /v1/files/stat|list|content|tar|watch ?path=P
//	PUT    /v1/files/content|tar      POST /v1/files/append|mkdir|rename|remove|chmod
//	GET    /v1/ports                  CONNECT localhost:PORT
//
// A path is any bytes but NUL, escaped in the query; a relative one begins at the home. A request that fails
// answers with a Problem.
//
// # What a stream of an exec is
//
// The server sends FrameStarted, then output and gaps in the order of their offsets, then one FrameFinal.
// Standard output and standard error share one count of bytes. Output that is no longer kept is a FrameGap
// that names the offsets it stood at. A stream that ends without FrameFinal is broken: the exec lives, or its
// server was killed, and an attach at the offset that was reached tells which.
//
// The client sends standard input within the credit that it is given, Window bytes at first: a process that
// does not read its input holds up neither signals nor the news that the client is gone.
//
// Neither side trusts the other: frames and bodies are bounded, and the server may be a process of the agent's.
package execapi
