package tarstream

import (
	"encoding/hex"
	"flag"
	"fmt"
	"unicode/utf8"
)

// A path may be of any bytes, and what passes it on, the engine's interface in JSON, takes text and makes another
// path of what is none. Such a path goes in hexadecimal digits.

const hexFlag = "hex"

// PathArguments are the arguments that give an inner end its path.
func PathArguments(path string) []string {
	if utf8.ValidString(path) {
		return []string{"--", path}
	}
	return []string{"--" + hexFlag, "--", hex.EncodeToString([]byte(path))}
}

// ParsePath reads an inner end's arguments: its own flags, and those that PathArguments gives.
func ParsePath(flags *flag.FlagSet, args []string) (string, error) {
	inHex := flags.Bool(hexFlag, false, "the path is in hexadecimal digits")
	if err := flags.Parse(args); err != nil {
		return "", err
	}
	if flags.NArg() != 1 {
		return "", fmt.Errorf("%d paths are given; it takes one", flags.NArg())
	}
	if !*inHex {
		return flags.Arg(0), nil
	}
	b, err := hex.DecodeString(flags.Arg(0))
	return string(b), err
}
