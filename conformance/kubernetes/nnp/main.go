// nnp says as whom it runs: as a file with the set-user-ID bit it tells whether that bit was heeded.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Printf("Effective uid: %d\n", os.Geteuid())
}
