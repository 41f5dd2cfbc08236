// Package cp copies files into a running sandbox and out of one.
//
// The inner end is the sandbox's exec server, or in a sandbox without one sandbox-init, exec'd as the agent: what is copied in belongs to the agent
// and can replace only what the agent may, what is copied out is what the agent may read, and
// volumes, mounts in memory and a read-only root are what they are to every process
// there. (The engine's own archives see neither mounts in memory nor a read-only root.) What
// goes in is found by the hot path as any change is, and goes to S3.
//
// Between the ends is a stream of package tarstream. The agent could end or change the inner end:
// so what comes out is unpacked as a stranger's archive, and its words are shown as plain text.
package cp
