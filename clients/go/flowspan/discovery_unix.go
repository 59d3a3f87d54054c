//go:build unix

package flowspan

import (
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

func openNoFollow(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
}

// isOwned tells whether only this user can have written it.
func isOwned(facts fs.FileInfo) bool {
	system, ok := facts.Sys().(*syscall.Stat_t)
	return ok && int(system.Uid) == os.Getuid() && facts.Mode().Perm()&0o077 == 0
}

// isAlive is false for a process of somebody else: the number was given away again.
func isAlive(pid int) bool {
	return pid > 0 && syscall.Kill(pid, 0) == nil
}

func isWritable(path string) bool {
	const write = 2
	return syscall.Access(path, write) == nil
}

func userName() string { return strconv.Itoa(os.Getuid()) }
