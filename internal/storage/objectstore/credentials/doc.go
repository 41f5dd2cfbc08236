// Package credentials finds what requests are signed with, and keeps it fresh.
//
// Find picks one Source, in the order of the AWS SDKs' default chain. A Keyring holds what the Source
// gave, and asks it again before that ends and when the server has refused it. An Error says which
// source could not be read, what mends that, and whether another attempt may do: a service that
// does not answer may be there in a moment, a file without the profile will not.
package credentials
