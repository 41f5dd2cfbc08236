// Command write prints docs/stores.md.
package main

import (
	"fmt"

	"github.com/matrx/sandbox/internal/e2e/stores"
)

func main() { fmt.Print(stores.Document()) }
