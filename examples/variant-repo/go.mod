module example.com/figlet-sandbox

go 1.26

require github.com/matrx/sandbox/conformance v0.0.0
