//go:build unix && !linux

package components

import "syscall"

func duplicateOnto(from, to int) error { return syscall.Dup2(from, to) }
