//go:build unix

package components

import (
	"fmt"
	"os"
	"syscall"
)

// takeOverStdio moves the wire away from descriptors 0 and 1. Afterwards descriptor 1 is the log and descriptor 0 is empty, for this
// process and every child that it starts: whatever prints lands in the log, and nobody swallows a request by reading stdin.
func takeOverStdio() (in, out *os.File, err error) {
	var saved [2]int
	for descriptor := range saved {
		if saved[descriptor], err = syscall.Dup(descriptor); err != nil {
			return nil, nil, fmt.Errorf("descriptor %d: %w", descriptor, err)
		}
		syscall.CloseOnExec(saved[descriptor])
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	defer null.Close()
	if err := duplicateOnto(int(null.Fd()), 0); err != nil {
		return nil, nil, err
	}
	log := 2
	var facts syscall.Stat_t
	if syscall.Fstat(2, &facts) != nil {
		// A closed stderr must not become the place where a later open lands.
		log = int(null.Fd())
		if err := duplicateOnto(log, 2); err != nil {
			return nil, nil, err
		}
	}
	if err := duplicateOnto(log, 1); err != nil {
		return nil, nil, err
	}
	os.Stdout = os.Stderr
	return os.NewFile(uintptr(saved[0]), "wire in"), os.NewFile(uintptr(saved[1]), "wire out"), nil
}
