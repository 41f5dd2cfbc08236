package cold

import "reflect"

// What the tests of the mounted file system know of it.
var KeyOf = keyOf

const MaxFile = maxFile

// NothingIsWritten says that no node has written to what nodes share.
func NothingIsWritten() bool { return reflect.ValueOf(nothing).IsZero() }
