//go:build !unix

package flowspan

import (
	"io/fs"
	"os"
)

func openNoFollow(path string) (*os.File, error) { return os.Open(path) }

func isOwned(fs.FileInfo) bool { return true }

func isAlive(pid int) bool {
	if pid <= 0 {
		return false
	}
	_, err := os.FindProcess(pid)
	return err == nil
}

func isWritable(path string) bool {
	probe, err := os.CreateTemp(path, ".flowspan-*")
	if err != nil {
		return false
	}
	probe.Close()
	return os.Remove(probe.Name()) == nil
}

func userName() string { return "0" }
