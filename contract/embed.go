package contract

import _ "embed"

// YAML is contract.yaml, the contract as data. Package spec reads it. It is not
// read here, because this package is linked into sandbox-init, and a YAML reader's
// initialisation would be paid at every start of a sandbox.
//
//go:embed contract.yaml
var YAML []byte
