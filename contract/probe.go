package contract

// ProbePrefix begins the keys, below S3_PREFIX + USER_ID + "/", of the objects with which the storage process finds
// out at each start what a store honours. A store that honours all of it refuses some of those requests.
const ProbePrefix = ".sandbox/probe-"
