package flowspan

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	targetVariable = "FLOWSPAN_TARGET"
	tokenVariable  = "FLOWSPAN_TOKEN"
)

// serverInfo is what a gateway announces about itself in a file of its own.
type serverInfo struct {
	Target    string   `json:"target"`
	PID       int      `json:"pid"`
	Token     string   `json:"token"`
	Addresses []string `json:"addresses"`

	writtenAt time.Time
}

// FindTarget says where to connect: what is given, else FLOWSPAN_TARGET and FLOWSPAN_TOKEN, else the newest gateway of this user on
// this machine. The token of such a gateway is found by any of its addresses.
func FindTarget(target, token string) (foundTarget, foundToken string, err error) {
	if token == "" {
		token = os.Getenv(tokenVariable)
	}
	if target == "" {
		target = os.Getenv(targetVariable)
	}
	if target != "" {
		if token == "" {
			if own := findServer(target, runtimeDirectory()); own != nil {
				token = own.Token
			}
		}
		return target, token, nil
	}
	server := findServer("", runtimeDirectory())
	if server == nil {
		return "", "", NewError(Unavailable,
			"no gateway was found: start one with `flowspan serve`, or set "+targetVariable, nil)
	}
	if token == "" {
		token = server.Token
	}
	return server.Target, token, nil
}

// runtimeDirectory is where a gateway of this user announces itself.
func runtimeDirectory() string {
	if runtime := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(runtime) && isDirectory(runtime) {
		return filepath.Join(runtime, "flowspan")
	}
	if state := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "flowspan")
	}
	if home, err := os.UserHomeDir(); err == nil && filepath.IsAbs(home) && isWritable(home) {
		return filepath.Join(home, ".local", "state", "flowspan")
	}
	return filepath.Join(os.TempDir(), "flowspan-"+userName())
}

// findServer is the newest announced gateway whose process is alive; with an address, only one that listens there.
func findServer(address, directory string) *serverInfo {
	servers := filepath.Join(directory, "servers")
	for _, path := range []string{directory, servers} {
		facts, err := os.Stat(path)
		if err != nil || !isOwned(facts) {
			return nil
		}
	}
	paths, err := filepath.Glob(filepath.Join(servers, "*.json"))
	if err != nil {
		return nil
	}
	var newest *serverInfo
	for _, path := range paths {
		server := readServerFile(path)
		if server == nil || (address != "" && !listensAt(server, address)) {
			continue
		}
		if newest == nil || server.writtenAt.After(newest.writtenAt) {
			newest = server
		}
	}
	return newest
}

func listensAt(server *serverInfo, address string) bool {
	for _, known := range server.Addresses {
		if samePlace(known) == samePlace(address) {
			return true
		}
	}
	return false
}

func samePlace(address string) string {
	if port, found := strings.CutPrefix(address, "localhost:"); found {
		return "127.0.0.1:" + port
	}
	return address
}

// readServerFile is nil for a file that cannot be believed, or whose gateway is gone.
func readServerFile(path string) *serverInfo {
	file, err := openNoFollow(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	// Looked at through the descriptor, so that what was checked is what is read.
	facts, err := file.Stat()
	if err != nil || !facts.Mode().IsRegular() || !isOwned(facts) {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(file, 65_536))
	if err != nil {
		return nil
	}
	server := &serverInfo{writtenAt: facts.ModTime()}
	if json.Unmarshal(data, server) != nil || server.Target == "" || !isAlive(server.PID) {
		return nil
	}
	return server
}

func isDirectory(path string) bool {
	facts, err := os.Stat(path)
	return err == nil && facts.IsDir()
}
