package main

import "github.com/alecthomas/kong"

// groups are the headings of `sandbox run --help`, by the names that the flags' group tags have.
var groups = kong.Groups{
	"image":   "Image (core when nothing is asked)",
	"limits":  "Limits (the image's own when not given, and never over the machine's ceiling: ~/.config/matrx-sandbox/limits.yaml)",
	"storage": "Storage (without --s3-bucket: an embedded S3 in the data directory)",
}
