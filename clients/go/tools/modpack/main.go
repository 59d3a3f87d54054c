// Modpack makes the zip of a module as a module proxy serves it, without what was built and without nested modules.
//
//	modpack -dir DIR -version v0.1.0 -out FILE
package main

import (
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

func main() {
	dir := flag.String("dir", ".", "directory of the module")
	version := flag.String("version", "", "its version, with the v")
	out := flag.String("out", "", "file to write")
	flag.Parse()
	if err := pack(*dir, *version, *out); err != nil {
		fmt.Fprintln(os.Stderr, "modpack:", err)
		os.Exit(1)
	}
}

type file struct{ dir, path string }

func (f file) Path() string                 { return f.path }
func (f file) Lstat() (os.FileInfo, error)  { return os.Lstat(filepath.Join(f.dir, f.path)) }
func (f file) Open() (io.ReadCloser, error) { return os.Open(filepath.Join(f.dir, f.path)) }

func pack(dir, version, out string) error {
	description, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return err
	}
	var files []zip.File
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			_, nested := os.Stat(filepath.Join(path, "go.mod"))
			if relative == "bin" || (relative != "." && nested == nil) {
				return fs.SkipDir
			}
			return nil
		}
		files = append(files, file{dir, filepath.ToSlash(relative)})
		return nil
	})
	if err != nil {
		return err
	}
	written, err := os.Create(out)
	if err != nil {
		return err
	}
	defer written.Close()
	name := modfile.ModulePath(description)
	if err := zip.Create(written, module.Version{Path: name, Version: version}, files); err != nil {
		return err
	}
	fmt.Printf("%s: %s %s, %d files\n", out, name, version, len(files))
	return written.Close()
}
