package spec

//go:generate go run ./gen ../../CORE_CONTRACT.md
