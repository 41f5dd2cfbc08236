// Package probe is what the suite runs inside of sandboxes: a static program with small
// commands, so that nothing is asked of the image, not even a shell.
//
//	idle                        wait until SIGTERM
//	exit N, kill-self N         end so
//	say WORD                    print "probe-said WORD"
//	self                        print what process this is, as "probe-self JSON"
//	wait PATH, exists PATH      wait until PATH exists (inotify); whether it does
//	describe PATH               type, mode, owner, mtime, content
//	read, write, rename, remove, remove-all, mkdir, touch, owner, write-many, swap
//	on-term PATH                PATH.armed when ready; on SIGTERM write PATH and end with 0
//	ignore-term PATH            PATH.armed when ready; on SIGTERM write PATH and stay
//	cleanup PATH                PATH.armed when ready; on SIGTERM end as a child, linger PATH, ends
//	linger PATH                 write PATH after a second
//	on-stop PATH FILE CMD...    PATH.armed when ready; on SIGTERM say whether FILE exists and how CMD ends
//	signals PATH                PATH.armed when ready; PATH.NAME for every signal that comes
//	orphans N, zombies          leave N dead orphans; count zombies
//	lines N                     print lines 0 to N-1 of 8 bytes for each byte of standard input
//	cat                         standard input
//	terminal                    print "size ROWS COLUMNS", and again when it changes; SIGINT: end with 3
//	scatter PATH                leave a descendant in a session of its own, as an orphan, and stay
//	stay PATH                   write the own PID into PATH and ignore what asks to end
//	echo PATH                   listen on 127.0.0.1, write the port into PATH; give back what came, once it has ended
//	kill PID N                  send a signal
//	search MASKED               end with 1 where a secret can be read
//	exe PID                     the program of a process
//	newest DIR...               files newer than this container's PID 1
package probe

import (
	"encoding/hex"
	"strings"
)

// mask is an involution that keeps a secret from being found in the arguments of the
// process that looks for it.
const mask = 0x5a

// Mask hides a secret for the command line of search.
func Mask(secret string) string {
	b := []byte(secret)
	for i := range b {
		b[i] ^= mask
	}
	return hex.EncodeToString(b)
}

func unmask(masked string) ([]byte, error) {
	b, err := hex.DecodeString(masked)
	for i := range b {
		b[i] ^= mask
	}
	return b, err
}

// Describes says whether each word of want is in the output of describe, in this order.
func Describes(out, want string) bool {
	for word := range strings.FieldsSeq(want) {
		_, rest, ok := strings.Cut(out, word)
		if !ok {
			return false
		}
		out = rest
	}
	return true
}
