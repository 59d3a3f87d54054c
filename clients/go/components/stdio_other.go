//go:build !unix

package components

import "os"

// takeOverStdio keeps prints of this process off the wire.
func takeOverStdio() (in, out *os.File, err error) {
	in, out = os.Stdin, os.Stdout
	os.Stdout = os.Stderr
	return in, out, nil
}
