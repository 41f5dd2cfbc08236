// Package posixattr keeps what POSIX knows of a file and S3 does not: its name as
// bytes, its mode and its modification time.
//
// Attributes travel as user metadata in the form that AWS DataSync, Storage Gateway
// and FSx for Lustre use ("POSIX metadata support" in the FSx for Lustre guide), so
// that those tools understand our objects and we theirs:
//
//	file-permissions  0100644                   st_mode in octal, with the type bits
//	file-owner        1000
//	file-group        1000
//	file-mtime        1732279200123456789ns     since the epoch; without "ns": milliseconds
//	sandbox-write     the random id of the write; empty for none
//
// A symbolic link is an object of type 0120777 whose body is the target, an empty
// directory a zero-byte object "dir/". Decode also reads what rclone (mtime, and
// mode, uid, gid of its --metadata) and s3fs (mode in decimal, mtime) write.
//
// # Names
//
// A path is any bytes but NUL; an S3 key is UTF-8, and a listing in XML 1.0 cannot
// carry control characters. Bytes that a key cannot carry are percent-escaped, upper
// case; every other path is its own key, a "%" included, so that other tools see the
// names they expect. A key is unescaped only if escaping the result gives that very
// key again, else it is taken literally. Key and Path are thereby inverse to each
// other over all paths and all keys that Key can make: no two paths share a key, no
// two keys share a path, and a key is found again under the name under which it
// came.
//
// Key, Path, Encode and the names of the metadata are a format on disk: they never
// change.
package posixattr
