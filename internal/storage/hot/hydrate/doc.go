// Package hydrate brings the home to what S3 holds, before the workload starts.
//
// It reads S3 and never writes to it. What it changes in the home it records in the
// journal at once, file by file, so that one that was broken off goes on where it was.
//
// # Course
//
//  1. .sandboxignore is brought up to date, and beside it the manifest is read.
//  2. hot/ is listed, in ranges split at the manifest's keys, so that the pages come in
//     parallel. Into an empty home the bundle begins to come at the same time.
//  3. Each object is compared with the journal and the disk, and a verdict reached
//     (verdict.go has the table). Up to here nothing was changed but .sandboxignore.
//  4. A file that is gone from S3 and unchanged here is removed; where only contents can tell,
//     they are compared; what was changed on both sides becomes a conflict copy.
//  5. With the disk known to suffice, files are written: from the bundle what the
//     manifest vouches for, everything else by requests of its own, biggest first.
//  6. Directories get their modes and times, children first, since writing into a
//     directory moves its time and its mode may forbid it.
//
// # What cannot be here
//
// A key that is no path, that is both a file and a directory (the directory wins), or
// that the file system refuses is left in S3, named in Result.Kept, and is not in the
// journal: nothing will ever take it for deleted. So is a key that alone gets no proper answer from the
// store, while others do (alone.go). What is excluded is not looked at. Any other failure fails the
// whole: a home with holes is worse than none.
package hydrate
