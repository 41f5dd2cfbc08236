module example.com/frame-sandbox

go 1.26

require github.com/matrx/sandbox/conformance v0.0.0
