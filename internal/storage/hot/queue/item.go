package queue

import (
	"strings"
	"time"
)

// Time is a duration since some fixed instant, on a clock that never jumps.
type Time = time.Duration

// Kind is what a job does.
type Kind uint8

const (
	Write  Kind = iota + 1 // make S3 hold what is on the disk
	Delete                 // make S3 hold nothing
)

// Job is something that may go now. Hand it back with Done.
type Job struct {
	Name string
	Kind Kind
	it   *item
}

// item is one pending name.
type item struct {
	name  string
	kind  Kind
	flags flags

	first     uint64 // the first observation that S3 does not have
	barrier   uint64 // of a delete: what was observed up to here may have come before it
	since     Time   // when first was
	last      Time   // the newest observation: quiet counts from here
	notBefore Time   // after a failure
	due       Time   // the key in the waiting heap
	size      int64
	group     string // of a write
	waitsFor  string // of an item in places.blocked: the key in places.waiters

	// What was observed while the job was under way.
	again      Kind
	againFirst uint64
	againLast  uint64
	againSince Time

	queue *heap // the heap of slotQueue that it is in, if any
	place [slots]uint32
}

type flags uint16

const (
	inFlight       flags = 1 << iota
	replaces             // S3 holds an object of this name
	stuck                // reported as unstorable (rule 5)
	unstable             // of an item that is stuck: it never rests
	noBarrier            // a delete that has no barrier yet
	againUnordered       // what was observed while its job was under way has no place among the changes
	againReplaces        // S3 held an object of this name when a write was observed while its job was under way
	changed              // while its job was under way
	undone               // a write that was a delete of what S3 still holds
	doubted              // an noBarrier delete of what a job may have found on the disk since it was seen gone
	counted              // it is a delete that others may have to wait for
	bulky                // its job is one of Rules.BulkMost
	stuckWrite           // it is a write that is stuck, and counted as one
	onlyCopy             // of a write: its content may be in S3 under a name that is to be deleted, and nowhere else
	maybeGone            // a deletion of it was tried since it was stored last, and may have arrived: no answer says that it did not
)

func (it *item) is(f flags) bool { return it.flags&f != 0 }

// holds tells whether a write holds deletes back while it is pending (rules 2 and 5).
func (it *item) holds() bool {
	return it.kind == Write && !(it.is(stuck) && (it.is(replaces) && !it.is(onlyCopy) || strings.HasSuffix(it.name, "/")))
}

func (it *item) set(f flags, on bool) {
	it.flags &^= f
	if on {
		it.flags |= f
	}
}
