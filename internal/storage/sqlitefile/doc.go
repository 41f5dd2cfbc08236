// Package sqlitefile reads the file formats of SQLite: a database, its write-ahead log and its rollback
// journal, as the files of one instant (https://www.sqlite.org/fileformat2.html). It links no SQLite library,
// takes no locks, and changes nothing.
//
// # Invariant
//
// What an [Image] reads is the state of the database after a whole number of transactions, provided that its
// parts are the database's files as they were at one instant. That is what SQLite itself recovers from files
// that a killed process has left.
package sqlitefile
