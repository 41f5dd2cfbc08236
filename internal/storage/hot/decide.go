package hot

// What a look at a path means is decided here, by what is known of its name and what was seen.
// Nothing in this file looks at anything.

// seen is what a look found under a name. A file's and a marker's name are two, as they are two
// keys in S3.
type seen uint8

const (
	seenNothing seen = iota + 1
	seenFile         // a file or a link
	seenDirectory
)

// known is what the journal and the queue have of a name.
type known struct {
	stored     bool // S3 holds an object of this name
	other      bool // S3 holds the object of what had the path: the file where a directory is now, or the reverse
	current    bool // whose file had the very stat that was seen
	tombstone  bool // its deletion was seen, and is not in S3 yet
	deleting   bool // a deletion was sent, and no answer tells whether it arrived
	unresolved bool // a write was sent, and no answer tells whether it arrived
	flying     bool // a job of the name is under way
	twin       bool // S3 holds a second object that means the name
	retained   bool // its file was moved to where nothing is kept
	foreign    bool // it was on another device than the home's
}

// mayBeStored tells whether S3 holds an object of the name, or may: what takes its place has to wait until it is gone.
func (k known) mayBeStored() bool { return k.stored || k.unresolved }

// decision is what follows.
type decision uint8

const (
	// agree: the disk and S3 agree about the name.
	agree decision = iota + 1
	// store: the disk has what S3 may not have.
	store
	// remove: S3 may have what the disk has not.
	remove
	// retain: the object stays, though the file is gone.
	retain
	// suspend: the object stays, and that is reported: its device may just have been unmounted.
	suspend
)

// decide is the whole of it. A directory's attributes are compared by its job, not here.
func decide(k known, s seen) decision {
	switch {
	case s == seenDirectory:
		return store
	case s == seenFile && k.stored && k.current && !k.tombstone && !k.unresolved:
		return agree
	case s == seenFile:
		return store
	case k.stored && k.retained:
		return retain
	case k.stored && k.foreign:
		return suspend
	case k.stored || k.unresolved || k.flying || k.twin:
		return remove
	}
	return agree
}
