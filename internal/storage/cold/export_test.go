package cold

// What the tests of the mounted file system know of it.
var KeyOf = keyOf

const MaxFile = maxFile
