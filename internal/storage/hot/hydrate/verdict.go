package hydrate

// verdict is what is to be done about one object and the path that it belongs to.
type verdict uint8

const (
	// nothing: what is here stays, whether it is the object's or is to be uploaded.
	nothing verdict = iota
	// fetched: nothing is here, or what is here is the journal's and is replaced.
	fetched
	// compared: equal contents are adopted; else what is here becomes a conflict copy
	// and the object is fetched.
	compared
	// verified: the stat says that it is here, and the host went down since. If the
	// content says so too, nothing; else as compared.
	verified
	// rechecked: the stat proves nothing, since the file was stored when it was too young for
	// it, and S3 has another version. If the content is the journal's, fetched; else as
	// compared.
	rechecked
	// directory: a marker whose attributes the directory gets.
	directory
)

// facts are what the table knows of one path whose object is in S3. (What is gone from
// S3 is removeGone's; what S3 never had is uploaded by the sync, which needs no help.)
type facts struct {
	journalled bool // the journal has an entry of this very key
	same       bool // S3 has the version that the journal knows
	here       bool // something is at the path
	changed    bool // its stat is not the journal's
	racy       bool // its stat is, and the file may have changed all the same
	deleted    bool // its deletion was journalled while running
	rebooted   bool // the host went down since the journal was written
}

// judge is the table of what is on disk already:
//
//	journal  disk       S3             then
//	has it   unchanged  same version   nothing
//	has it   changed    same version   nothing: the sync uploads it
//	has it   unchanged  other version  fetched
//	has it   racy       other version  rechecked: fetched when its content is unchanged
//	has it   changed    other version  compared: a conflict unless the contents are equal
//	has it   not there  there          fetched, unless its deletion was journalled
//	no       there      there          compared: adopted or a conflict
//	no       not there  there          fetched
//
// A deletion that was journalled of another version than S3 has now is not sent: what
// others wrote since is fetched. After the host went down (rebooted) the journal's
// stat proves nothing of the content, and what disagrees is a conflict even where S3
// has the same version: it may be what the crash left of a file.
func (f facts) judge() verdict {
	switch {
	case !f.here && f.journalled && f.same && f.deleted:
		return nothing
	case !f.here:
		return fetched
	case !f.journalled:
		return compared
	case f.rebooted && f.same && !f.changed:
		return verified
	case f.rebooted && f.changed:
		return compared
	case f.same:
		return nothing
	case f.racy:
		return rechecked
	case !f.changed:
		return fetched
	default:
		return compared
	}
}
